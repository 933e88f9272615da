"""Converts values that callers put into a tree, or rejects them by path.

The planner reads attributes as columns, not node by node. Only after it has failed does this
module check every node, so that the error names the node that caused it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import bytes_of, number_of
from ..attributes import ATTRIBUTES
from ..content import Content
from ..errors import SpecError, TreeError
from ..tree import (
    BlockDevice,
    CharacterDevice,
    Device,
    Directory,
    Fifo,
    Node,
    RegularFile,
    Socket,
    Symlink,
    Tree,
    attributes_of,
)
from .spec import Spec

KINDS = (Directory, RegularFile, Symlink, CharacterDevice, BlockDevice, Fifo, Socket)


def check_arguments(tree: object, spec: object) -> None:
    """Raise :class:`SpecError` unless the arguments are a Tree and a Spec."""
    if not isinstance(tree, Tree):
        hint = "ext4writer.sources.directory() reads a folder"
        if type(tree).__name__ == "Layout":
            hint = "write_layout() writes an existing plan"
        if isinstance(getattr(tree, "tree", None), Tree):
            hint = "pass its attribute tree"
        raise SpecError("tree", f"is a {type(tree).__name__}, not a Tree; {hint}")
    if spec is not None and not isinstance(spec, Spec):
        raise SpecError("spec", f"is a {type(spec).__name__}, not a Spec; write Spec(size=...)")


def convert_nodes(tree: Tree) -> bool:
    """Convert all attributes of nodes to the right types if their meaning is unambiguous.

    Returns whether any has changed. Raises :class:`TreeError` for the first that has no meaning,
    and for a child that is not a node.
    """
    changed = False
    if not isinstance(tree.root, Directory):
        raise TreeError(b"/", f"is {tree.root!r:.80}; the root must be a directory")
    pending: list[tuple[bytes, Any]] = [(b"/", tree.root)]
    seen: set[Directory] = set()
    while pending:
        path, node = pending.pop()
        if not isinstance(node, Node):
            raise TreeError(path, f"is {node!r:.80}, which is not a Node")
        check_kind(path, node)
        changed |= _convert_node(path, node)
        if isinstance(node, Directory) and node not in seen:
            seen.add(node)
            if not isinstance(node.children, Mapping):
                raise TreeError(
                    path, f"has {node.children!r:.80} as children, which is not a mapping of names"
                )
            prefix = path.rstrip(b"/") + b"/"
            for name, child in node.children.items():
                if not isinstance(name, bytes):
                    raise TreeError(path, f"has a child named {name!r:.80}; names must be bytes")
                pending.append((prefix + name, child))
    return changed


def check_kind(path: bytes, node: Node) -> None:
    """Raise :class:`TreeError` unless ``node`` is a kind of file and has its ``file_type``."""
    kind = next((each for each in KINDS if isinstance(node, each)), None)
    if kind is None:
        raise TreeError(
            path,
            f"is of the class {type(node).__name__}, which is not a kind of file; use one of "
            + ", ".join(each.__name__ for each in KINDS),
        )
    if node.file_type != kind.file_type:
        raise TreeError(
            path,
            f"is of the class {type(node).__name__}, a {kind.__name__}, and has the file_type "
            f"{node.file_type!r:.20} of another kind",
        )


def _convert_node(path: bytes, node: Node) -> bool:
    given = {name: getattr(node, name) for name in ATTRIBUTES}
    taken = attributes_of(path, given)
    changed = False
    for name, value in taken.items():
        if value is not given[name] and (value, type(value)) != (given[name], type(given[name])):
            setattr(node, name, value)
            changed = True
    if isinstance(node, RegularFile) and not isinstance(node.content, Content):
        raise TreeError(
            path,
            f"its content is {node.content!r:.80}, which is not a Content; Tree.file() creates one",
        )
    if isinstance(node, RegularFile) and not isinstance(node.content.size, int):
        raise TreeError(
            path, f"its content has the size {node.content.size!r:.80}, not a number of bytes"
        )
    for kind, names, take in (
        (Symlink, ("target",), bytes_of),
        (Device, ("major", "minor"), number_of),
    ):
        for name in names if isinstance(node, kind) else ():
            old: Any = getattr(node, name)
            try:
                right: Any = take(old)
            except ValueError as error:
                raise TreeError(path, f"{name}: {error}") from None
            if right is not old:
                setattr(node, name, right)
                changed = True
    return changed
