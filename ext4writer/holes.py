"""Finds the zero runs of a file that are worth a hole. What is a hole follows from content alone.

The rule: every run of whole zero blocks that is at least ``hole_size`` bytes long is a hole; the
last block counts as if zeros filled it up. The first block of a file belongs to no run, unless
``leading_hole`` allows it: GRUB and others cannot read a file that begins with a hole.

Where the host keeps holes itself they save reading, and change nothing else.
"""

from __future__ import annotations

import errno
import os

from .content import Content, Reader, changed_size
from .errors import SourceChangedError

BlockRanges = list[tuple[int, int]]
"""(first block, count of blocks), ascending."""

_SAMPLE_BYTES = 16
_CHUNK_BYTES = 256 * 1024
_SEEK_DATA = getattr(os, "SEEK_DATA", None)
_SEEK_HOLE = getattr(os, "SEEK_HOLE", None)


def data_ranges(
    content: Content, block_size: int, hole_size: int, leading_hole: bool
) -> BlockRanges | None:
    """The runs of blocks of ``content`` that hold data; None if all of them do.

    Sizes are in bytes; ``hole_size`` is rounded up to whole blocks, and 0 finds no holes. Raises
    :class:`SourceChangedError` if the content is not as long as it says, and what reading raises.
    """
    blocks = -(-content.size // block_size)
    first = 0 if leading_hole else 1
    least = -(-hole_size // block_size)
    if not hole_size or blocks - first < least:
        return None
    reader = content.open()
    try:
        if reader.fd is not None:
            holes = _sampled_holes(reader, content.size, block_size, first, least)
        else:
            holes = _sequential_holes(reader, content.size, block_size, first, least)
        reader.check_unchanged()
    finally:
        reader.close()
    if not holes:
        return None
    ranges = []
    position = 0
    for start, behind in holes:
        if start > position:
            ranges.append((position, start - position))
        position = behind
    if position < blocks:
        ranges.append((position, blocks - position))
    return ranges


def _sequential_holes(
    reader: Reader, size: int, block_size: int, first: int, least: int
) -> list[tuple[int, int]]:
    """Look at every block, in order."""
    holes: list[tuple[int, int]] = []
    start = -1
    zeros = bytes(block_size)
    buffer = bytearray(max(_CHUNK_BYTES, block_size))
    view = memoryview(buffer)
    offset = 0
    while offset < size:
        wanted = min(len(buffer), size - offset)
        _fill(reader, view[:wanted], offset, size)
        for at in range(0, wanted, block_size):
            block = (offset + at) // block_size
            length = min(block_size, wanted - at)
            if view[at : at + length] == zeros[:length] and block >= first:
                if start < 0:
                    start = block
            else:
                if 0 <= start <= block - least:
                    holes.append((start, block))
                start = -1
        offset += wanted
    blocks = -(-size // block_size)
    if 0 <= start <= blocks - least:
        holes.append((start, blocks))
    return holes


def _fill(reader: Reader, view: memoryview, offset: int, size: int) -> None:
    done = 0
    while done < len(view):
        count = reader.readinto(view[done:], offset + done)
        if not count:
            reader.check_unchanged()
            raise SourceChangedError(b"", f"ends at byte {offset + done}, not at {size}")
        done += count


def _sampled_holes(
    reader: Reader, size: int, block_size: int, first: int, least: int
) -> list[tuple[int, int]]:
    """Look at few bytes every ``least`` blocks: a run of that length covers one such place."""
    assert reader.fd is not None
    file = _SparseFile(reader, size)
    stride = least * block_size
    holes: list[tuple[int, int]] = []
    floor = first * block_size
    blocks = -(-size // block_size)
    position = -(-floor // stride) * stride
    while position < size:
        if not file.zero_at(position):
            position += stride
            continue
        low = max(floor, position - stride + block_size)
        start = -(-file.zeros_before(position, low) // block_size)
        end = file.zeros_behind(position)
        behind = blocks if end >= size else end // block_size
        if behind - start >= least:
            holes.append((start, behind))
        floor = max(floor, behind * block_size)
        position = (max(end, position) // stride + 1) * stride
    return holes


class _SparseFile:
    """Answers where zeros begin and end, and lets the host's own holes answer first."""

    def __init__(self, reader: Reader, size: int) -> None:
        assert reader.fd is not None
        self._reader = reader
        self._fd = reader.fd
        self._base = reader.fd_offset
        self._size = size
        self._data_start = 0
        self._data_end = 0 if _SEEK_DATA is not None and _SEEK_HOLE is not None else size

    def _locate(self, position: int) -> None:
        """Find the first stretch that the host stores, at or behind ``position``."""
        if self._data_start <= position < self._data_end or position < self._data_start:
            return
        assert _SEEK_DATA is not None and _SEEK_HOLE is not None
        try:
            start = os.lseek(self._fd, self._base + position, _SEEK_DATA)
            end = os.lseek(self._fd, start, _SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                self._data_start = self._data_end = self._size
            else:
                self._data_start, self._data_end = position, self._size
            return
        self._data_start, self._data_end = start - self._base, end - self._base

    def zero_at(self, position: int) -> bool:
        """Whether some bytes at ``position`` are zero."""
        self._locate(position)
        if position < self._data_start:
            return True
        sample = os.pread(
            self._fd, min(_SAMPLE_BYTES, self._size - position), self._base + position
        )
        return not any(sample)

    def zeros_before(self, position: int, low: int) -> int:
        """Where the zeros that end at ``position`` begin, not below ``low``."""
        while position > low:
            start = max(low, position - _CHUNK_BYTES)
            data = os.pread(self._fd, position - start, self._base + start).rstrip(b"\0")
            if data:
                return start + len(data)
            position = start
        return low

    def zeros_behind(self, position: int) -> int:
        """Where the zeros that begin at ``position`` end."""
        length = 16 * 1024
        while position < self._size:
            self._locate(position)
            if position < self._data_start:
                position = min(self._data_start, self._size)
                continue
            wanted = min(length, self._size - position, self._data_end - position)
            data = os.pread(self._fd, wanted, self._base + position)
            if len(data) < wanted:
                raise changed_size(b"", self._size, position + len(data))
            rest = data.lstrip(b"\0")
            position += len(data) - len(rest)
            if rest:
                return position
            length = _CHUNK_BYTES
        return self._size
