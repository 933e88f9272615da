"""The kernel uses an image as its own: creates, renames, deletes and fills; all stays clean."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import ext4writer
from ext4writer import BytesContent, RegularFile, Spec, Tree
from ext4writer.planning.spec import KIB, MIB
from tests.conftest import MakeImage
from tests.judges import debugfs
from tests.judges.fsck import assert_clean, judge
from tests.judges.kernel import drop_caches, mounted
from tests.judges.tools import require_root

NOBODY = 65534


def many_names(count: int, folder: bytes = b"many") -> Tree:
    tree = Tree()
    directory = tree.directory(folder, mode=0o777)
    for number in range(count):
        directory.children[b"file-%06d" % number] = RegularFile(BytesContent(b"%d" % number))
    return tree


@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
def test_new_names_in_an_indexed_directory(make_image: MakeImage, block_size: int) -> None:
    """Leaves are full, so the first new names split them, and the index gets new entries."""
    require_root()
    image = make_image(many_names(5000), Spec(block_size=block_size))
    with mounted(image, rw=True) as point:
        for number in range(200):
            (point / "many" / f"new-{number}").write_bytes(b"new")
        for number in range(0, 5000, 7):
            (point / "many" / f"file-{number:06}").unlink()
        os.rename(point / "many" / "file-000001", point / "many" / "renamed")
        os.link(point / "many" / "renamed", point / "linked")
    assert_clean(image)
    with mounted(image) as point:
        drop_caches()
        assert (point / "many" / "renamed").read_bytes() == b"1"
        assert len(os.listdir(point / "many")) == 5000 + 200 - 715
        for number in range(200):
            assert (point / "many" / f"new-{number}").read_bytes() == b"new"


@pytest.mark.parametrize("free", [0, 300 * KIB, 16 * MIB])
@pytest.mark.parametrize("reserved_percent", [0, 7])
def test_promised_space_can_be_filled(
    make_image: MakeImage, free: int, reserved_percent: int
) -> None:
    """An ordinary user can write every byte that was promised, and not a block more."""
    require_root()
    tree = Tree()
    tree.directory("home", mode=0o777)
    tree.file("system", b"s" * 200_000)
    image = make_image(tree, Spec(free=free, reserved_percent=reserved_percent, free_inodes=16))
    with mounted(image, rw=True) as point:
        status = os.statvfs(point)
        assert status.f_bavail * status.f_frsize >= free
        assert status.f_favail >= 16
        folder = os.open(point / "home", os.O_RDONLY)
        child = os.fork()
        if not child:
            os._exit(_fill_as_nobody(folder, free))
        os.close(folder)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_clean(image)
    judge(image, "quick")


def _fill_as_nobody(folder: int, size: int) -> int:
    """Write exactly ``size`` bytes, then continue until the disk is full; 0 if this goes well."""
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        fd = os.open("filler", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
        left = size
        while left:
            left -= os.write(fd, b"x" * min(left, MIB))
        os.fsync(fd)
        try:
            while True:
                os.write(fd, b"y" * 65536)
                os.fsync(fd)
        except OSError as error:
            return 0 if error.errno == errno.ENOSPC else 2
    except OSError:
        return 1


def test_promised_inodes_can_be_used(make_image: MakeImage) -> None:
    require_root()
    image = make_image(many_names(50), Spec(free_inodes=100, free=2 * MIB))
    with mounted(image, rw=True) as point:
        for number in range(100):
            (point / "many" / f"new-{number}").touch()
    assert_clean(image)


def test_everything_deleted(make_image: MakeImage) -> None:
    """Counts, bitmaps and shared attribute blocks are right after all files are deleted."""
    require_root()
    tree = many_names(300)
    attributes = {b"user.long": b"v" * 900}
    for number in range(40):
        tree.file(f"shared-{number}", b"z" * 10_000, xattrs=attributes)
    tree.symlink("slow", "t" * 1000)
    tree.link("second", "slow")
    image = make_image(tree)
    with mounted(image, rw=True) as point:
        before = os.statvfs(point)
        for folder, names, files in os.walk(point, topdown=False):
            for name in files:
                os.unlink(os.path.join(folder, name))
            for name in names:
                if name != "lost+found":
                    os.rmdir(os.path.join(folder, name))
        os.sync()
        after = os.statvfs(point)
        assert after.f_ffree == before.f_ffree + 300 + 40 + 1 + 1
    assert_clean(image)


def test_every_name_is_found_through_the_index(make_image: MakeImage) -> None:
    require_root()
    image = make_image(many_names(120_000), level="quick")
    shape = debugfs.htree(image, "/many")
    assert shape is not None
    with mounted(image) as point:
        drop_caches()
        folder = os.open(point / "many", os.O_RDONLY)
        try:
            for number in range(120_000):
                os.stat(b"file-%06d" % number, dir_fd=folder)
            with pytest.raises(FileNotFoundError):
                os.stat(b"file-120000", dir_fd=folder)
        finally:
            os.close(folder)


def test_plan_and_image_agree(tmp_path: Path) -> None:
    tree = many_names(100)
    spec = Spec(label=b"agree")
    planned = ext4writer.plan(tree, spec)
    written = ext4writer.write_image(tree, tmp_path / "image", spec)
    assert planned.size_bytes == written.size_bytes == (tmp_path / "image").stat().st_size
    assert planned.space == written.space and planned.uuid == written.uuid
