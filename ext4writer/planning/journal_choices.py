"""Random pieces of a journal, for policies."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .random_policy import SeededPolicy


def journal_pieces(
    numbers: SeededPolicy, clusters: int, most: int, count: int
) -> list[tuple[int, int]]:
    """Return (first, length) of up to ``count`` pieces of a journal, in clusters and random order.

    The pieces end at ``most`` or before.
    """
    cuts = {numbers.below(clusters) for _ in range(count - 1)} | {0, clusters}
    ends = sorted(cuts)
    lengths = [end - start for start, end in pairwise(ends)]
    # Free clusters before each piece, counted from the beginning.
    free = sorted(numbers.below(most - clusters + 1) for _ in lengths)
    pieces = []
    for before, start, length in zip(free, ends, lengths, strict=False):
        pieces.append((start + before, length))
    numbers.mix(pieces)
    return pieces
