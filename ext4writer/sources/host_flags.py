"""Inode flags and projects of the host's files, where its file systems support them."""

from __future__ import annotations

import errno
import os
import struct

from ..bits import joined_32
from ..content import O_CLOEXEC, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK
from ..inode_flags import STORAGE_FLAGS, flag_names, taken_flags
from ..tree import S_IFDIR, S_IFREG, Loss

try:
    import fcntl
except ImportError:  # Windows has no such flags
    HAS_IOCTL = False
else:
    HAS_IOCTL = True


# include/uapi/linux/fs.h; the direction "read" is a different bit on MIPS, PowerPC, SPARC and
# Alpha (include/uapi/asm-generic/ioctl.h and theirs). Each ignores the number of the others.
_READ = (2 << 30, 1 << 30)
_LONG = struct.calcsize("l")
_FS_IOC_GETFLAGS = _LONG << 16 | ord("f") << 8 | 1
_FSXATTR = struct.Struct("=5I8x")
_FS_IOC_FSGETXATTR = _FSXATTR.size << 16 | ord("X") << 8 | 31
_FSX_PROJID = 3

WITHOUT_FLAGS = {
    number
    for name in ("ENOTTY", "ENOTSUP", "EOPNOTSUPP", "ENOSYS")
    if (number := getattr(errno, name, None)) is not None
}
"""Errors of a file system without inode flags."""


class HostFlags:
    """Reads the flags and projects of regular files and directories; no other kinds have them.

    Flags that cannot be kept are added to ``losses``.
    """

    def __init__(self, losses: list[Loss]) -> None:
        self.losses = losses

    def read(self, path: bytes, kind: int, shown: bytes, *, follow: bool = False) -> int:
        """Flags in the low 32 bits and the project above them, as in ``Node.flags_and_project``.

        ``path`` is the file's path on the host, ``kind`` its ``S_IFMT`` bits, ``shown`` its path in
        the tree. Raises ``FileNotFoundError``.
        """
        if kind not in (S_IFREG, S_IFDIR) or not HAS_IOCTL:
            return 0
        mode = os.O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (0 if follow else O_NOFOLLOW)
        try:
            fd = os.open(path, mode)
        except FileNotFoundError:
            raise
        except OSError as error:
            self._add_loss(shown, f"inode flags cannot be read: {error.strerror}")
            return 0
        try:
            flags = self._flags(_ioctl_read(fd, _FS_IOC_GETFLAGS, _LONG), kind, shown)
            return joined_32(
                flags, self._project(_ioctl_read(fd, _FS_IOC_FSGETXATTR, _FSXATTR.size))
            )
        except OSError as error:
            self._add_loss(shown, f"inode flags cannot be read: {error.strerror}")
            return 0
        finally:
            os.close(fd)

    def _flags(self, answer: bytes | None, kind: int, shown: bytes) -> int:
        if answer is None:
            return 0
        # The kernel writes an int, although the request number encodes the size of a long.
        flags: int = struct.unpack_from("=I", answer)[0]
        other = flags & ~taken_flags(kind) & ~STORAGE_FLAGS
        if other:
            self._add_loss(shown, f"the inode flags {flag_names(other)} belong to its file system")
        return flags & taken_flags(kind)

    def _project(self, answer: bytes | None) -> int:
        if answer is None:
            return 0
        project: int = _FSXATTR.unpack(answer)[_FSX_PROJID]
        return project

    def _add_loss(self, shown: bytes, what: str) -> None:
        self.losses.append(Loss(shown, what, "attributes-not-taken"))


def _ioctl_read(fd: int, request: int, size: int) -> bytes | None:
    """The result of an ioctl that reads; None if the file system does not support it."""
    for direction in _READ:
        try:
            return fcntl.ioctl(fd, direction | request, bytes(size))
        except OSError as error:
            if error.errno not in WITHOUT_FLAGS:
                raise
    return None
