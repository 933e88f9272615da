"""Images on block devices: checks of sector size, capacity and use."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from functools import partial
from struct import pack, unpack
from typing import BinaryIO

from ..content import O_BINARY, O_CLOEXEC
from ..errors import OutputError
from .region import RegionSink
from .sink import output_error

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# linux/fs.h: the numbers on most architectures; the others refuse them.
BLKROGET = 0x125E
BLKSSZGET = 0x1268

NO_DEVICE = {errno.ENXIO, errno.ENODEV, getattr(errno, "ENOMEDIUM", errno.ENXIO)}

SECTOR_SIZE = 512
"""Bytes per sector of a device that does not report them."""


def open_device(
    path: bytes,
    size: int,
    *,
    start: int,
    block_size: int,
    name: bytes | str | None = None,
    file: BinaryIO | None = None,
) -> RegionSink:
    """The sink for an image of ``size`` bytes at byte ``start`` of the device at ``path``.

    ``file`` is the caller's file object for the device. Raises :class:`OutputError` for a device
    that is too small, in use or read-only, and for blocks smaller than its sectors.
    """
    name = path if name is None else name
    try:
        # The kernel refuses O_EXCL for a device that is mounted or part of another one.
        fd = os.open(path, os.O_WRONLY | os.O_EXCL | O_CLOEXEC | O_BINARY)
    except OSError as error:
        if _is_read_only(path):
            raise OutputError(name, "is a read-only device") from error
        if error.errno in NO_DEVICE:
            raise OutputError(name, "does not exist as a device, or has no medium") from error
        raise output_error(name, error, size) from error
    try:
        if _query(fd, BLKROGET):
            raise OutputError(name, "is a read-only device")
        sector_size = _query(fd, BLKSSZGET) or SECTOR_SIZE
        end = os.lseek(fd, 0, os.SEEK_END)
        if start % sector_size:
            raise OutputError(
                name,
                f"has sectors of {sector_size} bytes; the offset {start} is not a multiple of that",
            )
        if block_size and block_size < sector_size:
            raise OutputError(
                name,
                f"has sectors of {sector_size} bytes, and the kernel does not mount file systems "
                f"with smaller blocks; choose a block size of {sector_size}, not {block_size}",
            )
        if start + size > end:
            raise too_small(name, end, start, size)
    except BaseException:
        os.close(fd)
        raise
    return RegionSink(
        name,
        fd,
        size,
        start=start,
        end=end,
        sector_size=sector_size,
        file=file,
        close=partial(os.close, fd),
    )


def too_small(name: bytes | str, end: int, start: int, size: int) -> OutputError:
    """The error for a region that is too small for the image."""
    if not start:
        return OutputError(name, f"has {end} bytes; the image needs {size}")
    return OutputError(
        name,
        f"has {max(0, end - start)} bytes after offset {start}; the image needs {size}",
    )


def device_name(fd: int) -> bytes | None:
    """A path with which the device of a descriptor can be reopened; None if there is none."""
    path = b"/proc/self/fd/%d" % fd
    with contextlib.suppress(OSError):
        if os.path.samestat(os.stat(path), os.fstat(fd)):
            return path
    return None


def is_block_device(fd: int) -> bool:
    """Whether a descriptor is that of a block device; raises ``OSError``."""
    return stat.S_ISBLK(os.fstat(fd).st_mode)


def _query(fd: int, request: int) -> int:
    """The ``int`` that an ioctl returns; 0 if it fails."""
    if not hasattr(fcntl, "ioctl"):
        return 0
    try:
        answer: int = unpack("i", fcntl.ioctl(fd, request, pack("i", 0)))[0]
    except OSError:
        return 0
    return answer


def _is_read_only(path: bytes) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | O_CLOEXEC)
    except OSError:
        return False
    try:
        return bool(_query(fd, BLKROGET))
    finally:
        os.close(fd)
