"""The two ways to say which neighbours are meant: by their end, or by their number.

What is counted, such as bytes, blocks or clusters, is said where the values are. All functions that
hand such pairs to each other use these classes, so that none takes an end for a length.
"""

from __future__ import annotations

from .late_dataclasses import NamedTuple


class Span(NamedTuple):
    """All from ``start`` on that lies before ``end``."""

    start: int
    end: int


class Run(NamedTuple):
    """``length`` neighbours from ``start`` on."""

    start: int
    length: int
