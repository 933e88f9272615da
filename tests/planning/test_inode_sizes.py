"""What depends on the sizes of inodes and blocks: fields, space for attributes, feature flags."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import ext4writer
from ext4writer import DEFAULT_FEATURES, Layout, Spec, Tree, TreeError, plan
from ext4writer.inspection.check import check_image
from ext4writer.layout import plan_of
from ext4writer.ondisk.inode import INODE
from ext4writer.read import open_image
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import judge
from tests.judges.kernel import mounted
from tests.judges.tools import require_root

pytestmark = pytest.mark.judged("quick")

ENTRY = 16 + 4  # the fixed part, and the name of four bytes


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def sizes() -> list[tuple[int, int]]:
    """Every inode size with the smallest block, and every block size with the largest inode."""
    inodes = [128 << shift for shift in range(6)]
    least = [(max(1024, size), size) for size in inodes]
    blocks = [1024 << shift for shift in range(7)]
    return sorted({*least, *((block, min(block, 4096)) for block in blocks), (65536, 128)})


@pytest.mark.parametrize(("block_size", "inode_size"), sizes())
def test_attributes_fill_inode_and_block(block_size: int, inode_size: int, tmp_path: Path) -> None:
    """They fill it to the last byte, and not one byte more fits."""
    in_inode = max(0, inode_size - 160 - 4 - 4)
    in_block = block_size - 32 - 4
    values = {
        "inode": in_inode - ENTRY,
        "one more": max(0, in_inode - ENTRY + 1),
        "block": min(65536, in_block - ENTRY),
    }
    tree = Tree()
    for name, size in values.items():
        if size >= 0:
            tree.file(name, b"x" * 500, mtime_ns=5, xattrs={b"user.name": noise(size)})
    both = {b"user.aaaa": noise(in_block - ENTRY)}
    if in_inode >= ENTRY:
        both[b"user.bbbb"] = noise(in_inode - ENTRY)
    tree.file("both", b"", mtime_ns=5, xattrs=both)
    for number in range(3 * (block_size // 256) if block_size < 16384 else 40):
        tree.file(f"many/{number:06}{'n' * 100}", b"", parents=True, mtime_ns=5)
    image = tmp_path / "image"
    spec = Spec(block_size=block_size, inode_size=inode_size, free=4 << 20)
    layout = ext4writer.write_image(tree, image, spec)
    judge(image, "full")
    with open_image(image) as opened:
        assert check_image(opened).is_clean
        for name, inside in (("inode", True), ("one more", False), ("block", False)):
            if values[name] >= 0:
                found = opened.lookup(f"/{name}")
                assert bool(found.file_acl) is not inside
                assert found.extra_isize == (32 if inode_size > 128 else 0)
    assert layout.space["xattr blocks"] == 3 * block_size
    if block_size <= 4096:
        require_root()
        with mounted(image, rw=True, options="noatime") as point:
            assert_tree_equal(tree, point, spec)
            for name in tree.root.children:
                if inode_size > 128 and name not in (b"many", b"both"):
                    os.setxattr(os.fsencode(point) + b"/" + name, "user.new", b"")
            (point / "new").write_bytes(noise(100_000))
        judge(image, "quick")
    over = {**both, b"user.cccc": b""}
    tree.file("over", b"", xattrs=over)
    with pytest.raises(TreeError, match=f"an inode and a block hold {in_inode} and {in_block} "):
        plan(tree, spec)


def test_extra_isize_is_set_only_for_inodes_that_have_it(tmp_path: Path) -> None:
    """As in mke2fs: sizes follow from the inodes, and the feature is a separate promise."""
    image = tmp_path / "image"
    for inode_size, features, told in (
        (256, DEFAULT_FEATURES, 32),
        (512, DEFAULT_FEATURES.without("extra_isize"), 32),
        (128, DEFAULT_FEATURES.without("extra_isize"), 0),
    ):
        ext4writer.write_image(Tree(), image, Spec(inode_size=inode_size, features=features))
        judge(image, "full")
        with open_image(image) as opened:
            for field in ("s_min_extra_isize", "s_want_extra_isize"):
                assert opened.number(field) == told
        names = debugfs.superblock(image)["Filesystem features"].split()
        assert ("extra_isize" in names) is ("extra_isize" in features)
    assert INODE.size == 128 + 32


def test_many_subdirectories_need_dir_nlink(tmp_path: Path) -> None:
    tree = Tree()
    tree.directory("many")
    for number in range(65_000):
        tree.directory(f"many/{number:x}")
    with pytest.raises(TreeError, match=r"/many.*more than 64998 need the feature dir_nlink"):
        plan(tree, Spec(features="^dir_nlink"))
    image = tmp_path / "image"
    spec = Spec(block_size=1024, inode_size=128, features="^extra_isize,^resize_inode", free=0)
    layout: Layout = ext4writer.write_image(tree, image, spec)
    many = plan_of(layout).table.child(0, b"many")
    assert plan_of(layout).table.links[many] == 1
    judge(image, "quick")


def test_files_beyond_2_tib_need_huge_file(tmp_path: Path) -> None:
    """Without it, i_blocks counts sectors in 32 bits, and the kernel reads no further."""
    content = tmp_path / "content"
    most = ((1 << 32) - 1) // 8 * 4096
    with content.open("wb") as file:
        file.truncate(most)
        file.seek(most - 1)
        file.write(b"e")
    tree = Tree()
    tree.file("long", content)
    image = tmp_path / "image"
    for features in ("", "^huge_file"):
        ext4writer.write_image(tree, image, Spec(features=features))
        judge(image, "quick")
        with open_image(image) as opened:
            found = opened.lookup("/long")
            assert (found.size, found.blocks) == (most, 2 * 8)
    require_root()
    with mounted(image) as point, (point / "long").open("rb") as file:
        file.seek(most - 1)
        assert file.read() == b"e"
    os.truncate(content, most + 1)
    tree.remove("long")
    tree.file("long", content)
    plan(tree)
    with pytest.raises(TreeError, match=f"/long.*maximum is {most} without the feature huge_file"):
        plan(tree, Spec(features="^huge_file"))
