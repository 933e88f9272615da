"""The filters that change a whole tree."""

from __future__ import annotations

import pytest

from ext4writer.edit import filters
from ext4writer.tree import Tree


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
