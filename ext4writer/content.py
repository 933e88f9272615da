"""The content of a regular file, which is read later, once or twice.

The exact size of a content is known from the start. Planning may read it to find holes; emission
reads it once. Both use :meth:`Content.open`, so no file stays open in between.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, BinaryIO, ClassVar, Protocol, Self

from .arguments import buffer_of, count_of, path_of
from .checked import checked_if_it_fails, converted_argument
from .errors import (
    DeclaredSizeError,
    SourceChangedError,
    SourceError,
    counted,
    short_path,
)
from .forked import NEVER
from .spans import Span

O_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
O_BINARY = getattr(os, "O_BINARY", 0)
O_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
O_NOCTTY = getattr(os, "O_NOCTTY", 0)
O_NONBLOCK = getattr(os, "O_NONBLOCK", 0)


MARGIN = 64
"""Bytes to skip at the start of a buffer. ``malloc`` places large buffers 16 bytes after the start
of a page, and the kernel copies pages to such addresses at a third of the speed (measured on x86:
source and destination then differ by a few bytes in the low bits of their addresses)."""


def reading_buffer(size: int) -> memoryview:
    """``size`` bytes of memory, at an address to which the kernel copies files fast."""
    return memoryview(bytearray(MARGIN + size))[MARGIN:]


_seeking = threading.Lock()
"""A lock for systems without pread and pwrite, where threads share a descriptor's position."""


def read_at(fd: int, view: memoryview, offset: int) -> int:
    """Read into ``view`` from byte ``offset``; return the count of bytes, 0 only at the end."""
    if hasattr(os, "preadv"):
        return os.preadv(fd, [view], offset)
    with _seeking:  # Windows
        os.lseek(fd, offset, os.SEEK_SET)
        data = os.read(fd, len(view))
    view[: len(data)] = data
    return len(data)


def write_at(fd: int, data: memoryview, offset: int) -> int:
    """Write ``data``, or a first part of it, at byte ``offset``; return the count of bytes."""
    if hasattr(os, "pwrite"):
        return os.pwrite(fd, data, offset)
    with _seeking:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)


def write_all_at(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of ``data`` at byte ``offset``; may raise ``OSError``."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += write_at(fd, view[done:], offset + done)


FileId = tuple[int, int]
"""Device and inode number, which identify a file of the host under any name."""


def file_id(status: os.stat_result) -> FileId:
    """The identity of a file; all device nodes of one block device have the same one."""
    if stat.S_ISBLK(status.st_mode):
        return -1, status.st_rdev
    return status.st_dev, status.st_ino


def id_at(path: bytes) -> FileId | None:
    """The identity of the file at ``path``; None if it no longer exists."""
    try:
        return file_id(os.stat(path))
    except OSError:
        return None


class _Kept(threading.local):
    """What contents keep open between reads, for each thread."""

    users = 0
    closers: tuple[Callable[[], None], ...] = ()


_kept = _Kept()


class KeepingOpen:
    """Lets contents keep shared directories of the host open until :meth:`close`.

    For one thread, from the first to the last of many reads.
    """

    def __init__(self) -> None:
        self._is_open = True
        _kept.users += 1

    def close(self) -> None:
        """Close what was kept open, unless an outer context in this thread still needs it."""
        if not self._is_open:
            return
        self._is_open = False
        _kept.users -= 1
        if not _kept.users:
            closers, _kept.closers = _kept.closers, ()
            for close in closers:
                close()

    def __enter__(self) -> None:
        """Do nothing; the constructor has done the work."""

    def __exit__(self, *_: object) -> None:
        self.close()


def keep_until_closed(close: Callable[[], None]) -> bool:
    """Arrange to call ``close`` when reading ends; False if nothing may stay open here."""
    if not _kept.users:
        return False
    _kept.closers = (*_kept.closers, close)
    return True


Stamp = int
"""A number that changes whenever a file is written: see :func:`stamp_of`."""


def stamp_of(status: os.stat_result) -> Stamp:
    """The sum of change time, modification time and inode number.

    A write sets both times, and nothing can set the change time back; another file at the same path
    has another inode or a later change time. A sum is the fastest way to combine them.
    """
    return status.st_ctime_ns + status.st_mtime_ns + status.st_ino


class Reader(Protocol):
    """One content while it is open.

    ``fd`` is a descriptor for copies inside the kernel, or None; the content starts at its byte
    ``fd_offset``. ``readinto`` must be called with ascending offsets that do not overlap earlier
    calls, unless the content has ``random_access``. ``path`` names the content in errors.
    """

    fd: int | None
    fd_offset: int

    @property
    def path(self) -> bytes: ...

    def readinto(self, view: memoryview, offset: int) -> int:
        """Fill ``view`` from byte ``offset``; return the count of bytes, short only at the end."""
        ...

    def check_unchanged(self) -> None:
        """Raise :class:`SourceChangedError` if the content no longer has ``Content.size`` bytes."""
        ...

    def close(self) -> None: ...


class Content(ABC):
    """The content of one regular file of exactly ``size`` bytes.

    A subclass whose readers can seek at no extra cost sets ``random_access``.
    """

    __slots__ = ("size",)
    size: int
    random_access: ClassVar[bool] = False
    within_file: ClassVar[bool] = False
    """Whether it is part of a larger file of the host."""
    stored_zeros: ClassVar[bool] = False
    """Whether it is all zeros that get blocks instead of holes. They need not be written, since an
    output has zeros where nothing is written."""

    def __repr__(self) -> str:
        path = getattr(self, "path", None)
        name = path if isinstance(path, bytes) else self.host_path() or getattr(self, "name", b"")
        shown = f" {short_path(name)!r}" if name else ""
        size = counted(getattr(self, "size", "?"), "byte", "bytes")
        return f"<{type(self).__name__}{shown} of {size}>"

    @property
    def first_generation(self) -> int:
        """The first generation of processes that can read it; see ``forked.next_generation``."""
        return NEVER

    def container(self) -> object:
        """An object that identifies the larger file; for a class ``within_file``."""
        return None

    def file_id(self) -> FileId | None:
        """The file of the host that is read, for a part the larger one; None if there is none."""
        return None

    def host_path(self) -> bytes | None:
        """The path of that file, if it is opened by path and the content is all of it."""
        return None

    @classmethod
    def packed(cls, contents: list[Self]) -> object:
        """``contents``, all of this class, as plain values that pickle faster than objects."""
        return contents

    @classmethod
    def unpacked(cls, packed: Any) -> list[Self]:
        """The contents that :meth:`packed` returned as plain values."""
        contents: list[Self] = packed
        return contents

    @abstractmethod
    def open(self) -> Reader:
        """Open for reading; raise :class:`SourceError` that names the file if that fails."""

    def data_segments(self) -> Iterable[Span] | None:
        """Yield the spans in bytes that may hold data, ascending; the rest is known to be zeros.

        None if only the host knows.
        """
        return None

    def read_whole(self, view: memoryview) -> None:
        """Fill ``view``, which has ``size`` bytes, with the content.

        Raises :class:`SourceChangedError` if the content no longer has ``size`` bytes.
        """
        reader = self.open()
        try:
            count = reader.readinto(view, 0) if self.size else 0
            reader.check_unchanged()
            if count != self.size:
                raise SourceChangedError(
                    reader.path, f"yields {count} bytes where {self.size} were expected"
                )
        finally:
            reader.close()

    def read_bytes(self) -> bytes:
        """The content as bytes; it should be small. Raises like :meth:`read_whole`."""
        data = bytearray(self.size)
        with memoryview(data) as view:
            self.read_whole(view)
        return bytes(data)

    def read_pieces(self, buffer: memoryview) -> Iterator[memoryview]:
        """Yield the content from front to back, in parts that are read into ``buffer``.

        Each part is valid until the next. Raises like :meth:`read_whole`: before the last part if
        there are fewer than ``size`` bytes, after it if there are more.
        """
        size = self.size
        if size <= len(buffer):
            self.read_whole(buffer[:size])
            if size:
                yield buffer[:size]
            return
        reader = self.open()
        try:
            done = 0
            while done < size:
                wanted = min(len(buffer), size - done)
                count = reader.readinto(buffer[:wanted], done)
                if count < wanted:
                    reader.check_unchanged()
                    raise SourceChangedError(reader.path, f"ends at byte {done + count}")
                yield buffer[:count]
                done += count
            reader.check_unchanged()
        finally:
            reader.close()

    @classmethod
    def read_side_by_side(cls, packed: Any, buffer: memoryview, block_size: int) -> int:
        """Read all contents into ``buffer``, each aligned to a block, with zeros between them.

        ``packed`` is what :meth:`packed` returned. Returns the end of the last content in bytes.
        Raises like :meth:`read_whole`.
        """
        start = end = 0
        for content in cls.unpacked(packed):
            buffer[end:start] = bytes(start - end)
            end = start + content.size
            content.read_whole(buffer[start:end])
            start = -(-end // block_size) * block_size
        return end


class ContentSource:
    """Reads a content from front to back, as a stream."""

    def __init__(self, content: Content) -> None:
        self._reader = content.open()
        self._size = content.size
        self._position = 0
        self.path = self._reader.path
        """The name of the content in errors."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end. Raises like :meth:`Content.read_whole`."""
        data = bytearray(min(size, self._size - self._position))
        count = self._reader.readinto(memoryview(data), self._position) if data else 0
        self._position += count
        if count < len(data) or self._position == self._size:
            self._reader.check_unchanged()
        return bytes(data[:count])


class Parcel:
    """Contents that are pickled for another process, runs of one class together."""

    __slots__ = ("_contents", "_packed")

    def __init__(self, contents: list[Content]) -> None:
        self._contents: list[Content] | None = contents
        self._packed: list[tuple[type[Content], Any]] | None = None
        """The runs as they came from another process, each of one class. Most are read directly,
        without creating objects."""

    @property
    def contents(self) -> list[Content]:
        """All contents, in order."""
        if self._contents is None:
            self._contents = [each for kind, some in self._runs() for each in kind.unpacked(some)]
        return self._contents

    def __reduce__(self) -> tuple[object, ...]:
        return _unpacked_parcel, (self._runs(),)

    def _runs(self) -> list[tuple[type[Content], Any]]:
        """The contents in order, packed, as runs of one class."""
        if self._packed is not None:
            return self._packed
        contents = self.contents
        if len(set(map(type, contents))) == 1:
            return [(type(contents[0]), type(contents[0]).packed(contents))]
        runs = []
        for kind, run in groupby(contents, type):
            assert issubclass(kind, Content)
            runs.append((kind, kind.packed(list(run))))
        return runs

    def read_side_by_side(self, buffer: memoryview, block_size: int) -> int:
        """Read all; see :meth:`Content.read_side_by_side`."""
        start = end = 0
        for kind, packed in self._runs():
            buffer[end:start] = bytes(start - end)
            end = start + kind.read_side_by_side(packed, buffer[start:], block_size)
            start = -(-end // block_size) * block_size
        return end


def _unpacked_parcel(packed: list[tuple[type[Content], Any]]) -> Parcel:
    parcel = Parcel([])
    parcel._contents, parcel._packed = None, packed
    return parcel


class BytesContent(Content):
    """Bytes in memory."""

    __slots__ = ("data",)
    random_access = True
    first_generation = NEVER

    def __init__(self, data: bytes) -> None:
        """Raises :class:`SpecError` if ``data`` is not bytes, for example a str."""
        if type(data) is not bytes:
            converted_argument("data", data, buffer_of)
        self.data = data
        self.size = len(data)

    def open(self) -> Reader:
        return BytesReader(self.data)

    def read_whole(self, view: memoryview) -> None:
        view[:] = self.data

    @classmethod
    def read_side_by_side(cls, packed: Any, buffer: memoryview, block_size: int) -> int:
        start = end = 0
        for content in cls.unpacked(packed):
            buffer[end:start] = bytes(start - end)
            end = start + content.size
            buffer[start:end] = content.data
            start = -(-end // block_size) * block_size
        return end


class BytesReader:
    """Reads bytes in memory."""

    fd: int | None = None
    fd_offset = 0
    path = b"(bytes in memory)"

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = memoryview(data)

    def readinto(self, view: memoryview, offset: int) -> int:
        piece = self._data[offset : offset + len(view)]
        view[: len(piece)] = piece
        return len(piece)

    def check_unchanged(self) -> None:
        """Bytes do not change."""

    def close(self) -> None:
        self._data.release()


class DescriptorReader:
    """Reads an open descriptor, which it owns, at any offset.

    ``path`` names the file in errors: bytes, or a function that returns them.
    """

    fd_offset = 0

    def __init__(
        self,
        fd: int,
        path: bytes | Callable[[], bytes],
        size: int,
        *,
        declared: bool = False,
        stamp: Stamp | None = None,
    ) -> None:
        """``declared`` means that the caller stated the size in bytes, and not the host.

        If ``stamp`` is given, the file must also keep it.
        """
        self._stamp = stamp
        self._declared = declared
        self.fd: int | None = fd
        self._descriptor = fd
        self._path = path
        self._size = size

    @property
    def path(self) -> bytes:
        """The name of the file in errors."""
        return self._path if isinstance(self._path, bytes) else self._path()

    def readinto(self, view: memoryview, offset: int) -> int:
        wanted = len(view)
        try:
            done = self._read_at(view, offset)
            while done < wanted:
                count = self._read_at(view[done:], offset + done)
                if count == 0:
                    break
                done += count
        except OSError as error:
            raise SourceError(self.path, f"cannot be read: {error.strerror}") from error
        return done

    def _read_at(self, view: memoryview, offset: int) -> int:
        return read_at(self._descriptor, view, offset)

    def check_unchanged(self) -> None:
        status = os.fstat(self._descriptor)
        if status.st_size != self._size:
            if self._declared:
                raise DeclaredSizeError(self.path, self._size, status.st_size)
            raise changed_size(self.path, self._size, status.st_size)
        if self._stamp is not None and stamp_of(status) != self._stamp:
            raise changed_content(self.path)

    def close(self) -> None:
        os.close(self._descriptor)


def changed_size(path: bytes, planned: int, now: int) -> SourceChangedError:
    """The error for a file that had ``planned`` bytes and now has ``now``."""
    return SourceChangedError(
        path,
        f"changed its size from {planned} to {now} bytes after it was scanned; "
        "build again when nothing writes to it",
    )


def changed_content(path: bytes) -> SourceChangedError:
    """The error for a file of the same size that was changed."""
    return SourceChangedError(
        path,
        "changed after it was scanned, though not in size (its times or its inode differ); "
        "build again when nothing writes to it",
    )


class PathContent(Content):
    """A file of the host, opened by its path when it is needed."""

    __slots__ = ("_declared", "path", "stamp")
    random_access = True
    first_generation = 0

    @checked_if_it_fails
    def __init__(self, path: str | bytes | os.PathLike[str], size: int | None = None) -> None:
        """``size`` in bytes is read from the host by default.

        Raises :class:`SourceError` if that fails or ``path`` is not a regular file, and
        :class:`SpecError` if an argument is not a path or size at all.
        """
        self.path = host_path(path)
        self._declared = size is not None
        self.stamp: Stamp | None = None
        if size is None:
            try:
                status = os.stat(self.path)
            except OSError as error:
                raise SourceError(self.path, f"cannot be read: {error.strerror}") from error
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(self.path, "is not a regular file, so its size is not known")
            size = status.st_size
            self.stamp = stamp_of(status)
        elif type(size) is not int:
            size = converted_argument("size", size, count_of)
        self.size = size

    def file_id(self) -> FileId | None:
        return id_at(self.path)

    def host_path(self) -> bytes:
        return self.path

    def open(self) -> Reader:
        fd = open_unscanned(self.path) if self._declared else open_source(self.path)
        return DescriptorReader(fd, self.path, self.size, declared=self._declared, stamp=self.stamp)


def host_path(path: str | bytes | os.PathLike[str]) -> bytes:
    """``path`` as bytes; raises :class:`SpecError` if it is not a path."""
    try:
        encoded = os.fsencode(path)
    except (TypeError, UnicodeEncodeError):
        converted_argument("path", path, path_of)
        raise
    if b"\0" in encoded:
        converted_argument("path", path, path_of)
    return encoded


def open_source(path: bytes) -> int:
    """Open ``path`` for reading; raises a :class:`SourceError` that names it.

    A pipe in place of the file does not block the call, though it may never have a writer.
    """
    try:
        return os.open(path, os.O_RDONLY | O_CLOEXEC | O_BINARY | O_NONBLOCK)
    except OSError as error:
        raise open_failure(path, error) from error


def open_unscanned(path: bytes) -> int:
    """:func:`open_source` for a file that was not examined before, so it cannot have vanished."""
    try:
        return open_source(path)
    except SourceChangedError as error:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else "gone"
        raise SourceError(path, f"cannot be read: {reason}") from error


def open_failure(path: bytes, error: OSError) -> SourceError:
    """The error for a file that existed at the scan and cannot be opened now."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return SourceChangedError(path, "vanished after it was scanned; build again")
    if error.errno == errno.ELOOP:
        return SourceChangedError(path, "became a symbolic link after it was scanned; build again")
    return SourceError(path, f"cannot be read: {error.strerror}")


Opener = Callable[[], BinaryIO | Iterable[bytes]]
"""Returns the entire content each time it is called: a binary file, or an iterable of pieces."""
