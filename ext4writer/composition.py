"""How directories are copied and laid over each other. Without recursion: trees may be deep."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from .nodes import Directory, Node

ATTRIBUTES = Node.__slots__


def merge(lower: Directory, upper: Directory) -> None:
    """Lay ``upper`` over ``lower``, which then holds nodes of both.

    Directories merge and take the attributes of ``upper``, unless those are only implied; every
    other node replaces what stands in its place.
    """
    pending = [(lower, upper)]
    while pending:
        mine, others = pending.pop()
        if mine.implied or not others.implied:
            for attribute in ATTRIBUTES:
                setattr(mine, attribute, getattr(others, attribute))
            mine.implied = others.implied
        children = mine.children
        for name, node in others.children.items():
            there = children.get(name)
            if isinstance(there, Directory) and isinstance(node, Directory):
                pending.append((there, node))
            else:
                children[name] = node


def copy_of(root: Directory) -> Directory:
    """``root`` and all below it as new nodes with the same contents; hard links remain."""
    twins: dict[Node, Node] = {}
    top = _copy_of(root)
    pending = [top]
    while pending:
        children = pending.pop().children
        for name, node in children.items():
            if isinstance(node, Directory):
                children[name] = directory = _copy_of(node)
                pending.append(directory)
            else:
                twin = twins.get(node)
                if twin is None:
                    twin = twins[node] = copy(node)
                children[name] = twin
    return top


def _copy_of(directory: Directory) -> Directory:
    twin = copy(directory)
    twin.children = directory.children.copy()
    return twin


def is_covered(path: Sequence[bytes], upper: Directory) -> bool:
    """Whether ``upper``, laid over a tree, replaces what stands at ``path`` or its attributes."""
    node: Node = upper
    for name in path:
        if not isinstance(node, Directory):
            return True
        if name not in node.children:
            return False
        node = node.children[name]
    return not (isinstance(node, Directory) and node.implied)
