"""Tests of the judges: they accept images of mke2fs and detect every fault that is inserted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import ext4writer
from ext4writer import Directory, Node, Spec, Tree
from tests.judges import debugfs, foreign, raw
from tests.judges.compare import (
    assert_dirs_equal,
    assert_tree_equal,
    expected_data,
    fitted_time,
)
from tests.judges.fsck import judge, judge_bytes, problems
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run
from tests.judges.watch import Watch

SECOND = 10**9
MKE2FS_OPTIONS = [
    "-b 1024",
    "-b 2048 -O sparse_super2",
    "-b 4096",
    "-b 4096 -O ^has_journal",
    "-b 1024 -O ^metadata_csum,^64bit",
    "-b 1024 -O meta_bg,^resize_inode",
    "-b 1024 -O ^sparse_super,^resize_inode",
    "-b 4096 -E lazy_itable_init=0",
    "-b 1024 -O orphan_file,metadata_csum_seed",
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small directory that any user can make."""
    root = tmp_path / "source"
    (root / "folder" / "below").mkdir(parents=True)
    (root / "file").write_bytes(b"some content\n" * 3000)
    os.link(root / "file", root / "folder" / "link")
    os.symlink("file", root / "symlink")
    os.mkfifo(root / "fifo")
    for number in range(20):
        (root / "folder" / "below" / f"name{number}").write_text(f"{number}\n")
    return root


@pytest.fixture
def foreign_image(tmp_path: Path, source: Path) -> Callable[[str], Path]:
    """A function that has mke2fs create an image of 200 MiB with the given options."""

    def make(options: str) -> Path:
        image = tmp_path / "foreign"
        run(["mke2fs", "-q", "-t", "ext4", *options.split(), "-d", source, image, "200M"])
        return image

    return make


def flip(image: Path, offset: int, mask: int = 1) -> None:
    """Change one byte."""
    with open(image, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


@pytest.mark.parametrize("options", MKE2FS_OPTIONS)
def test_judge_accepts_mke2fs(foreign_image: Callable[[str], Path], options: str) -> None:
    judge(foreign_image(options), "full")


@pytest.mark.damaged
@pytest.mark.parametrize(
    ("offset", "level", "message"),
    [
        (1024 + 0x10, "quick", "0x000044"),
        (2048 + 0x1E, "quick", "0x000035"),
        (8193 * 1024 + 0x10, "full", "superblock of group 1"),
        (24577 * 1024 + 0x5A, "full", "s_block_group_nr of group 3"),
        (24577 * 1024 + 0x3FC, "full", "s_checksum of group 3"),
        (8194 * 1024 + 8, "full", "copy at block 8194"),
    ],
)
def test_judge_sees_one_changed_bit(
    foreign_image: Callable[[str], Path], offset: int, level: str, message: str
) -> None:
    image = foreign_image("-b 1024")
    flip(image, offset)
    with pytest.raises(AssertionError, match=message):
        judge(image, level)  # type: ignore[arg-type]


@pytest.mark.damaged
def test_judge_sees_what_a_repair_would_write(
    foreign_image: Callable[[str], Path], source: Path
) -> None:
    for number in range(500):
        (source / "folder" / f"a long name for a file {number:05}").touch()
    image = foreign_image("-b 1024")
    judge(image, "quick")
    with pytest.raises(AssertionError, match="e2fsck -fy changed"):
        judge(image, "full")


@pytest.mark.damaged
def test_e2fsck_problems_are_listed(foreign_image: Callable[[str], Path]) -> None:
    image = foreign_image("-b 4096")
    assert problems(image) == []
    run(["debugfs", "-w", "-R", "set_inode_field /file links_count 7", image])
    assert "0x040003" in problems(image)
    image.write_bytes(bytes(1 << 20))
    assert "fatal" in problems(image)


@pytest.mark.damaged
def test_kernel_log_is_heard(foreign_image: Callable[[str], Path]) -> None:
    image = foreign_image("-b 4096")
    data = image.read_bytes()
    flip(image, data.index(b"name15\0") + 1)
    with (
        pytest.raises(AssertionError, match="failed checksum"),
        mounted(image) as point,
        pytest.raises(OSError, match="Bad message"),
    ):
        os.listdir(point / "folder" / "below")
    with mounted(image):
        pass


def test_kernel_mounts_read_only_and_read_write(foreign_image: Callable[[str], Path]) -> None:
    image = foreign_image("-b 4096")
    before = image.read_bytes()
    with mounted(image) as point, pytest.raises(OSError, match="Read-only"):
        (point / "new").touch()
    assert image.read_bytes() == before
    with mounted(image, rw=True) as point:
        (point / "new").write_text("new")
    judge(image)
    with mounted(image) as point:
        assert (point / "new").read_text() == "new"


def test_directories_are_compared(foreign_image: Callable[[str], Path], source: Path) -> None:
    with mounted(foreign_image("-b 4096")) as point:
        assert_dirs_equal(source, point, mtimes=False, root=False)
        (source / "folder" / "below" / "name3").write_text("9\n")
        (source / "symlink").unlink()
        (source / "extra").touch()
        (source / "folder" / "link").unlink()
        shutil.copy(source / "file", source / "folder" / "link")
        (source / "fifo").chmod(0o600)
        with pytest.raises(AssertionError) as caught:
            assert_dirs_equal(source, point, mtimes=False, root=False)
    text = str(caught.value)
    for word in ("name3", "symlink", "extra", "folder/link", "fifo", "5 differences"):
        assert word in text


def example_tree() -> Tree:
    """One node of every kind."""
    tree = Tree()
    tree.root.mode = 0o750
    tree.file("file", b"data" * 5000, mtime_ns=-5 * SECOND + 1, xattrs={b"user.a": b"b"})
    tree.file("twin", b"data" * 5000)
    tree.file("sparse", b"x" * 70_000 + bytes(200_000) + b"y")
    tree.directory("folder", mode=0o1777, uid=70_000, gid=1 << 31)
    tree.link("folder/hard", "file")
    tree.symlink("folder/soft", "x" * 100)
    tree.device("null", "c", 1, 3)
    tree.fifo("fifo", atime_ns=5)
    tree.file(b"\xff\n", b"")
    return tree


def _children(tree: Tree, path: str) -> dict[bytes, Node]:
    directory = tree[path]
    assert isinstance(directory, Directory)
    return directory.children


CHANGES: dict[str, Callable[[Tree], object]] = {
    "mode": lambda tree: setattr(tree["file"], "mode", 0o600),
    "uid": lambda tree: setattr(tree["folder"], "uid", 1),
    "gid": lambda tree: setattr(tree.root, "gid", 1),
    "mtime": lambda tree: setattr(tree["file"], "mtime_ns", -5 * SECOND),
    "atime": lambda tree: setattr(tree["fifo"], "atime_ns", 6),
    "target": lambda tree: setattr(tree["folder/soft"], "target", b"y" * 100),
    "device number": lambda tree: setattr(tree["null"], "minor", 4),
    "xattrs": lambda tree: setattr(tree["file"], "xattrs", {b"user.a": b"c"}),
    "is in the image and not": lambda tree: tree.root.children.pop(b"fifo"),
    "cannot be found": lambda tree: tree.file("more", b""),
    "number of links": lambda tree: tree.link("more", "null"),
    "size is": lambda tree: tree.root.children.update({b"file": Tree().file("file", b"")}),
    "content differs from byte 4 ": lambda tree: tree.root.children.update(
        {b"file": Tree().file("file", b"dataX" * 4000)}
    ),
    "kind is": lambda tree: tree.root.children.update({b"fifo": Tree().socket("fifo")}),
    "shares its inode": lambda tree: _children(tree, "folder").update(
        {b"hard": Tree().file("file", b"data" * 5000)}
    ),
    "inode is": lambda tree: tree.root.children.update({b"twin": tree["file"]}),
}


@pytest.mark.parametrize("message", CHANGES)
def test_trees_are_compared(make_image: Callable[..., Path], message: str) -> None:
    tree = example_tree()
    image = make_image(tree)
    with mounted(image) as point:
        assert_tree_equal(tree, point, holes=True)
        CHANGES[message](tree)
        with pytest.raises(AssertionError, match=message):
            assert_tree_equal(tree, point)


def test_hole_rule_is_stated_independently() -> None:
    tree = Tree()
    large = tree.file("large", bytes(8192) + b"x" + bytes(600_000)).content
    assert expected_data(large, Spec()) == [(0, 12_288)]
    assert expected_data(large, Spec(hole_size=8192)) == [(0, 12_288)]
    assert expected_data(large, Spec(hole_size=8192, leading_hole=True)) == [(8192, 12_288)]
    assert expected_data(large, Spec(hole_size=4096)) == [(0, 4096), (8192, 12_288)]
    assert expected_data(large, Spec(hole_size=0)) == [(0, 608_193)]
    fine = tree.file("fine", bytes(8192) + b"x" + bytes(100_000)).content
    assert expected_data(fine, Spec()) == [(0, 4096), (8192, 12_288)]
    assert expected_data(fine, Spec(hole_size=98_304)) == [(0, 4096), (8192, 12_288)]
    assert expected_data(fine, Spec(hole_size=106_497)) == [(0, 108_193)]
    assert expected_data(fine, Spec(hole_size=0)) == [(0, 108_193)]


def test_time_rule_is_stated_independently() -> None:
    small, large = Spec(inode_size=128), Spec()
    assert fitted_time(1_500_000_000 * SECOND + 7, large) == 1_500_000_000 * SECOND + 7
    assert fitted_time(1_500_000_000 * SECOND + 7, small) == 1_500_000_000 * SECOND
    assert fitted_time((1 << 31) * SECOND, small) == ((1 << 31) - 1) * SECOND
    assert fitted_time((1 << 34) * SECOND, large) // SECOND == (1 << 34) - (1 << 31) - 1
    assert fitted_time(10 * SECOND + 1, Spec(epoch=10)) == 10 * SECOND
    assert fitted_time(-(1 << 40) * SECOND, large) == -(1 << 31) * SECOND


def test_watch_judges_what_the_library_writes(tmp_path: Path, watch: Watch) -> None:
    tree = example_tree()
    ext4writer.write_image(tree, tmp_path / "one")
    assert watch.count == 1
    ext4writer.write_layout(ext4writer.plan(tree), tmp_path / "two")
    assert watch.count == 2
    ext4writer.write_image(tree, bytearray())
    assert watch.count == 3
    watch.search(tmp_path)
    assert watch.count == 3


def test_watch_finds_images_of_other_processes(tmp_path: Path, watch: Watch) -> None:
    script = "import ext4writer, sys; ext4writer.write_image(ext4writer.Tree(), sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, tmp_path / "image"], check=True)
    assert watch.count == 0
    watch.search(tmp_path)
    assert watch.count == 1


@pytest.mark.damaged
def test_watch_rejects_a_bad_image(tmp_path: Path, watch: Watch) -> None:
    image = tmp_path / "image"
    ext4writer.write_image(example_tree(), image)
    flip(image, 1024 + 0x10)
    watch.judging = True
    with pytest.raises(AssertionError, match="e2fsck -fn"):
        watch.search(tmp_path)
    watch.damaged(image)
    watch.search(tmp_path)


def test_watch_leaves_overrides_alone(tmp_path: Path, watch: Watch) -> None:
    corruption = ext4writer.Override.parse("superblock.s_free_blocks_count_lo=7", reseal=True)
    image = tmp_path / "image"
    ext4writer.write_image(example_tree(), image, overrides=[corruption])
    assert watch.count == 0
    assert problems(image)


def test_image_in_memory_is_judged() -> None:
    data = bytearray()
    ext4writer.write_image(example_tree(), data)
    judge_bytes(data, "full")
    data[1024 + 0x10] ^= 1
    with pytest.raises(AssertionError):
        judge_bytes(data)


@pytest.mark.parametrize("reader", foreign.READERS)
def test_readers_list_an_image_of_mke2fs(foreign_image: Callable[[str], Path], reader: str) -> None:
    image = foreign_image("-b 4096")
    with mounted(image) as point:
        expected = foreign.directory_listing(point)
    foreign.assert_listing_equal(foreign.READERS[reader](image), expected)


def test_grub_and_7zip_read_an_image_of_mke2fs(
    foreign_image: Callable[[str], Path], source: Path
) -> None:
    image = foreign_image("-b 4096")
    assert {"file", "folder/", "symlink"} <= foreign.grub_names(image, "/")
    foreign.assert_grub_reads(image, "/file", (source / "file").read_bytes())
    with pytest.raises(AssertionError):
        foreign.assert_grub_reads(image, "/file", b"other")
    totals = foreign.seven_zip_test(image)
    assert totals.folders >= 4


def test_debugfs_is_understood(foreign_image: Callable[[str], Path], source: Path) -> None:
    os.utime(source / "file", (1_000_000_000, 1_000_000_000))
    image = foreign_image("-b 1024")
    inode = debugfs.inode(image, "/file")
    assert (inode.size, inode.links, inode.kind, inode.mode) == (39_000, 2, "regular", 0o644)
    assert inode.times["mtime"] == 1_000_000_000 * SECOND
    assert abs(inode.times["crtime"] / SECOND - time.time()) < 3600
    leaves = [extent for extent in debugfs.ex(image, "/file") if extent.is_leaf]
    assert (leaves[0].first, leaves[-1].last) == (0, 38)
    assert debugfs.htree(image, "/folder") is None
    assert debugfs.superblock(image)["Block size"] == "1024"
    groups = debugfs.groups(image)
    assert [group.number for group in groups if group.backup] == [1, 3, 5, 7, 9]
    assert sum(group.free_blocks for group in groups) == int(
        debugfs.superblock(image)["Free blocks"]
    )
    assert "Journal starts at block 0" in debugfs.logdump(image)
    assert debugfs.dx_hash(b"a b", "half_md4") == (0x45735802, 0x2A2ABA85)


def test_index_of_a_directory_is_understood(foreign_image: Callable[[str], Path]) -> None:
    image = foreign_image("-b 1024")
    names = {f"a name {number}".encode() for number in range(3000)}
    with mounted(image, rw=True) as point:
        (point / "many").mkdir()
        for name in names:
            os.close(os.open(os.fsencode(point) + b"/many/" + name, os.O_CREAT))
    htree = debugfs.htree(image, "/many")
    assert htree is not None
    assert (htree.hash_version, htree.levels) == (1, 1)
    found = [name for leaf in htree.leaves for name in leaf]
    assert len(found) == 3000
    assert set(found) == names


def test_backup_groups_are_computed(foreign_image: Callable[[str], Path]) -> None:
    for options in MKE2FS_OPTIONS[:2] + MKE2FS_OPTIONS[6:7]:
        image = foreign_image(options)
        with open(image, "rb") as file:
            superblock = raw.read_superblock(file)
        shown = [group.number for group in debugfs.groups(image) if group.backup]
        assert superblock.backup_groups() == shown
        image.unlink()


def test_missing_judge_is_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.judges import tools

    monkeypatch.setattr(tools, "missing_oracles", set())
    monkeypatch.setenv("EXT4WRITER_REQUIRE_ORACLES", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-judge"):
        tools.require("no-such-judge")
    monkeypatch.setenv("EXT4WRITER_REQUIRE_ORACLES", "0")
    with pytest.raises(pytest.skip.Exception, match="apt-get install no-such-judge"):
        tools.require("no-such-judge")
    with pytest.raises(pytest.skip.Exception, match="pip install no-such-dist"):
        tools.require_module("no_such_module", "no-such-dist")


def test_tests_marked_root_require_root() -> None:
    require_root()
