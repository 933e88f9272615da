"""Compares the content of two files: bytes that differ, and zeros that only one has as a hole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ...errors import display_path
from ...progress import Cancel, check_cancelled
from ...read import FileReader, Image
from ...spans import Span

PIECE = 1 << 20
RANGES_KEPT = 16
SHOWN = 16
_NEAR = re.compile(rb"[^\0](?:\0{0,7}[^\0])*")
"""Bytes that differ, with up to 7 equal bytes between them."""

Ranges = list[Span]


class Budget:
    """The number of bytes that may still be compared; damage can map blocks again and again."""

    def __init__(self, count: int) -> None:
        self.left = count

    @classmethod
    def of(cls, a: Image, b: Image) -> Budget:
        """Return a budget of 20 times the size of the larger image plus 1 GiB."""
        size = max(image.blocks_count * image.block_size for image in (a, b))
        return cls(20 * size + (1 << 30))

    def spend(self, count: int) -> bool:
        """Use ``count`` bytes; return whether they may be compared."""
        self.left -= count
        return self.left >= 0


def either(a: Ranges, b: Ranges) -> Iterator[tuple[int, int, bool, bool]]:
    """Yield (start, end, in ``a``, in ``b``) for every range in one or both, ascending."""
    marks = sorted({mark for ranges in (a, b) for pair in ranges for mark in pair})
    i = j = 0
    for start, end in pairwise(marks):
        while i < len(a) and a[i][1] <= start:
            i += 1
        while j < len(b) and b[j][1] <= start:
            j += 1
        in_a, in_b = i < len(a) and a[i][0] <= start, j < len(b) and b[j][0] <= start
        if in_a or in_b:
            yield start, end, in_a, in_b


def differing(a: bytes, b: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, number of bytes that differ) for each place where two pieces differ.

    The pieces have the same length.
    """
    if a == b:
        return
    size = len(a)
    mask = int.from_bytes(a, "little") ^ int.from_bytes(b, "little")
    changed = mask.to_bytes(size, "little")
    for match in _NEAR.finditer(changed):
        start, end = match.span()
        yield start, end, end - start - changed.count(0, start, end)


class Content:
    """The differences between the content of two files, which are compared at construction."""

    def __init__(self, a: FileReader, b: FileReader, cancel: Cancel | None = None) -> None:
        self.bytes_changed = 0
        self.ranges: Ranges = []
        """The first ranges that differ, in bytes."""
        self.ranges_count = 0
        self.samples: tuple[bytes, bytes] | None = None
        """The first bytes of the first range, in either file."""
        self.holes: tuple[int, int] = 0, 0
        """Bytes of zeros that are a hole only in ``a``, and only in ``b``."""
        self.a, self.b = a, b
        size = min(a.size, b.size)
        for start, end, in_a, in_b in either(a.data, b.data):
            if start >= size:
                break
            self._compare(start, min(end, size), in_a, in_b, cancel)

    def _compare(self, start: int, end: int, in_a: bool, in_b: bool, cancel: Cancel | None) -> None:
        before = self.bytes_changed
        for at in range(start, end, PIECE):
            check_cancelled(cancel)
            count = min(PIECE, end - at)
            piece_a = self.a.read_at(at, count) if in_a else bytes(count)
            piece_b = self.b.read_at(at, count) if in_b else bytes(count)
            for first, last, changed in differing(piece_a, piece_b):
                self._note(at + first, at + last, changed)
                if self.samples is None:
                    here = slice(first, min(last, first + SHOWN))
                    self.samples = piece_a[here], piece_b[here]
        if in_a != in_b and before == self.bytes_changed:
            only_a, only_b = self.holes
            length = end - start
            self.holes = (only_a + length, only_b) if in_b else (only_a, only_b + length)

    def _note(self, start: int, end: int, changed: int) -> None:
        self.bytes_changed += changed
        if self.ranges and self.ranges[-1][1] == start:
            self.ranges[-1] = Span(self.ranges[-1][0], end)
            return
        self.ranges_count += 1
        if len(self.ranges) < RANGES_KEPT:
            self.ranges.append(Span(start, end))

    def as_json(self, side: int) -> dict[str, Any]:
        """Return the difference as JSON values, as seen in ``a`` (side 0) or ``b`` (side 1)."""
        assert self.samples is not None
        sample = self.samples[side]
        return {
            "bytes_changed": self.bytes_changed,
            "places": self.ranges_count,
            "ranges": [list(pair) for pair in self.ranges],
            "first": sample.hex(),
            "first_as_text": display_path(sample),
        }
