"""The memory in which answers are made: one bound for all clients, however much they ask for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..arithmetic import round_down
from ..content import reading_buffer
from ..errors import SpecError

PAGE = 4096
LARGEST_PIECE = 1 << 20
"""Bytes that are read and sent in one go, at most."""


class Buffers:
    """A piece for each client, and the rest for answers that are better made as a whole.

    No one ever waits for memory: a client that takes its answer slowly would make the others wait.
    """

    def __init__(self, memory: int, most_clients: int) -> None:
        """``memory`` is the number of bytes for all of ``most_clients``.

        Raises :class:`SpecError` if that is less than two pages for each.
        """
        least = 2 * PAGE * most_clients
        if memory < least:
            raise SpecError("memory", f"{most_clients} clients need {least} bytes, not {memory}")
        self.piece_bytes = min(LARGEST_PIECE, round_down(memory // (2 * most_clients), PAGE))
        """Bytes that every client has for itself."""
        self._left = memory - self.piece_bytes * most_clients
        self._lock = threading.Lock()

    def piece(self) -> memoryview:
        """The bytes of one client."""
        return reading_buffer(self.piece_bytes)

    @contextmanager
    def whole(self, size: int) -> Iterator[memoryview | None]:
        """``size`` bytes for one answer, or None if fewer are left now."""
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
