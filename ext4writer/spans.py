"""The two ways to state a range: by its end, or by its length.

The code that uses a range states the unit: bytes, blocks or clusters. All functions exchange ranges
as these classes, so that an end is never mistaken for a length.
"""

from __future__ import annotations

from collections.abc import Iterable

from .late_dataclasses import NamedTuple


class Span(NamedTuple):
    """The range from ``start`` up to, but not including, ``end``."""

    start: int
    end: int


class Run(NamedTuple):
    """The range of ``length`` units that begins at ``start``."""

    start: int
    length: int


def joined(spans: Iterable[tuple[int, int]]) -> list[Span]:
    """``spans``, which must ascend, with adjacent ones merged."""
    found: list[Span] = []
    for start, end in spans:
        if found and found[-1].end == start:
            found[-1] = Span(found[-1].start, end)
        else:
            found.append(Span(start, end))
    return found
