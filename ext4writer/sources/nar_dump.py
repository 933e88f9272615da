"""Creates the Nix archive of a node in pieces, for hashing, and computes its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..content import Content, reading_buffer
from ..errors import TreeError
from ..progress import Cancel, check_cancelled
from ..tree import S_IFLNK, S_IFREG, Directory, Node, RegularFile, Symlink
from ..walking import nodes
from .nar_format import (
    ALIGNMENT,
    CLOSE,
    CONTENTS,
    DIRECTORY,
    ENTRY,
    ENTRY_NODE,
    EXECUTABLE,
    EXECUTABLE_MARK,
    LENGTH_BYTES,
    MAGIC,
    NODE,
    REGULAR,
    SYMLINK,
    padding,
    word,
)

BUFFER_BYTES = 1 << 20

FILE_HEAD = NODE + REGULAR + CONTENTS
EXECUTABLE_HEAD = NODE + REGULAR + EXECUTABLE_MARK + CONTENTS
SYMLINK_HEAD = NODE + SYMLINK
DIRECTORY_HEAD = NODE + DIRECTORY
ENTRY_END = CLOSE + CLOSE
PADDING = [bytes(padding(size)) for size in range(ALIGNMENT)]


def nar_size(root: Node) -> int:
    """Size in bytes of the archive of ``root``; reads no content."""
    total = len(MAGIC) + len(CLOSE)
    per_entry = len(ENTRY) + len(ENTRY_NODE) + len(ENTRY_END) + LENGTH_BYTES
    for node in nodes(root):
        if isinstance(node, RegularFile):
            head = EXECUTABLE_HEAD if node.mode & EXECUTABLE else FILE_HEAD
            size = node.content.size
            total += len(head) + LENGTH_BYTES + size + padding(size)
        elif isinstance(node, Directory):
            total += len(DIRECTORY_HEAD)
            for name in node.children:
                total += per_entry + len(name) + padding(len(name))
        else:
            total += len(SYMLINK_HEAD) + len(word(_target(node, b"")))
    return total


def dump_nar(root: Node, take: Callable[[memoryview], object], cancel: Cancel | None = None) -> int:
    """Pass the archive of ``root`` to ``take`` in pieces, and return its size in bytes.

    A piece is valid only during the call. Raises :class:`TreeError` for a node that is neither a
    directory, a regular file nor a symbolic link, and whatever reading content raises.
    """
    return _Dump(take, cancel).dump(root)


class _Dump:
    def __init__(self, take: Callable[[memoryview], object], cancel: Cancel | None) -> None:
        self._take = take
        self._cancel = cancel
        self._buffer = reading_buffer(BUFFER_BYTES)
        self._filled = self._total = 0

    def dump(self, root: Node) -> int:
        self._put(MAGIC)
        if isinstance(root, Directory):
            self._directory(root)
        else:
            self._leaf(b"", root, b"")
        self._put(CLOSE)
        self._flush()
        return self._total

    def _directory(self, root: Directory) -> None:
        """Write everything below ``root``, without recursion."""
        self._put(DIRECTORY_HEAD)
        stack: list[Iterator[tuple[bytes, Node]]] = [iter(sorted(root.children.items()))]
        while True:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
                if not stack:
                    return
                self._put(ENTRY_END)
                continue
            name, node = entry
            head = ENTRY + word(name) + ENTRY_NODE
            if isinstance(node, Directory):
                self._put(head + DIRECTORY_HEAD)
                stack.append(iter(sorted(node.children.items())))
            else:
                self._leaf(head, node, name)
                self._put(ENTRY_END)

    def _leaf(self, head: bytes, node: Node, name: bytes) -> None:
        if node.file_type == S_IFREG:
            assert isinstance(node, RegularFile)
            head += EXECUTABLE_HEAD if node.mode & EXECUTABLE else FILE_HEAD
            size = node.content.size
            self._put(head + size.to_bytes(LENGTH_BYTES, "little"))
            if size:
                self._content(node.content)
        else:
            self._put(head + SYMLINK_HEAD + word(_target(node, name)))

    def _content(self, content: Content) -> None:
        size = content.size
        if size > len(self._buffer) - self._filled:
            self._flush()
        if size <= len(self._buffer):
            content.read_whole(self._buffer[self._filled : self._filled + size])
            self._filled += size
        else:
            self._large(content)
        self._put(PADDING[size % ALIGNMENT])

    def _large(self, content: Content) -> None:
        """Write content larger than the buffer, which must be empty."""
        for piece in content.read_pieces(self._buffer):
            self._filled = len(piece)
            self._flush()

    def _put(self, data: bytes) -> None:
        end = self._filled + len(data)
        if end > len(self._buffer):
            self._flush()
            end = len(data)
        self._buffer[self._filled : end] = data
        self._filled = end

    def _flush(self) -> None:
        check_cancelled(self._cancel)
        if self._filled:
            self._take(self._buffer[: self._filled])
            self._total += self._filled
            self._filled = 0


def _target(node: Node, name: bytes) -> bytes:
    if node.file_type != S_IFLNK or not isinstance(node, Symlink):
        raise TreeError(
            name, "is neither a directory, a regular file nor a symbolic link, as a NAR requires"
        )
    return node.target
