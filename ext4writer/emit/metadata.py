"""All metadata of an image, as (offset in bytes, data) in ascending order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..output.sink import Piece
from ..planning.layout import ImagePlan
from .units import PlannedUnits
from .workspace import PIECE_BYTES

LARGE_PIECE_BYTES = PIECE_BYTES // 4
"""Pieces of this many bytes or more are written directly: a copy costs more than a write."""


def metadata_pieces(layout: ImagePlan) -> Iterator[Piece]:
    """Yield all metadata of ``layout`` by ascending offset, built on demand.

    Each piece is valid only until the next one: they share memory.
    """
    for run in PlannedUnits(layout).written():
        assert run.make is not None
        yield run.offset, run.make()


def coalesced(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Join small adjacent pieces up to 1 MiB, because a write costs more than a copy.

    Each piece, read or yielded, is valid only until the next one.
    """
    buffer = memoryview(bytearray())
    start = held = 0
    for offset, data in pieces:
        size = len(data)
        is_large = size >= LARGE_PIECE_BYTES
        if held and (is_large or offset != start + held or held + size > PIECE_BYTES):
            yield start, buffer[:held]
            held = 0
        if is_large:
            yield offset, data
            continue
        if not held:
            start = offset
        if held + size > len(buffer):
            larger = memoryview(bytearray(min(max(held + size, 2 * len(buffer)), PIECE_BYTES)))
            larger[:held] = buffer[:held]
            buffer = larger
        buffer[held : held + size] = data
        held += size
    if held:
        yield start, buffer[:held]
