"""A small file that only one call at a time can use, across all processes."""

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
LOCKED_ERRORS = {errno.EACCES, errno.EAGAIN}
"""The errors if another process has the lock (fcntl(2))."""

_locked_files: set[FileId] = set()
"""The files that this process has locked."""
_locked_files_lock = threading.Lock()


class InUseError(Exception):
    """Another call uses the file."""


class LockedFile:
    """A locked file at ``path``, created if necessary; the lock ends with the process.

    The lock belongs to the process, not to a descriptor: forked workers would keep a lock of a
    descriptor after their parent died. But it also ends as soon as the process closes any
    descriptor of the file (fcntl(2)). So this module records the files that the process has locked
    and never opens them again. Without support for such locks, the file is not locked.

    All methods but ``close`` raise ``OSError``.
    """

    def __init__(self, path: bytes) -> None:
        """Raises :class:`InUseError` if another call uses the file."""
        self._path = path
        self._fd = -1
        while self._fd < 0:
            with _locked_files_lock:
                self._open()

    def _open(self) -> None:
        """Open and lock the file; leave it closed if its last user has just removed it."""
        with suppress(FileNotFoundError):
            if _id_at(self._path) in _locked_files:
                raise InUseError
        fd = os.open(self._path, FLAGS, 0o666)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EEXIST, "something other than a regular file has that name")
            self._lock(fd)
            self._id = status.st_dev, status.st_ino
            if self._is_at_its_path():
                _locked_files.add(self._id)
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
            if error.errno in LOCKED_ERRORS:
                raise InUseError from None

    def _is_at_its_path(self) -> bool:
        try:
            return _id_at(self._path) == self._id
        except FileNotFoundError:
            return False

    def read(self) -> bytes:
        """The entire content."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        data = b""
        while piece := os.read(self._fd, 1 << 20):
            data += piece
        return data

    def replace(self, data: Buffer) -> None:
        """Replace the entire content with ``data``."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.append(data)

    def append(self, data: Buffer) -> None:
        """Write ``data`` after the last write."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def remove(self) -> None:
        """Remove the file and close it."""
        try:
            if self._is_at_its_path():
                os.unlink(self._path)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file, and remove it if it is empty. Raises nothing."""
        with _locked_files_lock, suppress(OSError):
            if self._fd < 0:
                return
            fd, self._fd = self._fd, -1
            try:
                if not os.fstat(fd).st_size and self._is_at_its_path():
                    os.unlink(self._path)
            finally:
                _locked_files.discard(self._id)
                os.close(fd)


def _id_at(path: bytes) -> FileId:
    status = os.stat(path)
    return status.st_dev, status.st_ino
