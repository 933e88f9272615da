"""Boot loaders list and read ``/boot`` in an image of the drop-in, on a card with an MBR."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.u_boot import u_boot
from tests.judges.tools import run

from .drop_in import Build
from .sd_card import ROOT_PARTITION, make_card

# Like generic-extlinux-compatible of NixOS.
POPULATE = """
boot=files/boot
mkdir -p $boot/extlinux $boot/nixos
cp -r {dtbs} $boot/nixos/zq8x7c1h-linux-6.6.63-dtbs
cp {kernel} $boot/nixos/zq8x7c1h-linux-6.6.63-Image
cp {initrd} $boot/nixos/0m1v2p3k-initrd-linux-6.6.63-initrd
cat > $boot/extlinux/extlinux.conf <<END
DEFAULT nixos-default
MENU TITLE ------------------------------------------------------------
TIMEOUT 1

LABEL nixos-default
  MENU LABEL NixOS - Default
  LINUX ../nixos/zq8x7c1h-linux-6.6.63-Image
  INITRD ../nixos/0m1v2p3k-initrd-linux-6.6.63-initrd
  APPEND init=/nix/store/system/init loglevel=4
END
"""

DTBS = 300


@pytest.fixture
def card(tmp_path: Path) -> Path:
    dtbs = tmp_path / "dtbs"
    (dtbs / "broadcom").mkdir(parents=True)
    for number in range(DTBS):
        (dtbs / "broadcom" / f"board-{number:03}.dtb").write_bytes(b"tree %d\n" % number * 999)
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_bytes(name.encode() * 500_000)
    paths = {name: tmp_path / name for name in ("dtbs", "kernel", "initrd")}
    image = Build(tmp_path).image(populate=POPULATE.format(**paths))
    card = tmp_path / "card"
    make_card(image, card, image.stat().st_size * 2)
    return card


def contents(folder: Path) -> dict[str, bytes]:
    """The content of /boot, by path."""
    return {
        "/boot/nixos/zq8x7c1h-linux-6.6.63-Image": (folder / "kernel").read_bytes(),
        "/boot/nixos/0m1v2p3k-initrd-linux-6.6.63-initrd": (folder / "initrd").read_bytes(),
        **{
            f"/boot/nixos/zq8x7c1h-linux-6.6.63-dtbs/broadcom/{path.name}": path.read_bytes()
            for path in (folder / "dtbs" / "broadcom").iterdir()
            if path.stem.endswith("7")
        },
    }


def test_grub_reads_boot(card: Path, tmp_path: Path) -> None:
    root = f"(loop0,msdos{ROOT_PARTITION})"

    def names(path: str) -> set[str]:
        return set(run(["grub-fstest", card, "ls", f"{root}{path}/"]).stdout.split())

    assert names("") == {"boot/", "lost+found/", "nix/", "nix-path-registration"}
    assert names("/boot") == {"extlinux/", "nixos/"}
    dtbs = names("/boot/nixos/zq8x7c1h-linux-6.6.63-dtbs/broadcom")
    assert dtbs == {f"board-{number:03}.dtb" for number in range(DTBS)}
    for path, data in contents(tmp_path).items():
        host_file = tmp_path / "file"
        host_file.write_bytes(data)
        run(["grub-fstest", card, "cmp", f"{root}{path}", host_file])


@pytest.mark.qemu
def test_u_boot_reads_boot(card: Path, tmp_path: Path) -> None:
    where = f"virtio 0:{ROOT_PARTITION}"
    with u_boot([card]) as loader:
        found = loader.listing(where, "/")
        assert found.keys() == {".", "..", "boot", "lost+found", "nix", "nix-path-registration"}
        found = loader.listing(where, "/boot/nixos")
        assert found["zq8x7c1h-linux-6.6.63-Image"] == 3_000_000
        found = loader.listing(where, "/boot/nixos/zq8x7c1h-linux-6.6.63-dtbs/broadcom")
        assert len(found) == DTBS + 2
        for path, data in contents(tmp_path).items():
            loader.assert_reads(where, path, data)


@pytest.mark.qemu
def test_u_boot_finds_the_kernel_automatically(card: Path) -> None:
    """No key is pressed: it searches the partition that is marked as bootable."""
    with u_boot([card], auto=True) as loader:
        assert f"Scanning virtio 0:{ROOT_PARTITION}..." in loader.console
        assert "Found /boot/extlinux/extlinux.conf" in loader.console
        assert "NixOS - Default" in loader.console
        assert "append: init=/nix/store/system/init loglevel=4" in loader.console
