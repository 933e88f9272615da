"""The tree of an image: the store, the files beside it and the registration."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from ..edit import filters
from ..edit.rules_select import Selection
from ..errors import TreeError
from ..sources.directory import directory
from ..tree import S_IFDIR, S_IFLNK, S_IFREG, Directory, Node, Tree, Xattrs
from .errors import NixError
from .registration import Registration
from .store_paths import STORE, full_path

REGISTRATION = b"nix-path-registration"
"""Name in the root of what the first boot feeds to ``nix-store --load-db``."""

SECONDS = 1
"""The time of every entry, as Nix itself stamps its store."""

DIRECTORY_MODE = 0o555
EXECUTABLE_MODE = 0o555
FILE_MODE = 0o444
SYMLINK_MODE = 0o777
S_IXUSR = 0o100

TAKEN_SECURITY = b"security.capability"
"""Of the attributes in this name space the only one that is not the host's own label."""


def make_canonical(name: str, root: Node) -> None:
    """Give all of a store object the modes that Nix gives it.

    A file is executable if its owner may execute it (``src/libstore/posix-fs-canonicalise.cc``).
    Raises ``NixError`` for a kind that no store has.
    """
    pending = [(full_path(name).encode(), root)]
    while pending:
        path, node = pending.pop()
        kind = node.file_type
        if kind == S_IFREG:
            node.mode = EXECUTABLE_MODE if node.mode & S_IXUSR else FILE_MODE
        elif isinstance(node, Directory):
            node.mode = DIRECTORY_MODE
            for child_name, child in node.children.items():
                if child.file_type == S_IFREG:
                    child.mode = EXECUTABLE_MODE if child.mode & S_IXUSR else FILE_MODE
                else:
                    pending.append((b"%b/%b" % (path, child_name), child))
        elif kind == S_IFLNK:
            node.mode = SYMLINK_MODE
        else:
            problem = "is neither a file, a directory nor a symbolic link, as all in a store are"
            raise NixError(path.decode("utf-8", "surrogateescape"), problem)


def image_tree(
    objects: Mapping[str, Node],
    registration: Registration,
    files: Tree | None = None,
    *,
    selection: Selection | None = None,
) -> Tree:
    """Put ``objects`` into the store of a tree, ``registration`` and ``files`` into its root.

    All belong to 0:0 and have the time 1 s. ``files`` is taken apart; of its root only what lies in
    it counts. ``selection`` has globs for paths of the image. Raises :class:`TreeError` where a
    file stands in the way of the store or of the registration.
    """
    tree = Tree() if files is None else files
    tree.root.mode = 0o755
    tree.root.xattrs = None
    store, path = tree.root, ""
    for component in STORE.strip("/").split("/"):
        path = f"{path}/{component}"
        child = store.children.setdefault(component.encode(), Directory())
        if not isinstance(child, Directory):
            raise TreeError(path, "of the files to add must be a directory")
        store = child
    for name in sorted(store.children):
        raise TreeError(
            STORE.encode() + b"/" + name,
            "of the files to add would lie in the store without being registered",
        )
    if REGISTRATION in tree.root.children:
        raise TreeError(b"/" + REGISTRATION, "of the files to add has the name of the registration")
    store.children.update((name.encode(), node) for name, node in objects.items())
    if selection:
        selection.apply(tree)
    tree.file(REGISTRATION, registration.text)
    filters.set_owner(tree, 0, 0)
    filters.set_all_times(tree, SECONDS)
    return tree


def read_files(
    path: str, *, xattrs: bool = True, skip: Callable[[os.stat_result], bool] | None = None
) -> Tree:
    """The tree of files to add; ``skip`` as for :func:`ext4writer.sources.directory`.

    What the host labels its files with is not taken.
    """
    tree = directory(path, xattrs=xattrs, skip=skip)
    for _, node in tree.walk():
        if node.xattrs:
            node.xattrs = _own_xattrs(node.xattrs)
    return tree


def _own_xattrs(xattrs: Xattrs) -> Xattrs | None:
    kept = {
        name: value
        for name, value in xattrs.items()
        if not name.startswith(b"security.") or name == TAKEN_SECURITY
    }
    return kept or None


def count_entries(tree: Tree) -> int:
    """How many names the tree has, the root's among them."""
    count, pending = 1, [tree.root]
    while pending:
        children = pending.pop().children
        count += len(children)
        pending += [
            node
            for node in children.values()
            if node.file_type == S_IFDIR and isinstance(node, Directory)
        ]
    return count
