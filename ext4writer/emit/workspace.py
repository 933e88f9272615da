"""A buffer that is reused for all pieces of metadata."""

from __future__ import annotations

from ..output.sink import ZEROS

ALL_ZEROS = memoryview(ZEROS)
PIECE_BYTES = len(ZEROS)
"""The most bytes built at a time: enough to be worth a write, few enough for the cache."""


class Workspace:
    """Reuses memory, because new memory costs more than filling it."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray())

    def zeroed(self, size: int) -> memoryview:
        """Return ``size`` zero bytes, at most :data:`PIECE_BYTES`. Overwrites the last result."""
        if size > len(self._buffer):
            # A new buffer, as views of the old one may still exist.
            self._buffer = memoryview(bytearray(min(max(size, 2 * len(self._buffer)), PIECE_BYTES)))
            return self._buffer[:size]
        view = self._buffer[:size]
        view[:] = ALL_ZEROS[:size]
        return view
