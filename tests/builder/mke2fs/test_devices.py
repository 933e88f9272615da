"""Devices, and files that back one, are written in place, and refused while they are in use."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.judges import kernel
from tests.judges.devices import contents, loop_device, signatures
from tests.judges.fsck import judge
from tests.judges.tools import require_loop_mount, run

from .front import dumpe2fs, dumped_groups, ours, theirs

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


def garbage(data: bytes) -> int:
    """The number of 4 KiB blocks that hold only the bytes from before."""
    return sum(data[at : at + 4096] == b"\xff" * 4096 for at in range(0, len(data), 4096))


@pytest.mark.parametrize("extended", ["discard", "nodiscard", "nodiscard,lazy_itable_init=0"])
def test_free_blocks_are_left_as_mke2fs_leaves_them(extended: str, tmp_path: Path) -> None:
    require_loop_mount()
    (tmp_path / "source").mkdir()
    (tmp_path / "source/hello").write_bytes(b"hello" * 10_000)
    options = ["-t", "ext4", "-E", extended, "-d", tmp_path / "source"]
    left, said, used = [], [], []
    for make in (theirs, ours):
        backing = tmp_path / make.__name__
        backing.write_bytes(b"\xff" * (160 * MIB))
        with loop_device(backing) as device:
            if make is ours:
                assert ours("-n", *options, device).status == 0
                assert garbage(contents(device)) == 160 * MIB // 4096
            done = make(*options, device)
            assert done.status == 0, done.stderr
            said.append("Discarding device blocks: " in done.stdout)
            left.append(garbage(contents(device)))
            run(["sync", device])
            used.append(backing.stat().st_blocks * 512)
            assert signatures(device) == ["ext4"]
    # With a backup, e2fsck checks inodes that are not initialized yet, in those of mke2fs, too.
    judge(tmp_path / "ours", "full" if "lazy" in extended else "quick")
    with kernel.mounted(tmp_path / "ours") as point:
        assert (point / "hello").read_bytes() == b"hello" * 10_000
    assert said == [extended == "discard"] * 2
    # The 8 and 2 MiB at the ends are zeroed, as are uninitialized bitmaps and descriptors for
    # growth.
    assert left[0] - 12 * MIB // 4096 <= left[1] <= left[0]
    assert used[1] <= used[0] + 12 * MIB
    assert left[1] * 4096 > 100 * MIB or extended == "discard"


def test_a_device_that_is_zeros(tmp_path: Path) -> None:
    """Nothing is discarded, and neither the inode tables nor the journal are written."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(160 * MIB))
    options = ["-t", "ext4", "-E", "assume_storage_prezeroed"]
    with loop_device(disk) as device:
        done = ours("-v", *options, device)
        assert done.status == 0 and "Assuming the storage device is prezeroed" in done.stdout
        assert "Discarding" not in done.stdout
        assert "ITABLE_ZEROED" in "\n".join(dumped_groups(device))
        run(["sync", device])
        assert disk.stat().st_blocks * 512 >= 150 * MIB, "not even the journal is a hole"
        assert signatures(device) == ["ext4"]
    judge(disk, "full")


def test_the_kernel_makes_zeros_of_unused_inodes(tmp_path: Path) -> None:
    """The thread that zeros them gets time to run; the file system is clean afterwards."""
    require_loop_mount()
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xff" * (160 * MIB))
    with loop_device(disk) as device:
        options = ["-t", "ext4", "-b", "4096", "-i", "4096", "-E", "nodiscard"]
        assert ours("-q", *options, device).status == 0
        groups = "\n".join(dumped_groups(device))
        assert "ITABLE_ZEROED" not in groups
        start, end = map(int, re.findall(r"Inode table at (\d+)-(\d+)", groups)[-1])
    with open(disk, "rb") as file:
        file.seek((end - 100) * 4096)
        assert set(file.read(100 * 4096)) == {0xFF}, "it is left"
        with kernel.mounted(disk, rw=True, options="init_itable=0") as point:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                file.seek(start * 4096)
                if not any(file.read((end + 1 - start) * 4096)):
                    break
                time.sleep(0.1)
            for number in range(3000):
                (point / f"file-{number}").write_bytes(b"x" * number)
    judge(disk, "quick")
    assert "ITABLE_ZEROED" in "\n".join(dumped_groups(disk))


def test_a_part_of_a_device(tmp_path: Path) -> None:
    backing = tmp_path / "disk"
    backing.write_bytes(b"\xaa" * (20 * MIB))
    with loop_device(backing) as device:
        for discard in ("nodiscard", "discard"):
            done = ours("-q", "-E", f"offset={2 * MIB},{discard}", device, "14M")
            assert done.status == 0
            data = contents(device)
            assert set(data[: 2 * MIB]) == set(data[16 * MIB :]) == {0xAA}
            assert (b"\xaa" * MIB in data[2 * MIB : 16 * MIB]) == (discard == "nodiscard")
    part = tmp_path / "part"
    part.write_bytes(data[2 * MIB : 16 * MIB])
    judge(part, "quick")


def test_mounted_devices_are_refused(tmp_path: Path) -> None:
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


def test_an_external_journal_of_mke2fs(tmp_path: Path) -> None:
    """Ours and theirs create journals for each other's file systems; a journal has one user."""
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
        assert again.status == 1 and "is the journal of another file system" in again.stderr
        none = ours("-q", "-J", f"device={device}", disks[2])
        assert none.status == 1 and "is not a journal device" in none.stderr
