"""The filters that change an entire tree."""

from __future__ import annotations

import pytest

from ext4writer import Loss, Tree
from ext4writer.edit import filters


@pytest.fixture
def tree() -> Tree:
    tree = Tree()
    tree.directory("/a/b", parents=True, uid=5, gid=6, mtime_ns=1)
    tree.file("/a/b/file", b"x", uid=7, gid=8, mtime_ns=2, atime_ns=3, ctime_ns=4, crtime_ns=5)
    tree.link("/link", "/a/b/file")
    return tree


def owners(tree: Tree) -> set[tuple[int, int]]:
    return {(node.uid, node.gid) for _, node in tree.walk()}


def test_set_owner(tree: Tree) -> None:
    assert filters.set_owner(tree, 100_000, 3) is tree
    assert owners(tree) == {(100_000, 3)}


def test_set_root_owner(tree: Tree) -> None:
    assert filters.set_root_owner(tree, 9, 10) is tree
    assert (tree.root.uid, tree.root.gid) == (9, 10)
    assert owners(tree) == {(9, 10), (5, 6), (7, 8)}


@pytest.mark.parametrize("seconds", [0, -5, 1 << 33])
def test_set_all_times(tree: Tree, seconds: int) -> None:
    assert filters.set_all_times(tree, seconds) is tree
    for _, node in tree.walk():
        assert node.mtime_ns == seconds * 10**9
        assert (node.atime_ns, node.ctime_ns, node.crtime_ns) == (None, None, None)


def test_names_are_stripped_and_what_has_too_few_is_lost() -> None:
    tree = Tree()
    tree.file("/a/x/one", b"a", uid=1, parents=True)
    tree.file("/b/x/one", b"b", uid=2, parents=True)
    tree.file("/b/y/two", b"b", parents=True)
    tree.link("/b/short", "/b/y/two")
    tree.directory("/empty")
    tree.directory("/b/empty")
    tree.losses = [
        Loss(b"/", "of the archive"),
        Loss(b"/a", "of a folder that is gone"),
        Loss(b"/b/gone", "left out before"),
        Loss(b"/a/x/one", "replaced"),
        Loss(b"/b/y/two", "kept"),
    ]
    stripped = filters.strip_components(tree, 2)
    assert {path for path, _ in stripped.walk()} == {b"/", b"/one", b"/two"}
    assert stripped["/one"].uid == 2
    told = [(loss.path, loss.what.partition(":")[0]) for loss in stripped.losses]
    assert sorted(told) == [
        (b"/", "of the archive"),
        (b"/b/empty", "was left out"),
        (b"/b/gone", "left out before"),
        (b"/b/short", "was left out"),
        (b"/empty", "was left out"),
        (b"/two", "kept"),
    ]


def test_no_names_or_all_are_stripped(tree: Tree) -> None:
    assert filters.strip_components(tree, 0) is tree
    stripped = filters.strip_components(tree, 10**9)
    assert [path for path, _ in stripped.walk()] == [b"/"]
    assert [loss.path for loss in stripped.losses] == [b"/link", b"/a/b/file"]
    assert {loss.code for loss in stripped.losses} == {"left-out"}
