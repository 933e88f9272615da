"""The one traversal of trees: its order, and which changes are allowed during it."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from ext4writer import Directory, Fifo, Node, Tree
from ext4writer.walking import directories, distinct_nodes, hard_links, nodes
from tests.judges.cost import assert_linear

NAMES = [b"a", b"a.b", b"a-b", b"b", b"\xff", b"B"]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tree = Tree()
    folders = [tree.root]
    files: list[Node] = []
    for _ in range(draw(st.integers(0, 25))):
        folder = draw(st.sampled_from(folders))
        name = draw(st.sampled_from(NAMES))
        if name in folder.children:
            continue
        kind = draw(st.sampled_from("dfl"))
        if kind == "d":
            below = Directory()
            folder.children[name] = below
            folders.append(below)
        elif kind == "f" or not files:
            folder.children[name] = Fifo(0)
            files.append(folder.children[name])
        else:
            folder.children[name] = draw(st.sampled_from(files))
    return tree


def plainly(directory: Directory, prefix: bytes) -> list[tuple[bytes, Node]]:
    """Everything below, with the names of a directory before what is below them."""
    here = [(prefix + name, node) for name, node in sorted(directory.children.items())]
    for path, node in list(here):
        if isinstance(node, Directory):
            here += plainly(node, path + b"/")
    return here


def depth_first(top: Directory, prefix: bytes) -> list[tuple[bytes, Node]]:
    """Only directories, each with everything below it before the next."""
    found: list[tuple[bytes, Node]] = [(prefix, top)]
    for name, node in sorted(top.children.items()):
        if isinstance(node, Directory):
            found += depth_first(node, prefix + name + b"/")
    return found


@given(trees())
def test_the_walk_visits_everything_in_order(tree: Tree) -> None:
    expected = [(b"/", tree.root), *plainly(tree.root, b"/")]
    assert list(tree.walk()) == expected
    assert len(tree) == len(expected)
    found = [(path, node) for path, node in directories(tree.root)]
    assert found == depth_first(tree.root, b"/")
    assert [node for _, node in directories(tree.root, None)] == [node for _, node in found]
    assert {path for path, _ in directories(tree.root, None)} == {b""}
    names = [node for _, node in expected]
    assert sorted(map(names.index, nodes(tree.root))) == sorted(map(names.index, names))
    once = list(distinct_nodes(tree.root))
    assert len(once) == len(set(once)) and set(once) == set(names)
    assert hard_links(tree.root) == {node for node in names if names.count(node) > 1}


@given(trees(), st.data())
def test_nodes_removed_during_the_walk_are_not_visited(tree: Tree, data: st.DataObject) -> None:
    gone: list[bytes] = []
    for prefix, directory in directories(tree.root):
        assert not any(prefix.startswith(path + b"/") for path in gone)
        for name in list(directory.children):
            if data.draw(st.booleans()):
                del directory.children[name]
                gone.append(prefix + name)
    left = {path for path, _ in tree.walk()}
    assert not left & set(gone)


def test_deep_and_wide_trees_take_linear_time() -> None:
    def deep(depth: int) -> Callable[[], object]:
        tree = Tree()
        tree.directory(b"/d" * depth, parents=True)
        return lambda: [len(list(distinct_nodes(tree.root))) for _ in range(20)]

    def wide(count: int) -> Callable[[], object]:
        tree = Tree()
        for number in range(count):
            tree.root.children[b"%d" % number] = Directory()
        return lambda: len(list(tree.walk()))

    assert_linear(deep, 3000)
    assert_linear(wide, 20_000)
