"""What policies leave in inodes, tables and directory blocks, as foreign programs show it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import Ext4WriterError, LayoutPolicy, Spec, Tree, policy
from ext4writer.inspection.check import check_image
from ext4writer.ondisk.dirent import decode_rec_len
from ext4writer.read import open_image
from tests.judges import debugfs
from tests.judges.fsck import assert_clean, judge_backups, judge_bytes
from tests.judges.kernel import mounted
from tests.judges.tools import require_root

# A repair adds an index to every linear directory of three blocks, so it is never idle here.
pytestmark = pytest.mark.judged("quick")

HOLES = b"h" * 3000 + bytes(41_000) + b"i" * 700
MTIME = 1_600_000_000 * 10**9


def sample() -> Tree:
    tree = Tree()
    for number in range(60):
        tree.file(f"/many/{number:020}", b"%d" % number, parents=True, mtime_ns=MTIME)
    tree.file("/exact", b"x", mtime_ns=MTIME + 1)
    tree.file("/born", b"x", mtime_ns=MTIME, crtime_ns=MTIME)
    tree.file("/late", b"x", mtime_ns=MTIME, atime_ns=1 << 62)
    tree.file("/long", b"l" * 50_000)
    tree.file("/holes", HOLES)
    tree.file("/empty", b"")
    tree.file("/labelled", b"x", mtime_ns=MTIME, xattrs={"user.label": "l" * 20})
    return tree


def written(choice: str, folder: Path, **options: Any) -> Path:
    image = folder / "image"
    given: dict[str, Any] = {"free": "64K", "journal": "none"}
    if "size" in options:
        del given["free"]
    spec = Spec(block_size=1024, policy=policy(choice), **{**given, **options})
    ext4writer.write_image(sample(), image, spec)
    return image


def extents(image: Path, path: str) -> list[debugfs.TreeExtent]:
    return [extent for extent in debugfs.ex(image, path) if extent.is_leaf]


def test_blocks_past_the_end(tmp_path: Path) -> None:
    image = written("past-end", tmp_path)
    for path in ("/exact", "/long", "/empty"):
        found = debugfs.inode(image, path)
        last = extents(image, path)[-1]
        end = -(-found.size // 1024)
        assert last.unwritten and last.first == end, (path, last)
        assert found.blockcount >= 2 * (last.last + 1)


def test_unwritten_holes(tmp_path: Path) -> None:
    image = written("unwritten-holes:1", tmp_path)
    kinds = [extent.unwritten for extent in extents(image, "/holes")]
    assert True in kinds and False in kinds
    first = next(extent for extent in extents(image, "/holes") if extent.unwritten)
    debugfs_says = debugfs.debugfs(image, f"dump /holes {tmp_path / 'dumped'}")
    assert (tmp_path / "dumped").read_bytes() == HOLES, debugfs_says
    assert first.last - first.first < 41


def test_unwritten_blocks_are_omitted_without_space(tmp_path: Path) -> None:
    image = written("past-end", tmp_path, size="200K", journal="none")
    assert not any(extent.unwritten for extent in extents(image, "/long"))


def test_block_maps_and_extents_in_one_image(tmp_path: Path) -> None:
    image = written("block-maps", tmp_path)
    paths = ("/", "/many", "/exact", "/long", "/holes", "/empty", "/born", "/late")
    has_extents = {bool(debugfs.inode(image, path).flags & 0x80000) for path in paths}
    assert has_extents == {True, False}
    assert "(IND)" in "".join(debugfs.inode(image, path).text for path in paths)


def number(text: str, name: str) -> int:
    found = re.search(rf"{name}: (\d+)", text)
    assert found, (name, text)
    return int(found[1])


def test_generations(tmp_path: Path) -> None:
    image = written("generations:3", tmp_path)
    paths = ("/", "/many", "/exact", "/born", "/lost+found")
    found = [number(debugfs.inode(image, path).text, "Generation") for path in paths]
    assert len(set(found)) == len(paths) and 0 not in found


def test_extra_fields_of_all_sizes(tmp_path: Path) -> None:
    image = written("extra-sizes", tmp_path, inode_size=512)
    sizes = {
        path: number(debugfs.inode(image, path).text, "Size of extra inode fields")
        for path in ("/exact", "/born", "/labelled", *(f"/many/{n:020}" for n in range(40)))
    }
    assert sizes["/exact"] >= 16 and sizes["/born"] >= 24 and sizes["/labelled"] == 32
    assert min(sizes.values()) < 8 and max(sizes.values()) > 300
    assert all(size % 4 == 0 for size in sizes.values())


def test_times_without_extra_words(tmp_path: Path) -> None:
    image = written("old-times", tmp_path)
    found = {path: debugfs.inode(image, path) for path in ("/exact", "/late", "/born", "/many")}
    sizes = [number(each.text, "Size of extra inode fields") for each in found.values()]
    assert sizes[0] == 16 and sizes[2:] == [24, 4]
    assert found["/born"].times["crtime"] == MTIME
    assert "crtime" not in found["/many"].times
    assert debugfs.superblock(image)["Required extra isize"] == "4"
    require_root()
    with mounted(image) as point:
        # debugfs shows fractions only for inodes with a creation time
        assert (point / "exact").stat().st_mtime_ns == MTIME + 1
        assert (point / "late").stat().st_atime_ns == 1 << 62


def test_deleted_inodes(tmp_path: Path) -> None:
    image = written("deleted-inodes:1", tmp_path)
    free = [range(first, last + 1) for first, last in debugfs.groups(image)[0].free_inode_ranges]
    deleted = []
    for ino in [ino for some in free for ino in some][:40]:
        found = debugfs.inode(image, ino)
        if "dtime: 0x" in found.text:
            assert (found.kind, found.links, found.size) == ("regular", 0, 0)
            deleted.append(ino)
    assert len(deleted) > 10


def test_inodes_that_count_as_used_before(tmp_path: Path) -> None:
    plain = debugfs.groups(written("default", tmp_path, free_inodes=200))[0]
    (tmp_path / "image").unlink()
    found = debugfs.groups(written("unused-inodes:2", tmp_path, free_inodes=200))[0]
    assert 0 < found.unused_inodes < plain.unused_inodes
    assert found.free_inodes == plain.free_inodes


def test_nothing_is_uninitialized(tmp_path: Path) -> None:
    options: dict[str, Any] = {"blocks_per_group": 256, "size": "1M", "inodes": 128}
    flags = {"INODE_UNINIT", "BLOCK_UNINIT", "ITABLE_ZEROED"}
    plain = debugfs.groups(written("default", tmp_path, **options))
    assert set().union(*(group.flags for group in plain)) == flags
    (tmp_path / "image").unlink()
    found = debugfs.groups(written("initialized", tmp_path, **options))
    assert not any(group.flags for group in found)


def records(image: Path, path: str) -> Iterator[list[tuple[int, int, bytes]]]:
    """The (inode, rec_len, name) of each record in each block of a directory."""
    with open_image(image) as opened:
        inode = opened.lookup(path)
        blocks = [
            opened.block(run.physical + number)
            for run in inode.runs()
            for number in range(run.length)
        ]
    for data in blocks:
        at, found = 0, []
        while at < len(data):
            length = decode_rec_len(int.from_bytes(data[at + 4 : at + 6], "little"), len(data))
            ino = int.from_bytes(data[at : at + 4], "little")
            found.append((ino, length, data[at + 8 : at + 8 + data[at + 6]]))
            at += length
        yield found[:-1]  # without the tail


def test_records_longer_than_their_entries(tmp_path: Path) -> None:
    image = written("record-slack:5", tmp_path)
    inside = [record for block in records(image, "/many") for record in block[:-1]]
    assert sum(length > 8 + len(name) + 3 for _, length, name in inside) > 5


def test_names_of_deleted_files(tmp_path: Path) -> None:
    image = written("deleted-names", tmp_path)
    for path in ("/many", "/"):
        listed = debugfs.debugfs(image, f"ls -d {path}")
        assert re.search(r"<\d+> +\(\d+\) +deleted-\d+", listed), listed


@pytest.mark.parametrize("features", ["", "^dir_index", "^metadata_csum"])
@pytest.mark.parametrize("name", ["empty-blocks", "empty-tail"])
def test_blocks_without_names(name: str, features: str, tmp_path: Path) -> None:
    image = written(name, tmp_path, features=features)
    tree = debugfs.htree(image, "/many")
    assert (tree is None) == (features == "^dir_index")
    if tree is not None:
        assert [] in tree.leaves
    elif name == "empty-tail":
        assert not any(ino for block in list(records(image, "/many"))[-4:] for ino, _, _ in block)


def places(image: Path) -> list[tuple[int, int, int]]:
    """(block bitmap, inode bitmap, inode table) of each group."""
    names = ("bg_block_bitmap", "bg_inode_bitmap", "bg_inode_table")
    with open_image(image) as opened:
        found = [opened.descriptor(group) for group in range(opened.groups)]
    return [tuple(each[name] for name in names) for each in found]  # type: ignore[misc]


@pytest.mark.parametrize(
    "features", ["", "^flex_bg", "meta_bg,^resize_inode", "^sparse_super,^resize_inode"]
)
@pytest.mark.parametrize("name", ["metadata-shuffle:3", "metadata-gaps:3"])
def test_metadata_of_several_groups(name: str, features: str, tmp_path: Path, watch: Any) -> None:
    options: dict[str, Any] = {
        "blocks_per_group": 512,
        "features": features,
        "size": "2M",
        "inodes": 200,
        "grow_to": 0 if not features else None,
    }
    usual = places(written("default", tmp_path, **options))
    (tmp_path / "image").unlink()
    image = written(name, tmp_path, **options)
    watch.judge(image, "full")
    found = places(image)
    assert len(found) == 4 and found != usual
    blocks = [block for each in found for block in each]
    if "gaps" in name:
        assert [each[0] for each in found] == sorted(each[0] for each in found)
    else:
        assert blocks != sorted(blocks)


class WideGaps(LayoutPolicy):
    """Requests metadata gaps that never fit between two groups."""

    name = "wide-gaps"
    moves_metadata = True

    def metadata_gap(self) -> int:
        return 1 << 40


@pytest.mark.parametrize("size", [None, "512K"])
def test_metadata_without_space_for_gaps_is_in_its_usual_place(size: str | None) -> None:
    options: dict[str, Any] = {"blocks_per_group": 512, "block_size": 1024, "inode_size": 1024}
    options |= {"inodes": 448, "size": size, "journal": "none", "grow_to": 0}
    options |= {"free": 0} if size is None else {}
    data = bytearray()
    ext4writer.write_image(small(), data, Spec(policy=WideGaps(), **options))
    judge_bytes(data)
    with open_image(bytes(data)) as opened:
        assert opened.groups == 1
        assert opened.descriptor(0)["bg_inode_table"] < 20


def test_files_in_other_groups_than_their_directory(tmp_path: Path) -> None:
    image = written("other-groups", tmp_path, blocks_per_group=512, size="3M", inodes=600)
    with open_image(image) as opened:
        of_inodes = {
            (opened.lookup(f"/many/{each:020}").ino - 1) // opened.inodes_per_group
            for each in range(60)
        }
        first_blocks = [
            next(iter(opened.lookup(f"/many/{each:020}").runs())).physical for each in range(60)
        ]
    assert len(of_inodes) > 2
    assert len({block // 512 for block in first_blocks}) > 2


def test_no_journal_waits_where_no_kernel_may_write(tmp_path: Path) -> None:
    for features, waits in (("shared_blocks", False), ("", True)):
        image = tmp_path / (features or "usual")
        choice = policy("journal-transactions")
        spec = Spec(block_size=1024, journal="1M", features=features, policy=choice)
        ext4writer.write_image(sample(), image, spec)
        with open_image(image) as opened:
            assert opened.format.needs_recovery is waits


# -- policies defined here -------------------------------------------------------------------------


class Answering(LayoutPolicy):
    """Gives one special answer to one question, and the usual ones to all others."""

    def __init__(self, method: str, answer: Any, *, sequential: bool) -> None:
        self.name = "answering"
        self.sequential = sequential
        setattr(self, method, lambda *_: answer)


METHODS = [name for name, value in vars(LayoutPolicy).items() if callable(value) and name[0] != "_"]
NUMBERS = st.integers(-3, 40) | st.sampled_from([1 << 31, 1 << 32, -(1 << 31), 100, 1024])
ANSWERS = st.one_of(
    NUMBERS,
    st.lists(NUMBERS, max_size=6),
    st.sampled_from([None, 1.5, "3", b"name", b"a/b", b"\0", b"n" * 300, True, {}, object()]),
)


def small() -> Tree:
    tree = Tree()
    for each in range(4):
        tree.file(f"/files/{each}", b"x" * 900 * each, parents=True, xattrs={"user.a": "a"})
    return tree


@pytest.mark.parametrize("method", [name for name in METHODS if name != "fresh"])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(answer=ANSWERS, sequential=st.booleans())
def test_nonsense_is_an_error_and_never_a_wrong_image(
    method: str, answer: Any, sequential: bool
) -> None:
    choice = Answering(method, answer, sequential=sequential)
    features = "inline_data" if method == "inline" else ""
    spec = Spec(block_size=1024, journal="none", free=0, policy=choice, features=features)
    data = bytearray()
    try:
        ext4writer.write_image(small(), data, spec)
    except Ext4WriterError:
        return
    with open_image(bytes(data)) as opened:
        assert not check_image(opened, data=True).problems
    if method not in ("extent_entries", "shuffle"):
        judge_bytes(data)


# -- groups, backups and the journal ---------------------------------------------------------------


def fill(image: Path, files: int = 20, *, recovers: bool = False) -> None:
    """Have the kernel write ``files``, and e2fsck judge the result."""
    require_root()
    with mounted(image, rw=True, recovers=recovers) as point:
        for each in range(files):
            (point / f"new-{each}").write_bytes(b"n" * 4000)
        assert (point / "holes").read_bytes() == HOLES
    assert_clean(image)


@pytest.mark.parametrize("seed", range(3))
def test_metadata_in_other_flex_groups(seed: int, tmp_path: Path, watch: Any) -> None:
    image = written(
        f"metadata-across:{seed}",
        tmp_path,
        blocks_per_group=512,
        groups_per_flex=2,
        features="^resize_inode",
        size="4M",
        inodes=400,
    )
    watch.judge(image, "full")
    found = places(image)
    assert len(found) == 8
    elsewhere = [
        block for group, each in enumerate(found) for block in each if block // 1024 != group // 2
    ]
    assert len(elsewhere) > 8
    assert {block // 1024 for each in found for block in each} == {0, 1, 2, 3}
    fill(image, files=200)  # in all groups


def test_metadata_stays_in_its_group_without_flex_groups(tmp_path: Path, watch: Any) -> None:
    options: dict[str, Any] = {"blocks_per_group": 512, "features": "^flex_bg", "inodes": 200}
    image = written("metadata-across", tmp_path, size="2M", grow_to=0, **options)
    watch.judge(image, "full")
    for group, each in enumerate(places(image)):
        assert {(block - 1) // 512 for block in each} == {group}


def test_metadata_in_reverse_order(tmp_path: Path, watch: Any) -> None:
    options: dict[str, Any] = {"blocks_per_group": 512, "size": "2M", "inodes": 200}
    image = written("metadata-backwards", tmp_path, grow_to=0, **options)
    watch.judge(image, "full")
    found = places(image)
    blocks = [each[kind] for kind in (0, 1, 2) for each in found]
    assert blocks == sorted(blocks, reverse=True) and len(blocks) == 12


@pytest.mark.parametrize("count", [0, 1, 2])
def test_backups_in_any_groups(count: int, tmp_path: Path, watch: Any) -> None:
    seen = set()
    for seed in range(4):
        image = written(
            f"backup-groups:{seed}",
            tmp_path,
            blocks_per_group=512,
            features="sparse_super2,^resize_inode",
            num_backup_sb=count,
            size="4M",
            inodes=400,
        )
        watch.judge(image, "full")
        found = debugfs.superblock(image).get("Backup block groups", "").split()
        assert len(found) == count
        seen |= set(found)
        judge_backups(image)
        image.unlink()
    assert len(seen - {"1", "7"}) >= 2 * count


def journal_runs(image: Path) -> list[tuple[int, int]]:
    """(first block, length) of each run of the journal, in logical order."""
    return [
        (each.physical, each.last - each.first + 1) for each in debugfs.ex(image, 8) if each.is_leaf
    ]


@pytest.mark.parametrize("options", [{"free": "300K", "journal": "1M"}, {"size": "6M"}])
def test_a_journal_between_files(options: dict[str, Any], tmp_path: Path) -> None:
    options = {"journal": "auto", **options}
    usual = written("default", tmp_path, **options)
    size = usual.stat().st_size
    found = {"default": journal_runs(usual)}
    usual.unlink()
    for name in ("journal-last", "journal-between", "journal-pieces"):
        image = written(f"{name}:1", tmp_path, **options)
        assert image.stat().st_size - size in (0, 4096), "one more block of its extent tree"
        found[name] = journal_runs(image)
        fill(image)
        image.unlink()
    assert {sum(length for _, length in runs) for runs in found.values()} == {1024}
    [(first, _)], [(last, _)], [(between, _)], pieces = found.values()
    assert first < between < last
    assert len(pieces) > 4 and pieces != sorted(pieces)


def test_a_larger_journal_where_its_size_is_free(tmp_path: Path) -> None:
    wanted = {"auto": range(1025, 2049), "1M": range(1024, 1025)}
    for journal, possible in wanted.items():
        image = written("journal-larger:1", tmp_path, journal=journal, free="3M")
        assert sum(length for _, length in journal_runs(image)) in possible
        image.unlink()
    # At most a sixteenth of an image of a given size.
    image = written("journal-larger:5", tmp_path, journal="auto", size="3M")
    assert sum(length for _, length in journal_runs(image)) == 1024


def test_transactions_in_a_journal_of_pieces(tmp_path: Path) -> None:
    class Both(type(policy("journal-pieces"))):  # type: ignore[misc]
        name = "both"

        def journal_state(self, room: Any) -> Any:
            return policy("journal-wrap:3").journal_state(room)

    image = tmp_path / "image"
    spec = Spec(block_size=1024, free="200K", journal="1M", policy=Both(1))
    ext4writer.write_image(sample(), image, spec)
    fill(image, files=5, recovers=True)
    assert len(journal_runs(image)) > 4


def test_random_layouts_choose_all_of_that(tmp_path: Path, watch: Any) -> None:
    seen = set()
    for seed in range(6):
        image = written(
            f"random:{seed}",
            tmp_path,
            blocks_per_group=1024,
            groups_per_flex=2,
            features="sparse_super2,^resize_inode",
            journal="auto",
            size="8M",
            inodes=400,
        )
        watch.judge(image, "full")
        runs = journal_runs(image)
        if len(runs) > 2:
            seen.add("pieces")
        if sum(length for _, length in runs) > 1024:
            seen.add("larger")
        if debugfs.superblock(image)["Backup block groups"].split() != ["1", "7"]:
            seen.add("backups")
        if any(b // 2048 != g // 2 for g, each in enumerate(places(image)) for b in each):
            seen.add("across")
        image.unlink()
    assert seen == {"pieces", "larger", "backups", "across"}


def test_one_free_entry_in_each_node_of_an_extent_tree(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("/long", b"l" * 400_000)
    choice = policy("loose-extents")
    image = tmp_path / "image"
    ext4writer.write_image(
        tree, image, Spec(block_size=1024, free="512K", journal="none", policy=choice)
    )
    found = [each for each in debugfs.ex(image, "/long") if not each.is_leaf]
    assert max(each.depth for each in debugfs.ex(image, "/long")) == 2
    assert len(found) == 1 + 5  # 83 extents in all leaves but the last


# -- what the names mean ---------------------------------------------------------------------------


def many() -> Tree:
    tree = Tree()
    for number in range(40):
        tree.file(f"/d/{number:030}", b"x" * 2500, parents=True, xattrs={"user.a": "same"})
    return tree


class Observed:
    """How a policy laid out the files of one directory, in the order of their names."""

    def __init__(self, choice: str, folder: Path, features: str = "") -> None:
        self.image = folder / "image"
        spec = Spec(
            block_size=1024,
            free="256K",
            journal="none",
            features=features,
            policy=policy(choice),
        )
        ext4writer.write_image(many(), self.image, spec)
        with open_image(self.image) as opened:
            found = [opened.lookup(f"/d/{number:030}") for number in range(40)]
            self.inos = [each.ino for each in found]
            self.runs = [[(run.physical, run.length) for run in each.runs()] for each in found]
            self.used = (
                opened.superblock["s_inodes_count"] - (opened.superblock["s_free_inodes_count"])
            )
        self.starts = [runs[0][0] if runs else 0 for runs in self.runs]
        self.names = [
            [name for ino, _, name in block if ino and name not in (b".", b"..")]
            for block in records(self.image, "/d")
        ]
        self.image.unlink()


def test_names_of_policies_are_true(tmp_path: Path) -> None:
    looks = {
        name: Observed(name, tmp_path)
        for name in (
            *("default", "backwards", "interleaved", "gaps", "scattered-files", "one-block-runs"),
            *("inode-gaps", "inode-shuffle", "inodes-backwards"),
            *("one-entry-leaves", "linear"),
        )
    }
    usual = looks.pop("default")
    assert usual.starts == sorted(usual.starts) and usual.inos == sorted(usual.inos)
    assert all(len(runs) == 1 for runs in usual.runs)
    one, two = looks["backwards"], looks["interleaved"]
    assert all(len(runs) == 2 and runs[0] > runs[1] for runs in one.runs)
    pieces = sorted((start, index) for index, runs in enumerate(two.runs) for start, _ in runs)
    order = [index for _, index in pieces]
    assert order != sorted(order) and len(pieces) > 40
    starts = looks["gaps"].starts
    assert all(after - before > 3 for before, after in pairwise(starts)), "3 blocks each"
    scattered = looks["scattered-files"]
    assert all(len(runs) == 1 for runs in scattered.runs)
    assert scattered.starts != sorted(scattered.starts)
    assert all(length == 1 for runs in looks["one-block-runs"].runs for _, length in runs)
    inos = looks["inode-gaps"].inos
    assert inos == sorted(inos) and inos[-1] - inos[0] > 60
    shuffled = looks["inode-shuffle"].inos
    assert shuffled not in (sorted(shuffled), sorted(shuffled, reverse=True))
    last_first = looks["inodes-backwards"].inos
    assert last_first == sorted(last_first, reverse=True)
    names = [name for block in looks["linear"].names for name in block]
    assert names == sorted(names) and len(names) == 40
    assert max(map(len, looks["one-entry-leaves"].names)) == 1
    partly = [Observed(f"slack:{seed}", tmp_path) for seed in range(4)]
    assert max(len(look.names) for look in partly) > len(usual.names)


def test_names_of_policies_for_order_are_true(tmp_path: Path) -> None:
    for name, expected in (("entries-backwards", True), ("entry-shuffle", False)):
        look = Observed(name, tmp_path, features="^dir_index")
        names = [each for block in look.names for each in block]
        assert len(names) == 40 and names != sorted(names)
        assert (names == sorted(names, reverse=True)) is expected


def test_names_of_policies_for_attributes_are_true(tmp_path: Path) -> None:
    blocks = {}
    for name in ("default", "xattr-blocks", "xattrs-unshared"):
        image = tmp_path / name
        spec = Spec(block_size=1024, free="64K", journal="none", policy=policy(name))
        ext4writer.write_image(many(), image, spec)
        texts = [debugfs.inode(image, f"/d/{number:030}").text for number in range(40)]
        blocks[name] = {number(text, "File ACL") for text in texts}
    assert blocks["default"] == {0}
    assert len(blocks["xattr-blocks"]) == 1 and blocks["xattr-blocks"] != {0}
    assert len(blocks["xattrs-unshared"]) == 40
    usual = Observed("default", tmp_path, features="ea_inode")
    assert Observed("xattr-inodes", tmp_path, features="ea_inode").used == usual.used + 1


def test_small_files_leave_their_inodes(tmp_path: Path) -> None:
    for name, has_blocks in (("default", False), ("nothing-inline", True)):
        image = written(name, tmp_path, features="inline_data")
        assert bool(extents(image, "/exact")) is has_blocks
        image.unlink()
