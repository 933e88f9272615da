"""The metadata of an image, created on demand."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..emit.units import PlannedUnits
from ..planning.layout import ImagePlan
from ..spans import Span

if TYPE_CHECKING:
    from ..damage.override import Override

Made = tuple[int, bytes]
"""Byte offset in the image, and the bytes."""


class Metadata:
    """All pieces of metadata by offset. A piece is created as a whole, and cached.

    ``memory`` is the size of the cache in bytes; the least recently used pieces are dropped.
    """

    def __init__(self, layout: ImagePlan, overrides: Sequence[Override], memory: int) -> None:
        runs = [*PlannedUnits(layout).written()]
        self._starts = array("Q", [run.offset for run in runs])
        self._ends = array("Q", [run.offset + run.count * run.size for run in runs])
        self._makers = [run.make for run in runs]
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._free_memory = memory
        self._overridden: dict[int, bytes] = {}
        """Index of a piece -> its bytes, for pieces changed by overrides."""
        if overrides:
            self._override(layout, overrides)

    def _override(self, layout: ImagePlan, overrides: Sequence[Override]) -> None:
        """Apply the overrides once, and keep the pieces that they change."""
        from ..damage.overridden import overridden  # late: most images have none

        plain = [(start, self._make(position)) for position, start in enumerate(self._starts)]
        before = dict(plain)
        changed = {
            offset: bytes(data)
            for offset, data in overridden(plain, layout, overrides)
            if before.get(offset) != data
        }
        makers = dict(zip(self._starts, self._makers, strict=True))
        ends = dict(zip(self._starts, self._ends, strict=True))
        # Some pieces exist only because of an override; without it they are zeros.
        ends.update((offset, offset + len(data)) for offset, data in changed.items())
        self._starts = array("Q", sorted(ends))
        self._ends = array("Q", [ends[start] for start in self._starts])
        self._makers = [makers.get(start) for start in self._starts]
        self._overridden = {
            position: changed[start]
            for position, start in enumerate(self._starts)
            if start in changed
        }

    def within(self, offset: int, end: int) -> Iterator[Made]:
        """Yield the pieces with bytes between ``offset`` and ``end``, ascending."""
        for position in self._positions(offset, end):
            yield self._starts[position], self._piece(position)

    def spans(self, offset: int, end: int) -> Iterator[Span]:
        """Yield the span of each piece of :meth:`within`, without creating the pieces."""
        for position in self._positions(offset, end):
            yield Span(self._starts[position], self._ends[position])

    def _positions(self, offset: int, end: int) -> range:
        first = max(0, bisect_right(self._starts, offset) - 1)
        if first < len(self._ends) and self._ends[first] <= offset:
            first += 1
        return range(first, bisect_left(self._starts, end))

    def _piece(self, position: int) -> bytes:
        found = self._overridden.get(position)
        if found is not None:
            return found
        with self._lock:
            found = self._kept.get(position)
            if found is not None:
                self._kept.move_to_end(position)
                return found
            found = self._make(position)
            self._free_memory -= len(found)
            self._kept[position] = found
            while self._free_memory < 0 and self._kept:
                _, dropped = self._kept.popitem(last=False)
                self._free_memory += len(dropped)
        return found

    def _make(self, position: int) -> bytes:
        make = self._makers[position]
        assert make is not None
        # The next piece will be created in the same memory, so copy this one.
        return bytes(memoryview(make())[: self._ends[position] - self._starts[position]])
