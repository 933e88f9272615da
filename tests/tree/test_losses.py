"""Losses are looked up by path quickly, whatever their number and depth."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import Directory, Fifo, Loss, Node, Tree
from ext4writer.edit import filters
from ext4writer.edit.rules_select import Selection
from ext4writer.losses import LossRecord, without_losses_below
from tests.judges.cost import assert_linear

names = st.sampled_from([b"a", b"b", b"ab"])
paths = st.lists(names, max_size=4).map(lambda some: b"/" + b"/".join(some))


def below(path: bytes, top: bytes) -> bool:
    return top == b"/" or path == top or path.startswith(top + b"/")


@given(st.lists(paths), st.sets(paths))
def test_losses_below_a_path_are_removed(where: list[bytes], gone: set[bytes]) -> None:
    losses = [Loss(path, str(number)) for number, path in enumerate(where)]
    kept = [loss for loss in losses if not any(below(loss.path, top) for top in gone)]
    assert without_losses_below(losses, gone) == kept
    record = LossRecord()
    record.add(losses)
    for top in gone - {b"/"}:
        record.drop_below(top)
    assert record.in_order() == [
        loss for loss in losses if not any(below(loss.path, top) for top in gone - {b"/"})
    ]


@settings(max_examples=200)
@given(st.lists(paths), st.dictionaries(paths, st.sampled_from("dif")))
def test_losses_of_covered_paths_are_removed(where: list[bytes], upper: dict[bytes, str]) -> None:
    """A file covers all at and below it, a directory only itself, an implied one nothing."""
    root = Directory(implied=upper.pop(b"/", "i") == "i")
    tree = Tree(root)
    for path in sorted(upper, key=len):
        kind = upper[path]
        if path in tree or path.rpartition(b"/")[0] not in tree:
            continue
        parent = tree[path.rpartition(b"/")[0]]
        if isinstance(parent, Directory):
            tree.add(path, Fifo(0) if kind == "f" else Directory(implied=kind == "i"))
    covering = dict(tree.walk())

    def is_covered(path: bytes) -> bool:
        def covers(top: bytes, node: Node) -> bool:
            if isinstance(node, Directory):
                return not node.implied and top == path
            return below(path, top)

        return any(covers(top, node) for top, node in covering.items())

    losses = [Loss(path, str(number)) for number, path in enumerate(where)]
    record = LossRecord()
    record.add(losses)
    record.drop_covered(root)
    assert record.in_order() == [loss for loss in losses if not is_covered(loss.path)]


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: filters.exclude(tree, ["other"]),
        lambda tree: Selection([(True, "other")]).apply(tree),
        lambda tree: tree.remove("other"),
    ],
    ids=["filter", "selection", "remove"],
)
def test_deep_losses_take_linear_time(change: Callable[[Tree], object]) -> None:
    def changing(depth: int) -> Callable[[], object]:
        tree = Tree()
        tree.fifo("other")
        path = b"/d" * depth
        tree.losses = [Loss(path, "lost") for _ in range(20)]
        return lambda: change(tree)

    assert_linear(changing, 5000)
