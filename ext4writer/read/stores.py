"""Where the bytes of an image come from: a file, a device, memory, or an object that can read."""

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
"""Where no file reaches, in bytes."""


class HasBuffer(Protocol):
    """What :class:`memoryview` takes, such as a ``mmap`` or an ``array``."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


class CanPread(Protocol):
    """What has ``pread`` as :func:`os.pread` has it, without the descriptor."""

    def pread(self, count: int, offset: int, /) -> Buffer:
        """Return up to ``count`` bytes from ``offset`` on; fewer only at the end."""
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
    """Bytes at offsets. ``name`` is what errors call them, ``size`` counts them."""

    name: bytes
    size: int
    is_whole_file = False
    """Whether it is all of a file, or of a memory; no device, partition or window."""

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset`` on; :class:`ImageError` where there are fewer."""
        if count < 0 or offset < 0 or offset + count > self.size:
            raise ImageError(
                self.name, f"ends at byte {self.size}, and {count} bytes at {offset} are needed"
            )
        data = self._read(offset, count)
        if len(data) != count:
            raise ImageError(self.name, f"gives {len(data)} of {count} bytes at {offset}")
        return data

    def _read(self, offset: int, count: int) -> bytes:
        raise NotImplementedError

    def stored(self, start: int, end: int) -> Iterator[Span]:
        """Yield the bytes that are no hole of the file, ascending.

        Holes are those that the host reports; they read as zeros. If it reports none, all is data.
        """
        if start < end:
            yield Span(start, end)

    def close(self) -> None:
        """Give back what :func:`open_store` opened."""


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
        # What is a file has read and seek in any case, and a pread of another form, perhaps.
        self._pread = None if isinstance(source, io.IOBase) else getattr(source, "pread", None)
        size = getattr(source, "size", None)
        if not isinstance(size, int):
            size = source.seek(0, io.SEEK_END) if hasattr(source, "seek") else self._end()
        self.size = size

    def _end(self) -> int:
        """How many bytes there are, for an object that does not say it: by asking for single ones.

        Twice as far each time, up to a byte that is not there; then half the way to it.
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
    """A stretch of another store: a partition, or what begins at an offset."""

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
    """A store with other bytes in some blocks, as a journal leaves them."""

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
    :class:`~ext4writer.ImageError` for what is nothing to read from.
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
        except SourceChangedError as error:  # what sources say, which have seen the file before
            raise SourceError(path, "cannot be read: No such file or directory") from error
        assert file.fd is not None
        status = os.fstat(file.fd)
        is_regular = stat.S_ISREG(status.st_mode)
        if is_regular or stat.S_ISBLK(status.st_mode):
            try:
                size = os.lseek(file.fd, 0, os.SEEK_END)
            except OSError as error:  # such as files of /proc, which have no end
                raise ImageError(path, f"cannot be read: {error.strerror}") from error
            return FileStore(file, size, is_regular=is_regular)
        raise ImageError(path, "is neither a file nor a block device")
    if hasattr(source, "pread") or isinstance(source, CanReadInto):
        return ObjectStore(source)
    with suppress(TypeError):  # what has bytes without being them: mmap, array, numpy's arrays
        return MemoryStore(memoryview(source))
    raise ImageError(repr(source)[:80], "is no path, no bytes, and has neither pread nor readinto")
