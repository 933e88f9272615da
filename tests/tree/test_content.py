"""File content: sizes, holes, extent trees of any depth, links and their targets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import ext4writer
from ext4writer import FeatureSet, LayoutPolicy, Spec, Tree, TreeError
from ext4writer.layout import plan_of
from ext4writer.ondisk.features import DEFAULT_FEATURES
from ext4writer.planning.spec import GIB, KIB, MIB
from tests.conftest import MakeImage
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.kernel import mounted
from tests.judges.tools import require_root


def check(image: Path, tree: Tree, spec: Spec | None = None, *, holes: bool = True) -> None:
    require_root()
    with mounted(image) as point:
        assert_tree_equal(tree, point, spec, holes=holes)


@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
def test_sizes_around_blocks(make_image: MakeImage, block_size: int) -> None:
    tree = Tree()
    for size in (0, 1, block_size - 1, block_size, block_size + 1, 5 * block_size, 100_000):
        tree.file(f"size-{size}", bytes(byte % 251 + 1 for byte in range(size)))
    spec = Spec(block_size=block_size)
    check(make_image(tree, spec), tree, spec)


HOLE = 64 * KIB
PATTERNS = {
    "all zeros": [(200_000, False)],
    "zeros first": [(HOLE * 2, False), (9000, True)],
    "zeros in the middle": [(9000, True), (HOLE * 3, False), (9000, True)],
    "zeros last": [(9000, True), (HOLE * 2 + 77, False)],
    "ends in a hole by a byte": [(4096, True), (HOLE + 1, False)],
    "just too short": [(4096, True), (HOLE - 4096, False), (4096, True)],
    "just long enough": [(4096, True), (HOLE, False), (4096, True)],
    "long enough, not aligned": [(4097, True), (HOLE + 4095, False), (1, True)],
    "as short as can be": [(4096, True), (HOLE - 4096 + 1, False)],
    "a byte too short": [(4096, True), (HOLE - 4096, False)],
    "many": [(4096, True), (HOLE, False)] * 7,
}


def pattern_bytes(runs: list[tuple[int, bool]]) -> bytes:
    return b"".join((b"\xa5" if is_data else b"\0") * length for length, is_data in runs)


@pytest.mark.parametrize("leading_hole", [False, True])
@pytest.mark.parametrize("hole_size", [0, 4096, HOLE])
def test_holes_follow_from_content(
    make_image: MakeImage, tmp_path: Path, hole_size: int, leading_hole: bool
) -> None:
    """The host's own holes do not matter: sparse, dense and in memory give the same image."""
    spec = Spec(hole_size=hole_size, leading_hole=leading_hole)
    images = []
    for form in ("memory", "dense", "sparse", "stream"):
        tree = Tree()
        for name, runs in PATTERNS.items():
            data = pattern_bytes(runs)
            host = tmp_path / f"{form} {name}"
            if form == "memory":
                tree.file(name, data)
            elif form == "stream":
                host.write_bytes(data)
                tree.file(name, lambda host=host: host.open("rb"), size=len(data))
            else:
                write_host_file(host, runs, sparse=form == "sparse")
                tree.file(name, host)
        image = make_image(tree, spec, name=f"{form}.image", level="quick")
        images.append(image.read_bytes())
        check(image, tree, spec)
    assert images.count(images[0]) == len(images)


def write_host_file(path: Path, runs: list[tuple[int, bool]], *, sparse: bool) -> None:
    with path.open("wb") as file:
        for length, is_data in runs:
            if is_data or not sparse:
                file.write((b"\xa5" if is_data else b"\0") * length)
            else:
                file.seek(length, os.SEEK_CUR)
        file.truncate()


def test_first_block_is_never_a_hole_unless_asked(make_image: MakeImage) -> None:
    tree = Tree()
    tree.file("zeros", bytes(MIB))
    image = make_image(tree)
    assert [(leaf.first, leaf.last) for leaf in debugfs.ex(image, "/zeros")] == [(0, 0)]
    image = make_image(tree, Spec(leading_hole=True), name="leading")
    assert debugfs.ex(image, "/zeros") == []


@pytest.mark.parametrize(
    "size",
    [2 * GIB - 1, 2 * GIB, 2 * GIB + MIB, 43 * GIB, 129 * GIB, (1 << 44) - (100 << 30)],
    ids=["2G-1", "2G", "2G+1M", "43G", "129G", "15.9T"],
)
def test_large_sparse_files(make_image: MakeImage, tmp_path: Path, size: int) -> None:
    """Data at the start, in the middle and at the very end; the rest is a hole."""
    require_root()
    host = tmp_path / "host"
    marks = {0: b"start", size // 2 & ~4095: b"middle" * 4000, size - 7: b"the end"}
    with host.open("wb") as file:
        for offset, data in marks.items():
            file.seek(offset)
            file.write(data)
    tree = Tree()
    tree.file("large", host)
    image = make_image(tree, Spec(free=MIB))
    assert image.stat().st_size < 40 * MIB
    with mounted(image) as point, (point / "large").open("rb") as file:
        assert os.fstat(file.fileno()).st_size == size
        for offset, data in marks.items():
            assert os.pread(file.fileno(), len(data) + 9, offset) == data + bytes(
                min(9, size - offset - len(data))
            )


def alternating(blocks: int, block_size: int) -> bytes:
    """``blocks`` blocks of data, each followed by a hole of one block."""
    return b"".join(
        (b"%09d" % number).ljust(block_size, b"+") + bytes(block_size) for number in range(blocks)
    )


@pytest.mark.parametrize(
    ("block_size", "extents", "depth"),
    [
        (4096, 4, 0),
        (4096, 5, 1),
        (4096, 340, 1),
        (4096, 341, 1),
        (4096, 1360, 1),
        (4096, 1361, 2),
        (1024, 4, 0),
        (1024, 5, 1),
        (1024, 84, 1),
        (1024, 85, 1),
        (1024, 4 * 84, 1),
        (1024, 4 * 84 + 1, 2),
        (1024, 4 * 84 * 84, 2),
        (1024, 4 * 84 * 84 + 1, 3),
    ],
)
def test_extent_trees(make_image: MakeImage, block_size: int, extents: int, depth: int) -> None:
    """From the four extents that fit the inode to the first tree of depth three."""
    tree = Tree()
    tree.file("holey", alternating(extents, block_size))
    spec = Spec(block_size=block_size, hole_size=block_size, free=MIB)
    layout = ext4writer.plan(tree, spec)
    image = make_image(tree, spec, level="quick")
    leaves = [leaf for leaf in debugfs.ex(image, "/holey") if leaf.is_leaf]
    assert len(leaves) == extents
    assert {leaf.depth for leaf in leaves} == {depth}
    assert (layout.space["extent blocks"] > 0) == (depth > 0)
    check(image, tree, spec, holes=False)


class OneBlockExtents(LayoutPolicy):
    """Makes each block of every file a separate extent."""

    name = "one-block extents"
    sequential = False

    def run_lengths(self, blocks: int) -> list[int]:
        return [1] * blocks

    def shuffle(self, items: object) -> None:
        items.reverse()  # type: ignore[attr-defined]


@pytest.mark.parametrize("blocks", [3, 336, 337, 3000])
def test_policy_of_one_block_extents(make_image: MakeImage, blocks: int) -> None:
    tree = Tree()
    tree.file("scattered", bytes(number % 255 + 1 for number in range(blocks * 1024)))
    spec = Spec(block_size=1024, policy=OneBlockExtents())
    image = make_image(tree, spec, level="quick")
    leaves = [leaf for leaf in debugfs.ex(image, "/scattered") if leaf.is_leaf]
    assert len(leaves) == blocks
    check(image, tree, spec)


def test_files_are_in_one_piece(make_image: MakeImage) -> None:
    """Files that fit between two superblock backups are not split, in any of several groups."""
    tree = Tree()
    for number in range(60):
        tree.file(f"file-{number:03}", bytes([number + 1]) * (500_000 + 37_000 * number))
    spec = Spec(block_size=1024, free=8 * MIB)
    layout = ext4writer.plan(tree, spec)
    assert plan_of(layout).geometry.groups > 8
    image = make_image(tree, spec, level="quick")
    for number in range(60):
        assert len(debugfs.ex(image, f"/file-{number:03}")) == 1
    check(image, tree, spec)


def test_exact_fit_cuts_files_instead_of_growing(make_image: MakeImage) -> None:
    """If no free blocks may be skipped, the size stays minimal and a few files are split."""
    tree = Tree()
    for number in range(4):
        tree.file(f"file-{number}", bytes([number + 1]) * (7 * MIB))
    spec = Spec(block_size=1024, free=0, journal="none", free_inodes=0)
    image = make_image(tree, spec)
    assert max(len(debugfs.ex(image, f"/file-{number}")) for number in range(4)) > 1
    check(image, tree, spec)


def test_symbolic_links(make_image: MakeImage) -> None:
    tree = Tree()
    for length in (1, 59, 60, 61, 1023, 4095):
        tree.symlink(f"link-{length}", "t" * length)
    tree.link("again", "link-59")
    tree.link("slow again", "link-4095")
    check(make_image(tree), tree)


@pytest.mark.parametrize(
    ("target", "block_size", "problem"),
    [
        (b"", 4096, "without a target"),
        (b"x" * 4096, 4096, "the maximum is 4095"),
        (b"x" * 1024, 1024, "the maximum is 1023"),
        (b"a\0b", 4096, "NUL"),
    ],
)
def test_refused_link_targets(target: bytes, block_size: int, problem: str) -> None:
    tree = Tree()
    tree.symlink("folder-less", target)
    with pytest.raises(TreeError, match=problem) as caught:
        ext4writer.plan(tree, Spec(block_size=block_size))
    assert "/folder-less" in str(caught.value)


def test_file_beyond_the_format_is_refused(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("huge", lambda: (tmp_path / "none").open("rb"), size=((1 << 32) + 1) * 1024)
    with pytest.raises(TreeError, match=r"/huge: has 4398046512128 bytes; .* the maximum is"):
        ext4writer.plan(tree, Spec(block_size=1024, hole_size=0))


def test_large_file_needs_its_feature(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("large", lambda: (tmp_path / "none").open("rb"), size=2 * GIB)
    features: FeatureSet = DEFAULT_FEATURES.without("large_file", "resize_inode")
    with pytest.raises(TreeError, match="/large: .* large_file"):
        ext4writer.plan(tree, Spec(features=features, hole_size=0))


def test_a_size_below_zero_is_refused() -> None:
    tree = Tree()
    tree.file("negative", lambda: [b""], size=-1)
    with pytest.raises(TreeError, match="/negative: has -1 bytes"):
        ext4writer.plan(tree)
