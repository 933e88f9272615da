"""Sets inode flags and project IDs of files on the host, as chattr(1) does."""

from __future__ import annotations

import struct
from collections.abc import Callable

try:
    import fcntl
except ImportError:  # Windows has neither
    HAS_IOCTL = False
else:
    HAS_IOCTL = True

# include/uapi/linux/fs.h. MIPS, PowerPC, SPARC and Alpha encode the direction of an ioctl in other
# bits (include/uapi/asm-generic/ioctl.h and their own). The wrong numbers are unassigned there.
_DIRECTIONS = ((2 << 30, 1 << 30), (1 << 30, 4 << 29))
_LONG = struct.calcsize("l")
_GETFLAGS, _SETFLAGS = (_LONG << 16 | ord("f") << 8 | number for number in (1, 2))
_FSXATTR = "=5I8x"  # struct fsxattr
_FSXATTR_SIZE = struct.calcsize(_FSXATTR)
_FSGETXATTR, _FSSETXATTR = (_FSXATTR_SIZE << 16 | ord("X") << 8 | number for number in (31, 32))


def set_flags(fd: int, flags: int, mask: int) -> None:
    """Set the flags of an open file that are in ``mask``; OSError if that is impossible."""

    def change(answer: bytes) -> bytes:
        (found,) = struct.unpack_from("=I", answer)
        return struct.pack("=I", found & ~mask | flags & mask).ljust(_LONG, b"\0")

    _change(fd, _GETFLAGS, _SETFLAGS, bytes(_LONG), change)


def set_project(fd: int, project: int) -> None:
    """Set the project ID of an open file; OSError if that is impossible."""

    def change(answer: bytes) -> bytes:
        xflags, extsize, nextents, _, cowextsize = struct.unpack(_FSXATTR, answer)
        return struct.pack(_FSXATTR, xflags, extsize, nextents, project, cowextsize)

    _change(fd, _FSGETXATTR, _FSSETXATTR, bytes(_FSXATTR_SIZE), change)


def _change(fd: int, get: int, put: int, empty: bytes, change: Callable[[bytes], bytes]) -> None:
    if not HAS_IOCTL:
        raise OSError(0, "not supported by the host")
    failed: OSError | None = None
    for read, write in _DIRECTIONS:
        try:
            answer = fcntl.ioctl(fd, read | get, empty)
        except OSError as error:
            failed = failed or error
            continue
        fcntl.ioctl(fd, write | put, change(answer))
        return
    assert failed is not None
    raise failed
