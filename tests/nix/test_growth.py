"""A card that is much larger than its image: inodes, blocks, and what the boot loader reaches."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.builder.command import run
from tests.guest.qemu import run_guest
from tests.guest.u_boot import ROM, ROM_64, u_boot
from tests.judges import debugfs
from tests.judges.fsck import assert_clean

pytestmark = pytest.mark.qemu

GIB = 1 << 30
OBJECT = "0123456789abcdfghijklmnpqrsvwxyz-model"

GROW = """
mount -t ext4 /dev/vda /mnt
resize2fs /dev/vda
n=0
while [ $n -lt 40 ]; do
    mkdir /mnt/$n
    seq $n 20000 > /mnt/$n/numbers
    n=$((n + 1))
done
df -i /mnt | tail -1
sync
umount /mnt
"""
"""The kernel spreads directories in the root over all groups (find_group_orlov). Blocks of files
larger than 64 KiB follow their inodes; those of smaller files are stored together.
"""


def large_file(folder: Path) -> None:
    """A store path of one file, for which an image has hardly any inodes."""
    store = folder / "store" / OBJECT
    store.mkdir(parents=True)
    (folder / "paths").write_text(f"/nix/store/{OBJECT}\n")
    with (store / "large").open("wb") as file:
        for offset in range(0, 140 << 20, 28 << 10):
            file.seek(offset)
            file.write(b"x")


@pytest.mark.parametrize(
    ("size", "rom"),
    [
        pytest.param(32 * GIB, ROM, id="32 GiB"),
        pytest.param(512 * GIB, ROM, id="512 GiB", marks=pytest.mark.slow),
        pytest.param(2048 * GIB, ROM_64, id="2 TiB"),
    ],
)
def test_grown_on_the_first_boot(size: int, rom: Path, tmp_path: Path) -> None:
    """U-Boot reads files far beyond, where an image of mke2fs would have meta_bg."""
    large_file(tmp_path)
    image = tmp_path / "a.img"
    done = run(
        *("nix", "--store-paths", tmp_path / "paths", "--store-dir", tmp_path / "store"),
        *("-o", image, "-q", "--database"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    os.truncate(image, size)
    said = run_guest(GROW, [image], 900, programs=["resize2fs"])
    assert "on-line resizing required" in said
    inodes = re.search(r"/dev/vda +(\d+) +\d+ +(\d+) ", said)
    assert inodes is not None
    # As in mke2fs, one for 16 KiB.
    assert int(inodes[2]) >= size // (16 << 10) * 0.99
    assert_clean(image)
    found = debugfs.superblock(image)
    assert "meta_bg" not in found["Filesystem features"]
    assert int(found["Block count"]) * 4096 >= size * 0.999
    requests = [f"blocks /{number}/numbers" for number in range(40)]
    firsts = re.findall(r"(?m)^(\d+) ", debugfs.debugfs(image, *requests))
    assert len(firsts) == 40
    far = [number for number, first in enumerate(firsts) if int(first) * 4096 > size // 2]
    assert len(far) >= 5
    with u_boot([image], 180, rom=rom) as loader:
        for number in far:
            data = "".join(f"{line}\n" for line in range(number, 20_001)).encode()
            loader.assert_reads("virtio 0", f"/{number}/numbers", data)
