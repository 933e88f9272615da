"""Removes from a tree read back from an image the lost+found that the planner added.

A tree without one gets an empty directory with mode 700 and the epoch as its time. Read back, it is
part of the tree, but must not change the image. So it is removed, and added again.
"""

from __future__ import annotations

from ..attributes import ATTRIBUTES
from ..nodes import Directory
from ..tree import Tree
from .checks import epoch_of
from .inodes import LOST_AND_FOUND
from .spec import Spec

_TIMES = [row.name for row in ATTRIBUTES.values() if row.is_time and row.may_be_none]


def without_added(tree: Tree, spec: Spec) -> Tree:
    """Return ``tree`` without a lost+found that equals the one that would be added."""
    own = tree.root.children.get(LOST_AND_FOUND)
    if not spec.lost_and_found or type(own) is not Directory or not _is_plain(own):
        return tree
    newest = max(
        time
        for _, node in tree.walk()
        if node is not own
        for time in (node.mtime_ns, *(getattr(node, name) for name in _TIMES))
        if time is not None
    )
    if own.mtime_ns != epoch_of(newest, spec) * 10**9:
        return tree
    root = Directory()
    for name in ATTRIBUTES:
        setattr(root, name, getattr(tree.root, name))
    root.implied = tree.root.implied
    root.children = {
        name: node for name, node in tree.root.children.items() if name != LOST_AND_FOUND
    }
    bare = Tree(root)
    bare.losses, bare.states_root, bare.inputs = tree.losses, tree.states_root, tree.inputs
    return bare


def _is_plain(node: Directory) -> bool:
    return (
        node.mode == 0o700
        and not (node.children or node.uid or node.gid or node.xattrs or node.flags_and_project)
        and all(getattr(node, name) in (None, node.mtime_ns) for name in _TIMES)
    )
