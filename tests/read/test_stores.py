"""Images can be read from many kinds of objects, with the same result as by other readers."""

from __future__ import annotations

import array
import errno
import io
import mmap
import os
from pathlib import Path
from typing import Any

import pytest

from ext4writer import ImageError
from ext4writer.read import TreeBlock, open_image
from ext4writer.read.stores import FileStore
from ext4writer.slices import HeldFile
from tests.judges.debugfs import debugfs
from tests.judges.foreign import NOTHING, Entry, Listing, _chunks, _entry, list_dissect, list_tsk
from tests.judges.tools import require_root, run

from .fuzz import MKE2FS, Mutant, seeds


@pytest.fixture(scope="module")
def data() -> bytes:
    return next(seed.data for seed in seeds() if seed.name == "ours-scattered")


class OnlyReadInto:
    """The minimal raw file object."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.readinto, self.seek = self._file.readinto, self._file.seek


class OnlyPread:
    """Provides bytes at offsets, without a size."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def pread(self, count: int, offset: int) -> bytes:
        return self._data[offset : offset + count]


class Failing(OnlyPread):
    """A device with a bad sector."""

    def pread(self, count: int, offset: int) -> bytes:
        if offset < 2048 < offset + count + 1024:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().pread(count, offset)


def everything(source: Any, **options: Any) -> list[tuple[bytes, int, bytes | None]]:
    with open_image(source, **options) as image:
        return [
            (
                found.path,
                found.inode.ino,
                image.open(found.inode).read() if found.inode.is_file else None,
            )
            for found in image.walk()
        ]


def test_objects_that_an_image_can_be_read_from(data: bytes, tmp_path: Path) -> None:
    wanted = everything(data)
    assert len(wanted) > 100
    path = tmp_path / "image"
    path.write_bytes(data)
    for source in (bytearray(data), memoryview(data), path, str(path), Mutant(data)):
        assert everything(source) == wanted
    for source in (io.BytesIO(data), OnlyReadInto(data), OnlyPread(data)):
        assert everything(source) == wanted
    with path.open("rb", buffering=0) as file:
        assert everything(file) == wanted
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert everything(mapped) == wanted
    assert everything(array.array("B", data)) == wanted
    assert everything(b"\1" * 70_000 + data + b"\2" * 999, offset=70_000) == wanted
    with pytest.raises(ImageError, match="cannot be read at byte"):
        everything(Failing(data))
    for wrong in (b"", b"short", b"\0" * 5000, object(), 7, tmp_path):
        with pytest.raises(ImageError):
            open_image(wrong)  # type: ignore[arg-type]


def test_a_file_that_the_host_cannot_read() -> None:
    """It stands in for a disk with bad sectors: the memory of a process has no page at 0."""
    path = Path("/proc/self/mem")
    if not path.exists():
        pytest.skip("no /proc")
    with pytest.raises(ImageError, match="/proc/self/mem: cannot be read"):
        open_image(path)
    fd = os.open(path, os.O_RDONLY)
    store = FileStore(HeldFile(fd, b"disk"), 1 << 20, is_regular=True)
    with pytest.raises(ImageError, match="disk: cannot be read at byte 4096: Input/output error"):
        store.read(4096, 512)


@pytest.mark.root
def test_a_block_device(data: bytes, tmp_path: Path) -> None:
    require_root()
    path = tmp_path / "image"
    path.write_bytes(data.ljust(-(-len(data) // 4096) * 4096, b"\0"))
    loop = run(["losetup", "--find", "--show", "--read-only", str(path)]).stdout.strip()
    try:
        assert everything(loop) == everything(data)
    finally:
        run(["losetup", "--detach", loop])


# -- other readers -------------------------------------------------------------------------------


def listed(path: Path) -> Listing:
    found: Listing = {}
    with open_image(path) as image:
        for each in image.walk():
            inode = each.inode
            if inode.is_file:
                found[each.path] = _entry(inode.mode, _chunks(image.open(inode)))
            elif inode.is_symlink:
                found[each.path] = _entry(inode.mode, inode.target())
            else:
                found[each.path] = Entry(inode.mode, 0, NOTHING)
    return found


@pytest.mark.parametrize("name", ["ext2", "ext3", "rev0", "meta-bg", "no-checksums", "casefold"])
def test_other_readers_read_the_same(name: str, tmp_path: Path) -> None:
    """dissect and The Sleuth Kit; debugfs checks each inode's blocks and attributes."""
    path = tmp_path / "image"
    assert name in MKE2FS
    path.write_bytes(next(seed.data for seed in seeds() if seed.name == name))
    mine = listed(path)
    assert len(mine) > 90
    for theirs in (list_dissect(path), list_tsk(path)):
        shared = {each: entry for each, entry in theirs.items() if each in mine}
        assert shared == mine
    with open_image(path) as image:
        for each in image.walk():
            if each.inode.is_file or each.inode.is_directory:
                said = debugfs(path, f"blocks <{each.inode.ino}>").split()
                own: list[int] = []
                for item in each.inode.mapping():
                    if isinstance(item, TreeBlock):
                        own.append(item.block)
                    else:
                        own += range(item.physical, item.physical + item.length)
                assert sorted(int(word) for word in said if word.isdecimal()) == sorted(own)
