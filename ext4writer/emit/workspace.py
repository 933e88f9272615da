"""One buffer for one piece of metadata after the other."""

from __future__ import annotations

from ..output.sink import ZEROS

ALL_ZEROS = memoryview(ZEROS)
PIECE_BYTES = len(ZEROS)
"""The most that is made at once: enough for a write to pay, and it stays in the cache."""


class Workspace:
    """Lends the same memory again and again, because fresh memory costs more than to fill it."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray())

    def zeroed(self, size: int) -> memoryview:
        """``size`` zeros, at most :data:`PIECE_BYTES`; what was lent before is lost."""
        if size > len(self._buffer):
            # Another buffer, as somebody may still look at the old one.
            self._buffer = memoryview(bytearray(min(max(size, 2 * len(self._buffer)), PIECE_BYTES)))
            return self._buffer[:size]
        view = self._buffer[:size]
        view[:] = ALL_ZEROS[:size]
        return view
