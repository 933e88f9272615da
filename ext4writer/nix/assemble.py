"""Builds the tree of an image from a store, further files and the registration."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..checked import checked
from ..edit import filters
from ..edit.rules_select import Selection
from ..errors import SpecError, TreeError
from ..sources.directory import directory
from ..sources.nar_dump import dump_nar
from ..sources.nar_format import DIRECTORY_MODE, EXECUTABLE_MODE, FILE_MODE, SYMLINK_MODE
from ..tree import (
    S_IFDIR,
    S_IFLNK,
    S_IFREG,
    Directory,
    Loss,
    Node,
    RegularFile,
    Tree,
    Xattrs,
    components,
)
from ..walking import nodes
from .case_hack import undo_case_hack
from .contents import Entry, add_contents
from .errors import NixError
from .registration import Registration, parse_registration
from .state import State
from .store_paths import STORE, full_path, is_base_name

REGISTRATION = b"nix-path-registration"
"""Name of the file in the root that the first boot passes to ``nix-store --load-db``."""

REGISTRATION_MODE = 0o444

LINKS = b".links"
"""Directory of the store with a link to each file that ``nix-store --optimise`` deduplicated."""

SECONDS = 1
"""The time of every entry, in seconds since 1970, as Nix sets it in its store."""

S_IXUSR = 0o100

TAKEN_SECURITY = b"security.capability"
"""The only attribute in this namespace that is not a label specific to the host."""


def make_canonical(name: str, root: Node) -> None:
    """Set the modes in a store object as Nix does.

    A file is executable if its owner may execute it (``src/libstore/posix-fs-canonicalise.cc``).
    Raises ``NixError`` for a kind of file that cannot be in a store.
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
            problem = "is neither a file, a directory nor a symbolic link, so not for a store"
            raise NixError(path.decode("utf-8", "surrogateescape"), problem)


@checked("files", "contents")
def image_tree(
    objects: Mapping[str, Node],
    registration: Registration,
    files: Tree | None = None,
    *,
    store_at: str = STORE,
    contents: Sequence[Entry] = (),
    register: bool = True,
    database: bool = False,
    system: str | None = None,
    case_hack: bool = False,
    selection: Selection | None = None,
) -> Tree:
    """Put ``objects`` into the store of a tree, and ``registration`` and ``files`` into its root.

    All entries have the owner 0:0 and the time 1 s. ``files`` becomes part of the result and must
    not be used afterwards; the attributes of its root are ignored. Store paths in ``files`` must
    not be among ``objects``, or must be equal to them. A registration in ``files`` replaces
    ``registration`` if it has the same records, and possibly more.

    ``store_at`` is the folder of the image that contains the store paths: ``/`` if the image will
    be mounted at ``/nix/store``, ``/store`` if at ``/nix``. ``contents`` are added to ``files``.
    ``register`` stores the registration in the root, ``database`` Nix's database in the folder
    ``var/nix`` next to the store. ``system``, one of the store paths, becomes the first generation
    of the profile that NixOS boots. ``case_hack`` removes ``~nix~case~hack~1`` and similar suffixes
    from names in ``contents`` and in the store of ``files``; ``objects`` have none. ``selection``
    has globs for paths of the image. Registered store paths cannot be left out; if parts of them
    are, this is in the losses.

    Raises :class:`TreeError` if a file is in the way of any of this; :class:`NixError` for an
    invalid registration in ``files``, and if ``system`` is not in the closure; :class:`SpecError`
    if there can be no database or profile next to a store at ``store_at``, and if ``selection``
    leaves out a registered store path.
    """
    if files is not None and not isinstance(files, Tree):
        raise SpecError("files", f"is a {type(files).__name__}, not a Tree")
    if not isinstance(contents, Iterable):
        raise SpecError("contents", f"{contents!r:.80} is not a list of entries")
    for entry in contents:
        if not isinstance(entry, Entry):
            raise SpecError(
                "contents", f"{entry!r:.80} is not an Entry; read_contents() returns them"
            )
    tree = Tree() if files is None else files
    tree.root.mode = 0o755
    tree.root.xattrs = None
    state = State.next_to(store_at, needed=database or system is not None)
    placed = add_contents(tree, contents, case_hack=case_hack)
    store = _store(tree, store_at)
    if case_hack:
        _undo_case_hack(store)
    own = tree.root.children.pop(REGISTRATION, None)
    if own is not None:
        registration = _registered_by(own, registration)
    for name, node in objects.items():
        other = store.children.get(name.encode())
        if other is not None:
            _check_equal(name, other, registration)
        store.children[name.encode()] = node
    _check_others(tree, store, store_at, objects, registration)
    if selection:
        _select(tree, selection, store_at, registration.infos if register or database else ())
        store = store_of(tree, store_at)
    if register:
        tree.file(REGISTRATION, registration.text, mode=REGISTRATION_MODE)
    if database:
        state.add_database(tree, registration, store)
    if system is not None:
        state.add_system(
            tree, system, [name for name in objects if name.encode() in store.children]
        )
    filters.set_owner(tree, 0, 0)
    filters.set_all_times(tree, SECONDS)
    placed.set_owners(tree)
    return tree


def _store(tree: Tree, store_at: str) -> Directory:
    """The folder of the store, created if it is missing."""
    store, path = tree.root, b""
    for component in components(store_at):
        path = b"%b/%b" % (path, component)
        child = store.children.setdefault(component, Directory())
        if not isinstance(child, Directory):
            raise TreeError(path, "of the files to add must be a directory")
        store = child
    return store


def _undo_case_hack(store: Directory) -> None:
    """Remove the case hack from the names in store objects among the files to add."""
    for name, node in store.children.items():
        text = name.decode("utf-8", "surrogateescape")
        if is_base_name(text):
            undo_case_hack(text, node)


def _select(tree: Tree, selection: Selection, store_at: str, registered: Iterable[str]) -> None:
    """Apply ``selection``; raise :class:`SpecError` if it leaves out one of ``registered``."""
    children = store_of(tree, store_at).children
    before = {name: sum(1 for _ in nodes(children[name.encode()])) for name in registered}
    selection.apply(tree)
    children = store_of(tree, store_at).children
    for name, count in before.items():
        left = children.get(name.encode())
        if left is None:
            raise SpecError(
                "exclude",
                f"leaves out {full_path(name)}, which is registered; remove it from the closure, "
                "or omit the registration",
            )
        if sum(1 for _ in nodes(left)) < count:
            what = "is registered, but parts of it are excluded; Nix will report it as modified"
            tree.losses.append(Loss(full_path(name).encode(), what, "left-out"))


def store_of(tree: Tree, store_at: str) -> Directory:
    """The folder of the store in a tree; an empty one if rules left it out."""
    if store_at in tree:
        store = tree[store_at]
        if isinstance(store, Directory):
            return store
    return Directory()


def _registered_by(own: Node, registration: Registration) -> Registration:
    """Parse a registration among the files to add; it must include all of ``registration``."""
    path = b"/" + REGISTRATION
    if not isinstance(own, RegularFile):
        raise TreeError(path, "of the files to add must be a file")
    found = parse_registration(own.content.read_bytes(), path.decode())
    for name, info in registration.infos.items():
        if name not in found.infos:
            raise TreeError(path, f"of the files to add does not register {full_path(name)}")
        if found.infos[name] != info:
            raise TreeError(path, f"of the files to add contradicts that of {full_path(name)}")
    return found


def _check_equal(name: str, other: Node, registration: Registration) -> None:
    """Raise :class:`TreeError` unless ``other`` has the registered hash."""
    make_canonical(name, other)
    digest = hashlib.sha256()
    dump_nar(other, digest.update)
    if digest.digest() != registration.infos[name].nar_hash:
        raise TreeError(full_path(name), "of the files to add differs from the registered object")


def _check_others(
    tree: Tree,
    store: Directory,
    store_at: str,
    objects: Mapping[str, Node],
    registration: Registration,
) -> None:
    """Add losses for unregistered entries of the store; raise for missing registered ones."""
    for name in registration.infos.keys() - objects.keys():
        if name.encode() not in store.children:
            raise TreeError(b"/" + REGISTRATION, f"registers {full_path(name)}, which is missing")
    if not components(store_at):
        return
    for other in sorted(store.children.keys() - {name.encode() for name in registration.infos}):
        if other != LINKS or not isinstance(store.children[other], Directory):
            where = b"/" + b"/".join([*components(store_at), other])
            what = "is in the store without being registered"
            tree.losses.append(Loss(where, what, "unregistered"))


def read_files(
    path: str, *, xattrs: bool = True, skip: Callable[[os.stat_result], bool] | None = None
) -> Tree:
    """The tree of files to add; ``skip`` is as for :func:`ext4writer.sources.directory`.

    Security labels of the host are dropped.
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
    """Number of names in the tree, including the root."""
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
