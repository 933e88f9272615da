"""Applies overrides to the stream of metadata just before it is written."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence

from ..emit.data import copy_jobs
from ..errors import OverrideError
from ..output.sink import Piece
from ..planning.layout import ImagePlan
from ..spans import Span
from .override import RAW, Override
from .patching import patch_into, private_memory


def overridden(
    pieces: Iterable[Piece], layout: ImagePlan, overrides: Sequence[Override]
) -> Iterator[Piece]:
    """Return ``pieces``, in ascending order, with the overrides applied.

    All metadata is kept in memory. Raises :class:`OverrideError`, before any piece is returned, for
    an override whose target is not in this layout.
    """
    size = layout.size_bytes
    memory = private_memory(-1, size)
    written: list[Span] = []
    for offset, data in pieces:
        memory[offset : offset + len(data)] = bytes(data)
        written.append(Span(offset, offset + len(data)))
    with memoryview(memory) as view:
        changed = patch_into(view, overrides)
    _refuse_content(layout, overrides, changed)
    return _pieces(memory, _joined(written, changed, layout.block_size, size))


def _refuse_content(
    layout: ImagePlan, overrides: Sequence[Override], stretches: Sequence[Span]
) -> None:
    """Raise if raw bytes are in the content of a file, which is copied but never in memory."""
    for override, (start, end) in zip(overrides, stretches, strict=True):
        if override.record == RAW:
            for offset, _, _, length in copy_jobs(layout):
                if offset < end and start < offset + length:
                    raise OverrideError(
                        f"override {override}: it changes the content of a file; write the image, "
                        "then patch it"
                    )


def _joined(
    written: Sequence[Span], changed: Sequence[Span], block_size: int, size: int
) -> Sequence[Span]:
    """Return the spans written, and the changed blocks outside of them, in ascending order."""
    found = sorted({start // block_size for start, end in changed if start < end})
    result: list[Span] = []
    last = 0
    blanks = iter(found)
    blank = next(blanks, None)
    for start, end in [*written, (size, size)]:
        while blank is not None and blank * block_size < start:
            first = max(blank * block_size, last)
            until = min((blank + 1) * block_size, start)
            if first < until:
                result.append(Span(first, until))
            if (blank + 1) * block_size > start:
                break  # the rest of the block follows what is written there
            blank = next(blanks, None)
        if start < end:
            result.append(Span(start, end))
            last = max(last, end)
        while blank is not None and (blank + 1) * block_size <= last:
            blank = next(blanks, None)
    return result


def _pieces(memory: mmap.mmap, stretches: Sequence[Span]) -> Iterator[Piece]:
    for start, end in stretches:
        yield start, memory[start:end]
