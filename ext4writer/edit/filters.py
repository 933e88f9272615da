"""Filters: each changes a tree in place and returns it, unless documented otherwise."""

from __future__ import annotations

from collections.abc import Callable

from ..arguments import count_of, id_of, seconds_of
from ..checked import checked, checked_if_it_fails
from ..errors import SpecError, TreeError
from ..losses import names_of, without_losses_below
from ..tree import Directory, Loss, Node, Tree, check_tree
from ..units import NANOSECONDS
from ..walking import directories, nodes
from .globs import Patterns, matcher


@checked_if_it_fails
def set_owner(tree: Tree, uid: int, gid: int) -> Tree:
    """Set the owner of every node to ``uid`` and the group to ``gid``."""
    check_tree(tree)
    uid, gid = _argument("uid", uid, id_of), _argument("gid", gid, id_of)
    for node in nodes(tree.root):
        node.uid = uid
        node.gid = gid
    return tree


@checked_if_it_fails
def set_root_owner(tree: Tree, uid: int, gid: int) -> Tree:
    """Set the owner of only the root directory to ``uid`` and its group to ``gid``."""
    check_tree(tree)
    uid, gid = _argument("uid", uid, id_of), _argument("gid", gid, id_of)
    tree.root.uid = uid
    tree.root.gid = gid
    return tree


@checked_if_it_fails
def set_all_times(tree: Tree, seconds: float) -> Tree:
    """Set all four times of every node to ``seconds`` since 1970."""
    check_tree(tree)
    whole = _argument("seconds", seconds, seconds_of)
    time_ns = whole * NANOSECONDS
    if isinstance(seconds, float):
        time_ns += round((seconds - whole) * NANOSECONDS)
    for node in nodes(tree.root):
        node.mtime_ns = time_ns
        node.atime_ns = node.ctime_ns = node.crtime_ns = None
    return tree


def _argument(name: str, given: object, take: Callable[[object], int]) -> int:
    try:
        return take(given)
    except ValueError as error:
        raise SpecError(name, str(error)) from None


Change = Callable[[bytes, Node], Node | None]
"""(absolute path, node) -> the new node for that path: the same, another, or None."""


def _changed(change: Change, path: bytes, node: Node) -> Node | None:
    """Call ``change`` for a node; a :class:`SpecError` becomes a :class:`TreeError` with a path."""
    try:
        return change(path, node)
    except SpecError as error:
        raise TreeError(path, str(error)) from error


@checked()
def apply(tree: Tree, change: Change) -> Tree:
    """Call ``change`` for every node; its result replaces the node, and None drops it.

    ``change`` is called once for each node: parents before children, names sorted as bytes. A node
    with several names is passed with the first one; the result applies to all of them, so they
    remain hard links. Dropping a directory also drops everything below it, without further calls.
    There are no calls for the children of a new directory either.

    Losses of dropped nodes are dropped. Raises :class:`TreeError` if the root is dropped or
    replaced with something other than a directory, and if a directory replaces a node with several
    names. A :class:`SpecError` of ``change`` becomes a :class:`TreeError` with the path.
    """
    check_tree(tree)
    if not callable(change):
        raise SpecError("change", f"{change!r:.80} is not a function")
    root = _changed(change, b"/", tree.root)
    if not isinstance(root, Directory):
        raise TreeError(b"/", "the root cannot be dropped, and must be a directory")
    tree.root = root
    answers: dict[Node, Node | None] = {}
    dropped: set[bytes] = set()
    pending = [(b"/", root)]
    while pending:
        prefix, directory = pending.pop()
        children = directory.children
        below = []
        for name in sorted(children):
            node = children[name]
            path = prefix + name
            if node in answers:
                answer = answers[node]
                if isinstance(answer, Directory):
                    raise TreeError(path, "has several names, so it cannot become a directory")
            else:
                answer = _changed(change, path, node)
                if not isinstance(node, Directory):
                    answers[node] = answer
            if answer is None:
                del children[name]
                dropped.add(path)
                continue
            children[name] = answer
            if isinstance(node, Directory) and isinstance(answer, Directory):
                below.append((path + b"/", answer))
        pending.extend(reversed(below))
    tree.losses = without_losses_below(tree.losses, dropped)
    return tree


@checked()
def exclude(tree: Tree, patterns: Patterns) -> Tree:
    """Drop every name that one of ``patterns`` matches, and everything below it.

    Other hard links to the same files remain. The patterns are those of
    :func:`ext4writer.sources.directory`; raises :class:`SpecError` for an invalid one.
    """
    check_tree(tree)
    excluded = matcher(patterns)
    if excluded is None:
        return tree
    dropped: set[bytes] = set()
    for prefix, directory in directories(tree.root, b""):
        for name in [name for name in directory.children if excluded(prefix + name, name)]:
            del directory.children[name]
            dropped.add(b"/" + prefix + name)
    tree.losses = without_losses_below(tree.losses, dropped)
    return tree


@checked_if_it_fails
def strip_components(tree: Tree, count: int) -> Tree:
    """Remove the first ``count`` components of every path, as tar does; return the new tree.

    Directories that get the same path are merged, later ones over earlier ones; their order is that
    of the last removed component, then of the one before it. A path with ``count`` components or
    fewer is left out. It is in the losses with that path, unless it is a directory that is not
    empty. The new root has default attributes. ``tree`` must not be used afterwards.
    """
    check_tree(tree)
    count = _argument("count", count, count_of)
    if count <= 0:
        return tree
    lossy_paths = {tuple(names_of(loss.path)) for loss in tree.losses}
    leading: set[_Names] = set()
    left_out: list[bytes] = []
    level: list[tuple[_Names, Directory]] = [((), tree.root)]
    depth = 0
    while level and depth < count:
        depth += 1
        below = []
        for names, directory in level:
            for name, node in sorted(directory.children.items()):
                if isinstance(node, Directory) and node.children:
                    below.append(((*names, name), node))
                else:
                    left_out.append(_path((*names, name)))
        leading.update(names for names, _ in below if names in lossy_paths)
        level = below
    left = Tree(Directory(implied=True))
    losses = _stripped_losses(tree.losses, count, leading)
    for names, directory in sorted(level, key=lambda one: one[0][::-1]):
        directory.implied = True
        part = Tree(directory)
        part.losses = losses.pop(names, [])
        left.overlay(part, copy=False)
    names_gone = "a name" if count == 1 else f"{count} names"
    what = f"was left out: stripping {names_gone} leaves nothing of its path"
    left.losses += [loss for rest in losses.values() for loss in rest]
    left.losses += [Loss(path, what, "left-out") for path in left_out]
    return left


_Names = tuple[bytes, ...]


def _path(names: _Names) -> bytes:
    return b"/" + b"/".join(names)


def _stripped_losses(
    losses: list[Loss], count: int, leading: set[_Names]
) -> dict[_Names, list[Loss]]:
    """Map the ``count`` removed components to the losses below them, with stripped paths.

    Losses of a directory in ``leading`` are dropped with it. Other losses with too few components
    keep their path, and are returned under the key ``()``.
    """
    found: dict[_Names, list[Loss]] = {}
    for loss in losses:
        names = tuple(names_of(loss.path))
        if len(names) > count:
            stripped = Loss(_path(names[count:]), loss.what, loss.code)
            found.setdefault(names[:count], []).append(stripped)
        elif names not in leading:
            found.setdefault((), []).append(loss)
    return found
