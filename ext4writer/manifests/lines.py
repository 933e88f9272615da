"""What the writers of both kinds of manifest share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from ..arguments import ID_MOST
from ..errors import TreeError
from ..sources.manifest_lines import PATH_MOST
from ..tree import Directory, Node, Tree
from ..walking import hard_links

NANOSECONDS = 1_000_000_000
_HELD = 4096


class Lines:
    """Lines on their way to a stream, many at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Write ``line`` and what ends it."""
        self._held.append(line)
        if len(self._held) >= _HELD:
            self.flush()

    def flush(self) -> None:
        """Hand over what is held."""
        if self._held:
            data = memoryview(b"\n".join([*self._held, b""]))
            self._held.clear()
            while data:
                # A stream without a buffer may take less than all.
                data = data[self._stream.write(data) :]


def shared_names(tree: Tree) -> dict[Node, list[bytes]]:
    """Each node that stands under several names, and its paths in the order of a manifest."""
    shared: dict[Node, list[bytes]] = {node: [] for node in hard_links(tree.root)}
    if shared:
        for path, node in depth_first(tree):
            if node in shared:
                shared[node].append(path)
    return shared


def depth_first(tree: Tree) -> Iterator[tuple[bytes, Node]]:
    """Yield (absolute path, node) for each name: a directory, all below it, then the next name.

    Names are sorted as bytes. It is the order of composefs-info. :class:`TreeError` for a path
    that is too long for those who read a manifest.
    """
    stack: list[tuple[bytes, Node]] = [(b"/", tree.root)]
    while stack:
        path, node = stack.pop()
        if len(path) > PATH_MOST:
            raise TreeError(
                path[:100] + b"...",
                f"its path has {len(path):,} bytes; {PATH_MOST:,} is the most in a manifest",
            )
        if not (0 <= node.uid <= ID_MOST and 0 <= node.gid <= ID_MOST):
            raise TreeError(path, f"its owner {node.uid}:{node.gid} is no user and group")
        yield path, node
        if isinstance(node, Directory):
            prefix = path if path == b"/" else path + b"/"
            stack += [
                (prefix + name, node.children[name]) for name in sorted(node.children, reverse=True)
            ]


def time_text(time_ns: int) -> bytes:
    """``seconds.nanoseconds``, nine digits behind the point; before 1970 the seconds are rounded
    down.
    """
    return b"%d.%09d" % divmod(time_ns, NANOSECONDS)
