"""Seekable file objects that are not files of the host."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import BinaryIO

from .region import HEAD_BYTES
from .sink import ZEROS, Buffer, Sink
from .stream import write_all


class FileSink(Sink):
    """``size`` bytes of a binary file, starting at byte ``start``; the bytes around them are kept.

    The superblock is written last, as in a :class:`~.region.RegionSink`.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        *,
        name: bytes | str,
        start: int,
        end: int,
        owned: bool = False,
    ) -> None:
        """The file ends at byte ``end``. ``owned``: close it when done."""
        super().__init__(name, size)
        self._file = file
        self._start = start
        self._end = end
        self._owned = owned
        self._lock = threading.Lock()
        self._head = bytearray(min(HEAD_BYTES, size))
        self._finished = False
        try:
            # Extend the file first: not every object can be written past its end.
            file.seek(min(start, end))
            for done in range(min(start, end), start + size, len(ZEROS)):
                write_all(file, ZEROS[: start + size - done])
            if hasattr(file, "flush"):
                file.flush()
        except (OSError, ValueError, MemoryError) as error:
            self.abort()
            raise self.failure(error) from error

    def write_at(self, offset: int, data: Buffer) -> None:
        if offset < HEAD_BYTES:
            view = memoryview(data)
            kept = view[: HEAD_BYTES - offset]
            self._head[offset : offset + len(kept)] = kept
            data, offset = view[len(kept) :], HEAD_BYTES
            if not data:
                return
        try:
            self._write(offset, data)
        except (OSError, ValueError) as error:
            raise self.failure(error) from error

    def _write(self, offset: int, data: Buffer) -> None:
        with self._lock:
            self._file.seek(self._start + offset)
            write_all(self._file, data)

    def finish(self) -> None:
        try:
            if hasattr(self._file, "flush"):
                self._file.flush()
            self._write(0, self._head)
            self._file.seek(self._start + self.size)
            if hasattr(self._file, "flush"):
                self._file.flush()
            if self._owned:
                self._owned = False
                self._file.close()
            self._finished = True
        except (OSError, ValueError) as error:
            self.abort()
            raise self.failure(error) from error

    def abort(self) -> None:
        if self._finished:
            return
        self._finished = True
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if self._start >= self._end:
                self._file.truncate(self._end)
                self._file.seek(0, os.SEEK_END)
            else:
                self._write(0, bytes(len(self._head)))
        if self._owned:
            with contextlib.suppress(OSError):
                self._file.close()
