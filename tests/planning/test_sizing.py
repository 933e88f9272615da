"""The size is solved: what is promised is there, and no smaller image could hold it."""

from __future__ import annotations

import compileall
import os
import random
import re
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import (
    DEFAULT_FEATURES,
    FeatureSet,
    LayoutPolicy,
    RandomPolicy,
    SizeError,
    Spec,
    SpecError,
    Tree,
    TreeError,
    api,
    sources,
)
from ext4writer.layout import Layout, plan_of
from ext4writer.planning import sizing
from ext4writer.planning.spec import GIB, KIB, MIB
from tests.conftest import MakeImage
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.cost import assert_linear
from tests.judges.fsck import assert_clean
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run
from tests.judges.watch import Watch
from tests.makers.strategies import specs, trees

STEP = 4096
"""The sizes of fitted images are multiples of this."""

NO_JOURNAL = DEFAULT_FEATURES.without("has_journal")


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes without a hole."""
    return random.Random(seed).randbytes(size)


def files(sizes: list[int]) -> Tree:
    """A tree with files of these sizes."""
    tree = Tree()
    for number, size in enumerate(sizes):
        tree.file(f"file-{number:04}", noise(size, number))
    return tree


def zeros(size: int) -> Tree:
    """A tree with one file of this many zeros."""
    tree = Tree()
    tree.file("zeros", Path("/dev/zero").open, size=size)
    return tree


def combs(count: int, teeth: int, block_size: int) -> Tree:
    """Files with ``teeth`` single data blocks and holes between them."""
    tree = Tree()
    tooth = b"t" * block_size + bytes(64 * KIB)
    for number in range(count):
        tree.file(f"comb-{number:04}", tooth * teeth)
    return tree


def promised_inodes(spec: Spec) -> int:
    """How many inodes a fitted image leaves free."""
    if spec.free_inodes is not None:
        return spec.free_inodes
    return spec.fitted_free // max(16 * KIB, spec.cluster_size or spec.block_size)


def keeps_promise(layout: Layout, spec: Spec) -> bool:
    """Whether ``layout`` keeps the promises of ``spec`` for a fitted image."""
    fmt = plan_of(layout).format
    unavailable = sizing.unavailable_blocks(fmt, layout.blocks_count, spec)
    if spec.reserved_percent and layout.free_blocks < unavailable:
        return False
    return layout.available_bytes >= spec.fitted_free and layout.free_inodes >= promised_inodes(
        spec
    )


def boundaries(layout: Layout) -> Iterator[int]:
    """Sizes in bytes at which a rule of the geometry changes."""
    fmt = plan_of(layout).format
    for group in range(1, plan_of(layout).geometry.groups + 1):
        yield (fmt.first_data_block + group * fmt.blocks_per_group) * fmt.block_size
    for blocks in (2048, 32768, 256 * KIB):  # where the journal of mke2fs grows
        yield blocks * fmt.block_size


def assert_nothing_smaller(tree: Tree, spec: Spec, sizes: list[int] | None = None) -> Layout:
    """Assert that the fitted image keeps its promise and that no smaller size does.

    This tries every multiple of 4 KiB below it, or ``sizes``. Returns the fitted layout.
    """
    spec = replace(spec, free_inodes=promised_inodes(spec))
    layout = ext4writer.plan(tree, spec)
    assert keeps_promise(layout, spec)
    for size in range(STEP, layout.size_bytes, STEP) if sizes is None else sizes:
        if 0 < size < layout.size_bytes:
            try:
                smaller = ext4writer.plan(tree, replace(spec, size=size))
            except SizeError:
                continue
            assert not keeps_promise(smaller, spec), (
                f"{size} bytes suffice, but {layout.size_bytes} were found"
            )
    assert keeps_promise(ext4writer.plan(tree, replace(spec, size=layout.size_bytes)), spec)
    return layout


# -- the size itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
@pytest.mark.parametrize("policy", [None, RandomPolicy(5)])
def test_plan_and_build_agree_to_the_byte(
    tmp_path: Path, block_size: int, policy: LayoutPolicy | None
) -> None:
    tree = files([0, 1, 5000, 70_000, 3_000_000])
    spec = Spec(block_size=block_size, policy=policy, free=300_000)
    planned = ext4writer.plan(tree, spec)
    built = ext4writer.write_image(tree, tmp_path / "built", spec)
    ext4writer.write_layout(planned, tmp_path / "planned")
    data = (tmp_path / "built").read_bytes()
    assert data == (tmp_path / "planned").read_bytes()
    assert planned.size_bytes == built.size_bytes == len(data) == sum(built.space.values())
    assert len(data) % STEP == 0
    assert planned.space == built.space


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tree=trees(max_nodes=12),
    spec=specs(fixed_sizes=False),
    policy=st.none() | st.integers(0, 9),
)
def test_promise_is_kept_on_paper(tree: Tree, spec: Spec, policy: int | None) -> None:
    spec = replace(spec, policy=None if policy is None else RandomPolicy(policy))
    try:
        layout = ext4writer.plan(tree, spec)
    except (TreeError, SpecError):
        return
    assert keeps_promise(layout, spec)
    assert layout.size_bytes == sum(layout.space.values())
    assert layout.size_bytes % STEP == 0
    tail = layout.size_bytes - layout.blocks_count * layout.block_size
    assert 0 <= tail < max(STEP, spec.align or 0)


class _Placements:
    """Counts how often the tree is placed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        place = sizing.place

        def counted(*arguments: object, **options: object) -> object:
            self.count += 1
            return place(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(sizing, "place", counted)


def test_no_size_is_tried_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arithmetic shows what a size can hold; the tree is placed only in the result."""
    placements = _Placements(monkeypatch)
    for block_size in (1024, 2048, 4096):
        for sizes in ([], [1], [5_000_000], [40_000] * 300, [20_000_000, 1, 2]):
            for free in (0, 1, 16 * MIB, 10 * GIB):
                placements.count = 0
                layout = ext4writer.plan(files(sizes), Spec(block_size=block_size, free=free))
                assert placements.count == 1, f"{block_size} {sizes[:3]} {free}"
                assert layout.available_bytes >= free


# -- nothing smaller -----------------------------------------------------------------------------


@st.composite
def small_images(draw: st.DrawFn) -> tuple[Tree, Spec]:
    """A tree and a Spec with an image of at most a few hundred KiB."""
    block_size = draw(st.sampled_from([1024, 2048, 4096]))
    tree = files(draw(st.lists(st.sampled_from([0, 1, 900, 4096, 5000, 30_000]), max_size=10)))
    for number in range(draw(st.integers(0, 2))):
        tree.file(f"comb-{number}", (b"t" * block_size + bytes(64 * KIB)) * draw(st.integers(1, 6)))
    for number in range(draw(st.sampled_from([0, 0, 5, 60]))):
        tree.symlink(f"link-{number}", "t" * draw(st.sampled_from([5, 60, 300])))
    removed = draw(st.sets(st.sampled_from(["64bit", "flex_bg", "resize_inode", "metadata_csum"])))
    spec = Spec(
        block_size=block_size,
        inode_size=draw(st.sampled_from([128, 256, 1024])),
        features=DEFAULT_FEATURES.without("extra_isize", *removed),
        free=draw(st.sampled_from([0, 1, 4096, 100_000, 200_001])),
        free_inodes=draw(st.sampled_from([None, 0, 1, 3, 40, 200])),
        reserved_percent=draw(st.sampled_from([0, 0, 5, 33.3, 50])),
        grow_to=draw(st.sampled_from([None, 0, GIB])) if "resize_inode" not in removed else None,
        lost_and_found=draw(st.booleans()),
    )
    return tree, spec


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(image=small_images())
@example(image=(files([2_700_000]), Spec(block_size=1024, free=100_000, reserved_percent=5)))
def test_no_smaller_size_in_any_step(image: tuple[Tree, Spec]) -> None:
    """Every size below the fitted one is tried."""
    assert_nothing_smaller(*image)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    image=small_images(),
    large=st.lists(st.sampled_from([400_000, 3 * MIB, 9 * MIB]), max_size=4),
    journal=st.sampled_from(["auto", "auto", "none", 1024]),
    free=st.sampled_from([0, 500_000, 7 * MIB, 9 * MIB]),
    groups_per_flex=st.sampled_from([1, 2, 16]),
    change=st.sampled_from(["", "", "bigalloc", "meta_bg,^resize_inode", "^extent,^64bit"]),
    chance=st.randoms(use_true_random=False),
)
def test_no_smaller_size_in_several_groups(
    image: tuple[Tree, Spec],
    large: list[int],
    journal: str | int,
    free: int,
    groups_per_flex: int,
    change: str,
    chance: random.Random,
) -> None:
    """Try the sizes just below, those where a rule of the geometry changes, and random ones."""
    tree, spec = image
    for number, size in enumerate(large):
        tree.file(f"large-{number}", noise(size, number))
    if isinstance(journal, int):
        journal *= spec.block_size
    spec = replace(
        spec,
        free=free,
        groups_per_flex=groups_per_flex,
        journal=journal,
        features=FeatureSet.parse(change, spec.features),
        cluster_size=4 * spec.block_size if change == "bigalloc" else None,
    )
    layout = ext4writer.plan(tree, spec)
    steps = layout.size_bytes // STEP
    sizes = [layout.size_bytes - STEP * step for step in range(1, 15)]
    for edge in boundaries(layout):
        edge = edge // STEP * STEP
        sizes += [edge - 2 * STEP, edge - STEP, edge, edge + STEP]
    sizes += [chance.randrange(1, steps + 1) * STEP for _ in range(20)]
    assert_nothing_smaller(tree, spec, sizes)


def test_one_more_data_block_enlarges_the_image_by_one_block() -> None:
    spec = Spec(free=0, free_inodes=0, features=NO_JOURNAL)
    tree = files([4096])
    first = assert_nothing_smaller(tree, spec)
    assert first.free_blocks == 0
    for blocks in (2, 3, 4, 5, 100, 101):
        layout = ext4writer.plan(files([blocks * 4096]), spec)
        assert layout.free_blocks == 0
        assert layout.size_bytes == first.size_bytes + (blocks - 1) * 4096


def test_one_more_inode_adds_one_table_block() -> None:
    spec = Spec(free=0, features=NO_JOURNAL)
    sizes = [
        ext4writer.plan(Tree(), replace(spec, free_inodes=inodes)).size_bytes
        for inodes in range(4 + 16 + 2)
    ]
    # The ten reserved inodes, with the root, and /lost+found: five of 16 are left.
    at_first = sizes[0]
    assert sizes == [at_first] * 6 + [at_first + 4096] * 16


def test_last_group_has_room_for_more_than_its_own_metadata() -> None:
    """After a full group comes nothing or a group with 50 blocks to spare, as in mke2fs."""
    spec = Spec(block_size=1024, free=0, free_inodes=0, features=NO_JOURNAL, grow_to=0)
    one_group = 1 + 8192
    small = ext4writer.plan(files([1024]), spec)
    used = small.blocks_count - small.free_blocks
    full = ext4writer.plan(files([(1 + one_group - used) * 1024]), spec)
    assert full.blocks_count == one_group and not full.free_blocks
    # 8,193 blocks are not a multiple of 4 KiB; the image is rounded up, its block count is not.
    assert full.size_bytes == 8196 * 1024 and full.space["unused tail"] == 3 * 1024
    tree = files([(2 + one_group - used) * 1024])
    layout = ext4writer.plan(tree, spec)
    assert plan_of(layout).geometry.groups == 2
    geometry = plan_of(layout).geometry
    least = one_group + geometry.head_blocks + 2 + geometry.inode_table_blocks + 50
    assert layout.blocks_count == -(-least // 4) * 4
    assert_nothing_smaller(tree, spec, list(range(8_000 * 1024, layout.size_bytes, STEP)))
    one_less = replace(spec, size=layout.size_bytes - STEP)
    with pytest.raises(SizeError, match="has no room for the data"):
        ext4writer.plan(tree, one_less)
    dropped = ext4writer.plan(files([1]), one_less)
    assert dropped.blocks_count == one_group
    assert dropped.space["unused tail"] == one_less.size - one_group * 1024  # type: ignore[operator]


@pytest.mark.parametrize("blocks", [-1, 0])
def test_mke2fs_has_the_same_rule_for_the_last_group(tmp_path: Path, blocks: int) -> None:
    """mke2fs leaves the same blocks unused at the size that is one block too small."""
    features = NO_JOURNAL.without("resize_inode")
    spec = Spec(block_size=1024, free_inodes=0, features=features)
    geometry = plan_of(ext4writer.plan(Tree(), replace(spec, size=(8193 + 200) * 1024))).geometry
    least = 8193 + geometry.head_blocks + 2 + geometry.inode_table_blocks + 50
    layout = ext4writer.plan(Tree(), replace(spec, size=(least + blocks) * 1024))
    run([
        *("mke2fs", "-q", "-t", "ext4", "-b", "1024", "-m", "0"),
        *("-O", f"none,{layout.features}", "-N", str(layout.inodes_count)),
        *(tmp_path / "image", str(least + blocks)),
    ])  # fmt: skip
    superblock = debugfs.superblock(tmp_path / "image")
    assert int(superblock["Block count"]) == layout.blocks_count
    assert layout.blocks_count == (8193 if blocks else least)


@pytest.mark.parametrize(("blocks", "journal", "larger"), [(2048, 0, 1024), (32768, 1024, 4096)])
@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
def test_larger_journal_comes_with_a_larger_image(
    blocks: int, journal: int, larger: int, block_size: int
) -> None:
    """mke2fs's table has steps: just past one, an image holds less than just before it."""
    spec = Spec(block_size=block_size, free=0, free_inodes=0, grow_to=0, hole_size=0)
    small = ext4writer.plan(zeros(block_size), spec)
    used = 0
    for _ in range(3):  # until the number of groups is final
        full = ext4writer.plan(zeros((blocks - 1 - used) * block_size), spec)
        used += full.blocks_count - full.free_blocks - (blocks - 1)
    assert full.blocks_count == blocks - 1 and not full.free_blocks
    assert (
        plan_of(full).demand.journal_blocks == journal and not plan_of(small).demand.journal_blocks
    )
    tree = zeros((blocks - used) * block_size)
    layout = ext4writer.plan(tree, spec)
    assert plan_of(layout).demand.journal_blocks == larger
    assert layout.blocks_count > blocks - 1 + larger - journal
    step = STEP * max(1, layout.size_bytes // STEP // 200)
    sizes = [*range((blocks - 20) * block_size // STEP * STEP, layout.size_bytes, step)]
    sizes += [layout.size_bytes - number * STEP for number in range(1, 10)]
    assert_nothing_smaller(tree, spec, sizes)


def test_blocks_of_extent_trees_count() -> None:
    """Each file of five extents needs an extent block, which is part of the size."""
    spec = Spec(block_size=1024, free=0, free_inodes=0, features=NO_JOURNAL)
    without = ext4writer.plan(combs(40, 4, 1024), spec)
    layout = assert_nothing_smaller(combs(40, 5, 1024), spec)
    assert plan_of(layout).placement.map_block_count == 40
    assert layout.free_blocks < 4
    assert layout.blocks_count - without.blocks_count <= 80 + 3


def test_given_size_may_be_the_fitted_one() -> None:
    """Extent trees and gaps between files use the rest; none of it is lost to either."""
    tree = combs(400, 6, 1024)
    for number in range(40):
        tree.file(f"whole-{number}", noise(700 * KIB))
    spec = Spec(block_size=1024, free=0, free_inodes=0, features=NO_JOURNAL)
    for free in (0, 1, 500_000):
        wanted = replace(spec, free=free)
        layout = ext4writer.plan(tree, wanted)
        same = ext4writer.plan(tree, replace(wanted, size=layout.size_bytes))
        assert same.available_bytes >= free
        if not free:
            assert layout.free_blocks < 4


@pytest.mark.parametrize("free", [15 << 40, (16 << 40) - (1 << 30), 16 << 40, 100 << 40])
def test_huge_promises_are_solved_fast(free: int) -> None:
    """The resize inode has 32-bit block numbers, and is omitted where blocks need more."""
    layout = ext4writer.plan(files([1000]), Spec(free=free))
    assert free <= layout.available_bytes < free + 4096
    is_64bit = layout.blocks_count >= 1 << 32
    assert is_64bit is (free != 15 << 40)
    assert ("resize_inode" in layout.features) is not is_64bit
    assert (plan_of(layout).geometry.reserved_gdt_blocks == 0) is is_64bit


@pytest.mark.parametrize("change", ["^sparse_super,^resize_inode", "^resize_inode"])
def test_many_groups_are_solved_in_proportion(change: str) -> None:
    features = FeatureSet.parse(change, base=DEFAULT_FEATURES)

    def planning(inodes: int) -> Callable[[], object]:
        spec = Spec(
            free=0,
            free_inodes=inodes,
            inode_size=4096,
            reserved_percent=49.99,
            features=features,
        )
        return lambda: ext4writer.plan(Tree(), spec)

    assert_linear(planning, 1 << 26)


# -- what is too small ---------------------------------------------------------------------------

TOO_SMALL = {
    "data": (files([3_000_000]), Spec(size=MIB)),
    "almost": (files([3_000_000]), Spec(size=3_000_320)),
    "tiny": (Tree(), Spec(size=4096)),
    "nothing": (Tree(), Spec(size=0)),
    "512": (Tree(), Spec(size=512)),
    "many inodes": (files([0] * 500), Spec(size=100 * KIB)),
    "free inodes": (Tree(), Spec(size=100 * KIB, free_inodes=1000)),
    "more inodes than one group has": (
        Tree(),
        Spec(size=5 * MIB, free_inodes=9000, block_size=1024),
    ),
    "journal": (files([10]), Spec(size=8 * MIB, journal=16 * MIB)),
    "trees": (combs(300, 6, 1024), Spec(size=2 * MIB, block_size=1024)),
    "trees alone": (
        combs(300, 6, 1024),
        Spec(size=1_920_000, block_size=1024, features=NO_JOURNAL),
    ),
    "attributes": (
        files([]),
        Spec(size=64 * KIB, block_size=1024, features=NO_JOURNAL),
    ),
    "groups": (files([20_000_000]), Spec(size=16 * MIB, block_size=1024)),
    "random": (files([30_000] * 50), Spec(size=MIB, block_size=1024, policy=RandomPolicy(3))),
    "reserved": (files([1_200_000]), Spec(size=MIB, reserved_percent=50)),
}
for _number in range(40):
    TOO_SMALL["attributes"][0].file(f"f{_number}", b"", xattrs={b"user.a": b"%d" % _number * 150})


@pytest.mark.parametrize("name", TOO_SMALL)
def test_too_small_size_says_by_how_much(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The named number of bytes suffices, one block less does not, and the parts add up."""
    tree, spec = TOO_SMALL[name]
    spec = replace(spec)

    def never(*arguments: object) -> None:
        raise AssertionError("the output was opened")

    monkeypatch.setattr(api, "open_sink", never)
    with pytest.raises(SizeError) as caught:
        ext4writer.write_image(tree, tmp_path / "image", spec)
    assert spec.size is not None
    missing = caught.value.missing_bytes
    enough = spec.size + missing
    text = str(caught.value)
    assert f"size: {spec.size} bytes are {missing} too few" in text
    assert f"at least {enough} bytes are needed" in text
    where = text.partition("(")[2].rstrip(")")
    parts = {part: int(size) for part, size in re.findall(r"([a-z][a-z ]*) (\d+)", where)}
    assert sum(parts.values()) == enough
    assert all(parts.values())
    layout = ext4writer.plan(tree, replace(spec, size=enough))
    assert layout.size_bytes == enough
    for part, size in parts.items():
        if part not in ("free", "inode tables"):  # the rest becomes inodes
            assert layout.space[part] == size
    smaller = enough - spec.block_size
    if smaller >= spec.size:
        with pytest.raises(SizeError):
            ext4writer.plan(tree, replace(spec, size=smaller))


@pytest.mark.parametrize(
    ("options", "option", "word"),
    [
        ({"size": MIB + 1}, "size", "not a multiple of 512"),
        ({"size": 16 << 40, "features": DEFAULT_FEATURES.without("64bit")}, "size", "64bit"),
        ({"free": 16 << 40, "features": DEFAULT_FEATURES.without("64bit")}, "free", "64bit"),
        ({"size": 1 << 61}, "size", "choose less"),
        ({"free": 1 << 61}, "free", "choose less"),
    ],
)
def test_sizes_that_no_file_system_of_this_kind_has(
    options: dict[str, object], option: str, word: str
) -> None:
    with pytest.raises(SpecError, match=word) as caught:
        ext4writer.plan(Tree(), Spec(**options))  # type: ignore[arg-type]
    assert caught.value.option == option


@pytest.mark.parametrize("tail", [0, 512, 1024, 3584])
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_given_size_is_the_size_of_the_file(
    make_image: MakeImage, block_size: int, tail: int
) -> None:
    tree = files([100_000])
    spec = Spec(size=3 * MIB + tail, block_size=block_size)
    image = make_image(tree, spec)
    layout = ext4writer.plan(tree, spec)
    assert image.stat().st_size == layout.size_bytes == spec.size
    assert layout.space.get("unused tail", 0) == tail % block_size
    # As in mke2fs, one inode for each 16 KiB of free space.
    assert layout.free_inodes + 1 >= layout.space["free"] // (16 * KIB)


# -- the promise, as the kernel sees it ----------------------------------------------------------


EXT3 = FeatureSet.parse(
    "^metadata_csum,^flex_bg,^64bit,^resize_inode,^extra_isize", DEFAULT_FEATURES
)

PROMISES = {
    "nothing": Spec(free=0, free_inodes=1),
    "a byte": Spec(free=1, free_inodes=1),
    "no journal": Spec(free=300 * KIB),
    "journal": Spec(free=4 * MIB, journal=4 * MIB),
    "reserved": Spec(free=1_500_001, reserved_percent=5, block_size=1024),
    "much reserved": Spec(free=2 * MIB, block_size=2048, reserved_percent=50, journal=2 * MIB),
    "small groups": Spec(free=2 * MIB, block_size=1024, groups_per_flex=1, grow_to=30 * GIB),
    "large inodes": Spec(free=2 * MIB, block_size=1024, inode_size=1024),
    "torn": Spec(free=MIB, block_size=1024, features=NO_JOURNAL, policy=RandomPolicy(1)),
    # The seed must give no slot blocks past its end, which would be filled first.
    "torn and reserved": Spec(free=3 * MIB, policy=RandomPolicy(3), reserved_percent=12.5),
    "ext3": Spec(free=2 * MIB, block_size=1024, inode_size=128, features=EXT3),
}

SLOT_BLOCKS = 4
"""A file with this many blocks never needs an extent block, however fragmented it is."""

FILL = """
left=$1
for slot in slot-*; do
    [ $left -gt 0 ] || break
    [ -s $slot ] && continue
    count=$(( left < $2 ? left : $2 ))
    dd if=/dev/urandom of=$slot bs=$count count=1 iflag=fullblock conv=notrunc status=none
    left=$(( left - count ))
done
sync -f .
[ $left -eq 0 ]
"""


def with_slots(spec: Spec) -> Tree:
    """A tree of 6 MB, with enough empty files that everyone may write."""
    tree = combs(60, 6, spec.block_size)
    for number, size in enumerate([1000, 70_000, 5_000_000]):
        tree.file(f"file-{number}", noise(size, number))
    tree.directory("home", mode=0o777)
    for number in range(2 * spec.fitted_free // (SLOT_BLOCKS * spec.block_size) + 100):
        tree.file(f"home/slot-{number:05}", b"", mode=0o666)
    return tree


def fill(folder: Path, size: int, spec: Spec, user: int = 65534) -> None:
    """Write ``size`` bytes with dd, as an ordinary user, into the empty slots of ``folder``."""
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    slot = SLOT_BLOCKS * spec.block_size
    # From inside the folder, because only the superuser may traverse its parents.
    run([*become, "sh", "-e", "-c", FILL, "sh", str(size), str(slot)], cwd=folder)


def filled(folder: Path) -> int:
    """The number of bytes in the slots of ``folder``."""
    return sum(slot.stat().st_size for slot in folder.iterdir())


@pytest.mark.judged("quick")  # e2fsck would index what a policy leaves linear
@pytest.mark.parametrize("name", PROMISES)
def test_ordinary_user_writes_the_last_promised_byte(make_image: MakeImage, name: str) -> None:
    """The mounted image offers what the plan promises: all of it can be written, and no more."""
    require_root()
    spec = PROMISES[name]
    tree = with_slots(spec)
    image = make_image(tree, spec)
    layout = ext4writer.plan(tree, spec)
    with mounted(image, rw=True) as point:
        assert_tree_equal(tree, point, spec)
        found = os.statvfs(point)
        assert found.f_bavail * found.f_frsize == layout.available_bytes >= spec.fitted_free
        assert found.f_bfree == layout.free_blocks
        assert found.f_ffree == layout.free_inodes
        fill(point / "home", spec.fitted_free, spec)
        assert filled(point / "home") == spec.fitted_free
        left = os.statvfs(point).f_bavail
        with pytest.raises(AssertionError, match="No space left on device"):
            fill(point / "home", (left + 1) * spec.block_size, spec)
    assert_clean(image)


@pytest.mark.judged("quick")
@pytest.mark.parametrize("name", ["reserved", "much reserved", "torn and reserved"])
def test_superuser_writes_what_is_reserved(make_image: MakeImage, name: str) -> None:
    """When ordinary users have no space left, the superuser has all that is reserved."""
    require_root()
    spec = PROMISES[name]
    tree = with_slots(spec)
    for number in range(1500):
        tree.file(f"home/slot-x{number:05}", b"")
    image = make_image(tree, spec)
    layout = ext4writer.plan(tree, spec)
    assert layout.reserved_blocks == int(layout.blocks_count * spec.reserved_percent / 100)
    assert int(debugfs.superblock(image)["Reserved block count"]) == layout.reserved_blocks
    with mounted(image, rw=True) as point:
        fill(point / "home", layout.available_bytes, spec)
        assert os.statvfs(point).f_bavail == 0
        fill(point / "home", layout.reserved_blocks * spec.block_size, spec, user=0)
        with pytest.raises(AssertionError, match="No space left on device"):
            fill(point / "home", spec.block_size, spec, user=0)
    assert_clean(image)


@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
@pytest.mark.parametrize("large", [3_000_000, 30_000_000])
def test_image_full_to_its_last_block_can_be_used(
    make_image: MakeImage, block_size: int, large: int
) -> None:
    """Without promises, nothing is kept free. Files can still be changed and created."""
    require_root()
    tree = files([5000, 100_000, large])
    spec = Spec(free=0, free_inodes=2, block_size=block_size)
    image = make_image(tree, spec)
    layout = ext4writer.plan(tree, spec)
    assert layout.free_blocks < 4096 // block_size
    with mounted(image, rw=True) as point:
        assert_tree_equal(tree, point, spec)
        with pytest.raises(OSError, match="No space left"):
            (point / "new").write_bytes(noise(2 * 4096))
        with open(point / "file-0000", "r+b") as file:
            file.write(b"changed in its place")
        os.rename(point / "file-0000", point / "renamed")
        (point / "file-0002").unlink()
        (point / "new").write_bytes(noise(60_000))
    assert_clean(image)


@pytest.mark.parametrize("free_inodes", [0, 1, 77, 5000])
@pytest.mark.parametrize("inode_size", [128, 256, 1024])
def test_promised_inodes_can_be_had(
    make_image: MakeImage, inode_size: int, free_inodes: int
) -> None:
    require_root()
    features = DEFAULT_FEATURES.without("extra_isize") if inode_size == 128 else DEFAULT_FEATURES
    spec = Spec(free=2 * MIB, free_inodes=free_inodes, inode_size=inode_size, features=features)
    image = make_image(Tree(), spec)
    layout = ext4writer.plan(Tree(), spec)
    per_block = spec.block_size // inode_size
    assert free_inodes <= layout.free_inodes < free_inodes + max(8, per_block)
    with mounted(image, rw=True) as point:
        assert os.statvfs(point).f_favail == layout.free_inodes
        for number in range(layout.free_inodes):
            (point / f"new-{number}").touch()
        with pytest.raises(OSError, match="No space left"):
            (point / "more").touch()
    assert_clean(image)


# -- against mke2fs ------------------------------------------------------------------------------


class _Linear(LayoutPolicy):
    """Directories without an index, as ``mke2fs -d`` creates them."""

    name = "linear"

    def indexed(self, blocks: int) -> bool:
        return False


def library_copy(folder: Path, *left_out: str) -> Path:
    """A copy of Python's standard library, in which no modules get compiled during the test."""
    source = sysconfig.get_path("stdlib")
    ignored = shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__", *left_out)
    return Path(shutil.copytree(source, folder / "library", symlinks=True, ignore=ignored))


class _Mke2fs:
    """How much ``mke2fs -d`` leaves free, with the features and counts of a layout."""

    def __init__(self, source: Path, image: Path, layout: Layout, *, index: bool) -> None:
        journal, odd = divmod(plan_of(layout).demand.journal_blocks * layout.block_size, MIB)
        assert not odd, "mke2fs counts journals in MiB"
        self._command = [
            *("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-d", source),
            *("-b", str(layout.block_size), "-I", str(layout.spec.inode_size)),
            *("-O", f"none,{layout.features}", "-N", str(layout.inodes_count)),
            # Otherwise the index, and the size, would differ each time.
            *("-U", str(layout.uuid), "-E", f"hash_seed={layout.hash_seed}"),
            *(["-J", f"size={journal}"] if journal else []),
            image,
        ]
        self._image = image
        self._index = index

    def free_blocks(self, blocks: int) -> int:
        """Free blocks of an image of ``blocks`` blocks; -1 if mke2fs cannot create it."""
        if run([*self._command, str(blocks)], check=False).returncode:
            return -1
        if self._index and run(["e2fsck", "-fyD", self._image], check=False).returncode > 1:
            return -1
        return int(debugfs.superblock(self._image)["Free blocks"])

    def least_blocks(self, free_blocks: int, low: int, high: int) -> int:
        """The smallest size above ``low`` that leaves ``free_blocks``, found by bisection."""
        assert self.free_blocks(high) >= free_blocks
        while high - low > 1:
            middle = (low + high) // 2
            if self.free_blocks(middle) >= free_blocks:
                high = middle
            else:
                low = middle
        assert self.free_blocks(high) >= free_blocks
        return high


def assert_no_larger_than_mke2fs(source: Path, tmp_path: Path, watch: Watch, spec: Spec) -> int:
    """Compare sizes; return by how many bytes mke2fs's best image is larger.

    ``mke2fs -d`` writes no indexes, so e2fsck adds them where ours has some.
    """
    tree = sources.directory(source)
    layout = ext4writer.write_image(tree, tmp_path / "ours", spec)
    index = spec.policy is None and "dir_index" in spec.features
    watch.damaged(tmp_path / "theirs")  # not under test here
    theirs = _Mke2fs(source, tmp_path / "theirs", layout, index=index)
    ours = layout.blocks_count
    best = theirs.least_blocks(layout.free_blocks, ours // 2, ours * 5 // 4)
    superblock = debugfs.superblock(tmp_path / "theirs")
    assert int(superblock["Inode count"]) == layout.inodes_count
    assert superblock["Filesystem features"].split() == list(layout.features.names())
    assert (
        int(superblock.get("Reserved GDT blocks", 0))
        == plan_of(layout).geometry.reserved_gdt_blocks
    )
    best = -(-best * spec.block_size // STEP) * STEP
    assert layout.size_bytes <= best
    return best - layout.size_bytes


OLD_FEATURES = FeatureSet.parse("^metadata_csum,^64bit", DEFAULT_FEATURES)

# An index leaves free space, in which e2fsck builds it. Without an index and free space, small
# blocks come without dir_index: e2fsck -fy would need space to index a directory of three blocks.
# All images have holes as mke2fs makes them, at every block of zeros.
COMPARED = {
    "default": Spec(hole_size=4096, leading_hole=True),
    "linear": Spec(free=0, policy=_Linear(), hole_size=4096, leading_hole=True),
    "1k": Spec(
        free=0,
        block_size=1024,
        features=DEFAULT_FEATURES.without("dir_index"),
        journal=4 * MIB,
        hole_size=1024,
        leading_hole=True,
    ),
    "plain": Spec(free=MIB, features=OLD_FEATURES, hole_size=4096, leading_hole=True),
}


@pytest.mark.parametrize("name", ["default", "linear"])
def test_no_larger_than_hand_tuned_mke2fs(tmp_path: Path, watch: Watch, name: str) -> None:
    source = library_copy(tmp_path, "test", "tests", "idlelib", "ensurepip", "config-*", "*.so")
    assert_no_larger_than_mke2fs(source, tmp_path, watch, COMPARED[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARED)
def test_whole_library_no_larger_than_hand_tuned_mke2fs(
    tmp_path: Path, watch: Watch, name: str
) -> None:
    source = library_copy(tmp_path)
    if name == "default":  # as installed, with its compiled modules
        compileall.compile_dir(source, quiet=2)
    less = assert_no_larger_than_mke2fs(source, tmp_path, watch, COMPARED[name])
    print(f"{name}: mke2fs needs {less} bytes more")


def test_well_below_resize2fs(tmp_path: Path, watch: Watch) -> None:
    """Creating a large image and shrinking it leaves far more than the tree needs."""
    source = library_copy(tmp_path, "test", "tests")
    layout = ext4writer.plan(sources.directory(source), Spec(free=0))
    image = tmp_path / "theirs"
    watch.damaged(image)  # not under test here
    run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", source, image, "1G"])
    run(["e2fsck", "-fy", image])
    run(["resize2fs", "-M", image])
    shrunk = image.stat().st_size
    print(f"fitted {layout.size_bytes}, resize2fs -M {shrunk}")
    assert layout.size_bytes * 5 < shrunk * 4


def test_resize2fs_finds_nothing_to_shrink(make_image: MakeImage) -> None:
    """An image fitted with no free space keeps its size under ``resize2fs -M``."""
    image = make_image(files([40_000] * 300), Spec(free=0, free_inodes=0))
    before = image.stat().st_size
    run(["e2fsck", "-fy", image])
    run(["resize2fs", "-M", image])
    assert int(debugfs.superblock(image)["Block count"]) * 4096 == before
    assert_clean(image)


# -- promises in an image of a given size --------------------------------------------------------


@pytest.mark.parametrize("block_size", [1024, 4096])
@pytest.mark.parametrize("percent", [0, 5])
def test_a_given_size_keeps_explicit_promises(block_size: int, percent: float) -> None:
    """Otherwise an error states a size and an amount of free space that do work."""
    tree = files([400_000] * 20)
    spec = Spec(size=64 * MIB, block_size=block_size, reserved_percent=percent)
    most = ext4writer.plan(tree, replace(spec, free=30 * MIB))
    assert most.available_bytes >= 30 * MIB
    assert most.free_inodes >= 30 * MIB // (16 * KIB)
    too_much = replace(spec, free=100 * MIB)
    with pytest.raises(SizeError, match="the 104857600 bytes to stay free") as refused:
        ext4writer.plan(tree, too_much)
    sizes = re.search(r"at most (\d+) can\b.*; at least (\d+) bytes", str(refused.value))
    assert sizes is not None
    free, size = map(int, sizes.groups())
    assert refused.value.missing_bytes == size - 64 * MIB
    assert ext4writer.plan(tree, replace(spec, free=free)).available_bytes >= free
    assert ext4writer.plan(tree, replace(too_much, size=size)).available_bytes >= 100 * MIB
    with pytest.raises(SizeError):
        ext4writer.plan(tree, replace(too_much, size=size - block_size))


def test_fewer_inodes_make_room_for_what_is_promised() -> None:
    """A surplus of inodes is created only if nothing else is requested."""
    tree = files([1_000_000])
    rich = ext4writer.plan(tree, Spec(size=64 * MIB))
    spec = Spec(size=64 * MIB, free=rich.available_bytes + 8 * KIB)
    layout = ext4writer.plan(tree, spec)
    assert layout.inodes_count < rich.inodes_count
    assert keeps_promise(layout, spec)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    image=small_images(),
    size=st.integers(10, 5000).map(lambda blocks: blocks * STEP),
    free=st.none() | st.integers(0, 20 * MIB),
)
def test_a_given_size_keeps_promises_or_names_one_that_does(
    image: tuple[Tree, Spec], size: int, free: int | None
) -> None:
    tree, spec = image
    spec = replace(spec, size=size, free=free)
    try:
        layout = ext4writer.plan(tree, spec)
    except SizeError as error:
        larger = replace(spec, size=size + error.missing_bytes)
        layout = ext4writer.plan(tree, larger)
    except SpecError:
        return
    if free:
        assert layout.available_bytes >= free
    if spec.free_inodes is not None:
        assert layout.free_inodes >= spec.free_inodes


@pytest.mark.parametrize(
    "spec",
    [Spec(size=4 * MIB), Spec(free=0, free_inodes=0), Spec(size=1 * MIB, block_size=1024)],
)
def test_a_journal_that_does_not_fit_is_in_the_report(spec: Spec) -> None:
    layout = ext4writer.plan(Tree(), spec)
    assert "has_journal" not in layout.features
    [loss] = layout.losses
    assert loss.path == b"/"
    sizes = re.search(r"has no journal: .*choose (\d+) bytes or more", loss.what)
    assert sizes is not None
    layout = ext4writer.plan(Tree(), replace(spec, size=int(sizes[1])))
    assert "has_journal" in layout.features and not layout.losses
    assert not ext4writer.plan(Tree(), replace(spec, journal="none")).losses
    without = spec.features.without("has_journal")
    assert not ext4writer.plan(Tree(), replace(spec, features=without)).losses


def test_a_requested_journal_must_fit() -> None:
    with pytest.raises(SizeError, match="journal 33554432"):
        ext4writer.plan(Tree(), Spec(size=16 * MIB, journal=32 * MIB))


@pytest.mark.parametrize("option", ["size", "free"])
def test_more_groups_than_inodes_for_them_are_refused_at_once(option: str) -> None:
    with pytest.raises(SpecError, match=rf"{option}: \d+ groups .* 4294967295 inodes in all"):
        ext4writer.plan(Tree(), Spec(**{option: "99999T"}))  # type: ignore[arg-type]
