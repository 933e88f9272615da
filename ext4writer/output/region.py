"""An image inside a larger file, or on a device."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from ..forked import next_generation
from ..spans import Span
from .descriptor import DescriptorSink, SharedImage
from .disk_facts import OldBytes
from .sink import Buffer
from .zeros import discard, punch, write_zeros, zero_device

HEAD_BYTES = 2048
"""Bytes up to the end of the primary superblock, without which the rest is not a file system."""
WIPED_BYTES = 1 << 20
"""Bytes that may hold signatures of other file systems, volume managers and partition tables."""
SIGNED_HEAD_BYTES = 8 << 20
SIGNED_TAIL_BYTES = 2 << 20
"""Bytes at both ends of a device that are zeroed even if other old bytes are kept. libblkid of
util-linux finds the second LUKS2 header up to 4 MiB from the start (superblocks/luks.c), Promise
RAID 3,087 sectors before the end (promise_raid.c), and GPT, ZFS and Linux RAID closer to the end.
mke2fs zeroes the first 4 KiB and the last 64 to 128 KiB (misc/mke2fs.c:main)."""


class RegionSink(DescriptorSink):
    """``size`` bytes of an open file, starting at byte ``start``; the bytes around them are kept.

    Old signatures are wiped first and the new superblock is written last, with a flush after each.
    So after a failure, neither the old file system nor part of the new one can be mounted.
    """

    def __init__(
        self,
        name: bytes | str,
        fd: int,
        size: int,
        *,
        start: int,
        end: int,
        sector_size: int = 0,
        file: BinaryIO | None = None,
        path: bytes | None = None,
        close: Callable[[], object] | None = None,
        replaces: bool = False,
        sync: bool = False,
    ) -> None:
        """The file ends at byte ``end``.

        ``sector_size`` is in bytes, and 0 for a regular file. ``file`` is the file object of the
        descriptor, ``path`` a path with which other processes can open it. ``close`` is called when
        done. ``replaces`` drops the file's old content. Raises :class:`OutputError`.
        """
        super().__init__(name, size)
        self.start = start
        self._fd = fd
        self._end = 0 if replaces else end
        self._sector_size = sector_size
        self._file = file
        self._path = path
        self._close = close
        self._is_new = start >= self._end and not sector_size
        self._flushes = sync or not self._is_new
        self._head = bytearray(min(HEAD_BYTES, size))
        self._written: list[Span] | None = None
        """The written ranges; None if the rest already reads as zeros."""
        self._kept: Sequence[Span] = ()
        """The ranges that are not zeroed where nothing is written, ascending."""
        self._finished = False
        self._first_generation = next_generation()
        try:
            if self._is_new:
                if replaces:
                    os.ftruncate(fd, 0)
                os.ftruncate(fd, start + size)
            else:
                write_zeros(fd, start, min(size, WIPED_BYTES))
                os.fsync(fd)
                if sector_size or not punch(fd, start, size):
                    self._written = []
        except (OSError, OverflowError) as error:
            self.abort()
            raise self.failure(error) from error
        if self._written is None:
            self.fd = fd
        else:
            self._preallocates = False

    def keep(self, old: OldBytes) -> None:
        """Keep or discard the old bytes of a device; called before anything is written."""
        head, tail = SIGNED_HEAD_BYTES, self.size - SIGNED_TAIL_BYTES
        kept = (Span(max(first, head), min(end, tail)) for first, end in old.unread)
        self._kept = [span for span in kept if span.start < span.end]
        if old.discards:
            # Not the wiped bytes: a discarded range may read as it did before.
            first, end = self.start + WIPED_BYTES, self.start + self.size
            discard(self._fd, first, end, self._sector_size)

    def shared(self) -> SharedImage | None:
        if self.fd is None:
            return None
        return SharedImage(self, self.fd, path=self._path, first_generation=self._first_generation)

    def write_at(self, offset: int, data: Buffer) -> None:
        if offset < HEAD_BYTES:
            view = memoryview(data)
            kept = view[: HEAD_BYTES - offset]
            self._head[offset : offset + len(kept)] = kept
            data, offset = view[len(kept) :], HEAD_BYTES
            if not data:
                return
        if self._written is not None:
            self._written.append(Span(offset, offset + len(data)))
        super().write_at(offset, data)

    def finish(self) -> None:
        try:
            for start, end in without(self._gaps(), self._kept):
                self._zero(self.start + start, end - start)
            if self._flushes:
                os.fsync(self._fd)
            self._write_head(self._head)
            if self._file is not None:
                self._move_to_end(self._file)
            close, self._close = self._close, None
            if close is not None:
                close()
            self._finished = True
        except (OSError, ValueError) as error:
            self.abort()
            raise self.failure(error) from error

    def _gaps(self) -> Iterator[Span]:
        """Yield the unwritten ranges after the head, which may hold old bytes."""
        if self._written is None:
            return
        self._written.sort()
        reached = len(self._head)
        for start, end in self._written:
            if start > reached:
                yield Span(reached, start)
            reached = max(reached, end)
        if reached < self.size:
            yield Span(reached, self.size)

    def _zero(self, start: int, length: int) -> None:
        if self._sector_size:
            zero_device(self._fd, start, length, self._sector_size)
        else:
            write_zeros(self._fd, start, length)

    def _write_head(self, head: Buffer) -> None:
        view, offset = memoryview(head), self.start
        while view:
            done = os.pwrite(self._fd, view, offset)
            view, offset = view[done:], offset + done
        if self._flushes:
            os.fsync(self._fd)

    def _move_to_end(self, file: BinaryIO) -> None:
        """Set the position as if the image had been written with ``write``."""
        file.seek(0, os.SEEK_END)  # drops the read-ahead buffer
        file.seek(self.start + self.size)

    def abort(self) -> None:
        if self._finished:
            return
        self._finished = True
        with contextlib.suppress(OSError):
            if self._is_new:
                os.ftruncate(self._fd, self._end)
            else:
                self._write_head(bytes(len(self._head)))
        if self._close is not None:
            with contextlib.suppress(OSError):
                self._close()


def without(spans: Iterable[Span], others: Sequence[Span]) -> Iterator[Span]:
    """Yield ``spans`` minus ``others``; each of the two is ascending and disjoint."""
    at = 0
    for start, end in spans:
        while at < len(others) and others[at].end <= start:
            at += 1
        index = at
        while index < len(others) and others[index].start < end:
            if others[index].start > start:
                yield Span(start, others[index].start)
            start = max(start, others[index].end)
            index += 1
        if start < end:
            yield Span(start, end)
