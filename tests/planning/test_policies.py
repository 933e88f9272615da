"""Every choice of a policy is legal: e2fsck finds nothing, and the kernel reads back the tree."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest

import ext4writer
from ext4writer import (
    Directory,
    Layout,
    LayoutPolicy,
    RandomPolicy,
    RegularFile,
    Spec,
    SpecError,
    Tree,
    plan,
    policy,
)
from ext4writer.layout import plan_of
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.debugfs import TreeExtent
from tests.judges.fsck import judge_backups
from tests.judges.kernel import mounted
from tests.judges.tools import require_root

# A repair adds an index to every linear directory of three blocks, so it is never idle here.
pytestmark = pytest.mark.judged("quick")

Item = TypeVar("Item")
MakeImage = Callable[..., Path]

SECOND = 10**9
KIB = 1024
STAMP = 1_650_000_000 * SECOND
BLOCK_SIZES = [1024, 4096]
SEEDS = range(12)
ENTRIES_PER_BLOCK = {1024: 84, 4096: 340}
"""Extents in one block of an extent tree."""


def spec_for(block_size: int, choice: LayoutPolicy | None = None, **options: Any) -> Spec:
    """A small image with an identity that does not depend on the policy."""
    return Spec(
        block_size=block_size,
        free=256 * KIB,
        journal="none",
        uuid=UUID(int=1),
        hash_seed=UUID(int=2),
        policy=choice,
        **options,
    )


def noise(blocks: int, block_size: int = 1024) -> bytes:
    """Content without zero blocks in which no two blocks are equal."""
    return b"".join(b"%07d\n" % number * (block_size // 8) for number in range(blocks))


def small_tree() -> Tree:
    """A few hundred KiB in which every choice of a policy makes a difference."""
    tree = Tree(Directory(mtime_ns=STAMP, xattrs={b"user.root": b"r"}))
    common: dict[str, Any] = {"mtime_ns": STAMP, "uid": 1000}
    tree.directory("files", **common)
    for name, blocks in (("one", 1), ("five", 5), ("ninety", 90), ("many", 350), ("more", 120)):
        tree.file(f"files/{name}", noise(blocks), **common)
    tree.file("files/odd", noise(7)[:-100], **common)
    tree.file("files/empty", b"", **common)
    tree.file("files/holes", noise(3) + bytes(70 * KIB) + noise(4) + bytes(65 * KIB), **common)
    tree.symlink("files/fast", "one", **common)
    tree.symlink("files/slow", "x" * 200, **common)
    tree.device("files/tty", "c", 5, 1, **common)
    tree.fifo("files/fifo", **common)
    for number in range(6):
        shared = {b"user.note": b"the same", b"security.selinux": b"u:r:t:s0\0"}
        tree.file(f"files/alike{number}", b"%d" % number, xattrs=shared, **common)
        own = {b"user.own": b"%d" % number}
        tree.file(f"files/own{number}", b"%d" % number, xattrs=own, **common)
    tree.file("files/large set", b"x", xattrs={b"user.large": b"v" * 500}, **common)
    for directory, count, width in (("some", 45, 60), ("most", 300, 250)):
        tree.directory(directory, **common)
        for number in range(count):
            tree.link(f"{directory}/{number:0{width}d}", "files/one")
    for number in range(40):
        tree.directory(f"directory/{number}/inner", parents=True, **common)
        tree.file(f"directory/{number}/file", b"%d" % number, **common)
    return tree


TREE = small_tree()


def test_small_tree_is_a_few_hundred_kib() -> None:
    files = {node for _, node in TREE.walk() if isinstance(node, RegularFile)}
    assert sum(node.content.size for node in files) < 800 * KIB


def assert_reads_back(tree: Tree, image: Path, spec: Spec, *, holes: bool = False) -> None:
    require_root()
    with mounted(image) as point:
        assert_tree_equal(tree, point, spec, holes=holes)


# -- random policies -------------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_layout(seed: int, block_size: int, make_image: MakeImage) -> None:
    spec = spec_for(block_size, RandomPolicy(seed))
    image = make_image(TREE, spec)
    judge_backups(image)
    # The kernel reports unwritten blocks that it has read as data.
    has_unwritten = plan_of(plan(TREE, spec)).demand.unwritten
    assert_reads_back(TREE, image, spec, holes=not has_unwritten)


@pytest.mark.parametrize("inode_size", [128, 512])
@pytest.mark.parametrize("seed", [100, 101])
def test_random_layout_with_other_features(
    seed: int, inode_size: int, make_image: MakeImage
) -> None:
    features = ext4writer.DEFAULT_FEATURES.without("64bit", "metadata_csum", "flex_bg")
    if inode_size == 128:
        features = features.without("extra_isize")
    options: dict[str, Any] = {"inode_size": inode_size, "features": features}
    spec = spec_for(1024, RandomPolicy(seed), **options)
    image = make_image(TREE, spec)
    judge_backups(image)
    assert_reads_back(TREE, image, spec)


@pytest.mark.parametrize("seed", [200, 201])
def test_random_layout_of_a_fixed_size_with_a_journal(seed: int, make_image: MakeImage) -> None:
    """Several groups, and all their free blocks available for gaps."""
    spec = replace(spec_for(1024, RandomPolicy(seed)), size=40 << 20, journal="auto")
    image = make_image(TREE, spec)
    assert image.stat().st_size == 40 << 20
    judge_backups(image)
    assert_reads_back(TREE, image, spec)


def written(spec: Spec, workers: int = 1) -> bytes:
    image = bytearray()
    ext4writer.write_image(TREE, image, spec, workers=workers)
    return bytes(image)


def test_same_seed_same_bytes() -> None:
    for block_size in BLOCK_SIZES:
        chosen = policy("random:7")
        first = written(spec_for(block_size, chosen))
        assert written(spec_for(block_size, chosen), workers=3) == first, "asked before"
        assert written(spec_for(block_size, policy("random:7"))) == first
        assert written(spec_for(block_size, RandomPolicy(7))) == first


def test_different_seeds_different_bytes() -> None:
    for block_size in BLOCK_SIZES:
        images = [written(spec_for(block_size, RandomPolicy(seed))) for seed in SEEDS]
        images.append(written(spec_for(block_size)))
        assert len(set(images)) == len(SEEDS) + 1


def test_identity_follows_the_seed() -> None:
    """Without a given UUID, each random image has a different one."""
    spec = replace(spec_for(1024), uuid=None, hash_seed=None)
    layouts = [plan(TREE, replace(spec, policy=RandomPolicy(seed))) for seed in SEEDS]
    layouts.append(plan(TREE, spec))
    assert len({layout.uuid for layout in layouts}) == len(layouts)
    assert len({layout.hash_seed for layout in layouts}) == len(layouts)


def leaf_lengths(extents: Sequence[TreeExtent]) -> list[int]:
    """The number of extents in each leaf of a tree."""
    counts: list[int] = []
    before: TreeExtent | None = None
    for extent in extents:
        if extent.is_leaf and (before is None or not before.is_leaf):
            counts.append(0)
        if extent.is_leaf:
            counts[-1] += 1
        before = extent
    return counts


def depth(extents: Sequence[TreeExtent]) -> int:
    return max((extent.depth for extent in extents), default=0)


def xattr_block(image: Path, path: str) -> int:
    found = re.search(r"File ACL: (\d+)", debugfs.inode(image, path).text)
    assert found
    return int(found[1])


def crossings(image: Path) -> set[str]:
    """The boundaries of the format that an image of the small tree crosses."""
    seen = set()
    for name in ("one", "five", "odd", "ninety", "more", "many", "holes"):
        extents = debugfs.ex(image, f"/files/{name}")
        lengths = leaf_lengths(extents)
        if depth(extents) == 0 and sum(lengths) == 4:
            seen.add("four extents")
        if sum(lengths) == 5:
            seen.add("five extents")
        if lengths and max(lengths) == ENTRIES_PER_BLOCK[1024]:
            seen.add("full leaf")
        seen.add(f"extent tree of depth {depth(extents)}")
        if [extent.physical for extent in extents] != sorted(e.physical for e in extents):
            seen.add("file out of order")
    for name in ("/some", "/most", "/directory", "/files"):
        tree = debugfs.htree(image, name)
        if tree is not None:
            seen.add(f"htree of {tree.levels} levels")
        elif debugfs.inode(image, name).size > 1024:
            seen.add("linear directory of blocks")
        if depth(debugfs.ex(image, name)):
            seen.add("directory with an extent tree")
    for kind in ("alike", "own"):
        blocks = [xattr_block(image, f"/files/{kind}{number}") for number in range(6)]
        if not any(blocks):
            seen.add(f"{kind} inside")
        elif len(set(blocks)) == 1:
            seen.add(f"{kind} in one block")
        elif len(set(blocks)) == 6:
            seen.add(f"{kind} in blocks of their own")
        else:
            seen.add(f"{kind} mixed")
    inos = [debugfs.inode(image, path).ino for path in ("/files", "/most", "/directory/0/inner")]
    if inos != sorted(inos):
        seen.add("inodes out of order")
    return seen


EXPECTED_CROSSINGS = {
    "four extents",
    "five extents",
    "full leaf",
    "extent tree of depth 0",
    "extent tree of depth 1",
    "extent tree of depth 2",
    "file out of order",
    "htree of 1 levels",
    "htree of 2 levels",
    "linear directory of blocks",
    "directory with an extent tree",
    "alike inside",
    "alike mixed",
    "own mixed",
    "inodes out of order",
}


def test_random_layouts_cross_the_boundaries(make_image: MakeImage) -> None:
    seen = set()
    for seed in SEEDS:
        spec = spec_for(1024, RandomPolicy(seed))
        seen |= crossings(make_image(TREE, spec, name=f"{seed}"))
    assert seen >= EXPECTED_CROSSINGS
    plain = crossings(make_image(TREE, spec_for(1024), name="plain"))
    assert plain == {
        "extent tree of depth 0",
        "htree of 1 levels",
        "alike inside",
        "own inside",
    }


def test_random_numbers_are_splitmix64() -> None:
    """The first outputs for the seed 1234567, as published."""
    chosen = RandomPolicy(1234567)
    assert chosen.leaf_bytes(1 << 64) == 3203168211198807973
    assert chosen.leaf_bytes(1 << 64) == 4593380528125082431
    assert chosen.fresh().leaf_bytes(1 << 64) == 3203168211198807973


# -- the text form ---------------------------------------------------------------------------------


def test_policy_by_name() -> None:
    assert type(policy("default")) is LayoutPolicy
    chosen = policy("random:18446744073709551615")
    assert isinstance(chosen, RandomPolicy)
    assert (chosen.seed, chosen.name) == ((1 << 64) - 1, "random:18446744073709551615")
    assert policy("random:007").name == "random:7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Default",
        "default:1",
        "random",
        "random:",
        "random:x",
        "random:-1",
        "random:+1",
        "random:1.5",
        "random: 1",
        "random:1:2",
        "random:\u0663",
        "random:\u00b2",
        "random:18446744073709551616",
        "random:" + "9" * 5000,
    ],
)
def test_text_that_names_no_policy(text: str) -> None:
    with pytest.raises(SpecError, match="random:SEED") as raised:
        policy(text)
    assert raised.value.option == "policy"


# -- policies defined here -------------------------------------------------------------------------


class Scattered(LayoutPolicy):
    """Places blocks one by one in descending order, so that no two form one extent."""

    name = "scattered"
    sequential = False

    def run_lengths(self, blocks: int) -> list[int]:
        return [1] * blocks

    def shuffle(self, items: MutableSequence[Item]) -> None:
        items.reverse()

    def indexed(self, blocks: int) -> bool:
        return blocks > 1


def one_file(blocks: int, block_size: int) -> Tree:
    tree = Tree(Directory(mtime_ns=STAMP))
    tree.file("file", noise(blocks, block_size), mtime_ns=STAMP)
    return tree


def expected_depth(extents: int, per_block: int) -> int:
    levels = 0
    while extents > 4:
        extents = -(-extents // per_block)
        levels += 1
    return levels


@pytest.mark.parametrize(
    ("block_size", "extents"),
    [(1024, count) for count in (1, 4, 5, 84, 85, 168, 169, 336, 337, 421)]
    + [(4096, count) for count in (4, 5, 340, 341, 1360, 1361)],
)
def test_extent_tree_at_its_boundaries(
    block_size: int, extents: int, make_image: MakeImage
) -> None:
    tree, spec = one_file(extents, block_size), spec_for(block_size, Scattered())
    image = make_image(tree, spec)
    found = debugfs.ex(image, "/file")
    per_block = ENTRIES_PER_BLOCK[block_size]
    assert depth(found) == expected_depth(extents, per_block)
    assert sum(leaf_lengths(found)) == extents
    if depth(found):
        full, rest = divmod(extents, per_block)
        assert leaf_lengths(found) == [per_block] * full + ([rest] if rest else [])
    assert_reads_back(tree, image, spec)


def test_extent_tree_of_depth_three(make_image: MakeImage) -> None:
    """28,224 extents fill two levels of 1 KiB blocks; this is slightly more."""
    extents = 4 * 84 * 84 + 100
    tree, spec = one_file(extents, 1024), spec_for(1024, Scattered())
    image = make_image(tree, spec)
    found = debugfs.ex(image, "/file")
    assert depth(found) == 3
    assert sum(leaf_lengths(found)) == extents
    assert_reads_back(tree, image, spec)


def test_everything_scattered(make_image: MakeImage) -> None:
    for block_size in BLOCK_SIZES:
        spec = spec_for(block_size, Scattered())
        image = make_image(TREE, spec, name=f"{block_size}", level="full")
        assert_reads_back(TREE, image, spec, holes=True)


class OnePerBlock(Scattered):
    """Makes directories as large as possible, with one entry per block."""

    name = "one per block"

    def leaf_bytes(self, capacity: int) -> int:
        return 0


def directory_of(count: int, name: Callable[[int], bytes] = b"%d".__mod__) -> Tree:
    tree = Tree(Directory(mtime_ns=STAMP))
    tree.directory("names", mtime_ns=STAMP)
    tree.file("file", b"", mtime_ns=STAMP)
    for number in range(count):
        tree.link(b"names/" + name(number), "file")
    return tree


@pytest.mark.parametrize(
    ("block_size", "count", "levels"),
    [(1024, 2, 1), (1024, 123, 1), (1024, 124, 2), (1024, 800, 2), (4096, 507, 1), (4096, 508, 2)],
)
def test_leaves_of_one_entry(
    block_size: int, count: int, levels: int, make_image: MakeImage
) -> None:
    """The number of leaves equals that of names, up to the root's limit and past it."""

    class Always(OnePerBlock):
        def indexed(self, blocks: int) -> bool:
            return True

    tree, spec = directory_of(count), spec_for(block_size, Always())
    image = make_image(tree, spec)
    found = debugfs.htree(image, "/names")
    assert found is not None
    assert found.levels == levels
    assert [len(leaf) for leaf in found.leaves] == [1] * count
    assert sorted(name for leaf in found.leaves for name in leaf) == sorted(
        b"%d" % number for number in range(count)
    )
    assert_reads_back(tree, image, spec)


class Linear(OnePerBlock):
    """No indexes, and names in a different order."""

    name = "linear"

    def entry_order(self, names: list[bytes]) -> list[bytes]:
        return sorted(names, key=lambda name: name[::-1])

    def indexed(self, blocks: int) -> bool:
        return False


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_linear_directories(block_size: int, make_image: MakeImage) -> None:
    class Full(Linear):
        def leaf_bytes(self, capacity: int) -> int:
            return capacity

    for choice, blocks in ((Linear(), 300), (Full(), None)):
        tree, spec = directory_of(300), spec_for(block_size, choice)
        image = make_image(tree, spec, name=choice.__class__.__name__)
        assert debugfs.htree(image, "/names") is None
        size = debugfs.inode(image, "/names").size
        assert size == blocks * block_size if blocks else size <= 6 * KIB
        text = debugfs.debugfs(image, "ls -l /names").encode()
        listed = re.findall(rb"(?m)^ *\d+ +\d+ .* (\d+)$", text)
        assert sorted(listed) == sorted(b"%d" % number for number in range(300))
        assert listed == choice.entry_order(listed)
        assert_reads_back(tree, image, spec)


class Indexed(LayoutPolicy):
    """Indexes wherever possible, even for an empty directory."""

    name = "indexed"
    sequential = False

    def indexed(self, blocks: int) -> bool:
        return True


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_index_over_small_directories(block_size: int, make_image: MakeImage) -> None:
    spec = spec_for(block_size, Indexed())
    image = make_image(TREE, spec, level="full")
    for path in ("/some", "/directory", "/directory/1", "/directory/1/inner"):
        assert debugfs.htree(image, path) is not None
    assert_reads_back(TREE, image, spec)


class Numbered(LayoutPolicy):
    """Widely spaced inode numbers, in reverse order of the nodes."""

    name = "numbered"

    def __init__(self, step: int) -> None:
        self.step = step

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:
        return range(first + (count - 1) * self.step, first - 1, -self.step)


@pytest.mark.parametrize("step", [1, 2, 97])
def test_inode_numbers(step: int, make_image: MakeImage) -> None:
    spec = spec_for(1024, Numbered(step))
    image = make_image(TREE, spec, level="full")
    layout = plan(TREE, spec)
    root, lost_and_found, *numbers = plan_of(layout).table.inos
    assert (root, lost_and_found) == (2, 11)
    assert numbers == list(range(12, 12 + len(numbers) * step, step))
    assert debugfs.inode(image, "/directory").ino == numbers[-1]
    assert_reads_back(TREE, image, spec)


class Outside(LayoutPolicy):
    """Stores attributes in blocks."""

    name = "outside"

    def __init__(self, shared: bool) -> None:
        self.shared = shared

    def xattrs_outside(self) -> bool:
        return True

    def xattrs_shared(self) -> bool:
        return self.shared


@pytest.mark.parametrize("shared", [True, False])
def test_attributes_outside(shared: bool, make_image: MakeImage) -> None:
    spec = spec_for(1024, Outside(shared))
    image = make_image(TREE, spec, level="full")
    blocks = [xattr_block(image, f"/files/alike{number}") for number in range(6)]
    assert all(blocks)
    assert len(set(blocks)) == (1 if shared else 6)
    own = {xattr_block(image, f"/files/own{number}") for number in range(6)}
    assert len(own) == 6
    assert_reads_back(TREE, image, spec)


class Gaps(Scattered):
    """Leaves three free blocks in front of each piece."""

    name = "gaps"

    def run_lengths(self, blocks: int) -> list[int]:
        return [blocks]

    def gap(self) -> int:
        return 3


def test_gaps_between_files(make_image: MakeImage) -> None:
    tree = Tree(Directory(mtime_ns=STAMP))
    for number in range(30):
        tree.file(f"{number:02d}", noise(5), mtime_ns=STAMP)
    spec = replace(spec_for(1024, Gaps()), lost_and_found=False)
    image = make_image(tree, spec)
    starts = sorted(debugfs.ex(image, f"/{number:02d}")[0].physical for number in range(30))
    assert {after - before for before, after in pairwise(starts)} == {8}
    assert_reads_back(tree, image, spec)


def test_gaps_do_not_enlarge_the_image(make_image: MakeImage) -> None:
    """Gaps use only the free blocks that were promised anyway."""

    def sized(choice: LayoutPolicy, free: int) -> Layout:
        return plan(TREE, replace(spec_for(1024, choice), free=free))

    class Whole(Gaps):
        def gap(self) -> int:
            return 0

    for free in (0, 100 * KIB):
        assert sized(Gaps(), free).size_bytes == sized(Whole(), free).size_bytes
    spec = replace(spec_for(1024, Gaps()), free=0)
    assert_reads_back(TREE, make_image(TREE, spec), spec)


class Stateful(LayoutPolicy):
    """Choices that depend on earlier calls; ``fresh`` starts over."""

    name = "stateful"
    sequential = False

    def __init__(self) -> None:
        self.asked = 0

    def fresh(self) -> LayoutPolicy:
        return Stateful()

    def run_lengths(self, blocks: int) -> list[int]:
        lengths = []
        while blocks:
            self.asked += 1
            lengths.append(min(blocks, 1 + self.asked % 5))
            blocks -= lengths[-1]
        return lengths

    def gap(self) -> int:
        self.asked += 1
        return self.asked % 3


def test_policy_that_remembers(make_image: MakeImage) -> None:
    choice = Stateful()
    spec = spec_for(1024, choice)
    image = make_image(TREE, spec)
    assert written(spec) == image.read_bytes()
    assert choice.asked == 0
    assert_reads_back(TREE, image, spec)


class Unsteady(LayoutPolicy):
    """Remembers earlier calls, like a policy that draws from a generator, and has no ``fresh``."""

    name = "unsteady"
    moves_metadata = True

    def __init__(self) -> None:
        self.asked = 0

    def metadata_gap(self) -> int:
        self.asked += 1
        return self.asked % 7


def test_a_policy_with_changing_answers_gives_no_corrupt_image() -> None:
    data = bytearray()
    with pytest.raises(SpecError, match="^policy: fresh of 'unsteady' returned .* same choices"):
        ext4writer.write_image(TREE, data, spec_for(1024, Unsteady()))
    assert not data


def lying(method: str, answer: Callable[..., Any], *, sequential: bool = False) -> LayoutPolicy:
    """A policy with one method that returns an illegal answer."""
    members = {"name": "lying", "sequential": sequential, method: lambda _, *asked: answer(*asked)}
    kind: type[LayoutPolicy] = type("Lying", (LayoutPolicy,), members)
    return kind()


@pytest.mark.parametrize(
    ("method", "answer", "words"),
    [
        ("inode_numbers", lambda count, first: range(count), "returned 0; the smallest"),
        ("inode_numbers", lambda count, first: range(first, first + count - 1), "numbers for"),
        ("inode_numbers", lambda count, first: [first] * count, "returned a number twice"),
        ("inode_numbers", lambda count, first: [1 << 32] * count, "returned 4294967296"),
        ("inode_numbers", lambda count, first: [f"{first}"] * count, "not an integer"),
        ("run_lengths", lambda blocks: [blocks + 3, -3], r"returned \[\d+, -3\]; positive"),
        ("run_lengths", lambda blocks: [blocks - 1], "must add up to"),
        ("run_lengths", lambda blocks: [0, blocks], r"returned \[0, "),
        ("run_lengths", lambda blocks: [], r"returned \[\];"),
        ("run_lengths", lambda blocks: [blocks / 1], "not an integer"),
        ("shuffle", lambda items: items.pop(), "other pieces"),
        ("shuffle", lambda items: items.append(items[0]), "other pieces"),
        ("gap", lambda: -1, "returned -1, which"),
        ("gap", lambda: 0.5, "not an integer"),
        ("entry_order", lambda names: names[1:], "other names"),
        ("entry_order", lambda names: [*names[1:], names[1]], "other names"),
        ("entry_order", lambda names: [b"else", *names[1:]], "other names"),
        ("leaf_bytes", lambda capacity: capacity / 2, "not an integer"),
        ("fresh", lambda: 5, "not a LayoutPolicy"),
    ],
)
def test_illegal_answers_of_policies_are_refused(
    method: str, answer: Callable[..., Any], words: str
) -> None:
    with pytest.raises(SpecError, match=f"^policy: {method} of 'lying' returned ") as caught:
        plan(TREE, spec_for(1024, lying(method, answer), lost_and_found=False))
    assert re.search(words, str(caught.value)), caught.value
    assert caught.value.option == "policy"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("entry_order", lambda names: names.sort(reverse=True) or names),
        ("entry_order", lambda names: iter(names[::-1])),
        ("run_lengths", lambda blocks: (length for length in [1] * blocks)),
        ("indexed", lambda blocks: 1),
        ("inode_numbers", lambda count, first: reversed(range(first, first + 3 * count, 3))),
    ],
)
def test_answers_in_other_forms(
    method: str, answer: Callable[..., Any], make_image: MakeImage
) -> None:
    spec = spec_for(1024, lying(method, answer))
    assert_reads_back(TREE, make_image(TREE, spec), spec)
