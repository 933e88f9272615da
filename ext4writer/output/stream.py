"""Outputs that cannot seek."""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Callable
from typing import Any

from .sink import ZEROS, Buffer, Sink

NON_RETAINING_FILES = (io.FileIO, io.BufferedWriter, io.BufferedRandom, io.BytesIO)
"""Files that keep no reference to a piece after ``write`` returns."""


class StreamSink(Sink):
    """An object with ``write`` that cannot seek; gaps are written as zeros.

    Each piece is a separate ``bytes`` that the object may keep. With ``borrow``, it is a view that
    is valid only until ``write`` returns.
    """

    ascending = True

    def __init__(
        self,
        file: Any,
        size: int,
        *,
        name: bytes | str,
        owned: bool = False,
        borrow: bool = False,
        flushed: Callable[[], object] | None = None,
    ) -> None:
        """``owned``: close the file when done. ``flushed`` is called to flush it to the disk."""
        super().__init__(name, size)
        self._file = file
        self._owned = owned
        self._borrows = borrow or type(file) in NON_RETAINING_FILES
        self._flushed = flushed
        self._finished = False
        self.position = 0

    def write_at(self, offset: int, data: Buffer) -> None:
        if offset < self.position:
            raise ValueError(f"offset {offset} is before the position {self.position} of a stream")
        try:
            self._fill_to(offset)
            write_all(self._file, data if self._borrows else bytes(data))
        except (OSError, ValueError) as error:
            raise self.failure(error) from error
        self.position += len(data)

    def _fill_to(self, offset: int) -> None:
        while self.position < offset:
            piece: Buffer = ZEROS
            if offset - self.position < len(ZEROS):
                piece = ZEROS[: offset - self.position]
            write_all(self._file, piece)
            self.position += len(piece)

    def finish(self) -> None:
        try:
            self._fill_to(self.size)
            if hasattr(self._file, "flush"):
                self._file.flush()
            if self._flushed is not None:
                self._flushed()
            self._finished = True
            if self._owned:
                self._file.close()
        except (OSError, ValueError) as error:
            raise self.failure(error) from error

    def abort(self) -> None:
        if self._owned and not self._finished:
            self._finished = True
            with contextlib.suppress(OSError):
                self._file.close()


def write_all(file: Any, data: Buffer) -> None:
    """Write all of ``data``, even if the file takes only part of it at a time."""
    done = _count(file.write(data), len(data))
    if done == len(data):
        return
    view = memoryview(data)
    keeps = type(data) is bytes
    while view:
        if done is None:
            if isinstance(file, io.RawIOBase):
                raise BlockingIOError(errno.EAGAIN, "it is in non-blocking mode")
            return  # an object that returns no count has written everything
        view = view[done:]
        if view:
            done = _count(file.write(bytes(view) if keeps else view), len(view))


def _count(done: object, size: int) -> int | None:
    """Check what ``write`` returned for ``size`` bytes: a count of at least 1, or None.

    Any other value would lose bytes or loop forever; it raises ``OSError``.
    """
    if done is None:
        return None
    if type(done) is int and min(size, 1) <= done <= size:
        return done
    raise OSError(
        errno.EIO,
        f"its write() returned {done!r:.40} for {size} bytes; it must return how many it wrote, "
        "or None for all",
    )
