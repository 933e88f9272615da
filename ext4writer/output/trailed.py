"""An output that has something after the image, which follows from all of its bytes."""

from __future__ import annotations

from typing import Protocol

from .sink import Buffer, Sink
from .watched import WatchedSink


class Trailer(Protocol):
    """What comes after an image."""

    @property
    def area_size(self) -> int:
        """Its size in bytes."""
        ...

    def update(self, data: Buffer) -> None:
        """Take the next bytes of the image."""
        ...

    def finish(self) -> bytes:
        """Its bytes, once the whole image has passed."""
        ...


class TrailedSink(WatchedSink):
    """Writes an image to ``inner``, which is larger by the trailer, and the trailer after it."""

    def __init__(self, inner: Sink, size: int, trailer: Trailer) -> None:
        """``size`` is that of the image alone, in bytes."""
        super().__init__(inner, trailer.update)
        self.size = size
        self._trailer = trailer

    def finish(self) -> None:
        self.see_the_rest()
        self.inner.write_at(self.size, self._trailer.finish())
        self.inner.finish()
