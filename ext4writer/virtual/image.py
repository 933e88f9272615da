"""Reads any bytes of a planned image without writing it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from heapq import merge
from typing import TYPE_CHECKING, Any, TypeAlias

from ..arguments import bytes_in, number_of, writable_buffer_of
from ..arithmetic import round_down, round_up
from ..checked import checked_if_it_fails, converted_argument
from ..content import reading_buffer
from ..errors import SpecError
from ..planning.layout import METADATA_MEMORY, ImagePlan
from ..spans import Span
from .contents import Contents
from .extents import Allocation, Extent, allocation, gapless
from .metadata import Metadata

if TYPE_CHECKING:
    from ..damage.override import Override

Buffer: TypeAlias = Any
"""A writable buffer, such as a bytearray. The type in typeshed is for type checkers only."""

PIECE_BYTES = 1 << 20


def _bytes_of(buffer: Buffer) -> memoryview:
    """The memory of a buffer as bytes; raises :class:`SpecError` if it is not writable."""
    converted_argument("buffer", buffer, writable_buffer_of)
    return converted_argument("buffer", buffer, bytes_in)


class VirtualImage(io.RawIOBase):
    """The bytes that :func:`ext4writer.write_layout` would write, as a readable file.

    :meth:`pread` and :meth:`extents` may be called from many threads. All threads share the
    position of ``read``, ``readinto`` and ``seek``. Metadata is created on first use and cached up
    to a limit; content is read from its source. The time for a read is proportional to its size,
    plus the logarithm of the number of pieces.

    Reading raises :class:`~ext4writer.SourceChangedError` for a range with content whose source has
    changed since planning, :class:`~ext4writer.SourceError` if the source cannot be read, and
    ``ValueError`` after the image is closed. Other ranges can still be read after an error.
    """

    def __init__(
        self,
        layout: ImagePlan,
        *,
        overrides: Sequence[Override] = (),
        memory: int = METADATA_MEMORY,
    ) -> None:
        """``memory`` is the number of bytes of metadata to cache, 0 or more.

        Raises :class:`~ext4writer.SpecError` for less, and
        :class:`~ext4writer.OverrideError` for an override without a target.
        """
        super().__init__()
        if memory < 0:
            raise SpecError("memory", f"{memory} is negative; 0 keeps nothing in memory")
        self._layout = layout
        self._metadata = Metadata(layout, overrides, memory)
        self._contents = Contents(layout)
        self._position = 0
        self._position_lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<VirtualImage {self._layout.uuid} of {self.size} bytes>"

    @property
    def size(self) -> int:
        """The size of the image in bytes."""
        return self._layout.size_bytes

    @property
    def block_size(self) -> int:
        """The size of a block in bytes."""
        return self._layout.block_size

    @checked_if_it_fails
    def pread(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes starting at byte ``offset``; fewer only at the end of the image.

        Raises ``ValueError`` for negative numbers, and :class:`~ext4writer.SpecError` for values
        that are not integers.
        """
        offset, end = self._range(offset, size)
        view = reading_buffer(end - offset)
        self._fill(view, offset)
        return bytes(view)

    def preadinto(self, offset: int, buffer: Buffer) -> int:
        """Fill ``buffer`` starting at byte ``offset`` of the image; return the number of bytes.

        It is less than the size of the buffer only at the end of the image. Raises
        :class:`~ext4writer.SpecError` for a buffer that is not writable, and the errors of
        :meth:`pread`.
        """
        self._check_open()
        with _bytes_of(buffer) as whole:
            offset, end = self._range(offset, len(whole))
            with whole[: end - offset] as view:
                self._fill(view, offset)
        return end - offset

    @checked_if_it_fails
    def extents(self, offset: int = 0, size: int | None = None) -> Iterator[Extent]:
        """Yield the extents in a range of bytes, without gaps: metadata, zeros, content of files.

        This reads no sources, so zeros inside metadata and content are not found. Raises the errors
        of :meth:`pread`.
        """
        offset, end = self._range(offset, self.size if size is None else size)
        return gapless(self._found(offset, end), offset, end)

    @checked_if_it_fails
    def allocation(self, offset: int = 0, size: int | None = None) -> Iterator[Allocation]:
        """Yield the runs of blocks with data and of zero blocks in a range of bytes, without gaps.

        This is a short form of :meth:`extents`, without the difference between metadata and
        content. Raises the errors of :meth:`pread`.
        """
        offset, end = self._range(offset, self.size if size is None else size)
        block = self.block_size
        low, high = round_down(offset, block), round_up(end, block)
        data = merge(self._metadata.spans(low, high), self._contents.spans(low, high))
        return allocation(data, offset, end, block)

    def _found(self, offset: int, end: int) -> Iterator[Extent]:
        """Yield metadata and content in a range, ascending and cut at its ends."""
        metadata = (
            Extent(low, high - low, "data").cut(offset, end)
            for low, high in self._metadata.spans(offset, end)
        )
        return merge(metadata, self._contents.extents(offset, end))

    def _fill(self, view: memoryview, offset: int) -> None:
        end = offset + len(view)
        filled = self._contents.read(view, offset)
        for start, piece in self._metadata.within(offset, end):
            low, high = max(start, offset), min(start + len(piece), end)
            view[low - offset : high - offset] = memoryview(piece)[low - start : high - start]
            filled.append(Span(low - offset, high - offset))
        filled.sort()
        position = 0
        for low, high in (*filled, Span(len(view), len(view))):
            for start in range(position, low, PIECE_BYTES):
                until = min(low, start + PIECE_BYTES)
                view[start:until] = bytes(until - start)
            position = high

    def _range(self, offset: int, size: int) -> Span:
        """The part of ``size`` bytes at ``offset`` that is inside the image."""
        self._check_open()
        # Checking types first is faster, and this is called for each read of a block.
        if type(offset) is not int:
            offset = converted_argument("offset", offset, number_of)
        if type(size) is not int:
            size = converted_argument("size", size, number_of)
        if offset < 0:
            raise ValueError(f"the offset {offset} is negative")
        if size < 0:
            raise ValueError(f"the size {size} is negative")
        offset = min(offset, self.size)
        return Span(offset, min(self.size, offset + size))

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the image is closed")

    def readable(self) -> bool:
        """Always true."""
        self._check_open()
        return True

    def seekable(self) -> bool:
        """Always true."""
        self._check_open()
        return True

    def tell(self) -> int:
        """The position of the next read in bytes."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position, as in other files; it may be past the end."""
        self._check_open()
        offset = converted_argument("offset", offset, number_of)
        whence = converted_argument("whence", whence, number_of)
        with self._position_lock:
            base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}.get(whence)
            if base is None:
                raise ValueError(f"whence is {whence}; it must be 0, 1 or 2")
            if base + offset < 0:
                raise ValueError(f"the position {base + offset} is negative")
            self._position = base + offset
            return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes at the position, or everything for -1 and None.

        Returns ``b""`` at the end.
        """
        size = -1 if size is None else converted_argument("size", size, number_of)
        if size < 0:
            return self.readall()
        with self._position_lock:
            data = self.pread(self._position, size)
            self._position += len(data)
        return data

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill ``buffer`` at the position, advance it, and return the bytes read; 0 at the end."""
        with self._position_lock:
            count = self.preadinto(self._position, buffer)
            self._position += count
        return count

    def readall(self) -> bytes:
        """Read everything after the position."""
        with self._position_lock:
            data = self.pread(self._position, self.size)
            self._position += len(data)
        return data

    def write(self, data: Buffer, /) -> int:  # noqa: ARG002
        """Raise ``io.UnsupportedOperation``, like any file opened for reading."""
        raise io.UnsupportedOperation("write")

    def close(self) -> None:
        """Close all sources."""
        if not self.closed:
            self._contents.close()
        super().close()
