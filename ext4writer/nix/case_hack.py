"""Names of a store on a file system that does not tell upper from lower case.

Where two names of a directory differ in case only, Nix on macOS unpacks the second one under its
name followed by ``~nix~case~hack~`` and a number, and takes that off again when it makes the
archive (``src/libutil/archive.cc``, caseHackSuffix).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..tree import Directory, Node
from .errors import NixError

SUFFIX = b"~nix~case~hack~"


def plain_name(name: bytes) -> bytes:
    """The name that something has for Nix."""
    return name.partition(SUFFIX)[0]


def has_case_hack(root: Node) -> bool:
    """Whether any name in a store object has the suffix."""
    return any(SUFFIX in b"/".join(folder.children) for _, folder in _directories(b"", root))


def undo_case_hack(where: str, root: Node) -> None:
    """Give all that lies below ``root`` the names that it has for Nix.

    Raises :class:`NixError`, which calls the root ``where``, if two entries of a directory would
    have one name then.
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
                    f"would be called {plain!r}, which another entry is",
                )
            children[plain] = child
        folder.children.clear()
        folder.children.update(children)


def _directories(path: bytes, root: Node) -> Iterator[tuple[bytes, Directory]]:
    """Each directory with its path; what is done to the names of one is seen below it."""
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
