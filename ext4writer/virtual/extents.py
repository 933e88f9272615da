"""Extents of an image: metadata, content and zeros."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from ..late_dataclasses import NamedTuple
from ..spans import Span

ExtentKind = Literal["data", "zero", "content"]
"""Metadata, zeros, or bytes of a file."""


class Extent(NamedTuple):
    """A range of an image of one kind; offsets and lengths are in bytes."""

    offset: int
    length: int
    kind: ExtentKind
    path: bytes | None = None
    """The first path of the file in the tree; None unless ``kind`` is content."""
    start: int = 0
    """The byte of the file at which the range begins."""

    @property
    def end(self) -> int:
        """The byte after the last."""
        return self.offset + self.length

    def cut(self, low: int, high: int) -> Extent:
        """The part between two bytes of the image; it must not be empty."""
        skipped = max(0, low - self.offset)
        start = self.start + skipped if self.kind == "content" else 0
        length = min(self.end, high) - self.offset - skipped
        return Extent(self.offset + skipped, length, self.kind, self.path, start)


class Allocation(NamedTuple):
    """The bytes from ``start`` to ``end - 1``: either zeros or data."""

    start: int
    end: int
    is_zero: bool


def allocation(
    found: Iterable[Span], offset: int, end: int, block_size: int
) -> Iterator[Allocation]:
    """Yield the blocks with the ascending spans of data ``found``, and the zeros between them."""
    first = position = offset
    for low, high in found:
        low, high = low - low % block_size, high + -high % block_size  # rounded without calls
        low, high = max(low, position), min(high, end)
        if low > position:
            if position > first:
                yield Allocation(first, position, False)
            yield Allocation(position, low, True)
            first = low
        position = max(position, high)
    if position > first:
        yield Allocation(first, position, False)
    if position < end:
        yield Allocation(position, end, True)


def gapless(found: Iterable[Extent], offset: int, end: int) -> Iterator[Extent]:
    """Yield the ascending extents ``found``, adjacent metadata joined, with zeros in the gaps."""
    last: Extent | None = None
    for extent in found:
        position = offset if last is None else last.end
        if extent.offset > position:
            if last is not None:
                yield last
            last = Extent(position, extent.offset - position, "zero")
        if last is not None and last.kind == extent.kind == "data":
            last = last._replace(length=last.length + extent.length)
            continue
        if last is not None:
            yield last
        last = extent
    position = offset if last is None else last.end
    if last is not None:
        yield last
    if position < end:
        yield Extent(position, end - position, "zero")
