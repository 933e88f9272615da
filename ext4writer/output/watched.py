"""An output whose bytes are also passed to a watcher, such as a digest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from .sink import ZEROS, Buffer, Sink

LEAST_BYTES_TO_SHARE = 64 << 10
"""Hashing fewer bytes is faster than waking another thread."""


class WatchedSink(Sink):
    """Writes to ``inner`` in ascending order, and calls ``watch`` with all bytes of the image.

    Bytes that are never written remain a hole if the output supports holes, and the watcher gets
    zeros for them. Another thread calls the watcher with large pieces while they are written.
    """

    ascending = True

    def __init__(self, inner: Sink, watch: Callable[[Buffer], object]) -> None:
        super().__init__(inner.name, inner.size)
        self.inner = inner
        self._watch = watch
        self._position = 0
        self._watching: ThreadPoolExecutor | None = ThreadPoolExecutor(1)

    def write_at(self, offset: int, data: Buffer) -> None:
        self._watch_zeros(offset)
        seen = self._start_watching(data) if len(data) >= LEAST_BYTES_TO_SHARE else None
        if seen is None:
            self._watch(data)
        try:
            self.inner.write_at(offset, data)
        finally:
            if seen is not None:
                seen.result()  # the piece is valid until this returns
        self._position += len(data)

    def _start_watching(self, data: Buffer) -> Future[object] | None:
        """Pass ``data`` to the other thread; None if the system cannot start one."""
        if self._watching is not None:
            try:
                return self._watching.submit(self._watch, data)
            except RuntimeError:
                self._watching = None
        return None

    def preallocate(self, offset: int, length: int) -> None:
        self.inner.preallocate(offset, length)

    def _watch_zeros(self, end: int) -> None:
        while self._position < end:
            piece = memoryview(ZEROS)[: end - self._position]
            self._watch(piece)
            self._position += len(piece)

    def finish_watching(self) -> None:
        """Pass the zeros at the end of the image to the watcher, and stop its thread."""
        self._watch_zeros(self.size)
        self._stop_thread()

    def finish(self) -> None:
        self.finish_watching()
        self.inner.finish()

    def abort(self) -> None:
        self._stop_thread()
        self.inner.abort()

    def _stop_thread(self) -> None:
        if self._watching is not None:
            self._watching.shutdown()
