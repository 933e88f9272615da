"""What we read from foreign images equals what the kernel's mount, or fuse2fs, shows."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ext4writer.ondisk.units import UnitKind, checksum_unit
from ext4writer.read import Image, Inode, open_image
from tests.judges.foreign import fuse_mounted
from tests.judges.fsck import problems
from tests.judges.kernel import mounted

from .foreign_images import MAKERS, make

CHUNK = 1 << 20
QUOTA = "0x060002"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


def same_content(image: Image, inode: Inode, path: bytes) -> None:
    reader = image.open(inode)
    fd = os.open(path, os.O_RDONLY)
    try:
        position = 0
        while position < inode.size:
            try:
                start = os.lseek(fd, position, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(fd, start, os.SEEK_HOLE)
            while start < end:
                count = min(CHUNK, end - start)
                assert reader.read_at(start, count) == os.pread(fd, count, start), (path, start)
                start += count
            position = end
        mine = sum(end - start for start, end in reader.data)
        assert mine <= inode.blocks * 512 or inode.has_inline_data
        for start, end in reader.data:
            for at in range(start, end, CHUNK):
                count = min(CHUNK, end - at)
                assert reader.read_at(at, count) == os.pread(fd, count, at)
    finally:
        os.close(fd)


def compare(image: Image, point: Path, *, xattrs: bool = True, times: bool = True) -> int:
    root = os.fsencode(point)
    expected = {b""}
    for base, folders, files in os.walk(root):
        expected |= {os.path.join(base, name)[len(root) :] for name in folders + files}
    found = {b"": image.root} | {item.path: item.inode for item in image.walk()}
    assert set(found) == expected
    links: dict[int, int] = {}
    for path, inode in found.items():
        status = os.lstat(root + path)
        assert inode.mode == status.st_mode, path
        assert (inode.uid, inode.gid) == (status.st_uid, status.st_gid), path
        assert inode.ino == status.st_ino, path
        assert inode.size == status.st_size, path
        assert inode.links == status.st_nlink or inode.is_directory, path
        if times:
            assert inode.mtime_ns == status.st_mtime_ns, path
            assert inode.ctime_ns == status.st_ctime_ns, path
        if inode.is_device:
            assert inode.device == (os.major(status.st_rdev), os.minor(status.st_rdev)), path
        if inode.is_symlink:
            assert inode.target() == os.readlink(root + path), path
        if inode.is_file and inode.ino not in links:
            same_content(image, inode, root + path)
        links[inode.ino] = links.get(inode.ino, 0) + 1
        if xattrs:
            names = os.listxattr(root + path, follow_symlinks=False)
            values = {
                os.fsencode(name): os.getxattr(root + path, name, follow_symlinks=False)
                for name in names
            }
            assert inode.xattrs() == values, path
        again = image.lookup(path or b"/", follow=False)
        assert again.ino == inode.ino, path
        if not inode.is_symlink and b"/loop" not in path:
            assert image.lookup(path or b"/").ino == os.stat(root + path).st_ino
    return len(found)


def check_units(image: Image) -> None:
    """Assert that units do not overlap, and have the checksum of the common function."""
    end, last = 0, None
    fmt = image.format
    for unit in sorted(image.units(), key=lambda unit: unit.offset):
        assert unit.offset >= end, (last, unit)
        end, last = unit.offset + unit.size, unit
        found = image.read(unit.offset, unit.size)
        data = bytearray(found)
        if unit.kind is UnitKind.INODE and not any(data):
            continue
        checksum = checksum_unit(fmt, unit, data)
        if unit.kind is UnitKind.GROUP_DESC and unit.owner:
            continue  # the kernel may update copies on unmount, if at all
        assert data == found, unit
        if unit.kind in (UnitKind.BLOCK_BITMAP, UnitKind.INODE_BITMAP) and fmt.metadata_csum:
            name = f"bg_{unit.kind.value}_csum"
            mask = (1 << 8 * 2 * len(image.desc_record.parts(name))) - 1
            numbers = image.descriptor(unit.owner)
            flags = numbers["bg_flags"]
            if not flags & (2 if unit.kind is UnitKind.BLOCK_BITMAP else 1):
                assert checksum is not None and numbers[name] == checksum & mask, unit


@pytest.mark.root
@pytest.mark.parametrize("name", [name for name, maker in MAKERS.items() if maker.kernel])
def test_what_the_kernel_wrote(name: str, folder: Path) -> None:
    path = make(name, folder / f"{name}.img")
    old = "ext2" in MAKERS[name].options or name == "rev0"
    with open_image(path) as image, mounted(path, quiet=not old) as point:
        assert compare(image, point, xattrs=name != "rev0") > 300
        check_units(image)
    path.unlink()


@pytest.mark.root
@pytest.mark.parametrize("name", [name for name, maker in MAKERS.items() if not maker.kernel])
def test_blocks_above_4k(name: str, folder: Path) -> None:
    path = make(name, folder / f"{name}.img")
    # mke2fs -d does not count the quota files' own blocks.
    assert {QUOTA} >= set(problems(path))
    with open_image(path) as image, fuse_mounted(path) as point:
        assert stat.S_ISDIR(image.root.mode)
        assert compare(image, point, xattrs=False, times=False) > 300
        check_units(image)
    path.unlink()
