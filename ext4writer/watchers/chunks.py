"""Digests of fixed-size chunks of an image."""

from __future__ import annotations

import hashlib

from ..arguments import bytes_in
from ..checked import checked, converted_argument
from ..errors import SpecError
from ..late_dataclasses import NamedTuple
from ..output.sink import Buffer


class Chunk(NamedTuple):
    """One chunk: offset and size in bytes, and the SHA-256 in hexadecimal."""

    offset: int
    size: int
    sha256: str


class Chunks:
    """SHA-256 of each ``chunk_size`` bytes of an image, and of the entire image."""

    @checked()
    def __init__(self, chunk_size: int) -> None:
        """``chunk_size`` is in bytes. Raises :class:`SpecError` unless it is positive."""
        if chunk_size <= 0:
            raise SpecError("chunk_size", f"{chunk_size} is not positive")
        self._chunk_size = chunk_size
        self._found: list[Chunk] = []
        self._whole = hashlib.sha256()
        self._current = hashlib.sha256()
        self._buffered = 0
        self._position = 0

    @checked()
    def update(self, data: Buffer) -> None:
        """Process the next bytes of the image."""
        with converted_argument("data", data, bytes_in) as view:
            self._whole.update(view)
            done = 0
            while done < len(view):
                piece = view[done : done + self._chunk_size - self._buffered]
                self._current.update(piece)
                self._buffered += len(piece)
                done += len(piece)
                if self._buffered == self._chunk_size:
                    self._close()

    def _close(self) -> None:
        self._found.append(Chunk(self._position, self._buffered, self._current.hexdigest()))
        self._position += self._buffered
        self._buffered = 0
        self._current = hashlib.sha256()

    def finish(self) -> tuple[list[Chunk], str]:
        """The chunks in ascending order, and the digest of the entire image in hexadecimal."""
        if self._buffered:
            self._close()
        return self._found, self._whole.hexdigest()
