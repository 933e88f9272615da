"""The tree of an image: the store, the files beside it and the registration."""

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
"""Name in the root of what the first boot feeds to ``nix-store --load-db``."""

REGISTRATION_MODE = 0o444

LINKS = b".links"
"""Where Nix keeps the files that it made links of each other (``nix-store --optimise``)."""

SECONDS = 1
"""The time of every entry, as Nix itself stamps its store."""

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
    """Put ``objects`` into the store of a tree, ``registration`` and ``files`` into its root.

    All belong to 0:0 and have the time 1 s. ``files`` is taken apart and must not be used
    afterwards: only what lies in its root counts, and of its store what is not among ``objects`` or
    equals them. A registration of its own is taken instead of ``registration`` if it says no less,
    and nothing else about the same paths.

    ``store_at`` is the folder of the image that the store paths lie in: ``/`` where it will be
    mounted at ``/nix/store``, ``/store`` where that is ``/nix``. ``contents`` are added to
    ``files``. ``register`` puts the registration into the root, ``database`` Nix's own database
    into the folder ``var/nix`` beside the store. ``system``, one of the store paths, becomes the
    first generation of the profile that NixOS boots. ``case_hack`` takes ``~nix~case~hack~1`` and
    the like off names in ``contents`` and in the store of ``files``; ``objects`` have none.
    ``selection`` has globs for paths of the image; what is registered cannot be left out, and parts
    of it that are left out are among the losses.

    Raises :class:`TreeError` where a file stands in the way of any of it; :class:`NixError` for a
    registration in ``files`` that is none, and where ``system`` is not in the closure;
    :class:`SpecError` where a store at ``store_at`` has no place for a database or a profile, and
    where ``selection`` leaves out a store path that is registered.
    """
    if files is not None and not isinstance(files, Tree):
        raise SpecError("files", f"is a {type(files).__name__}, not a Tree")
    if not isinstance(contents, Iterable):
        raise SpecError("contents", f"{contents!r:.80} is no list of entries")
    for entry in contents:
        if not isinstance(entry, Entry):
            raise SpecError("contents", f"{entry!r:.80} is no Entry; read_contents() makes them")
    tree = Tree() if files is None else files
    tree.root.mode = 0o755
    tree.root.xattrs = None
    state = State.beside(store_at, wanted=database or system is not None)
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
    """The folder of the store, which is made where it is missing."""
    store, path = tree.root, b""
    for component in components(store_at):
        path = b"%b/%b" % (path, component)
        child = store.children.setdefault(component, Directory())
        if not isinstance(child, Directory):
            raise TreeError(path, "of the files to add must be a directory")
        store = child
    return store


def _undo_case_hack(store: Directory) -> None:
    """Give all store objects among the files to add the names that they have for Nix."""
    for name, node in store.children.items():
        text = name.decode("utf-8", "surrogateescape")
        if is_base_name(text):
            undo_case_hack(text, node)


def _select(tree: Tree, selection: Selection, store_at: str, registered: Iterable[str]) -> None:
    """Leave out what ``selection`` does not take, unless it is one of ``registered``."""
    children = store_of(tree, store_at).children
    before = {name: sum(1 for _ in nodes(children[name.encode()])) for name in registered}
    selection.apply(tree)
    children = store_of(tree, store_at).children
    for name, count in before.items():
        left = children.get(name.encode())
        if left is None:
            raise SpecError(
                "exclude",
                f"leaves out {full_path(name)}, which is registered; take it out of the closure, "
                "or make no registration",
            )
        if sum(1 for _ in nodes(left)) < count:
            what = (
                "is registered as a whole, and parts of it are excluded; Nix will call it changed"
            )
            tree.losses.append(Loss(full_path(name).encode(), what, "left-out"))


def store_of(tree: Tree, store_at: str) -> Directory:
    """The folder of the store in a tree; an empty one where rules left that out."""
    if store_at in tree:
        store = tree[store_at]
        if isinstance(store, Directory):
            return store
    return Directory()


def _registered_by(own: Node, registration: Registration) -> Registration:
    """A registration among the files to add, which must say all that ``registration`` does."""
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
    """Raise :class:`TreeError` unless ``other`` is what is registered by that name."""
    make_canonical(name, other)
    digest = hashlib.sha256()
    dump_nar(other, digest.update)
    if digest.digest() != registration.infos[name].nar_hash:
        raise TreeError(full_path(name), "of the files to add is not what is registered")


def _check_others(
    tree: Tree,
    store: Directory,
    store_at: str,
    objects: Mapping[str, Node],
    registration: Registration,
) -> None:
    """Report what else lies in the store, unless it is registered; none may be missing there."""
    for name in registration.infos.keys() - objects.keys():
        if name.encode() not in store.children:
            raise TreeError(b"/" + REGISTRATION, f"registers {full_path(name)}, which is not there")
    if not components(store_at):
        return
    for other in sorted(store.children.keys() - {name.encode() for name in registration.infos}):
        if other != LINKS or not isinstance(store.children[other], Directory):
            where = b"/" + b"/".join([*components(store_at), other])
            what = "lies in the store without being registered"
            tree.losses.append(Loss(where, what, "unregistered"))


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
