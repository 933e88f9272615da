"""Where an image goes: a path, an open file, a stream, memory.

A sink is made for an image of a known size. Bytes that nobody writes read as zeros. Either
:meth:`Sink.finish` or :meth:`Sink.abort` ends it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, BinaryIO, ClassVar

from ..content import O_BINARY, O_CLOEXEC, O_NOFOLLOW
from ..errors import OutputError
from ..forked import next_crew

Buffer = bytes | bytearray | memoryview
Piece = tuple[int, Buffer]
"""Offset in the image in bytes, and what lies there."""

Output = str | bytes | os.PathLike[str] | bytearray | BinaryIO

ZEROS = memoryview(bytes(1 << 20))
"""What gaps are filled with, as often as needed."""

NAME_MAX = 255
IN_PLACE = (b"/dev/stdout", b"/dev/stderr", b"/dev/fd/", b"/proc/")
"""Paths that stand for an open file, where a rename would miss the one who opened it."""

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
NO_ROOM = FULL | {errno.EFBIG}

LEAST_PREALLOCATED = 256 << 10
"""From here on a write to ext4 takes a quarter less time if its blocks are found in advance."""


class Sink(ABC):
    """Takes an image of ``size`` bytes.

    ``ascending`` says that writes must come in ascending offsets, from one thread. Otherwise they
    may come in any order and from several threads. ``fd`` is a descriptor in which offset 0 is
    the image's first byte, for copies inside the kernel, or None.
    """

    ascending: ClassVar[bool] = False
    fd: int | None = None

    def __init__(self, name: bytes | str, size: int) -> None:
        self.name = name
        self.size = size

    @abstractmethod
    def write_at(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` at ``offset``; raises :class:`OutputError`."""

    @abstractmethod
    def finish(self) -> None:
        """Make the image whole and let go of it; raises :class:`OutputError`."""

    def shared(self) -> SharedImage | None:
        """What other processes can write to the same image with; None if they cannot."""
        return None

    def preallocate(self, offset: int, length: int) -> None:  # noqa: B027 (most need not)
        """Find the blocks for so many bytes at once, if that saves time; they are written next.

        Raises :class:`OutputError`.
        """

    @abstractmethod
    def abort(self) -> None:
        """Leave as little behind as possible; raises nothing and may follow a ``finish``."""

    def failure(self, error: BaseException) -> OutputError:
        """The error for what the system answered, with a hint."""
        return output_error(self.name, error, self.size)

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Undo what was not finished."""
        self.abort()


def output_error(name: bytes | str, error: BaseException, size: int) -> OutputError:
    """Say what went wrong with the output ``name`` of ``size`` bytes, and what helps."""
    number = error.errno if isinstance(error, OSError) else None
    if number in FULL:
        problem = f"no space left: the image needs {size} bytes, less what is zeros in it"
    elif number == errno.EFBIG:
        problem = f"its file system or a limit allows no file of {size} bytes"
    elif number in (errno.EACCES, errno.EPERM):
        problem = "cannot be written: no permission for the file or its folder"
    elif number == errno.EROFS:
        problem = "cannot be written: its file system is read-only"
    elif number in (errno.ENOENT, errno.ENOTDIR):
        problem = "cannot be written: its folder does not exist"
    elif number == errno.EISDIR:
        problem = "is a directory; name a file in it"
    elif number == errno.EBUSY:
        problem = "is in use, mounted perhaps; it was not touched"
    elif number == errno.EPIPE:
        problem = "its reader has gone before the image was whole"
    elif isinstance(error, OSError) and error.strerror:
        problem = f"cannot be written: {error.strerror}"
    else:
        problem = f"cannot be written: {error}"
    return OutputError(name, problem)


def open_sink(output: Output, size: int) -> Sink:
    """Return the sink for ``output`` and an image of ``size`` bytes.

    A path gets a new file, or is written in place where it is a device, a FIFO or stands for an
    open file; a ``bytearray`` is replaced; a binary file that can seek and be cut is written from
    its beginning, every other one as a stream. Raises :class:`OutputError`.
    """
    if isinstance(output, bytearray):
        return MemorySink(output, size)
    if isinstance(output, str | bytes | os.PathLike):
        return _open_path(os.fsencode(output), size)
    file: Any = output
    if isinstance(file, io.TextIOBase) or not hasattr(file, "write"):
        raise OutputError(_name_of(file), "is no binary file; open it with mode 'wb'")
    return _open_file(file, size)


def _open_path(path: bytes, size: int) -> Sink:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return PathSink(path, size)
    except OSError as error:
        raise output_error(path, error, size) from error
    if stat.S_ISDIR(mode):
        raise output_error(path, IsADirectoryError(errno.EISDIR, ""), size)
    if stat.S_ISREG(mode) and not path.startswith(IN_PLACE):
        return PathSink(path, size)
    flags = os.O_WRONLY | O_CLOEXEC | O_BINARY
    if stat.S_ISBLK(mode):
        flags |= os.O_EXCL  # the kernel refuses a device that is mounted
    try:
        file = io.FileIO(os.open(path, flags), "w")
    except OSError as error:
        raise output_error(path, error, size) from error
    try:
        if stat.S_ISBLK(mode):
            room = file.seek(0, os.SEEK_END)
            file.seek(0)
            if room < size:
                raise OutputError(path, f"has {room} bytes; the image needs {size}")
        if stat.S_ISREG(mode):
            return FileSink(file, size, name=path, owned=True)
        return StreamSink(file, size, name=path, owned=True)
    except BaseException:
        file.close()
        raise


def _open_file(file: BinaryIO, size: int) -> Sink:
    name = _name_of(file)
    try:
        if not file.seekable() or _appends(file):
            return StreamSink(file, size)
        # Old bytes must not be seen through the image's holes.
        file.seek(0)
        file.truncate(0)
    except AttributeError:
        return StreamSink(file, size)
    except (io.UnsupportedOperation, OSError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise output_error(name, error, size) from error
        # Compressed files say that they can seek, block devices cannot be cut: write every byte.
        return StreamSink(file, size)
    except ValueError as error:
        raise output_error(name, error, size) from error
    return FileSink(file, size)


def _name_of(file: Any) -> bytes | str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str | bytes) else "(output)"


def _appends(file: BinaryIO) -> bool:
    """Whether the system puts every write at the end, wherever it was meant to go."""
    try:
        import fcntl

        return bool(fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND)
    except (ImportError, OSError, AttributeError):
        return "a" in str(getattr(file, "mode", ""))


def _plain_descriptor(file: Any) -> int | None:
    """The descriptor of ``file`` if its bytes are those of the file itself.

    A file that compresses has a descriptor too, and other bytes.
    """
    if not hasattr(os, "pwrite"):
        return None
    if type(file).__module__ == "tempfile":
        file = getattr(file, "file", file)
    raw = file.raw if isinstance(file, io.BufferedWriter | io.BufferedRandom) else file
    return raw.fileno() if isinstance(raw, io.FileIO) else None


class _DescriptorSink(Sink):
    """Writes at any offset of a descriptor that nobody else uses."""

    fd: int
    _preallocates: bool | None = None
    """Whether the file system knows blocks without content; None before the first of them."""
    _preallocated: tuple[int, int] = (0, 0)
    """Where the last ones lie: offset and end."""

    def write_at(self, offset: int, data: Buffer) -> None:
        try:
            if len(data) >= LEAST_PREALLOCATED:
                first, end = self._preallocated
                if offset < first or offset + len(data) > end:
                    self.preallocate(offset, len(data))
            done = os.pwrite(self.fd, data, offset)
            if done < len(data):
                view = memoryview(data)
                while done < len(view):
                    done += os.pwrite(self.fd, view[done:], offset + done)
        except OSError as error:
            raise self.failure(error) from error

    def preallocate(self, offset: int, length: int) -> None:
        if self._preallocates is False or not hasattr(os, "SEEK_DATA"):
            return
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(self.fd, offset, length)
            self._preallocated = offset, offset + length
            if self._preallocates is None:
                self._preallocates = self._is_hole(offset)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise self.failure(error) from error
            self._preallocates = False

    def _is_hole(self, offset: int) -> bool:
        """Whether a block that was preallocated still reads as a hole.

        The C library writes into every block where the file system can do nothing better, and
        that takes longer than to write all of it once.
        """
        try:
            return os.lseek(self.fd, offset, os.SEEK_DATA) > offset
        except OSError as error:
            return error.errno == errno.ENXIO  # no data from here to the end


class SharedImage(_DescriptorSink):
    """The image of a sink as other processes see it, on which that sink alone decides.

    They open the file at ``path``, or have ``fd`` since they were forked if that is None.
    ``first_crew`` is the first one that can (:func:`~ext4writer.forked.next_crew`).
    """

    def __init__(
        self, sink: Sink, fd: int, *, path: bytes | None = None, first_crew: int = 0
    ) -> None:
        super().__init__(sink.name, sink.size)
        self.fd = fd
        self.first_crew = first_crew
        self._path = path
        if path is None:
            self._preallocates = False  # it is not its descriptor alone
        status = os.fstat(fd)
        self._identity = status.st_dev, status.st_ino

    def open(self) -> None:
        """Called before anything is written; raises :class:`OutputError`."""
        if self._path is None:
            return
        try:
            self.fd = os.open(self._path, os.O_RDWR | O_CLOEXEC | O_BINARY | O_NOFOLLOW)
        except OSError as error:
            raise self.failure(error) from error
        status = os.fstat(self.fd)
        if (status.st_dev, status.st_ino) != self._identity:
            self.close()
            raise OutputError(self.name, "was replaced by another file while it was written")

    def close(self) -> None:
        """Let go of what was opened."""
        if self._path is not None:
            os.close(self.fd)

    def finish(self) -> None:
        """Left to the sink."""

    def abort(self) -> None:
        """Left to the sink."""


class PathSink(_DescriptorSink):
    """A new file, under another name in the same folder until it is whole.

    What stood at ``path`` is replaced only then. ``sync`` waits until the disk has the bytes.
    """

    def __init__(
        self, path: str | bytes | os.PathLike[str], size: int, *, sync: bool = False
    ) -> None:
        super().__init__(os.fsencode(path), size)
        final = os.fsencode(path)
        # Through a link the file it names is replaced, as every other program would.
        self._final = os.path.realpath(final) if os.path.islink(final) else final
        self._sync = sync
        self._open = False
        try:
            self.fd, self._partial = create_beside(self._final)
            self._open = True
            os.ftruncate(self.fd, size)
        except OSError as error:
            self.abort()
            raise self.failure(error) from error

    def shared(self) -> SharedImage | None:
        try:
            return SharedImage(self, self.fd, path=os.path.join(os.getcwdb(), self._partial))
        except OSError:  # the current folder is gone
            return None

    if not hasattr(os, "pwrite"):  # Windows

        def write_at(self, offset: int, data: Buffer) -> None:
            with _seeking:
                try:
                    os.lseek(self.fd, offset, os.SEEK_SET)
                    view = memoryview(data)
                    while view:
                        view = view[os.write(self.fd, view) :]
                except OSError as error:
                    raise self.failure(error) from error

    def finish(self) -> None:
        try:
            if self._sync:
                os.fsync(self.fd)
            fd, self.fd = self.fd, -1
            os.close(fd)
            os.replace(self._partial, self._final)
            self._open = False
        except OSError as error:
            self.abort()
            raise self.failure(error) from error

    def abort(self) -> None:
        if not self._open:
            return
        self._open = False
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.fd)
            self.fd = -1
        with contextlib.suppress(OSError):
            os.unlink(self._partial)


_seeking = threading.Lock()


def create_beside(final: bytes) -> tuple[int, bytes]:
    """Create an empty file in the folder of ``final``; return its descriptor and path."""
    folder, name = os.path.split(final)
    if len(name) > NAME_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | O_CLOEXEC | O_BINARY
    number = 0
    while True:
        suffix = b".partial" if not number else b".partial-%d" % number
        path = os.path.join(folder, b"." + name[: NAME_MAX - 1 - len(suffix)] + suffix)
        try:
            return os.open(path, flags, 0o666), path
        except FileExistsError:
            number += 1


class FileSink(Sink):
    """A binary file that can seek; its old bytes are dropped and offset 0 is the image's."""

    def __init__(
        self, file: BinaryIO, size: int, *, name: bytes | str | None = None, owned: bool = False
    ) -> None:
        """``owned`` closes the file at the end."""
        super().__init__(_name_of(file) if name is None else name, size)
        self._file = file
        self._owned = owned
        self._lock = threading.Lock()
        self._finished = False
        self._first_crew = next_crew()
        try:
            file.seek(0)
            file.truncate(0)
            file.flush()
            self.fd = _plain_descriptor(file)
            if self.fd is not None:
                os.ftruncate(self.fd, size)
            else:
                self._grow(size)
        except (OSError, ValueError) as error:
            raise self.failure(error) from error

    def shared(self) -> SharedImage | None:
        if self.fd is None:
            return None
        return SharedImage(self, self.fd, first_crew=self._first_crew)

    def _grow(self, size: int) -> None:
        """Make the file ``size`` bytes of zeros; objects in memory do not grow by truncate."""
        if size:
            self._file.truncate(size)
            if self._file.seek(0, os.SEEK_END) < size:
                for start in range(0, size, len(ZEROS)):
                    self._file.seek(start)
                    _write_all(self._file, ZEROS[: size - start])

    def write_at(self, offset: int, data: Buffer) -> None:
        try:
            if self.fd is not None:
                view = memoryview(data)
                while view:
                    done = os.pwrite(self.fd, view, offset)
                    view, offset = view[done:], offset + done
                return
            with self._lock:
                self._file.seek(offset)
                _write_all(self._file, data)
        except (OSError, ValueError) as error:
            raise self.failure(error) from error

    def finish(self) -> None:
        try:
            self._file.seek(self.size)
            self._file.flush()
            self._finished = True
            if self._owned:
                self._file.close()
        except (OSError, ValueError) as error:
            raise self.failure(error) from error

    def abort(self) -> None:
        if self._finished:
            return
        self._finished = True
        with contextlib.suppress(OSError, ValueError):
            self._file.seek(0)
            self._file.truncate(0)
        if self._owned:
            with contextlib.suppress(OSError):
                self._file.close()


class StreamSink(Sink):
    """A binary file that only goes forwards; gaps are written as zeros."""

    ascending = True

    def __init__(
        self, file: BinaryIO, size: int, *, name: bytes | str | None = None, owned: bool = False
    ) -> None:
        """``owned`` closes the file at the end."""
        super().__init__(_name_of(file) if name is None else name, size)
        self._file = file
        self._owned = owned
        self.position = 0

    def write_at(self, offset: int, data: Buffer) -> None:
        if offset < self.position:
            raise ValueError(f"offset {offset} lies before {self.position} on a stream")
        try:
            self._fill_to(offset)
            _write_all(self._file, data)
        except (OSError, ValueError) as error:
            raise self.failure(error) from error
        self.position += len(data)

    def _fill_to(self, offset: int) -> None:
        while self.position < offset:
            piece = ZEROS[: offset - self.position]
            _write_all(self._file, piece)
            self.position += len(piece)

    def finish(self) -> None:
        try:
            self._fill_to(self.size)
            if hasattr(self._file, "flush"):
                self._file.flush()
            if self._owned:
                self._file.close()
        except (OSError, ValueError) as error:
            raise self.failure(error) from error

    def abort(self) -> None:
        if self._owned:
            with contextlib.suppress(OSError):
                self._file.close()


class MemorySink(Sink):
    """A ``bytearray``, whose old bytes are dropped."""

    def __init__(self, output: bytearray, size: int) -> None:
        super().__init__("(memory)", size)
        self._output = output
        self._finished = False
        try:
            output[:] = bytes(size)
        except (MemoryError, BufferError) as error:
            raise OutputError(self.name, f"cannot hold {size} bytes: {error}") from error

    def write_at(self, offset: int, data: Buffer) -> None:
        end = offset + len(data)
        if end > self.size:
            raise ValueError(f"bytes {offset} to {end} lie beyond an image of {self.size}")
        self._output[offset:end] = data

    def finish(self) -> None:
        self._finished = True

    def abort(self) -> None:
        if not self._finished:
            with contextlib.suppress(BufferError):
                self._output.clear()


def _write_all(file: BinaryIO, data: Buffer) -> None:
    """Write ``data`` however few bytes the file takes at once."""
    done: int | None = file.write(data)
    if done == len(data):
        return
    view = memoryview(data)
    while view:
        if done is None:
            if isinstance(file, io.RawIOBase):
                raise BlockingIOError(errno.EAGAIN, "it is set not to wait for its reader")
            return  # an object that counts nothing has taken everything
        view = view[done:]
        done = file.write(view) if view else 0
