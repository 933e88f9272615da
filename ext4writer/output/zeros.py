"""Zeroes or discards ranges of files and devices with few system calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from struct import pack

from ..arithmetic import round_down, round_up
from .sink import ZEROS

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# linux/falloc.h
FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02
FALLOC_FL_ZERO_RANGE = 0x10

BLKZEROOUT = 0x127F
BLKDISCARD = 0x1277
"""linux/fs.h: the numbers on most architectures; the others refuse them."""

DISCARDED_BYTES = 2 << 30
"""Bytes discarded by one call, so that a user can interrupt; misc/mke2fs.c:DISCARD_STEP_MB."""


@cache
def _fallocate() -> Callable[[int, int, int, int], bool]:
    """fallocate(2) with modes, which Python lacks; the call returns whether it succeeded."""
    try:
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        call = getattr(library, "fallocate64", None) or library.fallocate
    except (ImportError, OSError, AttributeError, TypeError):
        return lambda *_: False
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    call.restype = ctypes.c_int
    return lambda fd, mode, start, length: call(fd, mode, start, length) == 0


def punch(fd: int, start: int, length: int) -> bool:
    """Turn a byte range of a regular file into a hole or unwritten blocks; False if impossible."""
    fallocate = _fallocate()
    return any(
        fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, start, length)
        for mode in (FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE)
    )


def zero_device(fd: int, start: int, length: int, sector_size: int) -> None:
    """Zero a byte range of a block device; raises ``OSError``.

    One call zeroes all whole sectors. Punching a hole (block/fops.c:blkdev_fallocate) discards the
    sectors if the device guarantees that they then read as zeros, which a plain discard does not.
    Otherwise the device itself writes the zeros. BLKZEROOUT writes them in any case.
    """
    end = start + length
    first = min(end, round_up(start, sector_size))
    last = max(first, round_down(end, sector_size))
    write_zeros(fd, start, first - start)
    write_zeros(fd, last, end - last)
    if last == first or _fallocate()(
        fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, first, last - first
    ):
        return
    if hasattr(fcntl, "ioctl"):
        try:
            fcntl.ioctl(fd, BLKZEROOUT, pack("=QQ", first, last - first))
            return
        except OSError:
            pass  # the write below reports what is wrong
    write_zeros(fd, first, last - first)


def discard(fd: int, start: int, end: int, sector_size: int) -> None:
    """Discard a byte range of a block device, if it can; its content is undefined afterwards.

    As in misc/mke2fs.c:mke2fs_discard_device, a device that refuses keeps its content.
    """
    start, end = round_up(start, sector_size), round_down(end, sector_size)
    if not hasattr(fcntl, "ioctl"):
        return
    for first in range(start, end, DISCARDED_BYTES):
        length = min(DISCARDED_BYTES, end - first)
        try:
            fcntl.ioctl(fd, BLKDISCARD, pack("=QQ", first, length))
        except OSError:
            return


def write_zeros(fd: int, start: int, length: int) -> None:
    """Write ``length`` zero bytes at byte ``start``; raises ``OSError``."""
    end = start + length
    while start < end:
        start += os.pwrite(fd, memoryview(ZEROS)[: end - start], start)
