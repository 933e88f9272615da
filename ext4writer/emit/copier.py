"""Copies file content into the image: small files in batches, large ones inside the kernel.

Small files that are adjacent in the image are read into one buffer and written together: three
system calls for each file and one for the batch. The kernel shares or copies as much of a large
file as it can; the rest goes through the buffer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from struct import pack
from typing import Protocol

from ..arithmetic import round_up
from ..content import Content, KeepingOpen, Reader, reading_buffer
from ..errors import SourceChangedError
from ..output.sink import NO_ROOM, Sink
from ..progress import Cancel, check_cancelled
from .batches import BATCH_BYTES, PACKED_UNIT, PADDED_MOST, Batch, Neighbours, Part

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Count(Protocol):
    """Receives counts: files begun, bytes of content, and how many of these were shared."""

    def __call__(self, files: int, count: int, unmoved: int = 0, /) -> None: ...


KERNEL_COPY_BYTES = 16 << 20
"""The most bytes that one system call copies, so that cancelling takes effect soon."""
PART_BYTES = 512 << 10
"""Bytes of a long part read at a time: few enough to be still cached when they are written."""

FICLONERANGE = 0x4020940D
"""linux/fs.h: the ioctl number on most architectures; the others reject it."""
CLONE_UNIT = 4096
"""The fewest bytes that a file system can share."""


_kept: list[memoryview] = []
"""The buffer of a closed copier, for the next copier."""


class Copier:
    """Copies batches through its own buffer, and keeps the last large content open.

    ``count`` is called with files begun and bytes copied. With ``others``, other processes write to
    the image, too. The kernel lets only one of them write at a time (``i_rwsem``). So each copies
    through its buffer: a copy inside the kernel would hold the lock while it reads.
    """

    def __init__(
        self,
        sink: Sink,
        cluster_size: int,
        count: Count,
        cancel: Cancel | None,
        *,
        others: bool = False,
    ) -> None:
        self._keeping = KeepingOpen()
        self._sink = sink
        self._others = others
        self._cluster_size = cluster_size
        self._count = count
        self._cancel = cancel
        self._content: Content | None = None
        self._reader: Reader | None = None
        self._position = 0

    @cached_property
    def _buffer(self) -> memoryview:
        """Allocated on first use; no batch is larger than the image."""
        size = min(BATCH_BYTES, self._sink.size)
        try:
            kept = _kept.pop()
        except IndexError:
            return reading_buffer(size)
        return kept if len(kept) >= size else reading_buffer(size)

    def copy(self, batch: Batch) -> None:
        """Copy all of ``batch`` and count it.

        Raises the errors of reading, :class:`SourceChangedError`, :class:`OutputError` and
        :class:`CancelledError`.
        """
        if isinstance(batch, Neighbours):
            self._copy_neighbours(batch)
        else:
            for _ in self._copy_part(batch):
                pass

    def steps(self, batch: Batch) -> Iterator[None]:
        """Like :meth:`copy`, but yields after each write."""
        if isinstance(batch, Neighbours):
            self._copy_neighbours(batch)
            yield
        else:
            yield from self._copy_part(batch)

    def finish(self) -> None:
        """Check that the open content has not changed, and close it."""
        reader, self._reader, self._content = self._reader, None, None
        if reader is not None:
            try:
                reader.check_unchanged()
            finally:
                reader.close()

    def close(self) -> None:
        """Close all contents, and leave the buffer to the next copier."""
        buffer = self.__dict__.pop("_buffer", None)
        if buffer is not None and not _kept:
            _kept.append(buffer)
        self._keeping.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _copy_neighbours(self, batch: Neighbours) -> None:
        if self._cluster_size > PADDED_MOST:
            self._copy_separately(batch)
        else:
            end = batch.parcel.read_side_by_side(self._buffer, self._cluster_size)
            # The bytes from ``end`` to the next cluster are zeros already.
            self._sink.write_at(batch.offset, self._buffer[:end])
        self._count(batch.files, batch.size)

    def _copy_separately(self, batch: Neighbours) -> None:
        """Write each file separately, without the padding up to the next cluster."""
        batch.parcel.read_side_by_side(self._buffer, PACKED_UNIT)
        start, offset = 0, batch.offset
        for content in batch.parcel.contents:
            size = content.size
            self._sink.write_at(offset, self._buffer[start : start + size])
            start += round_up(size, PACKED_UNIT)
            offset += round_up(size, self._cluster_size)

    def _copy_part(self, batch: Part) -> Iterator[None]:
        offset, start, length = batch.offset, batch.start, batch.length
        [content] = batch.parcel.contents
        reader = self._open(content, start)
        self._count(int(batch.begins), 0)
        done = 0
        if reader.fd is not None and self._sink.fd is not None:
            done = self._copy_in_kernel(reader, offset, start, length)
        while done < length:
            check_cancelled(self._cancel)
            view = self._buffer[: min(PART_BYTES, length - done)]
            count = reader.readinto(view, start + done)
            if count < len(view):
                reader.check_unchanged()
                raise SourceChangedError(reader.path, f"ends at byte {start + done + count}")
            self._sink.write_at(offset + done, view)
            done += count
            self._count(0, count)
            yield
        self._position = start + length
        if self._position == content.size:
            self.finish()

    def _open(self, content: Content, start: int) -> Reader:
        """Return the open reader if it can continue at ``start``, otherwise a new one."""
        if self._reader is not None:
            if content is self._content and (content.random_access or start >= self._position):
                return self._reader
            self.finish()
        reader = self._reader = content.open()
        self._content = content
        self._position = 0
        return reader

    def _copy_in_kernel(self, reader: Reader, offset: int, start: int, length: int) -> int:
        """Copy as many bytes as the kernel can, and return their number."""
        assert reader.fd is not None and self._sink.fd is not None
        place = self._sink.start + offset
        done = _clone(reader.fd, self._sink.fd, reader.fd_offset + start, place, length)
        self._count(0, done, done)
        if done == length:
            return done
        self._sink.preallocate(offset + done, length - done)
        if self._others or not hasattr(os, "copy_file_range"):
            return done
        while done < length:
            check_cancelled(self._cancel)
            try:
                count = os.copy_file_range(
                    reader.fd,
                    self._sink.fd,
                    min(KERNEL_COPY_BYTES, length - done),
                    reader.fd_offset + start + done,
                    place + done,
                )
            except OSError as error:
                if error.errno in NO_ROOM:
                    raise self._sink.failure(error) from error
                # Different file systems, an old kernel, or a pseudo file.
                break
            if not count:
                break
            done += count
            self._count(0, count)
        return done


def _clone(source_fd: int, target_fd: int, source: int, target: int, length: int) -> int:
    """Share blocks between a file and the image, and return how many leading bytes are shared.

    ``copy_file_range`` also shares, but not into preallocated blocks.
    """
    length -= length % CLONE_UNIT
    if fcntl is None or not length:
        return 0
    try:
        fcntl.ioctl(target_fd, FICLONERANGE, pack("qQQQ", source_fd, source, length, target))
    except OSError:
        return 0
    return length
