"""Content from functions and iterators of the caller, read from front to back."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from .arguments import count_of
from .checked import KINDS, checked_if_it_fails, converted_argument
from .content import BytesReader, Content, Opener, Reader, open_failure
from .errors import DeclaredSizeError, SourceError, SpecError


class CallableContent(Content):
    """Content of ``size`` bytes that ``opener`` returns each time it is needed."""

    __slots__ = ("name", "opener")

    @checked_if_it_fails
    def __init__(self, opener: Opener, size: int, name: bytes = b"") -> None:
        """``size`` is in bytes; ``name`` is the name of the content in errors."""
        self.opener = converted_argument("opener", opener, KINDS["Callable"].convert)
        self.size = converted_argument("size", size, count_of)
        self.name = name

    def open(self) -> Reader:
        try:
            stream = self.opener()
        except OSError as error:
            raise open_failure(self.name, error) from error
        except TypeError:
            from .wrong_calls import misfit  # late: hardly any program needs it

            wrong = misfit(self.opener, ())
            if wrong:
                raise SourceError(self.name, f"the function of its content {wrong}") from None
            raise
        file: _Stream
        if isinstance(stream, _Stream):
            file = stream
        else:
            try:
                file = _Pieces(stream)
            except TypeError:
                raise _no_bytes(self.name, stream) from None
        return StreamReader(file, self.name, self.size)


class IteratorContent(Content):
    """Content of ``size`` bytes that ``pieces``, such as a generator, yields only once.

    It is read when it is first needed. Its bytes then stay in memory as long as this object, since
    they are needed to find holes and again to be written.
    """

    __slots__ = ("_data", "_lock", "_pieces", "name")
    random_access = True

    @checked_if_it_fails
    def __init__(self, pieces: Iterator[bytes], size: int, name: bytes = b"") -> None:
        """``size`` is in bytes; ``name`` is the name of the content in errors."""
        if not isinstance(pieces, Iterator):
            raise SpecError("pieces", f"{pieces!r:.80} is no iterator, such as a generator")
        self.size = converted_argument("size", size, count_of)
        self.name = name
        self._pieces: Iterator[bytes] | None = pieces
        self._data: bytearray | None = None
        self._lock = threading.Lock()

    def open(self) -> Reader:
        # Several threads may copy parts of one file, or several files with this content.
        with self._lock:
            if self._data is None:
                self._data = self._drained()
            return BytesReader(self._data)

    def _drained(self) -> bytearray:
        pieces, self._pieces = self._pieces, None
        if pieces is None:
            raise SourceError(self.name, "failed while it was being read; it can be read only once")
        data = bytearray()
        try:
            for piece in pieces:
                try:
                    data += memoryview(piece)
                except TypeError:
                    raise _no_bytes(self.name, piece) from None
                if len(data) > self.size:
                    raise DeclaredSizeError(self.name, self.size, None)
        except OSError as error:
            raise SourceError(self.name, f"cannot be read: {error}") from error
        if len(data) < self.size:
            raise DeclaredSizeError(self.name, self.size, len(data))
        return data


def _no_bytes(path: bytes, given: object) -> SourceError:
    """The error for content that is not bytes."""
    if isinstance(given, str):
        return SourceError(path, "its content is text; open files with mode 'rb', and encode a str")
    return SourceError(path, f"its content is {given!r:.80}, which is neither bytes nor a file")


class NoBytesError(Exception):
    """A piece of content is not bytes; the reader, which has the path, handles this."""

    def __init__(self, piece: object) -> None:
        self.piece = piece


@runtime_checkable
class _Stream(Protocol):
    """The part of a binary file's interface that is used here."""

    def read(self, count: int, /) -> bytes: ...

    def close(self) -> None: ...


class _Pieces:
    """An iterable of pieces of any length, read as a file."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def read(self, count: int, /) -> bytes:
        """Return up to ``count`` bytes, none only at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            try:
                self._rest = memoryview(piece)
            except TypeError:
                raise NoBytesError(piece) from None
        taken, self._rest = self._rest[:count], self._rest[count:]
        return bytes(taken)

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


class StreamReader:
    """Reads a binary file, which it owns, only forwards; skipped bytes are read and dropped."""

    fd: int | None = None
    fd_offset = 0

    def __init__(self, stream: _Stream, path: bytes, size: int) -> None:
        self._stream = stream
        self.path = path
        self._size = size
        self._position = 0

    def readinto(self, view: memoryview, offset: int) -> int:
        if not self._skip_to(offset):
            return 0
        wanted = len(view)
        done = 0
        while done < wanted:
            data = self._read(wanted - done)
            if not data:
                break
            view[done : done + len(data)] = data
            done += len(data)
        return done

    def check_unchanged(self) -> None:
        if not self._skip_to(self._size):
            raise DeclaredSizeError(self.path, self._size, self._position)
        if self._read(1):
            raise DeclaredSizeError(self.path, self._size, None)

    def close(self) -> None:
        self._stream.close()

    def _skip_to(self, offset: int) -> bool:
        while self._position < offset:
            if not self._read(min(offset - self._position, 1 << 20)):
                return False
        return True

    def _read(self, count: int) -> bytes:
        try:
            data = self._stream.read(count)
        except OSError as error:
            raise SourceError(self.path, f"cannot be read: {error}") from error
        except NoBytesError as error:
            raise _no_bytes(self.path, error.piece) from None
        if not isinstance(data, bytes | bytearray | memoryview):
            raise _no_bytes(self.path, data)
        self._position += len(data)
        return data
