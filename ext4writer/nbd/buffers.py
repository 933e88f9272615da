"""The memory for replies: one limit for all clients, however much they request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..arithmetic import round_down
from ..content import reading_buffer
from ..errors import SpecError

PAGE = 4096
LARGEST_PIECE = 1 << 20
"""Most bytes of an image that are read and sent at a time."""


class Buffers:
    """A buffer for each client; the rest of the memory is for replies that need a larger buffer.

    Nothing ever waits for memory, because a slow client would then block the others.
    """

    def __init__(self, memory: int, most_clients: int) -> None:
        """``memory`` is the number of bytes for up to ``most_clients`` clients together.

        Raises :class:`SpecError` if that is less than two pages for each.
        """
        least = 2 * PAGE * most_clients
        if memory < least:
            raise SpecError("memory", f"{most_clients} clients need {least} bytes, not {memory}")
        self.piece_bytes = min(LARGEST_PIECE, round_down(memory // (2 * most_clients), PAGE))
        """Size of the buffer of each client in bytes."""
        self._left = memory - self.piece_bytes * most_clients
        self._lock = threading.Lock()

    def piece(self) -> memoryview:
        """The buffer for one client."""
        return reading_buffer(self.piece_bytes)

    @contextmanager
    def whole(self, size: int) -> Iterator[memoryview | None]:
        """A buffer of ``size`` bytes for one reply, or None if fewer are available."""
        with self._lock:
            is_granted = size <= self._left
            self._left -= size if is_granted else 0
        if not is_granted:
            yield None
            return
        try:
            with reading_buffer(size) as view:
                yield view
        finally:
            with self._lock:
                self._left += size
