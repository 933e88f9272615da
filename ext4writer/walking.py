"""Walks over everything below a directory, without recursion, since trees may be deep."""

from __future__ import annotations

from collections.abc import Iterator

from .nodes import Directory, Node


def directories(top: Directory, prefix: bytes | None = b"/") -> Iterator[tuple[bytes, Directory]]:
    """Yield ``top`` and every directory below it, each with the path prefix of its entries.

    Parents come first, and siblings are sorted by name as bytes. ``prefix`` is the path prefix of
    the entries of ``top``; with None all prefixes are empty, which saves building paths. The caller
    may change the entries of a directory after it was yielded: the walk continues with those that
    remain.
    """
    stack = [(b"" if prefix is None else prefix, top)]
    while stack:
        above, directory = stack.pop()
        yield above, directory
        children = directory.children
        below = [name for name, node in children.items() if isinstance(node, Directory)]
        below.sort(reverse=True)
        for name in below:
            node = children[name]
            assert isinstance(node, Directory)
            stack.append((above if prefix is None else above + name + b"/", node))


def depth_first(top: Directory) -> Iterator[tuple[bytes, Node]]:
    """Yield (absolute path, node) for each name: a node, all below it, then the next name.

    Names are sorted as bytes.
    """
    stack: list[tuple[bytes, Node]] = [(b"/", top)]
    while stack:
        path, node = stack.pop()
        yield path, node
        if isinstance(node, Directory):
            prefix = path if path == b"/" else path + b"/"
            stack += [
                (prefix + name, node.children[name]) for name in sorted(node.children, reverse=True)
            ]


def nodes(top: Node) -> Iterator[Node]:
    """Yield ``top`` and every node below it, once for each of its names, in no particular order."""
    yield top
    pending = [top] if isinstance(top, Directory) else []
    while pending:
        children = pending.pop().children.values()
        yield from children
        pending += [node for node in children if isinstance(node, Directory)]


def distinct_nodes(top: Directory) -> Iterator[Node]:
    """Yield ``top`` and every node below it, each once."""
    yield top
    seen: set[Node] = set()
    for _, directory in directories(top, None):
        for node in directory.children.values():
            if not isinstance(node, Directory):
                if node in seen:
                    continue
                seen.add(node)
            yield node


def hard_links(top: Directory) -> set[Node]:
    """The nodes below ``top`` that have several names."""
    once: set[Node] = set()
    several: set[Node] = set()
    for _, directory in directories(top, None):
        for node in directory.children.values():
            if not isinstance(node, Directory):
                (several if node in once else once).add(node)
    return several
