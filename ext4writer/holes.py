"""Finds the runs of zeros in a file that become holes. Holes depend on content alone.

The rule: every maximal run of zero blocks with at least ``hole_size`` bytes is a hole; the last
block counts as if padded with zeros. In files of at least ``hole_size`` and at most
``FINE_FILE_BYTES``, which are cheap to read completely, every zero block is a hole. The first block
of a file is never in a hole unless ``leading_hole`` allows it, because some boot loaders cannot
read a file that begins with a hole.

Any run of n blocks contains a block whose number is divisible by n, so a larger seekable file is
sampled at those blocks only. Holes that the host reports save reading and do not change the result.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import repeat
from operator import indexOf

from .content import MARGIN, Content, Reader
from .errors import SourceChangedError, SourceError
from .spans import Run, Span

BlockRuns = list[Run]
"""Logical blocks of data, ascending."""

FINE_FILE_BYTES = 512 * 1024
"""The largest file, in bytes, that is read completely to find holes: that costs about as much as
opening it and sampling a few blocks."""

SAMPLE_BYTES = 16
ZERO_SAMPLE = bytes(SAMPLE_BYTES)
CHUNK_BYTES = 256 * 1024
FIRST_CHUNK_BYTES = 16 * 1024
ZEROS = bytes(CHUNK_BYTES)


def data_ranges(
    content: Content, block_size: int, hole_size: int, leading_hole: bool = False
) -> BlockRuns | None:
    """The result of :meth:`HoleFinder.data_ranges` for one content."""
    return HoleFinder(block_size, hole_size, leading_hole).data_ranges(content)


class HoleFinder:
    """Searches contents for holes, with one rule and one buffer for all of them.

    Sizes are in bytes; ``hole_size`` is rounded up to whole blocks, and 0 finds no holes.
    """

    def __init__(self, block_size: int, hole_size: int, leading_hole: bool = False) -> None:
        self._block_size = block_size
        self._first = 0 if leading_hole else 1
        self._least = -(-hole_size // block_size)
        self._zero_block = bytes(block_size)
        self._buffer = bytearray()
        self._view = memoryview(self._buffer)
        self._capacity = 0

    def data_ranges(self, content: Content) -> BlockRuns | None:
        """The runs of blocks of ``content`` that hold data; None if all blocks do.

        Raises :class:`SourceChangedError` if the content does not have its stated size, and
        :class:`SourceError` if it cannot be read.
        """
        size, least = content.size, self._least
        blocks = -(-size // self._block_size)
        if not least or blocks - self._first < least or content.stored_zeros:
            return None
        if size <= FINE_FILE_BYTES:
            return self._fine_ranges(content, size, blocks)
        reader = content.open()
        try:
            zeros = _Zeros(reader, content, self._block_size)
            if content.random_access and least > 1:
                reader.check_unchanged()
                runs = _sampled_runs(zeros, blocks, self._first, least)
            else:
                runs = _sequential_runs(zeros, blocks, self._first)
            holes = [Span(start, end) for start, end in runs if end - start >= least]
            reader.check_unchanged()
        finally:
            reader.close()
        return _between(holes, blocks) if holes else None

    def _fine_ranges(self, content: Content, size: int, blocks: int) -> BlockRuns | None:
        """The data of a small content, which is read completely; each zero block is a hole."""
        block_size = self._block_size
        if blocks > self._capacity:
            # Double the buffer, since allocating memory costs more than reading into it.
            self._capacity = 2 * blocks
            self._buffer = bytearray(MARGIN + self._capacity * block_size)
            self._view = memoryview(self._buffer)
        buffer, end = self._buffer, MARGIN + size
        content.read_whole(self._view[MARGIN:end])
        first_bytes = buffer[MARGIN:end:block_size]
        block = first_bytes.find(0, self._first)
        if block < 0:
            return None
        padding = blocks * block_size - size
        if padding:
            buffer[end : end + padding] = self._zero_block[:padding]
        zero_block = self._zero_block
        ranges: BlockRuns = []
        position = 0
        while block >= 0:
            stop = block
            while stop < blocks and buffer.startswith(zero_block, MARGIN + stop * block_size):
                stop += 1
            if stop > block:
                if block > position:
                    ranges.append(Run(position, block - position))
                position = stop
            block = first_bytes.find(0, stop + 1)
        if not position:
            return None
        if position < blocks:
            ranges.append(Run(position, blocks - position))
        return ranges


def _between(holes: list[Span], blocks: int) -> BlockRuns:
    """The runs of data between ``holes``, spans of blocks in a file of ``blocks`` blocks."""
    ranges = []
    position = 0
    for start, end in [*holes, (blocks, blocks)]:
        if start > position:
            ranges.append(Run(position, start - position))
        position = end
    return ranges


def _sequential_runs(zeros: _Zeros, blocks: int, first: int) -> Iterator[Span]:
    """Yield all runs of zero blocks: skip known holes, read the rest once, in order."""
    start = None
    chunk = end = 0
    while end < blocks:
        chunk = end
        end = min(zeros.end_of_known_hole(chunk), blocks)
        if end > chunk:
            if start is None and end > first:
                start = max(chunk, first)
            continue
        end = min(chunk + zeros.chunk_blocks, zeros.end_of_known_data(), blocks)
        zeros.load(chunk, end - chunk)
        if start is not None and zeros.all_zero():
            continue
        block = max(chunk, first)
        while block < end:
            if start is None:
                block = zeros.next_that_may_be_zero(block)
                if block < end and zeros.loaded_zero(block):
                    start = block
            elif not zeros.loaded_zero(block):
                yield Span(start, block)
                start = None
            block += 1
    if start is not None:
        yield Span(start, blocks)


def _sampled_runs(zeros: _Zeros, blocks: int, first: int, least: int) -> Iterator[Span]:
    """Yield maximal runs of zero blocks: all of ``least`` blocks or more, perhaps shorter ones."""
    floor = first
    block = zeros.next_sample(-(-first // least) * least, blocks, least)
    while block < blocks:
        end = zeros.end_of_run(block, blocks)
        if end > block:
            yield Span(zeros.start_of_run(block, floor), end)
            floor = end
            block = end // least * least
        block = zeros.next_sample(block + least, blocks, least)


class _Zeros:
    """Finds the zero blocks of a content."""

    def __init__(self, reader: Reader, content: Content, block_size: int) -> None:
        self.chunk_blocks = max(1, CHUNK_BYTES // block_size)
        self._reader = reader
        self._size = content.size
        self._block_size = block_size
        self._zeros = ZEROS
        self._zero_block = bytes(block_size)
        self._buffer = bytearray(MARGIN + min(content.size, CHUNK_BYTES))
        self._first_bytes: bytearray | None = None
        self._loaded_from = 0
        self._loaded_bytes = 0
        self._hole_start = self._data_start = self._data_end = 0
        self._segments = self._find_segments(content)
        self._sample_fd = reader.fd if hasattr(os, "pread") else None

    def load(self, block: int, count: int) -> None:
        """Read up to ``count`` blocks, starting at ``block``."""
        start = block * self._block_size
        length = min(count * self._block_size, self._size - start)
        with memoryview(self._buffer) as view:
            done = self._reader.readinto(view[MARGIN : MARGIN + length], start)
        if done != length:
            self._reader.check_unchanged()
            raise SourceChangedError(self._reader.path, f"ends at byte {start + done}")
        self._loaded_from, self._loaded_bytes = block, length
        self._first_bytes = None

    def all_zero(self) -> bool:
        """Whether all loaded bytes are zero."""
        return self._buffer.startswith(
            self._zeros
            if self._loaded_bytes == len(self._zeros)
            else self._zeros[: self._loaded_bytes],
            MARGIN,
        )

    def next_that_may_be_zero(self, block: int) -> int:
        """The first loaded block at or after ``block`` whose first byte is zero."""
        first = self._loaded_from
        first_bytes = self._first_bytes
        if first_bytes is None:
            first_bytes = self._buffer[MARGIN : MARGIN + self._loaded_bytes : self._block_size]
            self._first_bytes = first_bytes
        found = first_bytes.find(0, block - first)
        return first + (found if found >= 0 else len(first_bytes))

    def loaded_zero(self, block: int) -> bool:
        """Whether the loaded block ``block`` is zero."""
        at = (block - self._loaded_from) * self._block_size
        rest = self._loaded_bytes - at
        whole = rest >= self._block_size
        return self._buffer.startswith(
            self._zero_block if whole else self._zeros[:rest], MARGIN + at
        )

    def next_sample(self, block: int, blocks: int, step: int) -> int:
        """The first of ``block``, ``block + step`` and so on whose first bytes are zero.

        Returns ``blocks`` or more if there is none.
        """
        if self._sample_fd is None:
            return block
        block_size, base = self._block_size, self._reader.fd_offset
        stride = step * block_size
        while block < blocks:
            position = block * block_size
            if self._hole_at(position):
                return block
            data_end = self._size if self._segments is None else min(self._data_end, self._size)
            places = range(base + position, base + data_end, stride)
            samples = map(os.pread, repeat(self._sample_fd), repeat(SAMPLE_BYTES), places)
            try:
                # A read may return fewer bytes, so a sample may be short; the caller reads the
                # whole block.
                return block + step * indexOf(map(ZERO_SAMPLE.startswith, samples), True)
            except ValueError:
                block += step * len(places)
            except OSError as error:
                raise SourceError(self._reader.path, f"cannot be read: {error.strerror}") from error
            if self._size - (block - step) * block_size < SAMPLE_BYTES:
                return block - step
        return block

    def end_of_run(self, block: int, blocks: int) -> int:
        """The first nonzero block at or after ``block``; ``blocks`` if there is none."""
        count = max(1, FIRST_CHUNK_BYTES // self._block_size)
        while block < blocks:
            if self._hole_at(block * self._block_size):
                end = self._data_start // self._block_size
                if self._data_start >= self._size:
                    return blocks
                if end > block:
                    block = end
                    continue
            self.load(block, min(count, self.chunk_blocks, blocks - block))
            stop = block + -(-self._loaded_bytes // self._block_size)
            if not self.all_zero():
                return next(one for one in range(block, stop) if not self.loaded_zero(one))
            block = stop
            count *= 4
        return blocks

    def start_of_run(self, block: int, floor: int) -> int:
        """The lowest block, at least ``floor``, from which all blocks up to ``block`` are zero."""
        while block > floor:
            if self._hole_start <= block * self._block_size <= self._data_start:
                start = -(-self._hole_start // self._block_size)
                if start < block:
                    block = max(start, floor)
                    continue
            count = min(self.chunk_blocks, block - floor)
            self.load(block - count, count)
            if not self.all_zero():
                start = block - count
                return next(
                    one + 1 for one in range(block - 1, start - 1, -1) if not self.loaded_zero(one)
                )
            block -= count
        return block

    def end_of_known_hole(self, block: int) -> int:
        """The first block at or after ``block`` that is not in a known hole."""
        if not self._hole_at(block * self._block_size):
            return block
        if self._data_start >= self._size:
            return -(-self._size // self._block_size)
        return self._data_start // self._block_size

    def end_of_known_data(self) -> int:
        """The end, in blocks, of the data range that was found last."""
        end = self._size if self._segments is None else min(self._data_end, self._size)
        return -(-end // self._block_size)

    def _hole_at(self, position: int) -> bool:
        """Whether byte ``position`` is in a known hole, from ``_hole_start`` to ``_data_start``."""
        while self._segments is not None and position >= self._data_end:
            self._hole_start = self._data_end
            try:
                start, end = next(self._segments, (self._size, self._size))
            except OSError:
                self._segments = None  # read the file like any other
                self._data_start = self._hole_start
                return False
            self._data_start = min(start, self._size)
            self._data_end = min(end, self._size) if end < self._size else self._size + 1
        return self._hole_start <= position < self._data_start

    def _find_segments(self, content: Content) -> Iterator[Span] | None:
        """The data ranges that the content or the host reports; None if neither does."""
        known = content.data_segments()
        if known is not None:
            return iter(known)
        fd = self._reader.fd
        if fd is None or not hasattr(os, "SEEK_DATA"):
            return None
        return _host_segments(fd, self._reader.fd_offset, self._size)


def _host_segments(fd: int, base: int, size: int) -> Iterator[Span]:
    """Yield the host's data ranges in bytes relative to ``base``; raises ``OSError``."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, base + end, os.SEEK_DATA) - base
            end = os.lseek(fd, base + start, os.SEEK_HOLE) - base
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        yield Span(start, end)
