"""Opens archives, and stores the content of their files.

An uncompressed, seekable tar file stays in place, and contents are slices of it. Anything else is
read once, from front to back, and contents are copied to a store.
"""

from __future__ import annotations

import io
import os
import stat
from typing import BinaryIO, Protocol

from ...arithmetic import round_up
from ...content import (
    O_BINARY,
    O_CLOEXEC,
    BytesContent,
    Content,
    ContentSource,
    reading_buffer,
    write_at,
)
from ...errors import ArchiveError, LimitError, OutputError, SourceError
from ...progress import Cancel, check_cancelled
from ...slices import FileSliceContent, HeldFile
from ..inputs import check_input
from .decoders import MAGIC_BYTES, ByteSource, Decoded, compression_of, foreign_format
from .header import BLOCK, has_checksum
from .limits import Usage

AFTER_THE_END_MAX = 1 << 30
"""Most bytes of a stream after the end mark, such as padding to a record, or a signature."""

Archive = str | bytes | os.PathLike[str] | BinaryIO | Content
"""A path, a binary file (seekable or not), or a content, such as a file in an archive."""

WINDOW_BYTES = 16 << 10
"""Bytes read in one call: a header, and the small files and headers after it."""
CHUNK_BYTES = 256 << 10


class Store(Protocol):
    """Stores contents, one at a time."""

    def begin(self, size: int) -> None:
        """Begin a content of ``size`` bytes."""
        ...

    def add(self, data: memoryview) -> None:
        """Append bytes to the current content."""
        ...

    def end(self) -> Content:
        """Finish the current content and return it."""
        ...


class Input(Protocol):
    """The uncompressed bytes of an archive, read from front to back."""

    path: bytes

    @property
    def offset(self) -> int:
        """Number of bytes read or skipped so far."""
        ...

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes; fewer at the end."""
        ...

    def skip(self, size: int) -> bool:
        """Skip ``size`` bytes; False if there are fewer."""
        ...

    def take(self, size: int) -> Content | None:
        """Skip ``size`` bytes and return them as a content; None if there are fewer."""
        ...

    def finish(self) -> int:
        """Read to the end; return the number of remaining bytes, without trailing zeros."""
        ...

    def packed_rest(self) -> str | None:
        """The text in the report about bytes after the compressed data; called after ``finish``."""
        ...


class SliceInput:
    """An archive in ``file`` between two byte offsets."""

    def __init__(self, file: HeldFile, start: int, end: int, cancel: Cancel | None) -> None:
        self.path = file.path
        self._file = file
        self._start = start
        self._end = end
        self._position = start
        self._window = b""
        self._window_start = start
        self._buffer = reading_buffer(WINDOW_BYTES)
        self._cancel = cancel

    @property
    def offset(self) -> int:
        return self._position - self._start

    def read(self, size: int) -> bytes:
        position = self._position
        within = position - self._window_start
        data = self._window[within : within + size]
        if len(data) < size:
            data = self._load(position, size)
        self._position = position + len(data)
        return data

    def skip(self, size: int) -> bool:
        self._position += size
        return self._position <= self._end

    def take(self, size: int) -> Content | None:
        content = FileSliceContent(self._file, self._position, size)
        self._position += size
        return content if self._position <= self._end else None

    def finish(self) -> int:
        found = 0
        begin = self._position
        while data := self.read(CHUNK_BYTES):
            check_cancelled(self._cancel)
            if used := len(data.rstrip(b"\0")):
                found = self._position - len(data) + used - begin
        return found

    def packed_rest(self) -> str | None:
        return None

    def _load(self, position: int, size: int) -> bytes:
        left = max(0, self._end - position)
        if size > WINDOW_BYTES:
            view = reading_buffer(min(size, left))
            return bytes(view[: self._file.read_into(view, position)])
        window = min(WINDOW_BYTES, left)
        count = self._file.read_into(self._buffer[:window], position)
        self._window = bytes(self._buffer[:count])
        self._window_start = position
        return self._window[:size]


class StreamInput:
    """An archive in ``source``, which can be read only once."""

    def __init__(
        self,
        source: ByteSource,
        path: bytes,
        store: Store,
        cancel: Cancel | None,
        decoded: Decoded | None = None,
    ) -> None:
        """``decoded`` is the decompressor that ``source`` reads from, if there is one."""
        self.path = path
        self._decoded = decoded
        self.offset = 0
        self._source = source
        self._store = store
        self._cancel = cancel
        self._chunk = b""
        self._position = 0

    def read(self, size: int) -> bytes:
        position = self._position
        data = self._chunk[position : position + size]
        self._position = position + len(data)
        if len(data) < size:
            parts = [data]
            missing = size - len(data)
            while missing and self._fill():
                parts.append(self._chunk[:missing])
                self._position = len(parts[-1])
                missing -= len(parts[-1])
            data = b"".join(parts)
        self.offset += len(data)
        return data

    def skip(self, size: int) -> bool:
        return self._pass(size, None)

    def take(self, size: int) -> Content | None:
        self._store.begin(size)
        return self._store.end() if self._pass(size, self._store) else None

    def finish(self) -> int:
        found = passed = 0
        while self._position < len(self._chunk) or self._fill():
            data = self._chunk[self._position :]
            self._position = len(self._chunk)
            if used := len(data.rstrip(b"\0")):
                found = passed + used
            passed += len(data)
            if passed > AFTER_THE_END_MAX:
                raise ArchiveError(
                    self.path,
                    f"continues for more than {AFTER_THE_END_MAX >> 30} GiB after the end mark of "
                    "the archive; is it a device that never ends?",
                )
        return found

    def packed_rest(self) -> str | None:
        return None if self._decoded is None else self._decoded.rest()

    def _pass(self, size: int, store: Store | None) -> bool:
        self.offset += size
        while size:
            if self._position >= len(self._chunk) and not self._fill():
                return False
            data = memoryview(self._chunk)[self._position : self._position + size]
            if store is not None:
                store.add(data)
            self._position += len(data)
            size -= len(data)
        return True

    def _fill(self) -> bool:
        """Read the next chunk; False at the end."""
        check_cancelled(self._cancel)
        self._chunk = self._source.read(CHUNK_BYTES)
        self._position = 0
        return bool(self._chunk)


class Counted:
    """Counts the bytes of ``source`` in ``usage`` as unpacked bytes.

    ``path`` is its name in errors. ``inside``: the input of a ``Decoded`` source was already
    counted as unpacked bytes.
    """

    def __init__(
        self, source: ByteSource, path: bytes, usage: Usage, *, inside: bool = False
    ) -> None:
        self._path = path
        self._source = source
        self._usage = usage
        self._inside = inside
        self._packed = 0

    def read(self, size: int, /) -> bytes:
        """The next bytes; raises :class:`LimitError` if there are too many."""
        source, usage = self._source, self._usage
        data = source.read(size)
        if isinstance(source, Decoded):
            packed = source.packed - self._packed
            self._packed = source.packed
            usage.unpack(self._path, len(data), 0 if self._inside else packed)
        elif not usage.inside:
            usage.unpack(self._path, len(data), len(data))
        return data


class MemoryStore:
    """Keeps contents in memory, up to the limit ``memory_bytes``."""

    def __init__(self, path: bytes, usage: Usage) -> None:
        self._path = path
        self._usage = usage
        self._parts: list[bytes] = []

    def begin(self, size: int) -> None:
        self._parts = []
        usage = self._usage
        usage.memory_bytes += size
        most = usage.limits.memory_bytes
        if usage.memory_bytes > most:
            raise LimitError(
                self._path,
                "memory_bytes",
                f"its files have more than {most} bytes, which would stay in memory without a "
                "spool; give a spool file",
            )

    def add(self, data: memoryview) -> None:
        self._parts.append(bytes(data))

    def end(self) -> Content:
        return BytesContent(b"".join(self._parts))


ALIGNED_BYTES = 64 << 10
ALIGNMENT = 4096
"""Contents of ``ALIGNED_BYTES`` or more start at a multiple of this, so that the file system can
share their blocks with the image."""


class SpoolStore:
    """Appends each content to a file."""

    def __init__(self, spool: BinaryIO) -> None:
        """Raises :class:`OutputError` unless ``spool`` is a readable and writable regular file."""
        name = getattr(spool, "name", b"")
        path = os.fsencode(name) if isinstance(name, str | bytes) else b"the spool"
        try:
            spool.flush()
            fd = os.dup(spool.fileno())
        except (OSError, AttributeError, ValueError) as error:
            raise OutputError(path, f"cannot hold an archive's content: {error}") from error
        self._file = HeldFile(fd, path, dense=True)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OutputError(path, "is not a regular file, so it cannot hold an archive's content")
        self._end = self._begin = status.st_size

    def begin(self, size: int) -> None:
        if size >= ALIGNED_BYTES:
            self._end = round_up(self._end, ALIGNMENT)
        self._begin = self._end

    def add(self, data: memoryview) -> None:
        while data:
            try:
                count = write_at(self._file.fd, data, self._end)
            except OSError as error:
                raise OutputError(
                    self._file.path, f"the archive's content cannot be kept: {error.strerror}"
                ) from error
            self._end += count
            data = data[count:]

    def end(self) -> Content:
        return FileSliceContent(self._file, self._begin, self._end - self._begin)


def archive_path(archive: Archive) -> bytes:
    """The name of ``archive`` in errors."""
    if isinstance(archive, FileSliceContent):
        return archive.file.path
    if not isinstance(archive, Content):
        check_input(archive)
    if isinstance(archive, str | bytes | os.PathLike):
        return os.fsencode(archive)
    name = getattr(archive, "name", b"")
    return os.fsencode(name) if isinstance(name, str | bytes) and name else b"(stream)"


def open_archive(
    archive: Archive, spool: BinaryIO | None, usage: Usage, cancel: Cancel | None
) -> Input:
    """Open ``archive`` and detect its compression.

    Raises :class:`SourceError` if it cannot be read, and :class:`ArchiveError` if it is not tar.
    """
    if isinstance(archive, FileSliceContent):
        file, start, end = archive.file, archive.offset, archive.offset + archive.size
        return _open_file(file, start, end, spool, usage, cancel)
    if isinstance(archive, Content):
        content = ContentSource(archive)
        return _open_stream(content, content.path, spool, usage, cancel)
    if isinstance(archive, str | bytes | os.PathLike):
        path = os.fsencode(archive)
        try:
            fd = os.open(path, os.O_RDONLY | O_CLOEXEC | O_BINARY)
        except OSError as error:
            raise SourceError(path, f"cannot be read: {error.strerror}") from error
        return _open_descriptor(fd, path, 0, spool, usage, cancel)
    path = archive_path(archive)
    raw = getattr(archive, "raw", archive)
    if isinstance(raw, io.FileIO) and archive.seekable():
        return _open_descriptor(os.dup(raw.fileno()), path, archive.tell(), spool, usage, cancel)
    counted = getattr(archive, "counted", False)
    return _open_stream(_FileSource(archive, path), path, spool, usage, cancel, counted=counted)


def _open_descriptor(
    fd: int,
    path: bytes,
    start: int,
    spool: BinaryIO | None,
    usage: Usage,
    cancel: Cancel | None,
) -> Input:
    file = HeldFile(fd, path)
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(path, "is a directory, not an archive")
    if not stat.S_ISREG(status.st_mode):
        return _open_stream(_DescriptorSource(file), path, spool, usage, cancel)
    file.remember(status)
    file.dense = getattr(status, "st_blocks", 0) * 512 >= status.st_size
    return _open_file(file, start, status.st_size, spool, usage, cancel)


def _open_file(
    file: HeldFile,
    start: int,
    end: int,
    spool: BinaryIO | None,
    usage: Usage,
    cancel: Cancel | None,
) -> Input:
    head = bytearray(min(BLOCK, max(0, end - start)))
    file.read_into(memoryview(head), start)
    name = _compression(bytes(head), file.path)
    if name is None:
        return SliceInput(file, start, end, cancel)
    source = Decoded(_SliceSource(file, start, end), name, file.path, usage.limits)
    counted = Counted(source, file.path, usage)
    return StreamInput(counted, file.path, _store(spool, file.path, usage), cancel, source)


def _open_stream(
    source: ByteSource,
    path: bytes,
    spool: BinaryIO | None,
    usage: Usage,
    cancel: Cancel | None,
    *,
    counted: bool = False,
) -> Input:
    """``counted``: the bytes of ``source`` are counted already."""
    ahead = _Ahead(source)
    name = _compression(ahead.peek(BLOCK), path)
    stream: ByteSource = ahead
    decoded = None
    if name is not None:
        stream = decoded = Decoded(stream, name, path, usage.limits)
    if name is not None or not counted:
        stream = Counted(stream, path, usage, inside=counted)
    return StreamInput(stream, path, _store(spool, path, usage), cancel, decoded)


def _store(spool: BinaryIO | None, path: bytes, usage: Usage) -> Store:
    return MemoryStore(path, usage) if spool is None else SpoolStore(spool)


def _compression(head: bytes, path: bytes) -> str | None:
    """The compression of data that begins with ``head``; None for a plain archive."""
    if len(head) == BLOCK and has_checksum(head):
        return None
    name = compression_of(head[:MAGIC_BYTES])
    if name is None and (foreign := foreign_format(head)) is not None:
        raise ArchiveError(
            path, f"is {foreign} data; tar is read, plain or with gzip, bzip2, xz or zstd"
        )
    if not head:
        raise ArchiveError(path, "is empty; even an empty archive has an end mark")
    return name


class _SliceSource:
    """Reads part of a file from front to back."""

    def __init__(self, file: HeldFile, start: int, end: int) -> None:
        self._file = file
        self._position = start
        self._end = end

    def read(self, size: int, /) -> bytes:
        data = bytearray(min(size, self._end - self._position))
        count = self._file.read_into(memoryview(data), self._position)
        self._position += count
        return bytes(data[:count])


class _DescriptorSource:
    """Reads a pipe or a device."""

    def __init__(self, file: HeldFile) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        try:
            return os.read(self._file.fd, size)
        except OSError as error:
            raise SourceError(self._file.path, f"cannot be read: {error.strerror}") from error


class _FileSource:
    """Reads a binary file opened by the caller, without closing it."""

    def __init__(self, file: BinaryIO, path: bytes) -> None:
        # read1 returns what is buffered; on a slow pipe, read would wait for the full size.
        self._read = getattr(file, "read1", file.read)
        self._path = path

    def read(self, size: int, /) -> bytes:
        try:
            data = self._read(size)
        except (OSError, EOFError) as error:
            raise SourceError(self._path, f"cannot be read: {error}") from error
        if data is None:
            raise SourceError(self._path, "is in non-blocking mode; open it without O_NONBLOCK")
        return bytes(data)


class _Ahead:
    """A source whose first bytes can be inspected."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._head = b""

    def peek(self, size: int) -> bytes:
        while len(self._head) < size:
            more = self._source.read(CHUNK_BYTES)
            if not more:
                break
            self._head += more
        return self._head[:size]

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._source.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data
