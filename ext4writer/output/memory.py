"""An image in a ``bytearray``."""

from __future__ import annotations

import contextlib

from ..errors import OutputError
from .device import too_small
from .sink import Buffer, Sink


class MemorySink(Sink):
    """A ``bytearray``: replaces all of it, or only ``size`` bytes starting at byte ``start``.

    Raises :class:`OutputError` if it is too small or memory is short.
    """

    def __init__(self, output: bytearray, size: int, *, start: int | None = None) -> None:
        super().__init__("(memory)", size)
        self._output = output
        self._start = start or 0
        self._end = 0 if start is None else len(output)
        self._finished = False
        end = self._start + size
        if self._start < self._end < end:
            raise too_small(self.name, self._end, self._start, size)
        try:
            if start is None:
                # One zero, repeated in place: the kernel provides new memory slowly, page by page.
                output[:] = b"\0"
                output *= size
            else:
                output.extend(bytes(max(0, self._start - self._end)))
                output[self._start : end] = bytes(size)
        except (MemoryError, BufferError, OverflowError) as error:
            raise OutputError(self.name, f"cannot hold {size} bytes: {error}") from error

    def write_at(self, offset: int, data: Buffer) -> None:
        end = offset + len(data)
        if end > self.size:
            raise ValueError(f"bytes {offset} to {end} are outside an image of {self.size}")
        # Assigning to a slice of the bytearray itself would copy the data once more.
        with memoryview(self._output) as view:
            view[self._start + offset : self._start + end] = data

    def finish(self) -> None:
        self._finished = True

    def abort(self) -> None:
        if self._finished:
            return
        self._finished = True
        with contextlib.suppress(BufferError):
            if self._start >= self._end:
                del self._output[self._end :]
            else:
                self._output[self._start : self._start + self.size] = bytes(self.size)
