"""Any byte of an image that was planned and not written."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from heapq import merge
from typing import TYPE_CHECKING, Any, TypeAlias

from ..arguments import bytes_in, number_of, writable_buffer_of
from ..arithmetic import round_down, round_up
from ..checked import checked_if_it_fails, taken_argument
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
"""What bytes are read into, such as a bytearray. Its name in typeshed is for type checkers only."""

PIECE_BYTES = 1 << 20


def _bytes_of(buffer: Buffer) -> memoryview:
    """The memory of a buffer as bytes; raises :class:`SpecError` if nothing can be read into it."""
    taken_argument("buffer", buffer, writable_buffer_of)
    return taken_argument("buffer", buffer, bytes_in)


class VirtualImage(io.RawIOBase):
    """The bytes that :func:`ext4writer.write_layout` would write, as a file that can be read.

    :meth:`pread` and :meth:`extents` may be called from many threads; the position that ``read``,
    ``readinto`` and ``seek`` share is one for all of them. Metadata is made when it is asked for
    and kept as far as the memory allows; content is read from its source. Reading costs time in
    proportion to what is read, and to the logarithm of the number of pieces.

    Reading raises :class:`~ext4writer.SourceChangedError` for a range with content whose source is
    not what was planned, :class:`~ext4writer.SourceError` if it cannot be read, and ``ValueError``
    once the image is closed. Other ranges can still be read.
    """

    def __init__(
        self,
        layout: ImagePlan,
        *,
        overrides: Sequence[Override] = (),
        memory: int = METADATA_MEMORY,
    ) -> None:
        """``memory`` is the number of bytes of metadata that are kept, 0 or more.

        Raises :class:`~ext4writer.SpecError` for less, and
        :class:`~ext4writer.OverrideError` for an override that has no target.
        """
        super().__init__()
        if memory < 0:
            raise SpecError("memory", f"{memory} bytes cannot be kept; 0 keeps none")
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
        """Bytes of a block."""
        return self._layout.block_size

    @checked_if_it_fails
    def pread(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from byte ``offset`` on; fewer only at the end of the image.

        Raises ``ValueError`` for negative numbers, and :class:`~ext4writer.SpecError` for none.
        """
        offset, end = self._range(offset, size)
        view = reading_buffer(end - offset)
        self._fill(view, offset)
        return bytes(view)

    def preadinto(self, offset: int, buffer: Buffer) -> int:
        """Fill ``buffer`` from byte ``offset`` on; return the count, short only at the end.

        Raises :class:`~ext4writer.SpecError` for a buffer that cannot be filled, and as
        :meth:`pread` does.
        """
        self._check_open()
        with _bytes_of(buffer) as whole:
            offset, end = self._range(offset, len(whole))
            with whole[: end - offset] as view:
                self._fill(view, offset)
        return end - offset

    @checked_if_it_fails
    def extents(self, offset: int = 0, size: int | None = None) -> Iterator[Extent]:
        """Yield what lies in a range of bytes, without gaps: metadata, zeros, content of files.

        No source is read for that. Zeros inside metadata and content are not looked for.
        Raises as :meth:`pread` does.
        """
        offset, end = self._range(offset, self.size if size is None else size)
        return gapless(self._found(offset, end), offset, end)

    @checked_if_it_fails
    def allocation(self, offset: int = 0, size: int | None = None) -> Iterator[Allocation]:
        """Yield what is zeros and what is data in a range of bytes, without gaps.

        This is :meth:`extents` in short, for those to whom all data is alike: a block is all zeros,
        or it is data. Raises as :meth:`pread` does.
        """
        offset, end = self._range(offset, self.size if size is None else size)
        block = self.block_size
        low, high = round_down(offset, block), round_up(end, block)
        data = merge(self._metadata.spans(low, high), self._contents.spans(low, high))
        return allocation(data, offset, end, block)

    def _found(self, offset: int, end: int) -> Iterator[Extent]:
        """Metadata and content in a range, ascending and cut at its ends."""
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
        """The bytes of the image among ``size`` bytes from ``offset`` on."""
        self._check_open()
        # This is done for each read of a block.
        if type(offset) is not int:
            offset = taken_argument("offset", offset, number_of)
        if type(size) is not int:
            size = taken_argument("size", size, number_of)
        if offset < 0:
            raise ValueError(f"{offset} is no offset; the first byte is at 0")
        if size < 0:
            raise ValueError(f"{size} is no size; it is 0 or more")
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
        """The position of the next read."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position, as files do; it may lie beyond the end."""
        self._check_open()
        offset = taken_argument("offset", offset, number_of)
        whence = taken_argument("whence", whence, number_of)
        with self._position_lock:
            base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}.get(whence)
            if base is None:
                raise ValueError(f"{whence} is no whence; there are 0, 1 and 2")
            if base + offset < 0:
                raise ValueError(f"byte {base + offset} lies before the image")
            self._position = base + offset
            return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes from the position on, or all of them for -1 and None; ``b""`` is
        the end.
        """
        size = -1 if size is None else taken_argument("size", size, number_of)
        if size < 0:
            return self.readall()
        with self._position_lock:
            data = self.pread(self._position, size)
            self._position += len(data)
        return data

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill ``buffer`` from the position on, and move it; 0 is the end."""
        with self._position_lock:
            count = self.preadinto(self._position, buffer)
            self._position += count
        return count

    def readall(self) -> bytes:
        """Everything from the position on."""
        with self._position_lock:
            data = self.pread(self._position, self.size)
            self._position += len(data)
        return data

    def write(self, data: Buffer, /) -> int:  # noqa: ARG002
        """Always refused, as files do that were opened for reading."""
        raise io.UnsupportedOperation("write")

    def close(self) -> None:
        """Close all sources."""
        if not self.closed:
            self._contents.close()
        super().close()
