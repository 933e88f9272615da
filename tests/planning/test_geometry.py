"""Groups, backups, bitmaps and tables at the limits of the format, and sizes beyond all disks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import ext4writer
from ext4writer import (
    DEFAULT_FEATURES,
    BytesContent,
    Directory,
    FeatureSet,
    RandomPolicy,
    RegularFile,
    Spec,
    SpecError,
    Tree,
)
from ext4writer.layout import Layout, plan_of
from ext4writer.planning.geometry import Geometry, last_group_minimum
from ext4writer.planning.spec import GIB, KIB, MIB
from tests.conftest import MakeImage
from tests.judges import debugfs, fsck, raw
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import assert_clean, e2fsck, judge, judge_backups
from tests.judges.kernel import mounted
from tests.judges.tools import missing, require_root, run
from tests.judges.watch import Watch

TIB = 1 << 40
NO_JOURNAL = DEFAULT_FEATURES.without("has_journal")

BLOCK_UNINIT = "BLOCK_UNINIT"
INODE_UNINIT = "INODE_UNINIT"


def features(text: str) -> FeatureSet:
    """The default features changed by ``text``, in the form of ``mke2fs -O``."""
    return FeatureSet.parse(text, DEFAULT_FEATURES)


def group_blocks(geometry: Geometry, group: int) -> int:
    first, end = geometry.group_range(group)
    return end - first


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes without a hole."""
    return random.Random(seed).randbytes(size)


def some_files() -> Tree:
    """A small tree with every kind of file that has blocks."""
    tree = Tree()
    tree.file("file", noise(10_000))
    tree.file("sparse", noise(5000) + bytes(300_000) + b"end")
    tree.symlink("link", "t" * 100)
    tree.directory("folder")
    for number in range(120):
        tree.file(f"folder/a rather long name, to need blocks {number}", b"%d" % number)
    tree.file("dressed", b"", xattrs={b"user.long": b"v" * 600})
    return tree


def check_mounted(image: Path, tree: Tree, spec: Spec) -> None:
    """Assert that the kernel reads back the tree."""
    require_root()
    with mounted(image) as point:
        assert_tree_equal(tree, point, spec)


# -- the groups, as dumpe2fs and the bytes show them ---------------------------------------------


def check_groups(image: Path, layout: Layout) -> list[debugfs.Group]:
    """Assert that counts, bitmaps, padding and flags agree in each group; return the groups."""
    geometry, groups = plan_of(layout).geometry, debugfs.groups(image)
    assert len(groups) == geometry.groups
    superblock = debugfs.superblock(image)
    assert int(superblock["Free blocks"]) == sum(group.free_blocks for group in groups)
    assert int(superblock["Free inodes"]) == sum(group.free_inodes for group in groups)
    assert int(superblock["Block count"]) == geometry.blocks_count
    assert int(superblock["Inode count"]) == geometry.inodes_count
    assert int(superblock["Inodes per group"]) == geometry.inodes_per_group
    assert superblock["Filesystem features"].split() == list(layout.features.names())
    lazy = plan_of(layout).format.has_uninit_groups
    for group in groups:
        assert group.blocks[0] == geometry.group_first_block(group.number)
        assert group.blocks[1] - group.blocks[0] + 1 == group_blocks(geometry, group.number)
        assert count(group.free_block_ranges) == group.free_blocks
        assert count(group.free_inode_ranges) == group.free_inodes
        last_used = group.number * geometry.inodes_per_group
        used = set(range(last_used + 1, last_used + geometry.inodes_per_group + 1))
        for first, last in group.free_inode_ranges:
            used -= set(range(first, last + 1))
        after = geometry.inodes_per_group - (max(used, default=last_used) - last_used)
        assert group.unused_inodes == (after if lazy else 0)
        assert (INODE_UNINIT in group.flags) is (lazy and not used)
        assert ("ITABLE_ZEROED" in group.flags) is lazy
        if BLOCK_UNINIT in group.flags:
            # As in mke2fs 1.47.1 and later: a repair from a backup does not trust such flags.
            assert lazy and not group.backup and group.number != geometry.groups - 1
            assert group.free_blocks == group_blocks(geometry, group.number)
        backup = group.number and geometry.format.has_super(group.number)
        assert group.backup is bool(backup)
    check_padding(image, layout)
    return groups


def count(ranges: list[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def check_padding(image: Path, layout: Layout) -> None:
    """In every bitmap that is written, the bits past the last block or inode are ones."""
    geometry, size = plan_of(layout).geometry, layout.block_size
    with open(image, "rb") as file:
        superblock = raw.read_superblock(file)
        flags = raw.group_flags(file, superblock)
        for group, flag in enumerate(flags):
            if not flag & raw.BG_BLOCK_UNINIT:
                file.seek(geometry.block_bitmaps[group] * size)
                bits = int.from_bytes(file.read(size), "little") >> group_blocks(geometry, group)
                assert bits == (1 << 8 * size - group_blocks(geometry, group)) - 1
            if not flag & raw.BG_INODE_UNINIT:
                file.seek(geometry.inode_bitmaps[group] * size)
                bits = int.from_bytes(file.read(size), "little") >> geometry.inodes_per_group
                assert bits == (1 << 8 * size - geometry.inodes_per_group) - 1


# -- sizes ---------------------------------------------------------------------------------------


def group_bytes(block_size: int, groups: int = 1) -> int:
    """The size in bytes of this number of full groups."""
    first = 1 if block_size == 1024 else 0
    return (first + groups * 8 * block_size) * block_size


def sizes() -> Iterator[tuple[str, int, int]]:
    """(name, block size, size in bytes)"""
    for block_size in (1024, 2048, 4096):
        yield "100 KiB", block_size, 100 * KIB
        yield "1 MiB", block_size, MIB
        yield "2047 blocks", block_size, 2047 * block_size
        yield "2048 blocks", block_size, 2048 * block_size
        yield "one group", block_size, group_bytes(block_size)
        yield "one block less", block_size, group_bytes(block_size) - block_size
        yield "one group and one block", block_size, group_bytes(block_size) + block_size
        yield "one and a half", block_size, group_bytes(block_size) * 3 // 2 // 512 * 512
        yield "last too small", block_size, group_bytes(block_size) + 20 * block_size
        yield "two and one", block_size, group_bytes(block_size, 2) + block_size
        yield "17 groups", block_size, group_bytes(block_size, 17)
        yield "a byte of bitmap", block_size, (1000 + 8) * block_size
        yield "a bit more", block_size, (1000 + 9) * block_size


@pytest.mark.parametrize(
    ("block_size", "size"),
    [
        pytest.param(block_size, size, id=f"{name}-{block_size}")
        for name, block_size, size in sizes()
    ],
)
def test_sizes(make_image: MakeImage, block_size: int, size: int) -> None:
    tree = Tree()
    tree.file("file", noise(10_000))
    spec = Spec(size=size, block_size=block_size)
    image = make_image(tree, spec)
    layout = ext4writer.plan(tree, spec)
    assert image.stat().st_size == size
    geometry = plan_of(layout).geometry
    check_groups(image, layout)
    check_mounted(image, tree, spec)
    # As with mke2fs, only a last group that is too small stays unused.
    tail = size // block_size - geometry.blocks_count
    if tail:
        least = last_group_minimum(
            geometry.format,
            geometry.groups + 1,
            geometry.inode_table_blocks,
            geometry.reserved_gdt_blocks,
        )
        assert group_blocks(geometry, geometry.groups - 1) == 8 * block_size
        assert 0 < tail < least


@pytest.mark.parametrize("block_size", [1024, 4096])
@pytest.mark.parametrize("flex", ["flex_bg", "^flex_bg"])
def test_last_group_has_its_minimum_size(make_image: MakeImage, block_size: int, flex: str) -> None:
    """With a backup and without: with one block less, the group does not exist."""
    spec = Spec(block_size=block_size, features=features(flex), free_inodes=100, grow_to=0)
    for groups in (2, 3, 4):
        whole = replace(spec, size=group_bytes(block_size, groups))
        geometry = plan_of(ext4writer.plan(Tree(), whole)).geometry
        least = last_group_minimum(
            geometry.format, groups, geometry.inode_table_blocks, geometry.reserved_gdt_blocks
        )
        size = group_bytes(block_size, groups - 1) + least * block_size
        there = ext4writer.plan(Tree(), replace(spec, size=size))
        gone = ext4writer.plan(Tree(), replace(spec, size=size - block_size))
        assert plan_of(there).geometry.groups == groups
        assert plan_of(gone).geometry.groups == groups - 1
        assert group_blocks(plan_of(there).geometry, groups - 1) == least
        for layout in (there, gone):
            check_groups(make_image(Tree(), layout.spec), layout)


@pytest.mark.judged("quick")  # e2fsck would create /lost+found, for which there is no space
@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
def test_smallest_image_of_all(make_image: MakeImage, block_size: int) -> None:
    """It is full to the last block, with fewer blocks than mke2fs accepts."""
    spec = Spec(free=0, free_inodes=0, block_size=block_size, lost_and_found=False)
    layout = ext4writer.plan(Tree(), spec)
    assert layout.size_bytes <= 36 * KIB
    image = make_image(Tree(), spec)
    check_groups(image, layout)
    check_mounted(image, Tree(), spec)


# -- backups -------------------------------------------------------------------------------------


def powers_below(count: int) -> list[int]:
    """The groups with a superblock, by the documentation's definition."""
    found = {0, 1}
    for base in (3, 5, 7):
        found |= {base**exponent for exponent in range(1, 20)}
    return sorted(group for group in found if group < count)


@pytest.mark.parametrize("checksums", ["", "^metadata_csum"])
@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
def test_sparse_super_backups(
    make_image: MakeImage, monkeypatch: pytest.MonkeyPatch, block_size: int, checksums: str
) -> None:
    """Groups 0, 1 and the powers of 3, 5 and 7; e2fsck can start from each."""
    monkeypatch.setattr(fsck, "BACKUP_RUNS_MAX", 100)
    groups = 85
    spec = Spec(
        size=group_bytes(block_size, groups),
        block_size=block_size,
        features=features(checksums),
        free_inodes=1000,
    )
    tree = some_files()
    image = make_image(tree, spec, level="quick")
    layout = ext4writer.plan(tree, spec)
    assert plan_of(layout).geometry.super_groups == powers_below(groups)
    assert powers_below(groups)[-3:] == [27, 49, 81]
    judge_backups(image)
    with open(image, "rb") as file:
        for group in range(groups):
            offset = plan_of(layout).geometry.group_first_block(group) * block_size or 1024
            copy = raw.read_superblock(file, offset)
            assert copy.has_magic is (group in powers_below(groups))
    if checksums:
        # Without flags for unused groups, each copy is as good as the first.
        for group in powers_below(groups)[1:]:
            block = str(plan_of(layout).geometry.group_first_block(group))
            verdict = e2fsck(image, "-n", "-b", block, "-B", str(block_size))
            assert not verdict.found, verdict


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_backup_in_every_group_without_sparse_super(
    make_image: MakeImage, monkeypatch: pytest.MonkeyPatch, block_size: int
) -> None:
    monkeypatch.setattr(fsck, "BACKUP_RUNS_MAX", 100)
    groups = 12
    spec = Spec(
        size=group_bytes(block_size, groups),
        block_size=block_size,
        features=features("^sparse_super,^resize_inode"),
    )
    image = make_image(some_files(), spec)
    layout = ext4writer.plan(some_files(), spec)
    assert plan_of(layout).geometry.super_groups == list(range(groups))
    check_groups(image, layout)
    judge_backups(image)


def test_file_system_is_restored_from_a_backup(make_image: MakeImage, watch: Watch) -> None:
    """Without the first group's superblock and descriptors, e2fsck restores it."""
    require_root()
    tree = some_files()
    spec = Spec(size=100 * MIB, block_size=1024)
    image = make_image(tree, spec)
    layout = ext4writer.plan(tree, spec)
    watch.damaged(image)
    with open(image, "r+b") as file:
        file.seek(1024)
        file.write(bytes(1024 * plan_of(layout).geometry.head_blocks))
    run(["e2fsck", "-fy", "-b", "8193", "-B", "1024", image], check=False)
    assert_clean(image)
    check_mounted(image, tree, spec)


# -- features and inode sizes, combined ----------------------------------------------------------

CHANGES = [
    "",
    "^sparse_super,^resize_inode",
    "^resize_inode",
    "^flex_bg",
    "^64bit",
    "^metadata_csum,uninit_bg",
    "^metadata_csum",
    "^has_journal",
    "^dir_index",
    "^filetype",
    "^extra_isize",
    "metadata_csum_seed",
    "^64bit,^metadata_csum,uninit_bg,^flex_bg",
    "^dir_nlink,^huge_file,^large_file,^resize_inode",
    "^has_journal,^flex_bg,metadata_csum_seed",
    "^64bit,^flex_bg,^metadata_csum,^has_journal,^extra_isize,^dir_index,^filetype",
]


def combinations() -> Iterator[tuple[str, int, int]]:
    """Every change with every inode size; the block sizes are used in turn."""
    block_sizes = [1024, 2048, 4096]
    for number, change in enumerate(CHANGES):
        for turn, inode_size in enumerate((128, 256, 512, 1024)):
            yield change, inode_size, block_sizes[(number + turn) % 3]


@pytest.mark.judged("quick")
@pytest.mark.parametrize(("change", "inode_size", "block_size"), list(combinations()))
def test_features_and_inode_sizes(
    make_image: MakeImage, change: str, inode_size: int, block_size: int
) -> None:
    words = change if inode_size > 128 else f"{change},^extra_isize"
    tree = some_files()
    spec = Spec(
        features=features(words),
        inode_size=inode_size,
        block_size=block_size,
        free=group_bytes(block_size, 3) if block_size == 1024 else 16 * MIB,
    )
    image = make_image(tree, spec)
    layout = ext4writer.plan(tree, spec)
    check_groups(image, layout)
    check_mounted(image, tree, spec)
    assert debugfs.superblock(image)["Inode size"] == str(inode_size)


@pytest.mark.parametrize("change", CHANGES)
def test_features_with_several_groups(make_image: MakeImage, change: str) -> None:
    """Data in three groups, of which one begins with a backup; all copies are judged."""
    tree = some_files()
    for number in range(10):
        tree.file(f"large-{number}", noise(2_000_000, number))
    spec = Spec(features=features(change), block_size=1024, free=3 * MIB)
    image = make_image(tree, spec, level="full")
    layout = ext4writer.plan(tree, spec)
    assert plan_of(layout).geometry.groups >= 3
    check_groups(image, layout)
    check_mounted(image, tree, spec)


@pytest.mark.parametrize("groups_per_flex", [1, 2, 8, 16, 64, 1 << 16])
@pytest.mark.parametrize("groups", [1, 15, 16, 17, 40])
def test_flex_groups(make_image: MakeImage, groups_per_flex: int, groups: int) -> None:
    """The bitmaps and tables of a flex group are at its front, however many groups it has."""
    tree = some_files()
    spec = Spec(size=group_bytes(1024, groups), block_size=1024, groups_per_flex=groups_per_flex)
    image = make_image(tree, spec, level="quick")
    layout = ext4writer.plan(tree, spec)
    found = check_groups(image, layout)
    flex = debugfs.superblock(image).get("Flex block group size", "1")
    assert flex == str(groups_per_flex)
    geometry = plan_of(layout).geometry
    for group in found:
        first = geometry.group_first_block(group.number // groups_per_flex * groups_per_flex)
        last = first + min(groups_per_flex, groups) * 8192
        assert first <= geometry.inode_tables[group.number] < last
    empty = [group for group in found if BLOCK_UNINIT in group.flags]
    assert bool(empty) is (groups_per_flex > 1 and groups > 4)


@pytest.mark.parametrize("checksums", ["metadata_csum", "^metadata_csum,uninit_bg"])
def test_untouched_groups_are_left_to_the_kernel(make_image: MakeImage, checksums: str) -> None:
    """Their bitmaps are holes in the image; the kernel creates them when it needs them."""
    require_root()
    tree = some_files()
    spec = Spec(size=group_bytes(1024, 40), block_size=1024, features=features(checksums))
    image = make_image(tree, spec)
    groups = check_groups(image, ext4writer.plan(tree, spec))
    untouched = {group.number for group in groups if BLOCK_UNINIT in group.flags}
    assert len(untouched) > 25
    assert [group.number for group in groups if INODE_UNINIT not in group.flags] == [0]
    with mounted(image, rw=True) as point:
        for number in range(20):  # spread over the groups by their parents
            (point / f"new-{number}").mkdir()
            (point / f"new-{number}" / "file").write_bytes(noise(5 * MIB // 2, number))
    assert_clean(image)
    left = {group.number for group in debugfs.groups(image) if BLOCK_UNINIT in group.flags}
    assert left < untouched and len(left) <= len(untouched) - 4


# -- many inodes, large files --------------------------------------------------------------------


def many_files(count: int, content: bytes, folders: int = 1) -> Tree:
    """``count`` files with the same content, spread over ``folders``."""
    tree = Tree()
    for folder in range(folders):
        directory = Directory()
        tree.root.children[b"%02d" % folder] = directory
        for number in range(folder, count, folders):
            directory.children[b"f%06d" % number] = RegularFile(BytesContent(content))
    return tree


def test_more_inodes_than_one_group_can_have(make_image: MakeImage) -> None:
    """60,000 empty files fit one group by blocks, but not by inodes."""
    require_root()
    tree = many_files(60_000, b"", 30)
    spec = Spec(free=0, features=NO_JOURNAL)
    layout = ext4writer.plan(tree, spec)
    geometry = plan_of(layout).geometry
    assert layout.blocks_count - layout.free_blocks < 32768
    assert geometry.groups == 2 and geometry.inodes_per_group > 30_000
    # The second group has the smallest possible size.
    least = last_group_minimum(
        geometry.format, 2, geometry.inode_table_blocks, geometry.reserved_gdt_blocks
    )
    assert group_blocks(geometry, 1) == least
    image = make_image(tree, spec, level="quick")
    check_groups(image, layout)
    with mounted(image) as point:
        assert sum(len(os.listdir(point / f"{folder:02}")) for folder in range(30)) == 60_000


@pytest.mark.parametrize("inode_size", [128, 256, 1024])
def test_most_inodes_a_group_can_have(make_image: MakeImage, inode_size: int) -> None:
    """One bit each in one block, and at most 65,536 minus the inodes of a block (ext4.h)."""
    features = NO_JOURNAL.without("extra_isize")
    spec = Spec(free=0, inode_size=inode_size, features=features)
    full = ext4writer.plan(Tree(), replace(spec, free_inodes=32768 - 11))
    more = ext4writer.plan(Tree(), replace(spec, free_inodes=32768 - 10))
    assert plan_of(full).geometry.groups == 1 and plan_of(full).geometry.inodes_per_group == 32768
    assert plan_of(more).geometry.groups == 2 and more.free_inodes >= 32768 - 10
    for name, free_inodes in ("full", 32768 - 11), ("more", 32768 - 10):
        image = make_image(Tree(), replace(spec, free_inodes=free_inodes), name=name)
        check_groups(image, full if name == "full" else more)


@pytest.mark.parametrize("flex", ["flex_bg", "^flex_bg"])
def test_tables_fill_more_than_the_first_group(make_image: MakeImage, flex: str) -> None:
    """A flex group's tables continue in its next groups, around the backups there."""
    tree = some_files()
    spec = Spec(free=0, free_inodes=100_000, block_size=1024, features=features(flex))
    image = make_image(tree, spec)
    layout = ext4writer.plan(tree, spec)
    geometry = plan_of(layout).geometry
    assert geometry.inodes_per_group > 7000
    behind_first = [table for table in geometry.inode_tables if table > 8193]
    assert len(behind_first) >= 8
    check_groups(image, layout)
    check_mounted(image, tree, spec)


@pytest.mark.slow
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_200_000_empty_files(make_image: MakeImage, block_size: int) -> None:
    """Inodes in use in every group, in tables that fill several groups."""
    require_root()
    tree = many_files(200_000, b"", 50)
    spec = Spec(block_size=block_size, free=MIB)
    image = make_image(tree, spec, level="quick")
    layout = ext4writer.plan(tree, spec)
    check_groups(image, layout)
    with mounted(image) as point:
        assert sum(len(os.listdir(point / f"{folder:02}")) for folder in range(50)) == 200_000


@pytest.mark.slow
def test_60_000_tiny_files(make_image: MakeImage) -> None:
    tree = many_files(60_000, b"tiny", 30)
    spec = Spec(free=MIB)
    image = make_image(tree, spec, level="quick")
    layout = ext4writer.plan(tree, spec)
    assert layout.entries["file"] == 60_000
    check_groups(image, layout)
    check_mounted(image, tree, spec)


@pytest.mark.parametrize("change", ["", "^flex_bg", "^sparse_super,^resize_inode"])
def test_file_larger_than_a_group(make_image: MakeImage, change: str) -> None:
    """It is split only around fixed metadata."""
    tree = Tree()
    tree.file("first", b"x")
    tree.file("large", noise(50 * MIB))
    tree.file("last", noise(5000))
    spec = Spec(block_size=1024, features=features(change), free=MIB, free_inodes=100)
    image = make_image(tree, spec)
    layout = ext4writer.plan(tree, spec)
    leaves = [extent for extent in debugfs.ex(image, "/large") if extent.is_leaf]
    fixed = {first for first, _ in plan_of(layout).geometry.fixed}
    cuts = [leaf.physical + leaf.last - leaf.first + 1 for leaf in leaves[:-1]]
    longest = 1 << 15
    for leaf, end in zip(leaves, cuts, strict=False):
        assert end in fixed or leaf.last - leaf.first + 1 == longest
    assert len(leaves) >= 3
    check_groups(image, layout)
    check_mounted(image, tree, spec)


@pytest.mark.slow
def test_file_larger_than_a_group_of_large_blocks(tmp_path: Path, make_image: MakeImage) -> None:
    source = tmp_path / "source"
    with open(source, "wb") as file:
        file.writelines(noise(10 * MIB, number) for number in range(30))
    tree = Tree()
    tree.file("large", source)
    spec = Spec(free=MIB)
    image = make_image(tree, spec)
    check_groups(image, ext4writer.plan(tree, spec))
    check_mounted(image, tree, spec)


def test_files_are_placed_after_a_backup_instead_of_split(make_image: MakeImage) -> None:
    """A file that would straddle a backup is placed after it; small files fill the gap."""
    tree = Tree()
    for number in range(12):
        tree.file(f"{number:02}", noise(3 * MIB, number))
        tree.file(f"{number:02}-small", noise(2000, number))
    spec = Spec(block_size=1024, free=16 * MIB)
    image = make_image(tree, spec)
    for number in range(12):
        assert len(debugfs.ex(image, f"/{number:02}")) == 1
    layout = ext4writer.plan(tree, spec)
    check_groups(image, layout)
    tight = ext4writer.plan(tree, replace(spec, free=0))
    assert tight.free_blocks < 4, "files are cut before the image grows"
    check_groups(make_image(tree, replace(spec, free=0), name="tight"), tight)


@pytest.mark.judged("quick")
@pytest.mark.parametrize("flex", [1, 2, 1 << 10, 1 << 31])
def test_sizes_of_flex_groups(tmp_path: Path, flex: int) -> None:
    image = tmp_path / "image"
    tree, spec = some_files(), Spec(block_size=1024, free=150 * MIB, groups_per_flex=flex)
    layout = ext4writer.write_image(tree, image, spec)
    check_groups(image, layout)
    geometry = plan_of(layout).geometry
    first = [group // min(flex, geometry.groups) for group in range(geometry.groups)]
    assert [
        geometry.group_of(block) // min(flex, geometry.groups) for block in geometry.block_bitmaps
    ] == first
    assert debugfs.superblock(image).get("Flex block group size", "1") == str(flex)
    check_usable(image, tree, spec)


@pytest.mark.judged("quick")
@pytest.mark.parametrize("change", ["", "meta_bg,^resize_inode", "bigalloc", "^sparse_super"])
def test_packed_metadata(tmp_path: Path, change: str) -> None:
    """It comes first, whatever the size of a flex group."""
    image, tree = tmp_path / "image", some_files()
    words = change + (",^resize_inode" if "^sparse" in change else "")
    spec = Spec(block_size=1024, features=words, free=300 * MIB, packed_meta_blocks=True)
    layout = ext4writer.write_image(tree, image, spec)
    judge(image, "full" if "meta_bg" not in change else "quick")
    geometry = plan_of(layout).geometry
    assert layout.available_bytes >= 300 * MIB
    assert geometry.inode_tables[-1] < geometry.fixed_blocks + geometry.format.blocks_per_group
    assert max(geometry.block_bitmaps) < min(geometry.inode_tables)
    lowest = min(
        run.physical for file in plan_of(layout).placement.system.values() for run in file.runs
    )
    assert lowest > max(geometry.inode_tables)
    check_usable(image, tree, spec)


def test_packed_metadata_needs_flex_bg() -> None:
    with pytest.raises(SpecError, match="packed_meta_blocks: needs the feature flex_bg"):
        Spec(features="^flex_bg", packed_meta_blocks=True)


def check_usable(image: Path, tree: Tree, spec: Spec) -> None:
    """The kernel reads back the tree, writes more, and leaves no fault."""
    require_root()
    with mounted(image, rw=True) as point:
        assert_tree_equal(tree, point, spec)
        (point / "new").mkdir()
        for number in range(8):
            (point / "new" / f"{number}").write_bytes(noise(MIB, number))
    assert_clean(image)


# -- options -------------------------------------------------------------------------------------


def test_grow_to_reserves_descriptors(make_image: MakeImage) -> None:
    for number, (grow_to, block_size, reserved) in enumerate(
        [
            (0, 4096, 0),
            (1, 4096, 0),
            (8 * GIB, 4096, 0),  # one block of descriptors serves 64 groups of 128 MiB
            (8 * GIB + 1, 4096, 1),
            (TIB, 4096, 127),
            (8 * TIB, 4096, 1023),
            (8 * TIB + 8 * GIB, 4096, 1024),
            (128 * MIB + KIB, 1024, 0),
            (128 * MIB + KIB + 1, 1024, 1),
            (32 * GIB + 128 * MIB + KIB, 1024, 256),
            (1 * GIB, 2048, 0),
            (32 * GIB, 2048, 31),
        ]
    ):
        spec = Spec(grow_to=grow_to, block_size=block_size, free=MIB)
        layout = ext4writer.plan(Tree(), spec)
        assert plan_of(layout).geometry.gdt_blocks == 1
        assert plan_of(layout).geometry.reserved_gdt_blocks == reserved
        assert layout.grow_to_bytes >= max(grow_to, layout.size_bytes)
        image = make_image(Tree(), spec, name=f"image-{number}")
        found = debugfs.superblock(image).get("Reserved GDT blocks", "0")
        assert int(found) == reserved
    for grow_to, block_size in (
        (8 * TIB + 8 * GIB + 1, 4096),
        (32 * GIB + 128 * MIB + KIB + 1, 1024),
        (1 << 60, 4096),
    ):
        with pytest.raises(SpecError, match="reserves descriptors for at most") as caught:
            ext4writer.plan(Tree(), Spec(grow_to=grow_to, block_size=block_size, free=MIB))
        assert caught.value.option == "grow_to"
        most = int(str(caught.value).partition("at most ")[2].split()[0])
        assert ext4writer.plan(Tree(), Spec(grow_to=most, block_size=block_size, free=MIB))


def test_default_reserve_is_that_of_mke2fs(tmp_path: Path, watch: Watch) -> None:
    """1,024 times the size, up to 2^32 blocks."""
    image = tmp_path / "theirs"
    watch.damaged(image)  # not under test here
    for block_size, size in (
        (1024, MIB), (1024, 30 * MIB), (1024, 300 * MIB), (2048, 20 * MIB), (4096, MIB),
        (4096, 64 * MIB), (4096, 3 * GIB), (4096, 100 * GIB),
    ):  # fmt: skip
        layout = ext4writer.plan(Tree(), Spec(size=size, block_size=block_size))
        run([
            *("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(block_size), "-O"),
            *(f"none,{layout.features}", image, f"{size // 1024}k"),
        ])  # fmt: skip
        superblock = debugfs.superblock(image)
        assert (
            int(superblock.get("Reserved GDT blocks", 0))
            == plan_of(layout).geometry.reserved_gdt_blocks
        )
        image.unlink()


@pytest.mark.parametrize("percent", [0, 0.5, 5, 50])
def test_reserved_percent(make_image: MakeImage, percent: float) -> None:
    spec = Spec(size=20 * MIB, reserved_percent=percent)
    image = make_image(Tree(), spec)
    superblock = debugfs.superblock(image)
    assert int(superblock["Reserved block count"]) == int(5120 * percent / 100)


# -- tune2fs -------------------------------------------------------------------------------------


def tune2fs(image: Path, *options: str) -> None:
    """Change the image with tune2fs; e2fsck finds nothing before or after."""
    run(["e2fsck", "-fy", image])  # tune2fs requires a fresh check
    run(["tune2fs", *options, image])
    assert_clean(image)


@pytest.mark.judged("quick")  # e2fsck would index what a policy leaves linear
@pytest.mark.parametrize("policy", [None, RandomPolicy(7)])
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_tune2fs_rewrites_everything(
    make_image: MakeImage, block_size: int, policy: RandomPolicy | None
) -> None:
    """It recomputes every checksum in our structures, for a new seed and for the old one."""
    tree = some_files()
    for number in range(20):
        tree.file(f"comb-{number}", (b"t" * block_size + bytes(64 * KIB)) * 6)
    spec = Spec(block_size=block_size, policy=policy, free=40 * MIB)
    image = make_image(tree, spec)
    for options in (
        ["-O", "^has_journal"],
        ["-O", "has_journal"],
        ["-U", "random"],
        ["-O", "metadata_csum_seed"],
        ["-U", "random"],
        ["-O", "^metadata_csum_seed"],
        ["-O", "^metadata_csum"],
        ["-O", "metadata_csum"],
        ["-O", "quota"],
        ["-O", "^quota"],
        ["-m", "5"],
        ["-L", "new label"],
        ["-E", "hash_alg=tea"],
    ):
        tune2fs(image, *options)
        check_mounted(image, tree, spec)


@pytest.mark.parametrize(
    "change", ["metadata_csum_seed", "^metadata_csum,uninit_bg", "^flex_bg,^64bit"]
)
def test_tune2fs_on_other_features(make_image: MakeImage, change: str) -> None:
    tree = some_files()
    spec = Spec(features=features(change), free=20 * MIB)
    image = make_image(tree, spec, level="quick")
    tune2fs(image, "-U", "random")
    tune2fs(image, "-O", "^has_journal")
    tune2fs(image, "-J", "size=4")
    if "flex_bg" in change:  # which tune2fs does not handle here
        tune2fs(image, "-I", "512")
    check_mounted(image, tree, spec)


@pytest.mark.parametrize("flag", ["-b", "-s"])
def test_resize2fs_changes_the_width_of_descriptors(make_image: MakeImage, flag: str) -> None:
    """``-b`` makes them 64 bytes, ``-s`` 32."""
    tree = some_files()
    spec = Spec(features=features("^64bit" if flag == "-b" else ""), free=20 * MIB)
    image = make_image(tree, spec, level="quick")
    run(["e2fsck", "-fy", image])
    run(["resize2fs", flag, image])
    assert_clean(image)
    check_mounted(image, tree, spec)


# -- beyond all disks ----------------------------------------------------------------------------


@pytest.fixture(name="vast")
def _vast(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where files may be larger than on most disks."""
    require_root()
    folder = tmp_path / "vast"
    folder.mkdir()
    done = run(["mount", "-t", "tmpfs", "-o", "size=2G", "none", folder], check=False)
    if done.returncode:
        missing("mounting a tmpfs", f"it says: {done.stdout.strip()}")
    try:
        yield folder
    finally:
        run(["umount", "--lazy", folder])


VAST = {
    "16 TiB": (16 * TIB, ""),
    "17 TiB": (17 * TIB, ""),
}


def vast_tree() -> Tree:
    tree = Tree()
    tree.file("file", b"in a vast file system")
    return tree


@pytest.mark.parametrize("name", VAST)
def test_vast_image_is_built_fast(vast: Path, watch: Watch, name: str) -> None:
    """Zeros are not written; 25 copies of the descriptors are most of the rest."""
    size, words = VAST[name]
    image = vast / "image"
    watch.damaged(image)  # e2fsck would read it for a minute; see below
    spec = Spec(size=size, features=features(words))
    started = time.monotonic()
    layout = ext4writer.write_image(vast_tree(), image, spec)
    seconds = time.monotonic() - started
    assert image.stat().st_size == size
    used = image.stat().st_blocks * 512
    space = layout.space
    print(f"{name}: {seconds:.2f} s, {used / MIB:.0f} MiB of disk")
    # Stored are one range of inode tables, a block of the journal, and hardly any bitmaps. One
    # group in 16 holds the metadata of the others, so the kernel cannot create its bitmap.
    known = space["descriptors and backups"] + space["directories"] + space["data"]
    if words != "^metadata_csum":
        assert used < known + space["bitmaps"] // 2 // 16 + MIB
    assert seconds < 10
    is_64bit = layout.blocks_count >= 1 << 32
    assert ("resize_inode" in layout.features) is not is_64bit
    superblock = debugfs.superblock(image)
    assert int(superblock["Block count"]) == size // 4096 == layout.blocks_count
    assert int(superblock["Free blocks"]) == layout.free_blocks
    with mounted(image) as point:
        assert (point / "file").read_bytes() == b"in a vast file system"
        assert os.statvfs(point).f_bavail * 4096 == layout.available_bytes


def test_vast_image_needs_little_memory(vast: Path) -> None:
    """One gigabyte of address space is enough for 16 TiB."""
    program = f"""if True:
        import resource
        from ext4writer import Spec, Tree, write_image
        resource.setrlimit(resource.RLIMIT_AS, ({GIB}, {GIB}))
        write_image(Tree(), {str(vast / "image.part")!r}, Spec(size={16 * TIB}))
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(ext4writer.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    (vast / "image.part").unlink()


@pytest.mark.parametrize("change", ["", ",meta_bg,^resize_inode"])
def test_clusters_make_vast_images_small(vast: Path, watch: Watch, change: str) -> None:
    """20 TiB in 640 groups; the journal is above 2^32 blocks."""
    image, tree = vast / "image", some_files()
    watch.damaged(image)  # judged below
    spec = Spec(
        size=20 * TIB,
        features="bigalloc" + change,
        cluster_size=MIB,
        journal_location=18 * TIB,
    )
    layout = ext4writer.write_image(tree, image, spec)
    assert layout.blocks_count > 1 << 32 and "resize_inode" not in layout.features
    judge(image, "quick")
    check_usable(image, tree, spec)
    with mounted(image) as point:
        assert os.statvfs(point).f_blocks > 1 << 32


@pytest.mark.huge
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", VAST)
def test_vast_image_is_clean(vast: Path, watch: Watch, name: str) -> None:
    size, words = VAST[name]
    image = vast / "image"
    watch.damaged(image)  # judged below, once
    ext4writer.write_image(vast_tree(), image, Spec(size=size, features=features(words)))
    judge(image, "quick")
