"""The common part of both manifest writers."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from typing import BinaryIO

from .. import walking
from ..arguments import ID_MOST
from ..errors import OutputError, TreeError
from ..sources.manifest_lines import PATH_MOST
from ..tree import Node, Tree
from ..units import NANOSECONDS
from ..walking import hard_links

_BUFFERED_LINES = 4096


class Lines:
    """Buffers lines for a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        """Raises :class:`OutputError` if ``stream`` is not a binary file."""
        given: object = stream
        if isinstance(given, io.TextIOBase) or not hasattr(given, "write"):
            name = str(getattr(given, "name", f"{given!r:.80}"))
            raise OutputError(name, "is not a binary file; open it with mode 'wb'")
        self._stream = stream
        self._buffered: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Write ``line`` and a newline."""
        self._buffered.append(line)
        if len(self._buffered) >= _BUFFERED_LINES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines."""
        if self._buffered:
            data = memoryview(b"\n".join([*self._buffered, b""]))
            self._buffered.clear()
            while data:
                # An unbuffered stream may write only a part. Objects that return no count have
                # written everything.
                done: int | None = self._stream.write(data)
                if done is None and isinstance(self._stream, io.RawIOBase):
                    raise BlockingIOError(errno.EAGAIN, "it is in non-blocking mode")
                data = data[len(data) if done is None else done :]


def shared_names(tree: Tree) -> dict[Node, list[bytes]]:
    """Map each node with several names to its paths, in the order of a manifest."""
    shared: dict[Node, list[bytes]] = {node: [] for node in hard_links(tree.root)}
    if shared:
        for path, node in depth_first(tree):
            if node in shared:
                shared[node].append(path)
    return shared


def depth_first(tree: Tree) -> Iterator[tuple[bytes, Node]]:
    """Yield (absolute path, node) for each name, as :func:`walking.depth_first` does.

    This is the order of composefs-info. Raises :class:`TreeError` for a path too long for readers
    of manifests, and for an owner out of range.
    """
    for path, node in walking.depth_first(tree.root):
        if len(path) > PATH_MOST:
            raise TreeError(
                path[:100] + b"...",
                f"its path has {len(path):,} bytes; {PATH_MOST:,} is the most in a manifest",
            )
        if not (0 <= node.uid <= ID_MOST and 0 <= node.gid <= ID_MOST):
            raise TreeError(path, f"its owner {node.uid}:{node.gid} is out of range")
        yield path, node


def time_text(time_ns: int) -> bytes:
    """``seconds.nanoseconds`` with nine digits after the point; the seconds are rounded down."""
    return b"%d.%09d" % divmod(time_ns, NANOSECONDS)
