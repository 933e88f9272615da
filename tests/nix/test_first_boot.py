"""An image of the drop-in on an SD card: the boot loader, the first boot, and a full disk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.guest import initramfs
from tests.guest.kernel_package import unpacked_kernel
from tests.guest.qemu import script_output
from tests.guest.u_boot import u_boot
from tests.judges import debugfs
from tests.judges.fsck import assert_clean
from tests.judges.kernel import mounted
from tests.judges.tools import require_root

from .drop_in import LABEL, Build
from .sd_card import ROOT_PARTITION, make_card, take_root

pytestmark = [pytest.mark.qemu, pytest.mark.slow]

CARD = f"virtio 0:{ROOT_PARTITION}"
GROWTH = 20
KERNEL_AT, INITRD_AT = "1000000", "10000000"
"""The load addresses in U-Boot, in hexadecimal."""

POPULATE = """
mkdir -p files/boot files/lib64 files/proc files/dev files/tmp
cp {kernel} files/boot/bzImage
cp {initrd} files/boot/initrd
ln -s {nix}/lib/ld-linux-x86-64.so.2 files/lib64/
"""

# What nixpkgs' sd-image.nix does on the first boot, after the files written by activation.
# Busybox's own partprobe cannot inform the kernel about a partition in use.
FIRST_BOOT = """
root=$(findfs LABEL={label})
mount -t ext4 $root /mnt
mkdir /mnt/activation
i=0; while [ $i -lt 1000 ]; do echo $i > /mnt/activation/$i; i=$((i + 1)); done
dd if=/dev/zero of=/mnt/activation/large bs=1M count=10 2>/dev/null

echo ",+," | sfdisk -N{partition} --no-reread /dev/vda
/bin/partprobe /dev/vda
resize2fs $root

mount --bind /proc /mnt/proc
mount --bind /dev /mnt/dev
export HOME=/tmp USER=root LD_LIBRARY_PATH={nix}/lib NIX_CONFIG="build-users-group ="
store="chroot /mnt {nix}/bin/nix-store"
{load}
echo "==== registered"
$store --dump-db
echo "==== verified"
$store --verify --check-contents
echo "==== referred to"
$store -qR {system} 2>/dev/null | cat
echo "==== end"

free() {{ df -m /mnt | awk 'END {{ print $4 }}'; }}
mkdir /mnt/fill
fallocate -l $(($(free) - 200))M /mnt/fill/allocated
n=0
while [ $(free) -gt 20 ]; do
    dd if=/dev/zero of=/mnt/fill/$n bs=1M count=16 2>/dev/null
    n=$((n + 1))
done
echo "filled with $n files"
umount /mnt/proc /mnt/dev /mnt
"""


LOAD = """
$store --load-db < /mnt/nix-path-registration
rm /mnt/nix-path-registration
"""


@pytest.mark.parametrize("baked", [False, True], ids=["loaded", "baked"])
def test_from_boot_loader_to_full_disk(baked: bool, tmp_path: Path) -> None:
    """With a database in the image there is nothing to load, and Nix still has every path."""
    require_root()
    build = Build(tmp_path, nix=True)
    package = unpacked_kernel()
    kernel = next(iter(package.glob("boot/vmlinuz-*")))
    script = FIRST_BOOT.format(
        label=LABEL,
        partition=ROOT_PARTITION,
        nix=build.tools,
        system=build.system,
        load="" if baked else LOAD,
    )
    programs = ["sfdisk", "partprobe", "resize2fs"]
    initrd = tmp_path / "initrd"
    initrd.write_bytes(initramfs.build(package, script, programs, {}))
    image = build.image(
        "database = true; registration = false;" if baked else "",
        populate=POPULATE.format(kernel=kernel, initrd=initrd, nix=build.tools),
    )

    card = tmp_path / "card"
    make_card(image, card, image.stat().st_size * GROWTH)
    with u_boot([card], 400, snapshot=False) as loader:
        loader.assert_reads(CARD, "/boot/bzImage", kernel.read_bytes(), KERNEL_AT)
        loader.assert_reads(CARD, "/boot/initrd", initrd.read_bytes(), INITRD_AT)
        loader.command("setenv bootargs console=ttyS0 quiet panic=-1 random.trust_cpu=on")
        console = loader.boot(f"zboot {KERNEL_AT} 0 {INITRD_AT} $filesize")
    said = script_output(console, drives=1)

    assert "on-line resizing required" in said
    filled = re.search(r"filled with (\d+) files", said)
    assert filled is not None and int(filled[1]) > 10
    part = {
        name: said.partition(f"==== {name}\n")[2].partition("====")[0]
        for name in ("registered", "verified", "referred to")
    }
    closure = build.host.closure(build.system)
    assert set(closure) <= set(part["registered"].splitlines())
    assert part["registered"].count("/nix/store/") >= len(closure)
    assert part["referred to"].split() and sorted(part["referred to"].split()) == closure
    for word in ("error", "modified", "disappeared", "missing"):
        assert word not in part["verified"]

    root = tmp_path / "root"
    take_root(card, root)
    card.unlink()
    assert_clean(root)
    superblock = debugfs.superblock(root)
    assert int(superblock["Block count"]) * 4096 > root.stat().st_size * 0.99
    assert int(superblock["Free blocks"]) < int(superblock["Block count"]) * 0.03
    with mounted(root) as point:
        assert not (point / "nix-path-registration").exists()
        assert (point / "nix/var/nix/db/db.sqlite").exists()
        assert len(list((point / "activation").iterdir())) == 1001
    root.unlink()
