"""Filters: each changes the nodes of a tree in place and returns the tree."""

from __future__ import annotations

from collections.abc import Iterator

from ..tree import Directory, Node, Tree

NANOSECONDS = 1_000_000_000


def set_owner(tree: Tree, uid: int, gid: int) -> Tree:
    """Give every node the owner ``uid`` and the group ``gid``."""
    for node in _nodes(tree):
        node.uid = uid
        node.gid = gid
    return tree


def set_root_owner(tree: Tree, uid: int, gid: int) -> Tree:
    """Give the root directory alone the owner ``uid`` and the group ``gid``."""
    tree.root.uid = uid
    tree.root.gid = gid
    return tree


def set_all_times(tree: Tree, seconds: int) -> Tree:
    """Set all four times of every node to ``seconds`` since 1970."""
    time_ns = seconds * NANOSECONDS
    for node in _nodes(tree):
        node.mtime_ns = time_ns
        node.atime_ns = node.ctime_ns = node.crtime_ns = None
    return tree


def _nodes(tree: Tree) -> Iterator[Node]:
    """Every node, in no useful order; one with several names comes several times."""
    yield tree.root
    stack = [tree.root]
    while stack:
        for node in stack.pop().children.values():
            yield node
            if isinstance(node, Directory):
                stack.append(node)
