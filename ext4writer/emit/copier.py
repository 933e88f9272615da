"""Moves file content into the image: small files in batches, large ones inside the kernel.

Small files that are adjacent in the image are read one after the other into a buffer and written
at once: three system calls for each file and one for the batch. Of a large file, the kernel shares
or copies all it can, and the rest goes through a buffer.
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
    """Takes counts of files begun, bytes of content, and bytes that were shared and not moved."""

    def __call__(self, files: int, count: int, unmoved: int = 0, /) -> None: ...


KERNEL_COPY_BYTES = 16 << 20
"""Bytes that one call to the kernel may copy, so that cancelling does not wait long."""
PART_BYTES = 512 << 10
"""Bytes of a long part that are read at a time, so that they are still cached when written."""

FICLONERANGE = 0x4020940D
"""linux/fs.h: the number on most architectures; the others refuse it."""
CLONE_UNIT = 4096
"""Least bytes that a file system can share."""


_kept: list[memoryview] = []
"""The buffer of a copier that is closed, for the next one."""


class Copier:
    """Copies batches, with a buffer of its own. Keeps the last large content open.

    ``count`` gets files begun and bytes copied. If ``others`` write to the same image, one process
    can read while another one writes: writes to a file take turns in the kernel (``i_rwsem``), and
    a copy inside the kernel would hold that lock for reading, too.
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
        """Made when it is needed. No batch is larger than the image."""
        size = min(BATCH_BYTES, self._sink.size)
        try:
            kept = _kept.pop()
        except IndexError:
            return reading_buffer(size)
        return kept if len(kept) >= size else reading_buffer(size)

    def copy(self, batch: Batch) -> None:
        """Copy all of ``batch`` and count it."""
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
        """Close everything that an error left open or contents kept open."""
        buffer = self.__dict__.pop("_buffer", None)
        if buffer is not None and not _kept:
            _kept.append(buffer)
        self._keeping.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _copy_neighbours(self, batch: Neighbours) -> None:
        if self._cluster_size > PADDED_MOST:
            self._copy_apart(batch)
        else:
            end = batch.parcel.read_side_by_side(self._buffer, self._cluster_size)
            # The bytes from here to the next cluster are zeros already.
            self._sink.write_at(batch.offset, self._buffer[:end])
        self._count(batch.files, batch.size)

    def _copy_apart(self, batch: Neighbours) -> None:
        """Write each file by itself, without the zeros up to the next cluster."""
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
        """The open reader if it is suitable, or else a new one."""
        if self._reader is not None:
            if content is self._content and (content.random_access or start >= self._position):
                return self._reader
            self.finish()
        reader = self._reader = content.open()
        self._content = content
        self._position = 0
        return reader

    def _copy_in_kernel(self, reader: Reader, offset: int, start: int, length: int) -> int:
        """Copy as many bytes as the kernel does and return their count."""
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
    """Share blocks between a file and the image; return how many leading bytes are shared.

    ``copy_file_range`` would also share them, but not into preallocated blocks.
    """
    length -= length % CLONE_UNIT
    if fcntl is None or not length:
        return 0
    try:
        fcntl.ioctl(target_fd, FICLONERANGE, pack("qQQQ", source_fd, source, length, target))
    except OSError:
        return 0
    return length
