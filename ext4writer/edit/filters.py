"""Filters: each changes the nodes of a tree in place and returns the tree."""

from __future__ import annotations

from collections.abc import Callable

from ..arguments import count_of, id_of, seconds_of
from ..errors import SpecError, TreeError
from ..losses import without_losses_below
from ..tree import Directory, Loss, Node, Tree, check_tree
from ..units import NANOSECONDS
from ..walking import directories, nodes
from .globs import Patterns, matcher


def set_owner(tree: Tree, uid: int, gid: int) -> Tree:
    """Give every node the owner ``uid`` and the group ``gid``."""
    check_tree(tree)
    uid, gid = _argument("uid", uid, id_of), _argument("gid", gid, id_of)
    for node in nodes(tree.root):
        node.uid = uid
        node.gid = gid
    return tree


def set_root_owner(tree: Tree, uid: int, gid: int) -> Tree:
    """Give the root directory alone the owner ``uid`` and the group ``gid``."""
    check_tree(tree)
    uid, gid = _argument("uid", uid, id_of), _argument("gid", gid, id_of)
    tree.root.uid = uid
    tree.root.gid = gid
    return tree


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
"""(absolute path, node) -> the node to put there: the same (maybe changed), another, or None."""


def apply(tree: Tree, change: Change) -> Tree:
    """Call ``change`` for every node; its result replaces the node, and None drops it.

    It is called once for each node: parents before children, names sorted as bytes, and a node
    with several names at the first of them. The result holds for all its names, so they remain hard
    links. Dropping a directory drops everything below it without a call, and there are no calls for
    the children of a new directory either.

    Losses of dropped nodes are dropped. Raises :class:`TreeError` if the root is dropped or
    replaced by something other than a directory, or if a directory replaces a node with several
    names.
    """
    check_tree(tree)
    if not callable(change):
        raise SpecError("change", f"{change!r:.80} is no function")
    root = change(b"/", tree.root)
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
                answer = change(path, node)
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


def exclude(tree: Tree, patterns: Patterns) -> Tree:
    """Drop every name that one of ``patterns`` matches, and all below it; other names remain.

    The patterns are those of :func:`ext4writer.sources.directory`; raises :class:`SpecError` for an
    invalid one.
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


def strip_components(tree: Tree, count: int) -> Tree:
    """Remove the first ``count`` names of every path, as tar does; return the remaining tree.

    Directories that get the same path are merged, later ones (in the order of names) over earlier
    ones. A path with ``count`` names or fewer is left out, and is in the losses unless it is a
    directory. The root then has default attributes. ``tree`` must not be used afterwards.
    """
    check_tree(tree)
    for _ in range(_argument("count", count, count_of)):
        tree = _without_first_names(tree)
    return tree


def _without_first_names(tree: Tree) -> Tree:
    left = Tree(Directory(implied=True))
    losses: dict[bytes, list[Loss]] = {}
    for loss in tree.losses:
        first, _, rest = loss.path.lstrip(b"/").partition(b"/")
        losses.setdefault(first, []).append(Loss(b"/" + rest, loss.what, loss.code))
    for name, node in sorted(tree.root.children.items()):
        if not isinstance(node, Directory):
            what = "has too few names, of which some were to be stripped"
            left.losses.append(Loss(b"/" + name, what, "left-out"))
            continue
        node.implied = True
        part = Tree(node)
        part.losses = losses.get(name, [])
        left.overlay(part, copy=False)
    left.losses += losses.get(b"", [])
    return left
