"""Images are ready to grow: inodes in every group, descriptors; whole MiB for cards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import SizeError, Spec, SpecError, Tree
from ext4writer.layout import plan_of
from ext4writer.planning.spec import GIB, KIB, MIB
from ext4writer.units import parse_size
from tests.builder.command import report, run
from tests.conftest import MakeImage
from tests.judges import debugfs
from tests.judges.fsck import assert_clean
from tests.judges.tools import require
from tests.judges.tools import run as run_tool
from tests.makers.strategies import specs, trees

CALM = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def one_large_file(size: int = 400 * MIB) -> Tree:
    """A tree without holes and with few inodes for its size."""
    tree = Tree()
    tree.file("/model", lambda: _Ones(size), size=size)
    return tree


class _Ones:
    """A file of ones that is not held in memory."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        count = min(self._left, size if size >= 0 else self._left)
        self._left -= count
        return b"\1" * count

    def readinto(self, view: memoryview) -> int:
        count = min(self._left, len(view))
        view[:count] = b"\1" * count
        self._left -= count
        return count

    def close(self) -> None:
        pass


def inodes(image: Path) -> tuple[int, int, int]:
    """The numbers of inodes, of inodes in a group and of free inodes that an image records."""
    found = debugfs.superblock(image)
    names = ("Inode count", "Inodes per group", "Free inodes")
    total, per_group, free = (int(found[name]) for name in names)
    return total, per_group, free


def mke2fs_inodes(folder: Path, size: int, block_size: int, ratio: int) -> int:
    """The number of inodes that mke2fs creates for this size."""
    image = folder / "theirs"
    with image.open("wb") as file:
        file.truncate(size)
    options = ["-b", str(block_size), "-i", str(ratio)]
    run_tool(["mke2fs", "-q", "-F", "-t", "ext4", *options, image])
    return inodes(image)[0]


@pytest.mark.parametrize(
    ("spec", "block_size", "ratio"),
    [
        ({"grow_to": 64 * GIB}, 4096, 16 * KIB),
        ({"inode_ratio": 16 * KIB}, 1024, 16 * KIB),
        ({"inode_ratio": 64 * KIB, "grow_to": 64 * GIB}, 4096, 64 * KIB),
    ],
    ids=["grow_to", "1 KiB", "a ratio"],
)
def test_growing_images_have_as_many_inodes_as_with_mke2fs(
    spec: dict[str, int], block_size: int, ratio: int, make_image: MakeImage, tmp_path: Path
) -> None:
    require("resize2fs")
    image = make_image(one_large_file(140 * MIB), Spec(block_size=block_size, **spec))
    size = 8 * GIB
    with image.open("r+b") as file:
        file.truncate(size)
    run_tool(["resize2fs", image])
    assert_clean(image)
    assert inodes(image)[0] >= mke2fs_inodes(tmp_path, size, block_size, ratio)


def test_nothing_is_reserved_for_growth_unless_requested() -> None:
    tree = one_large_file()
    plain = ext4writer.plan(tree)
    assert plain.size_bytes == ext4writer.plan(tree, Spec(inode_ratio=0)).size_bytes
    assert plain.table_bytes_for_growth == 0
    grown = ext4writer.plan(tree, Spec(inode_ratio=16 * KIB))
    assert grown.inodes_per_gib == 65_536 > plain.inodes_per_gib
    groups = plan_of(grown).geometry.groups
    per_group = plan_of(plain).geometry.inodes_per_group
    assert grown.table_bytes_for_growth == (8192 - per_group) * 256 * groups
    assert grown.size_bytes - plain.size_bytes == pytest.approx(
        grown.table_bytes_for_growth, abs=MIB // 4
    )


@given(tree=trees(), spec=specs(fixed_sizes=False), ratio=st.integers(4 * KIB, 256 * KIB))
@CALM
def test_every_group_has_its_share(tree: Tree, spec: Spec, ratio: int) -> None:
    try:
        layout = ext4writer.plan(tree, replace(spec, inode_ratio=ratio))
    except SpecError as error:
        assume(error.option != "features")
        assert error.option == "inode_ratio" and "choose" in error.problem
        return
    group_bytes = 8 * spec.block_size * spec.block_size
    assert plan_of(layout).geometry.inodes_per_group * ratio >= group_bytes
    assert layout.inodes_per_gib == plan_of(layout).geometry.inodes_per_group * GIB // group_bytes


def test_a_size_in_which_they_do_not_fit(make_image: MakeImage) -> None:
    with pytest.raises(SizeError, match=r"inode tables \d+"):
        ext4writer.plan(Tree(), Spec(size=MIB, grow_to=GIB))
    image = make_image(Tree(), Spec(size=MIB, grow_to=GIB, inode_ratio=0))
    assert inodes(image)[1] < 100


@pytest.mark.parametrize("ratio", [1, 1023, 65 * MIB, -1])
def test_ratios_that_mke2fs_also_refuses(ratio: int) -> None:
    with pytest.raises(SpecError) as caught:
        Spec(inode_ratio=ratio)
    assert caught.value.option == "inode_ratio"


def test_more_inodes_than_a_group_holds() -> None:
    with pytest.raises(SpecError, match="choose 4096 bytes or more"):
        ext4writer.plan(Tree(), Spec(inode_ratio=1024))
    layout = ext4writer.plan(Tree(), Spec(inode_ratio=4096))
    assert plan_of(layout).geometry.inodes_per_group == 32_768


@pytest.mark.parametrize("inode_size", [1024, 4096])
def test_tables_never_fill_whole_groups(inode_size: int) -> None:
    for ratio in (1024, inode_size):
        with pytest.raises(SpecError, match=f"choose {2 * inode_size} bytes or more"):
            Spec(inode_ratio=ratio, inode_size=inode_size)
    ratio = max(2 * inode_size, 4096)
    layout = ext4writer.plan(one_large_file(), Spec(inode_ratio=ratio, inode_size=inode_size))
    assert layout.size_bytes < GIB


def test_large_inodes_leave_room_in_what_grows() -> None:
    spec = Spec(block_size=16 * KIB, inode_size=16 * KIB, grow_to=64 * GIB, free=3 * GIB)
    layout = ext4writer.plan(Tree(), spec)
    assert layout.size_bytes < 8 * GIB
    assert layout.inodes_per_gib == pytest.approx(GIB // (32 * KIB), rel=0.01)


# -- growth without a stated limit -----------------------------------------------------------------


@pytest.mark.parametrize("block_size", [1024, 4096])
@pytest.mark.parametrize("least", [0, 4 << 40])
def test_the_reserve_is_the_larger_of_two(
    block_size: int, least: int, make_image: MakeImage
) -> None:
    spec = Spec(grow_at_least=least, block_size=block_size)
    image = make_image(one_large_file(60 * MIB), spec)
    plain = ext4writer.plan(one_large_file(60 * MIB), Spec(block_size=block_size))
    found = debugfs.superblock(image)
    reserved = int(found["Reserved GDT blocks"])
    if least and block_size == 4096:
        assert (reserved + 1) * 64 * 128 * MIB >= least
    elif least:
        assert reserved == 256  # all that the resize inode can hold
    else:
        assert reserved == plan_of(plain).geometry.reserved_gdt_blocks


# -- whole MiB -------------------------------------------------------------------------------------


@given(
    tree=trees(),
    spec=specs(fixed_sizes=False),
    align=st.sampled_from([8 * KIB, 100 * KIB, MIB, 3 * MIB]),
)
@CALM
def test_a_fitted_image_is_a_multiple_of_the_alignment(tree: Tree, spec: Spec, align: int) -> None:
    """It is no larger than this requires, and keeps its promises."""
    try:
        plain = ext4writer.plan(tree, replace(spec, align=None))
    except SpecError as error:
        assume(error.option != "features")
        raise
    layout = ext4writer.plan(tree, replace(spec, align=align))
    assert layout.size_bytes % align == 0
    assert layout.available_bytes >= spec.fitted_free
    assert plain.size_bytes <= layout.size_bytes
    if (plan_of(layout).geometry.groups, plan_of(layout).geometry.reserved_gdt_blocks) == (
        plan_of(plain).geometry.groups,
        plan_of(plain).geometry.reserved_gdt_blocks,
    ) and plan_of(layout).demand.journal_blocks == plan_of(plain).demand.journal_blocks:
        # The kernel reserves 2% of what is added.
        assert layout.size_bytes < plain.size_bytes + align + align // 50 + spec.block_size


@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
@pytest.mark.parametrize("free", [0, 3 * MIB + 5, 120 * MIB, 127 * MIB])
def test_whole_mib_at_the_edges_of_groups(
    block_size: int, free: int, make_image: MakeImage
) -> None:
    image = make_image(Tree(), Spec(block_size=block_size, free=free, align=MIB))
    assert image.stat().st_size % MIB == 0


def test_the_file_system_fills_an_aligned_image() -> None:
    """From 128 blocks up, more descriptors are reserved; smaller images did not fill a MiB."""
    spec = Spec(block_size=1024, inode_size=128, free=0, journal="none", align=MIB)
    layout = ext4writer.plan(Tree(), replace(spec, lost_and_found=False))
    assert layout.size_bytes == MIB == layout.blocks_count * 1024


@pytest.mark.parametrize("align", ["7G", "1T", "100T"])
def test_an_image_aligned_to_large_units_is_planned_fast(align: str) -> None:
    """Trying each number of groups up to 100 TiB, which has 819,200, would take days."""
    layout = ext4writer.plan(Tree(), Spec(align=align, inode_ratio="32K"))
    assert layout.size_bytes == parse_size(align) == layout.blocks_count * layout.block_size


def test_impossible_alignments_are_refused() -> None:
    for align in (0, 512, 1000, -MIB):
        with pytest.raises(SpecError) as caught:
            Spec(align=align)
        assert caught.value.option == "align"
    with pytest.raises(SpecError, match=r"align: the size 1050624 is not a multiple"):
        Spec(size=MIB + 2048, align=MIB)
    assert Spec(size=3 * MIB, align=MIB)


# -- the command -----------------------------------------------------------------------------------


def test_the_report_shows_the_effect_of_growth(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "file").write_text("text")
    facts = report("plan", tmp_path / "rootfs")
    assert (facts["inodes_per_gib"], facts["table_bytes_for_growth"]) == (8320, 0)
    text = run("plan", tmp_path / "rootfs", "--grow-to", "1T", "--align", "1M").stdout
    assert "  growth     up to 1.0 TiB, 65,536 inodes for each GiB\n" in text
    assert "  tables     1.7 MiB of inodes that only growth needs" in text
    options = ["--inode-ratio", "32K", "--align", "1M"]
    facts = report("build", tmp_path / "rootfs", "-o", tmp_path / "a.img", *options)
    assert facts["inodes_per_gib"] == 32_768
    assert facts["size"] % MIB == 0
    image = tmp_path / "a.img"
    assert_clean(image)
    assert inodes(image)[1] == 4096
    assert facts["table_bytes_for_growth"] == (4096 - 1040) * 256
    # None of it takes any space on a disk.
    assert image.stat().st_blocks * 512 < MIB
