"""Digests of the pieces of an image."""

from __future__ import annotations

import hashlib

from ..arguments import bytes_in
from ..checked import checked, taken_argument
from ..errors import SpecError
from ..late_dataclasses import NamedTuple
from ..output.sink import Buffer


class Chunk(NamedTuple):
    """One piece; offset and size in bytes."""

    offset: int
    size: int
    sha256: str


class Chunks:
    """SHA-256 of each ``chunk_size`` bytes of an image, and of all of it."""

    @checked()
    def __init__(self, chunk_size: int) -> None:
        """Raises :class:`SpecError` for a size that is not positive."""
        if chunk_size <= 0:
            raise SpecError("chunk_size", f"{chunk_size} bytes are no chunk")
        self._chunk_size = chunk_size
        self._found: list[Chunk] = []
        self._whole = hashlib.sha256()
        self._current = hashlib.sha256()
        self._held = 0
        self._position = 0

    @checked()
    def update(self, data: Buffer) -> None:
        """Take the next bytes of the image."""
        with taken_argument("data", data, bytes_in) as view:
            self._whole.update(view)
            done = 0
            while done < len(view):
                piece = view[done : done + self._chunk_size - self._held]
                self._current.update(piece)
                self._held += len(piece)
                done += len(piece)
                if self._held == self._chunk_size:
                    self._close()

    def _close(self) -> None:
        self._found.append(Chunk(self._position, self._held, self._current.hexdigest()))
        self._position += self._held
        self._held = 0
        self._current = hashlib.sha256()

    def finish(self) -> tuple[list[Chunk], str]:
        """The chunks, and the digest of the whole image."""
        if self._held:
            self._close()
        return self._found, self._whole.hexdigest()
