"""Content inside a larger file of the host: in one piece, or in several with holes.

The contents share one open file, so a hundred thousand small ones need no further open calls.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import accumulate
from typing import Any

from .arguments import count_of
from .checked import checked_if_it_fails, converted_argument
from .content import (
    Content,
    FileId,
    Reader,
    changed_content,
    changed_size,
    file_id,
    host_path,
    id_at,
    open_source,
    open_unscanned,
    read_at,
)
from .errors import DeclaredSizeError, SourceChangedError, SourceError
from .forked import NEVER, next_generation
from .spans import Span

IOV_MAX = 1024
"""The most buffers that one call of preadv(2) fills (UIO_MAXIOV of the kernel)."""
MOST_SKIPPED = 4096
"""The most bytes between two slices that are read and dropped, which saves a call: the padding and
the header between two members of an archive."""
_skipped = memoryview(bytearray(MOST_SKIPPED))


class HeldFile:
    """A file of the host that stays open as long as something refers to it.

    It owns the descriptor ``fd``. ``path`` names it in errors. ``size`` is its size in bytes when
    it was first read, or None while it is still being written. ``dense`` means that it has no holes
    on the host, which saves a search for holes in every slice.
    """

    __slots__ = ("_seen", "dense", "fd", "first_generation", "path", "size")

    def __init__(
        self, fd: int, path: bytes, size: int | None = None, *, dense: bool = False
    ) -> None:
        self.fd = fd
        self.path = path
        self.size = size
        self.dense = dense
        self.first_generation = next_generation()
        self._seen: tuple[int, int, int] | None = None

    def remember(self, status: os.stat_result) -> None:
        """Expect the file to have ``status`` from now on."""
        self.size = status.st_size
        self._seen = status.st_mtime_ns, status.st_ctime_ns, status.st_nlink

    def has_its_path(self) -> bool:
        """Whether the open file is the one that its path names."""
        return id_at(self.path) == file_id(os.fstat(self.fd))

    def remembered(self) -> tuple[int | None, bool, tuple[int, int, int] | None]:
        """The arguments of :meth:`reopened` after the path."""
        return self.size, self.dense, self._seen

    @classmethod
    def reopened(
        cls, path: bytes, size: int | None, dense: bool, seen: tuple[int, int, int] | None
    ) -> HeldFile:
        """Open the file again, in another process.

        Raises :class:`SourceError` if it cannot be read.
        """
        file = cls(open_source(path), path, size, dense=dense)
        file._seen = seen
        return file

    def __del__(self) -> None:
        # All data has been read by now, and an error here could not be handled.
        with suppress(OSError):
            os.close(self.fd)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle for a process that is forked later and inherits the descriptor."""
        return _inherited, (self.fd, self.path, self.size, self.dense, self._seen)

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill ``view`` from byte ``offset``; return the count of bytes, short only at the end."""
        done = 0
        try:
            while done < len(view):
                count = self._read_at(view[done:], offset + done)
                if not count:
                    break
                done += count
        except OSError as error:
            raise SourceError(self.path, f"cannot be read: {error.strerror}") from error
        return done

    def read_scattered(self, views: Sequence[memoryview], offset: int) -> None:
        """Fill ``views``, at most ``IOV_MAX``, in order from byte ``offset``.

        Raises :class:`SourceError` if the file cannot be read, and :class:`SourceChangedError` if
        it ends too early.
        """
        if hasattr(os, "preadv"):
            try:
                if os.preadv(self.fd, views, offset) == sum(map(len, views)):
                    return
            except OSError as error:
                raise SourceError(self.path, f"cannot be read: {error.strerror}") from error
        for view in views:
            if self.read_into(view, offset) != len(view):
                raise _ends_early(self)
            offset += len(view)

    def check_unchanged(self) -> None:
        """Raise :class:`SourceChangedError` if the file has changed.

        Adding or removing a hard link also sets the change time, without changing the content.
        """
        if self.size is None:
            return
        now = os.fstat(self.fd)
        if now.st_size != self.size:
            raise changed_size(self.path, self.size, now.st_size)
        if self._seen is not None:
            written, changed, names = self._seen
            same_change = now.st_ctime_ns == changed or now.st_nlink != names
            if now.st_mtime_ns != written or not same_change:
                raise changed_content(self.path)

    def _read_at(self, view: memoryview, offset: int) -> int:
        return read_at(self.fd, view, offset)


@cache
def _inherited(
    fd: int, path: bytes, size: int | None, dense: bool, seen: tuple[int, int, int] | None
) -> HeldFile:
    """The one object for an inherited descriptor, which this process keeps until it ends."""
    file = HeldFile(fd, path, size, dense=dense)
    file._seen = seen
    return file


class FileSliceContent(Content):
    """``size`` bytes of ``file`` from byte ``offset``."""

    __slots__ = ("file", "offset")
    random_access = True
    within_file = True

    @property
    def first_generation(self) -> int:
        # Without preadv, forked processes would share the position of the file.
        return self.file.first_generation if hasattr(os, "preadv") else NEVER

    def __init__(self, file: HeldFile, offset: int, size: int) -> None:
        self.file = file
        self.offset = offset
        self.size = size

    def container(self) -> object:
        return self.file

    def file_id(self) -> FileId | None:
        return file_id(os.fstat(self.file.fd))

    def data_segments(self) -> Iterable[Span] | None:
        return (Span(0, self.size),) if self.file.dense else None

    def open(self) -> Reader:
        return _SliceReader(self.file, self.offset, self.size)

    def read_whole(self, view: memoryview) -> None:
        self._read(view)
        self.file.check_unchanged()

    def _read(self, view: memoryview) -> None:
        if self.file.read_into(view, self.offset) != self.size:
            raise _ends_early(self.file)

    @classmethod
    def read_side_by_side(cls, packed: Any, buffer: memoryview, block_size: int) -> int:
        """Read like any content, but with one call for neighbouring slices.

        A file is checked once, after all its slices.
        """
        start = end = first = position = 0
        last: HeldFile | None = None
        views: list[memoryview] = []
        for content in cls.unpacked(packed):
            buffer[end:start] = bytes(start - end)
            end = start + content.size
            gap = content.offset - position
            if content.file is not last or not 0 <= gap <= MOST_SKIPPED or len(views) + 2 > IOV_MAX:
                if last is not None:
                    last.read_scattered(views, first)
                    if content.file is not last:
                        last.check_unchanged()
                last, first, views = content.file, content.offset, []
            elif gap:
                views.append(_skipped[:gap])
            views.append(buffer[start:end])
            position = content.offset + content.size
            start = -(-end // block_size) * block_size
        if last is not None:
            last.read_scattered(views, first)
            last.check_unchanged()
        return end


class PathSliceContent(Content):
    """``size`` bytes of the host's file ``path`` from byte ``offset``, opened when needed."""

    __slots__ = ("offset", "path")
    random_access = True
    within_file = True
    first_generation = 0

    @checked_if_it_fails
    def __init__(self, path: str | bytes | os.PathLike[str], offset: int, size: int) -> None:
        self.path = host_path(path)
        self.offset = converted_argument("offset", offset, count_of)
        self.size = converted_argument("size", size, count_of)

    def container(self) -> object:
        return self.path

    def file_id(self) -> FileId | None:
        return id_at(self.path)

    def open(self) -> Reader:
        return _PathSliceReader(self)


class _SliceReader:
    def __init__(self, file: HeldFile, offset: int, size: int) -> None:
        self._file = file
        self._size = size
        self.fd: int | None = file.fd
        self.fd_offset = offset

    @property
    def path(self) -> bytes:
        return self._file.path

    def readinto(self, view: memoryview, offset: int) -> int:
        wanted = min(len(view), self._size - offset)
        if wanted <= 0:
            return 0
        count = self._file.read_into(view[:wanted], self.fd_offset + offset)
        if count < wanted:
            raise _ends_early(self._file)
        return count

    def check_unchanged(self) -> None:
        self._file.check_unchanged()

    def close(self) -> None:
        """The file stays open for the other contents."""


class _PathSliceReader(_SliceReader):
    def __init__(self, content: PathSliceContent) -> None:
        file = HeldFile(open_unscanned(content.path), content.path)
        super().__init__(file, content.offset, content.size)
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Raise :class:`DeclaredSizeError` if the slice reaches past the end of the file.

        The file was not examined when offset and size were given, so it may not have changed.
        """
        end = os.fstat(self._file.fd).st_size
        if end < self.fd_offset + self._size:
            held = max(0, end - self.fd_offset)
            raise DeclaredSizeError(self.path, self._size, held)


class SparseContent(Content):
    """A file of ``size`` bytes whose data is packed in ``data``; the rest is zeros.

    ``segments`` is a flat array of the start and the length, in bytes, of each run of data. The
    runs ascend, do not overlap, are not empty and end within ``size``; together they are as long as
    ``data``.
    """

    __slots__ = ("data", "segments")
    random_access = True
    within_file = True

    @property
    def first_generation(self) -> int:
        return self.data.first_generation

    def __init__(self, data: Content, size: int, segments: array[int]) -> None:
        """``data`` must allow random access."""
        self.data = data
        self.size = size
        self.segments = segments

    def container(self) -> object:
        return self.data.container()

    def file_id(self) -> FileId | None:
        return self.data.file_id()

    def data_segments(self) -> Iterator[Span]:
        segments = iter(self.segments)
        for start, length in zip(segments, segments, strict=True):
            yield Span(start, start + length)

    def open(self) -> Reader:
        return _SparseReader(self)


class _SparseReader:
    fd: int | None = None
    fd_offset = 0

    def __init__(self, content: SparseContent) -> None:
        self._inner = content.data.open()
        self._size = content.size
        self._starts = content.segments[::2]
        self._lengths = content.segments[1::2]
        self._places = array("Q", accumulate(self._lengths, initial=0))

    @property
    def path(self) -> bytes:
        return self._inner.path

    def readinto(self, view: memoryview, offset: int) -> int:
        count = max(0, min(len(view), self._size - offset))
        index = max(0, bisect_right(self._starts, offset) - 1)
        done = 0
        while done < count:
            position = offset + done
            if index < len(self._starts) and position >= self._starts[index]:
                within = position - self._starts[index]
                length = min(self._lengths[index] - within, count - done)
                index += 1
                if length <= 0:
                    continue
                piece = view[done : done + length]
                if self._inner.readinto(piece, self._places[index - 1] + within) != length:
                    return done
            else:
                next_start = self._starts[index] if index < len(self._starts) else self._size
                length = min(next_start - position, count - done)
                view[done : done + length] = bytes(length)
            done += length
        return count

    def check_unchanged(self) -> None:
        self._inner.check_unchanged()

    def close(self) -> None:
        self._inner.close()


def _ends_early(file: HeldFile) -> SourceChangedError:
    return SourceChangedError(
        file.path, "became shorter after it was read; build again when nothing writes to it"
    )
