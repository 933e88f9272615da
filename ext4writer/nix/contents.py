"""Further files for an image, specified as in ``contents`` of nixpkgs' ``make-disk-image.nix``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..arguments import ID_MOST
from ..checked import check_fields, checked
from ..edit.globs import matcher
from ..edit.modes import Change, parse_mode
from ..errors import SourceError, SpecError, TreeError
from ..late_dataclasses import dataclass
from ..sources.directory import directory
from ..tree import Directory, Node, RegularFile, Symlink, Tree, components
from ..walking import nodes
from .case_hack import plain_name, undo_case_hack
from .errors import NixError

KEYS = ("source", "target", "mode", "user", "group")
ACCOUNTS = {"user": b"/etc/passwd", "group": b"/etc/group"}


@dataclass(frozen=True)
class Entry:
    """One of the contents: copies ``source`` on this host to ``target`` in the image.

    A folder is copied as ``target``, not into it. If ``source`` has wildcards, all matches are
    copied into the folder ``target``. ``mode`` applies to everything copied, in octal or in the
    syntax of chmod(1). ``user`` and ``group`` are numbers, or names in ``/etc/passwd`` and
    ``/etc/group`` of the image; the default is 0:0.
    """

    source: str
    target: str
    mode: str = ""
    user: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        """Raises :class:`SpecError` for a value of the wrong type."""
        check_fields(self)


@checked()
def read_contents(text: str | bytes, where: str) -> list[Entry]:
    """Parse a JSON list, such as ``builtins.toJSON`` writes for ``contents``.

    Raises :class:`NixError` with ``where`` for anything else.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise NixError(where, f"is not JSON: {error}") from None
    if not isinstance(found, list):
        raise NixError(where, "is not a list of contents")
    return [_entry(each, f"{where}: entry {number}") for number, each in enumerate(found, 1)]


def _entry(given: Any, where: str) -> Entry:
    if not isinstance(given, dict):
        raise NixError(where, "is not a set with source and target")
    for key in given:
        if key not in KEYS:
            raise NixError(where, f"has {key!r}, which is none of {', '.join(KEYS)}")
    values = {}
    for key, value in given.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise NixError(where, f"its {key} is not text")
        values[key] = str(value)
    for key in ("source", "target"):
        if not values.get(key):
            raise NixError(where, f"has no {key}")
    return Entry(**values)


class Placed:
    """The nodes of contents in a tree; their owners are set when the rest of the tree is done."""

    def __init__(self) -> None:
        self._owners: list[tuple[Node, Entry]] = []

    def add(self, node: Node, entry: Entry) -> None:
        """Record the node of ``entry`` if the entry names an owner."""
        if entry.user or entry.group:
            self._owners.append((node, entry))

    def set_owners(self, tree: Tree) -> None:
        """Set the owners of the added nodes; raises :class:`SpecError` for an unknown name."""
        for root, entry in self._owners:
            uid = _number(tree, "user", entry.user) if entry.user else 0
            gid = _number(tree, "group", entry.group) if entry.group else 0
            for node in nodes(root):
                node.uid, node.gid = uid, gid


def add_contents(tree: Tree, contents: Sequence[Entry], *, case_hack: bool = False) -> Placed:
    """Copy ``contents`` into ``tree``, in order; missing parents are created.

    ``case_hack`` removes the case hack from all names, since most sources are in a store.

    Raises :class:`TreeError` for a target that exists already, :class:`SourceError` for a source
    that does not, and :class:`SpecError` for an invalid mode.
    """
    placed = Placed()
    for entry in contents:
        try:
            change = parse_mode(entry.mode) if entry.mode else None
        except ValueError as error:
            raise SpecError("contents", f"{entry.target}: {error}") from None
        if "*" in entry.source:
            _target(tree, entry.target, folder=True)
            plain = plain_name if case_hack else bytes
            for path in _matches(entry.source, plain):
                name = os.fsdecode(plain(os.fsencode(os.path.split(path)[1])))
                target = f"{entry.target.rstrip('/')}/{name}"
                # rsync follows a link only if its name ends with a slash.
                _add(tree, path, target, entry, change, placed, case_hack, follow=False)
        else:
            _add(tree, entry.source, entry.target, entry, change, placed, case_hack, follow=True)
    return placed


def _add(
    tree: Tree,
    source: str,
    target: str,
    entry: Entry,
    change: Change | None,
    placed: Placed,
    case_hack: bool,
    *,
    follow: bool,
) -> None:
    parent, name = _target(tree, target)
    if name in parent.children:
        raise TreeError(target, f"exists already; {source} of the contents cannot be copied there")
    node = _read(source, follow=follow)
    if case_hack:
        undo_case_hack(source, node)
    if change is not None:
        for each in nodes(node):
            if not isinstance(each, Symlink):
                each.mode = change(each.mode, isinstance(each, Directory))
    parent.children[name] = node
    placed.add(node, entry)


def _target(tree: Tree, path: str, *, folder: bool = False) -> tuple[Directory, bytes]:
    """The parent folder of ``path`` and the name in it, or with ``folder`` the folder itself.

    Raises :class:`TreeError` for a path that leaves the image or goes through a non-directory.
    """
    names = components(path)
    if not names and not folder:
        raise TreeError(path, "of the contents is the root itself; name something in it")
    above = names if folder else names[:-1]
    found = tree.root
    for depth, name in enumerate(above, 1):
        child = found.children.setdefault(name, Directory(mode=0o755))
        if not isinstance(child, Directory):
            raise TreeError(b"/" + b"/".join(above[:depth]), f"is not a folder for {path}")
        found = child
    return found, names[-1] if names else b""


def _read(source: str, *, follow: bool) -> Node:
    """The node at ``source``; with ``follow``, a link to a folder is followed."""
    if os.path.isdir(source) and (follow or not os.path.islink(source)):
        return directory(source, xattrs=False).root
    parent, name = os.path.split(source)
    if not name:
        raise SourceError(source, "is not a folder")
    found = directory(parent or ".", names=[name], xattrs=False)
    return found.root.children[os.fsencode(name)]


def _matches(pattern: str, plain: Callable[[bytes], bytes]) -> Iterable[str]:
    """The sorted expansion of a shell pattern; hidden names match only patterns with a dot.

    ``plain`` converts a name on this host to the name to be matched.
    """
    root = "/" if pattern.startswith("/") else "."
    paths = [root]
    for part in pattern.strip("/").split("/"):
        if not any(wildcard in part for wildcard in "*?["):
            paths = [os.path.join(path, part) for path in paths]
            continue
        matches = matcher([part])
        assert matches is not None
        following = []
        for path in paths:
            try:
                with os.scandir(path) as entries:
                    names = sorted(entry.name for entry in entries)
            except OSError:
                continue
            following += [
                os.path.join(path, name)
                for name in names
                if matches(shown := plain(os.fsencode(name)), shown)
                and (part.startswith(".") or not name.startswith("."))
            ]
        paths = following
    paths = [path for path in paths if os.path.exists(path) or os.path.islink(path)]
    if not paths:
        raise SourceError(pattern, "matches nothing")
    return paths


def _number(tree: Tree, kind: str, name: str) -> int:
    """The number of a user or a group; raises :class:`SpecError` for an unknown name."""
    if re.fullmatch("[0-9]{1,10}", name, re.ASCII) and int(name) <= ID_MOST:
        return int(name)
    if name == "root":
        return 0
    accounts = ACCOUNTS[kind]
    if accounts in tree:
        node = tree[accounts]
        if isinstance(node, RegularFile):
            for line in node.content.read_bytes().split(b"\n"):
                fields = line.split(b":")
                if len(fields) > 2 and fields[0] == os.fsencode(name) and fields[2].isdigit():
                    return int(fields[2])
    raise SpecError(
        "contents",
        f"the {kind} {name!r} is not in {accounts.decode()} of the image; give a number",
    )
