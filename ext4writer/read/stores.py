"""Sources of the bytes of an image: a file, a device, memory, or an object that can read."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ..arguments import path_problem
from ..arithmetic import ceil_div
from ..content import open_source
from ..errors import ImageError, SourceChangedError, SourceError
from ..slices import HeldFile
from ..spans import Span

Buffer: TypeAlias = "bytes | bytearray | memoryview"

_SIZE_MOST = 1 << 63
"""A size in bytes that no file has."""


class HasBuffer(Protocol):
    """An object that :class:`memoryview` accepts, such as a ``mmap`` or an ``array``."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


class CanPread(Protocol):
    """An object with a ``pread`` like :func:`os.pread`, without the descriptor."""

    def pread(self, count: int, offset: int, /) -> Buffer:
        """Return up to ``count`` bytes at byte ``offset``; fewer only at the end."""
        ...


@runtime_checkable
class CanReadInto(Protocol):
    """A binary file object that can seek."""

    def readinto(self, view: memoryview, /) -> int | None: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...


Source: TypeAlias = (
    "str | os.PathLike[str] | os.PathLike[bytes] | Buffer | HasBuffer | CanPread | CanReadInto"
)
"""What an image can be read from. A ``str`` or path-like is a path; ``bytes`` are an image."""


class Store:
    """Bytes that can be read at offsets. ``name`` names them in errors; ``size`` is in bytes."""

    name: bytes
    size: int
    is_whole_file = False
    """Whether it is a complete regular file or buffer; not a device, partition or window."""

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes at byte ``offset``; raise :class:`ImageError` if it has fewer."""
        if count < 0 or offset < 0 or offset + count > self.size:
            raise ImageError(
                self.name, f"ends at byte {self.size}, but {count} bytes at {offset} are needed"
            )
        data = self._read(offset, count)
        if len(data) != count:
            raise ImageError(self.name, f"returns {len(data)} of {count} bytes at {offset}")
        return data

    def _read(self, offset: int, count: int) -> bytes:
        raise NotImplementedError

    def stored(self, start: int, end: int) -> Iterator[Span]:
        """Yield the spans from ``start`` to ``end``, in bytes, that are not holes; ascending.

        Holes are those that the host reports; they read as zeros. If it reports none, everything is
        data.
        """
        if start < end:
            yield Span(start, end)

    def close(self) -> None:
        """Close what :func:`open_store` opened."""


class FileStore(Store):
    """A file or device of the host."""

    def __init__(self, file: HeldFile, size: int, *, is_regular: bool) -> None:
        self.name = file.path
        self.size = size
        self.file = file
        self.is_whole_file = is_regular

    def _read(self, offset: int, count: int) -> bytes:
        data = bytearray(count)
        try:
            with memoryview(data) as view:
                done = self.file.read_into(view, offset)
        except SourceError as error:
            problem = error.problem.replace("cannot be read", f"cannot be read at byte {offset}", 1)
            raise ImageError(self.name, problem) from error
        return bytes(data[:done])

    def stored(self, start: int, end: int) -> Iterator[Span]:
        fd, whence = self.file.fd, getattr(os, "SEEK_DATA", None)
        if whence is None:
            yield from super().stored(start, end)
            return
        try:
            while start < end:
                first = os.lseek(fd, start, os.SEEK_DATA)
                if first >= end:
                    return
                last = min(os.lseek(fd, first, os.SEEK_HOLE), end)
                if last <= first:
                    break
                yield Span(first, last)
                start = last
        except OSError as error:
            if error.errno == errno.ENXIO:  # lseek(2): a hole up to the end
                return
        yield from super().stored(start, end)


class MemoryStore(Store):
    """An image in memory."""

    name = b"(image in memory)"
    is_whole_file = True

    def __init__(self, data: Buffer) -> None:
        self._data = memoryview(data).cast("B")
        self.size = len(self._data)

    def _read(self, offset: int, count: int) -> bytes:
        return bytes(self._data[offset : offset + count])

    def close(self) -> None:
        self._data.release()


class ObjectStore(Store):
    """An object with ``pread``, or with ``readinto`` and ``seek``."""

    def __init__(self, source: Any) -> None:
        name = getattr(source, "name", None)
        self.name = os.fsencode(name) if isinstance(name, str | bytes) else b"(image)"
        self._source = source
        # A file object always has readinto and seek; a pread of its own may have other arguments.
        self._pread = None if isinstance(source, io.IOBase) else getattr(source, "pread", None)
        size = getattr(source, "size", None)
        if not isinstance(size, int):
            size = source.seek(0, io.SEEK_END) if hasattr(source, "seek") else self._end()
        self.size = size

    def _end(self) -> int:
        """The size of an object that does not state it, found by reading single bytes.

        The offset is doubled until there is no byte; then bisection finds the end.
        """
        least, most = 0, 1
        while most < _SIZE_MOST and self._has(most - 1):
            least, most = most, 2 * most
        while most - least > 1:
            middle = (least + most) // 2
            if self._has(middle - 1):
                least = middle
            else:
                most = middle
        return least

    def _has(self, offset: int) -> bool:
        return len(self._read(offset, 1)) == 1

    def _read(self, offset: int, count: int) -> bytes:
        try:
            if self._pread is not None:
                return bytes(self._pread(count, offset))
            return self._read_into(offset, count)
        except OSError as error:
            text = f"cannot be read at byte {offset}: {error.strerror or error}"
            raise ImageError(self.name, text) from error

    def _read_into(self, offset: int, count: int) -> bytes:
        data = bytearray(count)
        done = 0
        self._source.seek(offset)
        with memoryview(data) as view:
            while done < count:
                got = self._source.readinto(view[done:])
                if not got:
                    break
                done += got
        return bytes(data[:done])


class Window(Store):
    """A part of another store: a partition, or the bytes after an offset."""

    def __init__(self, store: Store, offset: int, size: int) -> None:
        self.name = store.name
        self.size = size
        self.inner = store
        self.offset = offset

    def _read(self, offset: int, count: int) -> bytes:
        return self.inner.read(self.offset + offset, count)

    def stored(self, start: int, end: int) -> Iterator[Span]:
        end = min(end, self.size)
        for first, last in self.inner.stored(self.offset + start, self.offset + end):
            yield Span(first - self.offset, last - self.offset)

    def close(self) -> None:
        self.inner.close()


class Overlay(Store):
    """A store in which some blocks are replaced, as by the replay of a journal."""

    def __init__(self, store: Store, block_size: int, blocks: Mapping[int, bytes]) -> None:
        self.name = store.name
        self.size = store.size
        self.inner = store
        self._block_size = block_size
        self._blocks = blocks

    def _read(self, offset: int, count: int) -> bytes:
        size = self._block_size
        first, last = offset // size, ceil_div(offset + count, size)
        if not any(block in self._blocks for block in range(first, last)):
            return self.inner.read(offset, count)
        parts = []
        for block in range(first, last):
            start, end = max(offset, block * size), min(offset + count, (block + 1) * size)
            new = self._blocks.get(block)
            if new is None:
                parts.append(self.inner.read(start, end - start))
            else:
                parts.append(new[start - block * size : end - block * size])
        return b"".join(parts)

    def close(self) -> None:
        self.inner.close()


def open_store(source: Source) -> Store:
    """Return the bytes of ``source``.

    Raises :class:`~ext4writer.SourceError` for a file that cannot be opened, and
    :class:`~ext4writer.ImageError` for an object that cannot be read from.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return MemoryStore(source)
    if isinstance(source, str | os.PathLike):
        problem = path_problem(source)
        if problem is not None:
            raise ImageError(f"{source!r:.80}", problem)
        path = os.fsencode(source)
        try:
            file = HeldFile(open_source(path), path)
        except SourceChangedError as error:  # that it vanished, but it was never seen here
            raise SourceError(path, "cannot be read: No such file or directory") from error
        assert file.fd is not None
        status = os.fstat(file.fd)
        is_regular = stat.S_ISREG(status.st_mode)
        if is_regular or stat.S_ISBLK(status.st_mode):
            try:
                size = os.lseek(file.fd, 0, os.SEEK_END)
            except OSError as error:  # for example files in /proc, which have no size
                raise ImageError(path, f"cannot be read: {error.strerror}") from error
            return FileStore(file, size, is_regular=is_regular)
        raise ImageError(path, "is neither a file nor a block device")
    if hasattr(source, "pread") or isinstance(source, CanReadInto):
        return ObjectStore(source)
    with suppress(TypeError):  # other objects with the buffer interface: mmap, array, numpy
        return MemoryStore(memoryview(source))
    raise ImageError(repr(source)[:80], "is neither a path nor bytes, and cannot pread or readinto")
