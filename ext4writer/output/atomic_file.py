"""Files that are written under a temporary name in the same directory, and renamed when complete.

This module is the only one that does so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from itertools import count

from ..content import O_BINARY, O_CLOEXEC, O_NOFOLLOW
from .sink import Buffer

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
NAME_MAX = 255
ACL = "system.posix_acl_access"

FDINFO = b"/proc/self/fdinfo/%d"
"""What the kernel tells of a descriptor (proc_pid_fdinfo(5))."""


def resolved(path: bytes) -> bytes:
    """The file that ``path`` names, following symbolic links as ``cp`` does.

    Raises ``FileNotFoundError`` for a dangling link.
    """
    return os.path.realpath(path, strict=True) if os.path.islink(path) else path


def replace_atomically(partial: bytes, final: bytes) -> None:
    """Rename a file atomically, replacing an existing one; raises ``OSError``."""
    os.replace(partial, final)


def _write_all(fd: int, data: Buffer) -> None:
    view = memoryview(data)  # write(2) may write only a part
    while view:
        view = view[os.write(fd, view) :]


class NewFile:
    """An empty file next to ``path``; :meth:`commit` gives it that name, :meth:`abort` removes it.

    Only ``commit`` replaces an existing file at ``path``. The new file then has the permission bits
    of the old one and, if this process may set them, its owner and its access control list. Nobody
    who could not read the old file can read the new one. Without an existing file, the umask
    decides. Temporary files left by killed processes are removed.

    If there is no file yet and only ``path`` itself may be created, as in some sandboxes, the file
    has that name from the beginning.

    All methods but ``abort`` raise ``OSError``.
    """

    fd: int = -1

    def __init__(self, path: bytes) -> None:
        self._final = resolved(path)
        try:
            old = os.stat(self._final)
        except FileNotFoundError:
            old = None
        if old is not None and not stat.S_ISREG(old.st_mode):
            # Renaming would replace a device, a pipe or a socket with a file.
            if stat.S_ISDIR(old.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            raise OSError(errno.EEXIST, "something other than a regular file has that name")
        self.partial = b""
        left: list[bytes] = []
        for number in count():
            self.partial = _partial_name(self._final, number)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | O_CLOEXEC | O_BINARY | O_NOFOLLOW
            try:
                self.fd = os.open(self.partial, flags, 0o666 if old is None else 0o600)
            except FileExistsError:
                left.append(self.partial)
                continue
            except OSError as error:
                if old is not None or error.errno not in FORBIDDEN:
                    raise
                self.fd = _create_in_place(self._final, flags, error)
                self.partial = self._final
                break
            if _claimed(self.fd, self.partial):
                break
            os.close(self.fd)
        self._open = True
        try:
            uid = os.fstat(self.fd).st_uid
            for path_left in (*left, *_higher_partial_names(self._final, number)):
                _remove_if_abandoned(path_left, uid)
            if old is not None:
                _copy_attributes(self.fd, self._final, old)
        except BaseException:
            self.abort()
            raise

    def write(self, data: Buffer) -> None:
        """Append all of ``data``."""
        _write_all(self.fd, data)

    def commit(self, final: bytes | None = None, *, sync: bool = False) -> None:
        """Close the file and rename it to ``path``, or to ``final`` in the same file system.

        ``sync`` flushes the file to the disk before renaming it, and the directory afterwards.
        """
        folder = -1
        try:
            if final is None:
                final = self._final
            elif os.path.exists(final):
                _copy_attributes(self.fd, final, os.stat(final))
            if sync:
                os.fsync(self.fd)
                folder = _open_directory(os.path.split(final)[0])
            fd, self.fd = self.fd, -1
            os.close(fd)
            replace_atomically(self.partial, final)
            self._open = False
            if folder >= 0:
                _flush_directory(folder)
        finally:
            if folder >= 0:
                with contextlib.suppress(OSError):
                    os.close(folder)
            self.abort()

    def abort(self) -> None:
        """Remove the file unless it is renamed already; raises nothing."""
        if not self._open:
            return
        self._open = False
        # Unlink before closing: the lock keeps other processes from removing the file.
        with contextlib.suppress(OSError):
            os.unlink(self.partial)
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.fd)
            self.fd = -1


class FileInPlace:
    """An existing file that is overwritten, because no other file can replace it.

    It is empty after a failure. All methods but ``abort`` raise ``OSError``.
    """

    def __init__(self, path: bytes) -> None:
        self.fd = os.open(path, os.O_RDWR | O_CLOEXEC | O_BINARY)
        self._open = True
        try:
            os.ftruncate(self.fd, 0)
        except BaseException:
            self.abort()
            raise

    def write(self, data: Buffer) -> None:
        """Append all of ``data``."""
        _write_all(self.fd, data)

    def commit(self, *, sync: bool = False) -> None:
        """Close the file; ``sync`` flushes it to the disk first."""
        if sync:
            os.fsync(self.fd)
        self._open = False
        os.close(self.fd)

    def abort(self) -> None:
        """Truncate the file to zero bytes unless it was committed; raises nothing."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, 0)
        with contextlib.suppress(OSError):
            os.close(self.fd)


def is_mount_point(path: bytes) -> bool:
    """Whether something is mounted on the file ``path``, which therefore cannot be replaced."""
    if not hasattr(os, "O_PATH"):
        return False  # not Linux
    try:
        path = resolved(path)
        own, above = (_mount_id(each) for each in (path, os.path.split(path)[0] or b"."))
        return own != above if own and above else _is_in_mountinfo(path)
    except OSError:
        return False


def _mount_id(path: bytes) -> bytes:
    """The ID of the mount that a file is in; empty if the kernel does not tell it, as in gVisor."""
    fd = os.open(path, os.O_PATH | O_CLOEXEC)
    try:
        info = os.open(FDINFO % fd, os.O_RDONLY | O_CLOEXEC)
        try:
            return os.read(info, 4096).partition(b"mnt_id:")[2].split(b"\n")[0]
        finally:
            os.close(info)
    except FileNotFoundError:
        return b""
    finally:
        os.close(fd)


def _is_in_mountinfo(path: bytes) -> bool:
    """Whether ``path`` is among all mount points, which takes longer than two mount IDs."""
    with open(b"/proc/self/mountinfo", "rb") as mounts:  # proc_pid_mountinfo(5)
        points = {line.split(b" ", 5)[4] for line in mounts}
    escaped = re.sub(rb"[ \\\t\n]", lambda found: b"\\%03o" % ord(found[0]), os.path.realpath(path))
    return escaped in points


def _create_in_place(path: bytes, flags: int, denied: OSError) -> int:
    """Create ``path`` itself and return its descriptor; raises ``denied`` if that fails."""
    try:
        return os.open(path, flags, 0o666)
    except OSError:
        raise denied from None


def _open_directory(folder: bytes) -> int:
    """A descriptor of a directory, to flush it; -1 where there are none, as on Windows."""
    if not hasattr(os, "O_DIRECTORY"):
        return -1
    return os.open(folder or b".", os.O_RDONLY | os.O_DIRECTORY | O_CLOEXEC)


def _flush_directory(fd: int) -> None:
    """Flush the entries of a directory to the disk."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot flush directories
            reason = f"it is in place, but perhaps not on the disk yet: {error.strerror}"
            raise OSError(error.errno, reason) from error


def _partial_name(final: bytes, number: int) -> bytes:
    folder, name = os.path.split(final)
    if len(name) > NAME_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    suffix = b".partial" if not number else b".partial-%d" % number
    return os.path.join(folder, b"." + name[: NAME_MAX - 1 - len(suffix)] + suffix)


def _higher_partial_names(final: bytes, number: int) -> Iterator[bytes]:
    """Yield the existing temporary names after ``number``; lower ones may be free again."""
    while os.path.lexists(path := _partial_name(final, number := number + 1)):
        yield path


def _claimed(fd: int, path: bytes) -> bool:
    """Lock a new file; False if another process removed it as abandoned.

    The lock ends with the process, so a file without a lock is abandoned.
    """
    if not hasattr(fcntl, "flock"):
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # without locks, abandoned files are not removed either
    try:
        return _is_at(fd, path)
    except OSError:
        return True


def _is_at(fd: int, path: bytes) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _remove_if_abandoned(path: bytes, uid: int) -> None:
    """Remove the file at ``path`` if a killed process of this user left it.

    Links are not followed. A file of another user, with several names or in use is kept.
    """
    if not hasattr(fcntl, "flock"):
        return
    with contextlib.suppress(OSError):
        if not _is_own_file(os.stat(path, follow_symlinks=False), uid):
            return
        fd = os.open(path, os.O_RDWR | O_CLOEXEC | O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if _is_own_file(os.fstat(fd), uid):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(fd, path):
                    os.unlink(path)
        finally:
            os.close(fd)


def _is_own_file(status: os.stat_result, uid: int) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == uid and status.st_nlink == 1


def _copy_attributes(fd: int, final: bytes, old: os.stat_result) -> None:
    """Copy the old file's attributes to the new one, without granting more permissions."""
    if not hasattr(os, "fchown"):
        return
    new = os.fstat(fd)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(fd, old.st_uid, old.st_gid)
        except OSError:
            with contextlib.suppress(OSError):
                os.fchown(fd, -1, old.st_gid)
        new = os.fstat(fd)
    mode = stat.S_IMODE(old.st_mode) & 0o777
    if new.st_gid != old.st_gid:
        # The group differs: grant it no more than the permissions of others.
        mode = mode & 0o707 | (mode & 0o007) << 3
    if hasattr(os, "setxattr") and not _copy_acl(fd, final):
        mode &= 0o700
    os.fchmod(fd, mode)


def _copy_acl(fd: int, final: bytes) -> bool:
    """Copy the access control list; False if it exists and cannot be copied."""
    try:
        acl = os.getxattr(final, ACL)
    except OSError:
        # The old file has none, but the new one may have inherited the directory's default.
        with contextlib.suppress(OSError):
            os.removexattr(fd, ACL)
        return True
    try:
        os.setxattr(fd, ACL, acl)
    except OSError:
        return False
    return True


def write_file(path: bytes, data: Buffer, *, sync: bool = False) -> None:
    """Create or replace the file at ``path``, with ``data`` as content; see ``NewFile``.

    Raises ``OSError``. ``sync`` flushes the file to the disk.
    """
    file = NewFile(path)
    try:
        file.write(data)
        file.commit(sync=sync)
    finally:
        file.abort()
