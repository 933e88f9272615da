"""A small file that one call at a time has, in this process and in all others."""

from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import suppress

from ..content import O_BINARY, O_CLOEXEC, O_NONBLOCK, FileId
from .sink import Buffer

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FLAGS = os.O_RDWR | os.O_CREAT | O_CLOEXEC | O_BINARY | O_NONBLOCK
TAKEN = {errno.EACCES, errno.EAGAIN}
"""What a lock of another process is answered with (fcntl(2))."""

_held: set[FileId] = set()
"""What this process has locked."""
_holding = threading.Lock()


class InUseError(Exception):
    """Another call has the file."""


class LockedFile:
    """A file at ``path``, which is made if there is none; the lock ends with the process.

    It is one of the process and not of a descriptor, because workers that were forked would keep
    that after their parent died. But it also ends as soon as the process closes any descriptor of
    the file (fcntl(2)), so this module knows what the process has, and opens nothing of it again.
    A file system or a system without such locks gives none.

    All methods but ``close`` raise ``OSError``.
    """

    def __init__(self, path: bytes) -> None:
        """Raises :class:`InUseError` if another call has it."""
        self._path = path
        self._fd = -1
        while self._fd < 0:
            with _holding:
                self._open()

    def _open(self) -> None:
        """Open and lock it, unless who had it has just removed it."""
        with suppress(FileNotFoundError):
            if _id_at(self._path) in _held:
                raise InUseError
        fd = os.open(self._path, FLAGS, 0o666)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EEXIST, "something else than a regular file has that name")
            self._lock(fd)
            self._id = status.st_dev, status.st_ino
            if self._is_at_its_path():
                _held.add(self._id)
                self._fd, fd = fd, -1
        finally:
            if fd >= 0:
                os.close(fd)

    def _lock(self, fd: int) -> None:
        if not hasattr(fcntl, "lockf"):
            return
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in TAKEN:
                raise InUseError from None

    def _is_at_its_path(self) -> bool:
        try:
            return _id_at(self._path) == self._id
        except FileNotFoundError:
            return False

    def read(self) -> bytes:
        """All that it holds."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        data = b""
        while piece := os.read(self._fd, 1 << 20):
            data += piece
        return data

    def replace(self, data: Buffer) -> None:
        """Write ``data`` in the place of all that it holds."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.append(data)

    def append(self, data: Buffer) -> None:
        """Write ``data`` after what was written last."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def remove(self) -> None:
        """Remove it, and give it up."""
        try:
            if self._is_at_its_path():
                os.unlink(self._path)
        finally:
            self.close()

    def close(self) -> None:
        """Give it up; one without content is removed. Raises nothing."""
        with _holding, suppress(OSError):
            if self._fd < 0:
                return
            fd, self._fd = self._fd, -1
            try:
                if not os.fstat(fd).st_size and self._is_at_its_path():
                    os.unlink(self._path)
            finally:
                _held.discard(self._id)
                os.close(fd)


def _id_at(path: bytes) -> FileId:
    status = os.stat(path)
    return status.st_dev, status.st_ino
