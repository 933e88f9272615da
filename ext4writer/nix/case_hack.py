"""Names in a store on a case-insensitive file system.

If two names in a directory differ only in case, Nix on macOS appends ``~nix~case~hack~`` and a
number to the second one when it unpacks an archive. It removes this suffix when it writes an
archive (``src/libutil/archive.cc``, caseHackSuffix).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..tree import Directory, Node
from .errors import NixError

SUFFIX = b"~nix~case~hack~"


def plain_name(name: bytes) -> bytes:
    """``name`` without the suffix."""
    return name.partition(SUFFIX)[0]


def has_case_hack(root: Node) -> bool:
    """Whether any name in a store object has the suffix."""
    return any(SUFFIX in b"/".join(folder.children) for _, folder in _directories(b"", root))


def undo_case_hack(where: str, root: Node) -> None:
    """Remove the suffix from all names below ``root``.

    Raises :class:`NixError`, with ``where`` as the path of ``root``, if two entries of a directory
    would get the same name.
    """
    for path, folder in _directories(os.fsencode(where), root):
        if SUFFIX not in b"/".join(folder.children):
            continue
        children: dict[bytes, Node] = {}
        for child_name, child in folder.children.items():
            plain = plain_name(child_name)
            if not plain or plain in children or (plain != child_name and plain in folder.children):
                raise NixError(
                    os.fsdecode(path + b"/" + child_name),
                    f"would be called {plain!r}, the name of another entry",
                )
            children[plain] = child
        folder.children.clear()
        folder.children.update(children)


def _directories(path: bytes, root: Node) -> Iterator[tuple[bytes, Directory]]:
    """Yield each directory with its path; a directory may be renamed before its children follow."""
    pending = [(path, root)]
    while pending:
        path, node = pending.pop()
        if isinstance(node, Directory):
            yield path, node
            pending += [
                (b"%b/%b" % (path, name), child)
                for name, child in node.children.items()
                if isinstance(child, Directory)
            ]
