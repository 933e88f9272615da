"""A policy with invalid answers causes an error with its name and the method, and no image."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ext4writer
from ext4writer import LayoutPolicy, Spec, SpecError, Tree
from ext4writer.states import (
    DeletedFile,
    FastChange,
    JournalState,
    MmpState,
    OrphanState,
    Transaction,
    TruncatedFile,
    Write,
)

ASKED = [name for name, value in vars(LayoutPolicy).items() if callable(value) and name[0] != "_"]
TRUTHS = {"indexed", "inline", "xattrs_outside", "xattrs_shared", "block_mapped", "deleted_inode"}
TRUTHS |= {"uninit", "xattr_value_apart", "xattr_values_shared"}
IN_PLACE = {"shuffle", "metadata_order"}
"""Their return values do not matter."""
MAY_BE_NONE = {"inode_numbers", "backup_numbers", "journal_places"}
MAY_BE_NONE |= {"journal_state", "orphan_state", "mmp_state"}


class Evil:
    """Fails on any use."""

    def __getattribute__(self, name: str) -> Any:
        raise ZeroDivisionError(name)

    def _fail(self, *_: object) -> Any:
        raise ZeroDivisionError

    __repr__ = __str__ = __iter__ = __len__ = __bool__ = __lt__ = _fail
    __eq__ = __ne__ = _fail
    __hash__ = _fail


def made(value: Any) -> Any:
    """``value``, or an instance of ``Evil``, for which pytest cannot make an id."""
    return Evil() if value is Evil else value


def breaking() -> Iterator[int]:
    yield 1
    raise ZeroDivisionError("in the middle")


def raising(*_: object) -> Any:
    raise ZeroDivisionError("as a method")


HOSTILE: dict[str, Callable[..., Any]] = {
    "raises": raising,
    "None": lambda *_: None,
    "object": lambda *_: object(),
    "text": lambda *_: "text",
    "float": lambda *_: 1.5,
    "infinite float": lambda *_: float("inf"),
    "negative": lambda *_: -1,
    "huge": lambda *_: 1 << 70,
    "too long to print": lambda *_: 10**5000,
    "list of negative": lambda *_: [-1],
    "list of huge": lambda *_: [10**5000],
    "list of None": lambda *_: [None],
    "list of evil": lambda *_: [Evil()],
    "endless numbers": lambda *_: itertools.count(),
    "endless zeros": lambda *_: itertools.repeat(0),
    "endless lists": lambda *_: itertools.repeat(itertools.count()),
    "breaks off": lambda *_: breaking(),
    "evil": lambda *_: Evil(),
    "class": lambda *_: int,
}


def hostile(**members: Any) -> LayoutPolicy:
    """A policy that uses every method, with ``members`` of its own."""
    usual: dict[str, Any] = {"name": "hostile", "sequential": False, "moves_metadata": True}
    # This makes the planner ask about shared blocks and deleted inodes.
    usual |= {"xattrs_outside": lambda _: True, "unused_inodes": lambda _, count: 0}
    # And about equal attribute values in inodes.
    usual |= {"xattr_value_apart": lambda _, size: True}
    kind: type[LayoutPolicy] = type("Hostile", (LayoutPolicy,), {**usual, **members})
    return kind()


def tree() -> Tree:
    some = Tree()
    for number in range(60):
        some.file(f"/many/{number:040}", b"x" * 20, parents=True, mtime_ns=10**18)
    some.file("/hole", b"h" * 3000 + bytes(90_000) + b"i" * 3000)
    some.file("/long", b"l" * 40_000, xattrs={"user.a": "v" * 30})
    some.file("/same", b"s" * 2000, xattrs={"user.a": "v" * 30})
    return some


_JOURNAL: dict[str, Any] = {"free": "64K", "journal": "1M", "features": "fast_commit,orphan_file"}
OPTIONS: dict[str, dict[str, Any]] = {
    "inline": {"features": "inline_data"},
    "mmp_state": {"features": "mmp"},
    "xattr_value_apart": {"features": "ea_inode"},
    "xattr_values_shared": {"features": "ea_inode"},
    "backup_numbers": {
        "features": "sparse_super2,^resize_inode",
        "blocks_per_group": 512,
        "size": "4M",
    },
    "journal_extra": {"size": "6M", "journal": "auto"},
    **dict.fromkeys(("journal_places", "journal_state", "orphan_state"), _JOURNAL),
}
"""Method -> options that make planning call it."""


def planned(method: str, choice: LayoutPolicy) -> None:
    options = {"free": "64K", "journal": "none", **OPTIONS.get(method, {})}
    if "size" in options:
        del options["free"]
    ext4writer.plan(tree(), Spec(block_size=1024, inodes=400, policy=choice, **options))


def member(answer: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _self, *asked: answer(*asked)


@pytest.mark.parametrize("method", ASKED)
@pytest.mark.parametrize("kind", HOSTILE)
def test_an_error_names_the_policy_and_its_method(method: str, kind: str) -> None:
    if (kind == "None" and method in MAY_BE_NONE) or (kind != "raises" and method in IN_PLACE):
        # The usual answer. All other kinds of answers show that the method is called.
        planned(method, hostile(**{method: member(HOSTILE[kind])}))
        return
    if kind == "huge" and method in ("gap", "metadata_gap"):
        kind = "too long to print"
    words = f"^policy: {method} of 'hostile' (returned|raised) "
    with pytest.raises(SpecError, match=words) as caught:
        planned(method, hostile(**{method: member(HOSTILE[kind])}))
    assert "\n" not in str(caught.value)


def test_every_policy_method_is_tested_here() -> None:
    assert TRUTHS | IN_PLACE | MAY_BE_NONE | set(OPTIONS) <= set(ASKED)
    assert len(ASKED) >= 33


@pytest.mark.parametrize("method", sorted(TRUTHS))
@pytest.mark.parametrize("answer", [2, -1, "yes", b"", [], ()])
def test_a_truth_is_true_or_false(method: str, answer: Any) -> None:
    words = f"{method} of 'hostile' returned .* neither True nor False"
    with pytest.raises(SpecError, match=words):
        planned(method, hostile(**{method: member(lambda *_: answer)}))


@pytest.mark.parametrize("method", sorted(IN_PLACE))
@pytest.mark.parametrize(
    "change",
    [
        lambda items: items.pop(),
        lambda items: items.clear(),
        lambda items: items.append(items[0]),
        lambda items: items.__setitem__(0, items[-1]),
        lambda items: items.__setitem__(0, None),
        lambda items: items.__setitem__(0, Evil()),
        lambda items: items.__setitem__(0, (Evil(),)),
        lambda items: items.__setitem__(0, list(items[0])),
        lambda items: items.extend(["x"] * 10),
        lambda items: items.__setitem__(slice(None), range(len(items))),
    ],
)
def test_items_keep_what_they_are(method: str, change: Callable[[list[Any]], None]) -> None:
    with pytest.raises(SpecError, match=f"{method} of 'hostile' returned other "):
        planned(method, hostile(**{method: member(change)}))


def test_items_that_only_equal_the_given_ones_are_accepted() -> None:
    def floats(items: list[Any]) -> None:
        items[:] = [tuple(map(float, item)) for item in items]

    planned("shuffle", hostile(shuffle=member(floats)))


PLACES: dict[str, Callable[[int, int], Any]] = {
    "too short": lambda clusters, most: [(0, clusters - 1)],
    "too long": lambda clusters, most: [(0, clusters + 1)],
    "behind the end": lambda clusters, most: [(most - clusters + 1, clusters)],
    "before the beginning": lambda clusters, most: [(-1, clusters)],
    "overlapping": lambda clusters, most: [(0, clusters - 9), (clusters - 10, 9)],
    "no length": lambda clusters, most: [(0, clusters), (clusters, 0)],
    "negative length": lambda clusters, most: [(0, clusters + 1), (clusters + 1, -1)],
    "no pair": lambda clusters, most: [(0, clusters, 0)],
    "single": lambda clusters, most: [(0,)],
    "none": lambda clusters, most: [],
    "too many": lambda clusters, most: [(at, 1) for at in range(clusters + 1)],
}


@pytest.mark.parametrize("kind", PLACES)
def test_places_of_a_journal(kind: str) -> None:
    with pytest.raises(SpecError, match="^policy: journal_places of 'hostile' returned "):
        planned("journal_places", hostile(journal_places=member(PLACES[kind])))


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("run_lengths", lambda blocks: [blocks + 3, -3]),
        ("run_lengths", lambda blocks: itertools.repeat(1)),
        ("entry_order", itertools.cycle),
        ("entry_order", lambda names: [*names[:-1], names[0]]),
        ("inode_numbers", lambda count, first: itertools.repeat(first)),
        ("inode_numbers", lambda count, first: [first] * count),
        ("leaf_bytes", lambda capacity: capacity + 1),
        ("record_slack", lambda room: room + 4),
        ("record_slack", lambda room: 3),
        ("deleted_name", lambda room: b"n" * 256),
        ("unwritten_blocks", lambda hole: hole + 1),
        ("blocks_past_end", lambda blocks: 1 << 15),
        ("extra_isize", lambda least, most, usual: most + 4),
        ("extra_isize", lambda least, most, usual: 6),
        ("unused_inodes", lambda count: count + 1),
        ("generation", lambda: 1 << 32),
        ("index_entries", lambda limit: limit + 1),
        ("extent_entries", lambda limit: limit + 1),
        ("backup_numbers", lambda count: [1] * (count + 1)),
        ("journal_extra", lambda: 65_537),
        ("empty_blocks", lambda: 4097),
    ],
)
def test_values_just_out_of_range_are_refused(method: str, answer: Callable[..., Any]) -> None:
    with pytest.raises(SpecError, match=f"^policy: {method} of 'hostile' returned "):
        planned(method, hostile(**{method: member(answer)}))


ENDLESS: Any = itertools.repeat(Transaction())
_SOME: Any = (Transaction((Write(60),)),)
STATES: list[tuple[str, Any]] = [
    *(
        ("journal_state", state)
        for state in (
            JournalState(ENDLESS),
            JournalState((Transaction(writes=itertools.repeat(Write(60))),)),  # type: ignore[arg-type]
            JournalState((Transaction(revokes=itertools.count(60)),)),  # type: ignore[arg-type]
            JournalState(_SOME, at_home=itertools.repeat(Write(60))),  # type: ignore[arg-type]
            JournalState(_SOME, fast_commits=itertools.repeat(())),  # type: ignore[arg-type]
            JournalState(_SOME, fast_commits=((FastChange(1, "renamed"),),)),
            JournalState(_SOME, sequence=10**5000),
            JournalState(_SOME, start=0),
            JournalState(_SOME, start=None),  # type: ignore[arg-type]
            JournalState(_SOME, most_tags=-1),
            JournalState(_SOME, checksum="v9"),  # type: ignore[arg-type]
            JournalState(_SOME, uncommitted=5),  # type: ignore[arg-type]
            JournalState(()),
            JournalState((Transaction((Write(0),)),)),
            JournalState((Transaction((Write(60, "nothing"),)),)),  # type: ignore[arg-type]
            JournalState((Evil(),)),  # type: ignore[arg-type]
            MmpState(),
        )
    ),
    *(
        ("orphan_state", state)
        for state in (
            OrphanState(itertools.repeat(DeletedFile())),  # type: ignore[arg-type]
            OrphanState((DeletedFile(-1),)),
            OrphanState((DeletedFile(10**5000),)),
            OrphanState((DeletedFile(0, 1 << 40),)),
            OrphanState((DeletedFile(0, 3), DeletedFile(0, 3))),
            OrphanState((TruncatedFile(-1),)),
            OrphanState((TruncatedFile(1 << 30),)),
            OrphanState((Evil(),)),  # type: ignore[arg-type]
            OrphanState(None),  # type: ignore[arg-type]
        )
    ),
    *(
        ("mmp_state", state)
        for state in (
            MmpState(sequence=0),
            MmpState(time=-1),
            MmpState(time=10**5000),
            MmpState(node_name=b"n" * 65),
            MmpState(node_name="text"),  # type: ignore[arg-type]
            MmpState(device_name=b"\0"),
            MmpState(check_interval=301),
            MmpState(check_interval=1.5),  # type: ignore[arg-type]
        )
    ),
]


@pytest.mark.parametrize(("method", "state"), STATES)
def test_impossible_states_are_refused(method: str, state: Any) -> None:
    with pytest.raises(SpecError, match=f"^policy: {method} of 'hostile' returned "):
        planned(method, hostile(**{method: member(lambda _: state)}))


@pytest.mark.parametrize("name", ["sequential", "moves_metadata", "crosses_flex_groups", "name"])
def test_attributes_that_raise(name: str) -> None:
    with pytest.raises(SpecError, match=f"^policy: {name} of a Hostile raised ZeroDivisionError"):
        planned(name, hostile(**{name: property(raising)}))


@pytest.mark.parametrize("name", ["sequential", "moves_metadata", "crosses_flex_groups"])
@pytest.mark.parametrize("value", [None, "yes", 2, Evil])
def test_attributes_that_are_not_booleans_are_refused(name: str, value: Any) -> None:
    with pytest.raises(SpecError, match=f"^policy: {name} of 'hostile' returned "):
        planned(name, hostile(**{name: made(value)}))


FAR = (1 << 32) - 1


def test_inode_counts_beyond_any_number_of_groups_are_refused_fast() -> None:
    """s_inodes_count has 32 bits, and each group has a multiple of 8 inodes."""
    far = hostile(
        inode_numbers=member(lambda count, first: [*range(first, first + count - 1), FAR])
    )
    with pytest.raises(SpecError, match=f"{FAR} inodes are needed; the maximum is {2**32 - 8}"):
        planned("inode_numbers", far)


def test_any_name_can_be_shown() -> None:
    with pytest.raises(SpecError, match=r"^policy: gap of 'x.* returned ") as caught:
        planned("gap", hostile(name="x\ny" * 1000, gap=member(lambda: -1)))
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, b"n", Evil])
def test_a_name_is_a_text(value: Any) -> None:
    with pytest.raises(SpecError, match=r"^policy: name of a Hostile is .*; it must be a str"):
        planned("gap", hostile(name=made(value)))
