"""The two ways to say which neighbours are meant: by their end, or by their number.

What is counted, such as bytes, blocks or clusters, is said where the values are. All functions that
hand such pairs to each other use these classes, so that none takes an end for a length.
"""

from __future__ import annotations

from collections.abc import Iterable

from .late_dataclasses import NamedTuple


class Span(NamedTuple):
    """All from ``start`` on that lies before ``end``."""

    start: int
    end: int


class Run(NamedTuple):
    """``length`` neighbours from ``start`` on."""

    start: int
    length: int


def joined(spans: Iterable[tuple[int, int]]) -> list[Span]:
    """Spans, which ascend, with one in the place of those that follow each other."""
    found: list[Span] = []
    for start, end in spans:
        if found and found[-1].end == start:
            found[-1] = Span(found[-1].start, end)
        else:
            found.append(Span(start, end))
    return found
