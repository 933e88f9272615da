"""Sparse images for Android's fastboot and simg2img.

Rules: platform/system/core/libsparse/sparse_format.h and output_file.cpp of Android.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct

from ..arithmetic import ceil_div
from ..spans import Span
from .blocked import BlockedSink, check_size

HEADER = Struct("<I4H4I")
CHUNK = Struct("<2H2I")
MAGIC = 0xED26FF3A
MAJOR_VERSION, MINOR_VERSION = 1, 0
RAW, FILL, DONT_CARE = 0xCAC1, 0xCAC2, 0xCAC3
DEFAULT_BLOCK_SIZE = 4096
MAX_BLOCKS = (1 << 32) - 1
MAX_CHUNK_BYTES = 64 << 20
"""Most bytes of data in one chunk, far below the limit of its 32-bit size."""


class SparseImageSink(BlockedSink):
    """Raw chunks, zero-fill chunks and don't-care chunks, in the order of the image."""

    def __init__(self, path: bytes, size: int, unused: Sequence[Span], *, sync: bool) -> None:
        """``unused``: the bytes whose content does not matter, ascending.

        Raises :class:`OutputError` for an image too large for the format.
        """
        block = DEFAULT_BLOCK_SIZE
        while size % block:
            block //= 2
        check_size(path, size, MAX_BLOCKS * block)
        super().__init__(path, size, block, sync=sync)
        # Only blocks that lie entirely in an unused span are left out.
        whole = ((ceil_div(low, block), high // block) for low, high in unused)
        self._unused = [(low, high) for low, high in whole if low < high]
        self._next_unused = 0
        self._position = 0
        """Number of blocks of the image covered by chunks so far."""
        self._chunks = 0
        self._end = HEADER.size

    def _put(self, number: int, view: memoryview) -> None:
        self._put_zeros(number)
        for at in range(0, len(view), MAX_CHUNK_BYTES):
            piece = view[at : at + MAX_CHUNK_BYTES]
            self._chunk(RAW, len(piece) // self._unit, piece)

    def _put_zeros(self, end: int) -> None:
        """Write chunks for the unwritten blocks before block ``end``."""
        for kind, count in self._gap(end):
            self._chunk(kind, count, memoryview(bytes(4) if kind == FILL else b""))

    def _gap(self, end: int) -> Iterator[tuple[int, int]]:
        """Yield the type and the number of blocks of each chunk from here to block ``end``."""
        position = self._position
        while position < end:
            while (
                self._next_unused < len(self._unused)
                and self._unused[self._next_unused][1] <= position
            ):
                self._next_unused += 1
            low, high = end, end
            if self._next_unused < len(self._unused):
                low, high = self._unused[self._next_unused]
            if position < low:
                count = min(low, end) - position
                yield FILL, count
            else:
                count = min(high, end) - position
                yield DONT_CARE, count
            position += count

    def _chunk(self, kind: int, blocks: int, data: memoryview) -> None:
        head = CHUNK.pack(kind, 0, blocks, CHUNK.size + len(data))
        self._write(self._end, head)
        if data:
            self._write(self._end + len(head), data)
        self._end += len(head) + len(data)
        self._position += blocks
        self._chunks += 1

    def _complete(self) -> None:
        blocks = self.size // self._unit
        self._put_zeros(blocks)
        header = HEADER.pack(
            MAGIC,
            MAJOR_VERSION,
            MINOR_VERSION,
            HEADER.size,
            CHUNK.size,
            self._unit,
            blocks,
            self._chunks,
            0,  # no checksum of the entire image
        )
        self._write(0, header)
