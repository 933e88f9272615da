"""An output with a trailer after the image, computed from all bytes of the image."""

from __future__ import annotations

from typing import Protocol

from .sink import Buffer, Sink
from .watched import WatchedSink


class Trailer(Protocol):
    """Data written after an image."""

    @property
    def area_size(self) -> int:
        """Size of the trailer in bytes."""
        ...

    def update(self, data: Buffer) -> None:
        """Process the next bytes of the image."""
        ...

    def finish(self) -> bytes:
        """The bytes of the trailer, after all bytes of the image."""
        ...


class TrailedSink(WatchedSink):
    """Writes an image and its trailer to ``inner``, a sink for both."""

    def __init__(self, inner: Sink, size: int, trailer: Trailer) -> None:
        """``size`` is the size of the image alone, in bytes."""
        super().__init__(inner, trailer.update)
        self.size = size
        self._trailer = trailer

    def finish(self) -> None:
        self.finish_watching()
        self.inner.write_at(self.size, self._trailer.finish())
        self.inner.finish()
