"""Devices, and files that back one: written in place, and refused while they are in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.judges import kernel
from tests.judges.devices import contents, loop_device
from tests.judges.fsck import judge
from tests.judges.tools import require_loop_mount, run

from .front import dumpe2fs, ours, theirs

MIB = 1 << 20

pytestmark = pytest.mark.root


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_a_device_is_written_in_place(sector_size: int, tmp_path: Path) -> None:
    backing, copy = tmp_path / "disk", tmp_path / "copy"
    backing.write_bytes(b"\xaa" * (20 * MIB))
    with loop_device(backing, sector_size=sector_size) as device:
        expected = theirs("-q", "-F", "-t", "ext4", device)
        wanted = dumpe2fs(device)
        done = ours("-q", "-t", "ext4", device)
        assert done.status == expected.status == 0, done.stderr
        found = dumpe2fs(device)
        for name in ("Block size", "Block count", "Inode count", "RAID stride", "Journal inode"):
            assert found.get(name) == wanted.get(name)
        copy.write_bytes(contents(device))
    judge(copy, "quick")


def test_a_part_of_a_device(tmp_path: Path) -> None:
    backing = tmp_path / "disk"
    backing.write_bytes(b"\xaa" * (20 * MIB))
    with loop_device(backing) as device:
        assert ours("-q", "-E", f"offset={2 * MIB}", device, "8M").status == 0
        data = contents(device)
    assert set(data[: 2 * MIB]) == set(data[10 * MIB :]) == {0xAA}
    part = tmp_path / "part"
    part.write_bytes(data[2 * MIB : 10 * MIB])
    judge(part, "quick")


def test_what_is_mounted_is_refused(tmp_path: Path) -> None:
    require_loop_mount()
    image = tmp_path / "image"
    assert ours("-q", "-t", "ext4", image, "20M").status == 0
    with kernel.mounted(image) as point:
        device = run(["findmnt", "-no", "SOURCE", str(point)]).stdout.strip()
        before = image.read_bytes()
        for target in (image, device):
            for force in ([], ["-F"]):
                done = ours("-q", *force, target)
                assert done.status == 1
                assert f"{target} is mounted; will not make a filesystem here!\n" in done.stderr
        # The kernel refuses the device even then.
        done = ours("-q", "-F", "-F", device)
        assert done.status == 1 and ("is in use" in done.stderr or "read-only" in done.stderr)
        assert image.read_bytes() == before


def test_blocks_are_no_smaller_than_sectors(tmp_path: Path) -> None:
    backing = tmp_path / "disk"
    backing.write_bytes(bytes(8 * MIB))
    with loop_device(backing, sector_size=4096) as device:
        done = ours("-q", "-b", "1024", device)
        assert done.status == 1 and "too small for device" in done.stderr
        assert ours("-q", device).status == 0
        assert dumpe2fs(device)["Block size"] == "4096"


def test_a_journal_in_a_device_of_its_own(tmp_path: Path) -> None:
    """Ours and theirs make journals for each other's file systems; one has one user."""
    disks = [tmp_path / name for name in ("journal", "other", "disk")]
    for disk in disks:
        disk.write_bytes(bytes(40 * MIB if disk.name == "disk" else 8 * MIB))
    with (
        loop_device(disks[0]) as journal,
        loop_device(disks[1]) as other,
        loop_device(disks[2]) as device,
    ):
        made = ours("-t", "ext4", "-O", "journal_dev", "-b", "4096", journal)
        assert made.status == 0 and "with 2048 4k blocks and 0 inodes\n" in made.stdout
        line = ("-q", "-t", "ext4", "-O", "journal_dev", "-b", "4096")
        assert theirs(*line, other).status == 0
        shown, wanted = dumpe2fs(journal), dumpe2fs(other)
        for name in ("Block count", "Filesystem features", "Journal number of users"):
            assert shown[name] == wanted[name]
        for make, place in ((ours, other), (theirs, journal)):
            done = make("-t", "ext4", "-F", "-J", f"device={place}", device)
            assert done.status == 0, done.stderr
            assert "Using journal device's blocksize: 4096\n" in done.stdout
            found = dumpe2fs(device)
            assert found["Journal UUID"] == dumpe2fs(place)["Filesystem UUID"]
            assert dumpe2fs(place)["Journal users"] == found["Filesystem UUID"]
            checked = run(["e2fsck", "-fn", "-j", str(place), str(device)])
            assert checked.returncode == 0, checked.stdout
        name = "ext4writer test"
        assert ours("-q", "-O", "journal_dev", "-b", "4096", "-L", name, journal).status == 0
        uuid = dumpe2fs(journal)["Filesystem UUID"]
        for named in (f"LABEL={name}", f"UUID={uuid}"):
            done = ours("-n", "-t", "ext4", "-J", f"device={named}", device)
            assert done.status == 0 and "journal device's blocksize: 4096\n" in done.stdout
        done = ours("-t", "ext4", "-J", f"device=LABEL={name}", device)
        assert f"Adding journal to device {journal}: done\n" in done.stdout
        again = ours("-q", "-J", f"device={journal}", device)
        assert again.status == 1 and "is the journal of a file system" in again.stderr
        none = ours("-q", "-J", f"device={device}", disks[2])
        assert none.status == 1 and "is no journal device" in none.stderr
