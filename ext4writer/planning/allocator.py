"""Allocates the clusters between the fixed metadata, in ascending order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, MutableSequence

from ..spans import Run, Span


class OutOfBlocks(Exception):  # noqa: N818 (never leaves the planner)
    """The free ranges are used up."""


class Allocator:
    """Allocates clusters in ascending order from ascending free ranges.

    A piece that would straddle two ranges can go into the next one (:meth:`take_whole`). Smaller
    pieces that come later fill the gap first.
    """

    def __init__(self, free_runs: Iterable[Span], most_gap_clusters: int | None = None) -> None:
        """Leave at most ``most_gap_clusters`` clusters in gaps at any time; None means no limit."""
        self._most_gap_clusters = most_gap_clusters
        self._runs = iter(free_runs)
        self._position = 0
        self._limit = 0
        self._gaps: list[list[int]] = []
        self.used = 0
        self.high_water = 0
        """The cluster after the last one taken."""

    def _next_run(self) -> None:
        for first, end in self._runs:
            self._position, self._limit = first, end
            return
        raise OutOfBlocks

    def take(self, length: int) -> list[Run]:
        """Take ``length`` clusters; return their runs, more than one if something is in the way.

        Raises :class:`OutOfBlocks`.
        """
        pieces = []
        self.used += length
        while length:
            if self._position == self._limit:
                self._next_run()
            count = min(length, self._limit - self._position)
            pieces.append(Run(self._position, count))
            self._position += count
            length -= count
        if pieces:
            self.high_water = self._position
        return pieces

    def take_one(self) -> int:
        """Take one cluster and return its number."""
        return self.take_whole(1)

    def take_whole(self, length: int) -> int:
        """Take ``length`` clusters in one piece; return the first, or 0 if the next range is too
        small or the gaps would be too large.

        Looks only one range ahead, so that a large piece never skips many ranges.
        """
        for number, gap in enumerate(self._gaps):
            if gap[1] - gap[0] >= length:
                first = gap[0]
                gap[0] += length
                if gap[0] == gap[1]:
                    del self._gaps[number]
                self.used += length
                return first
        if self._limit - self._position < length:
            remainder = [self._position, self._limit]
            passed_over = self.gap_clusters + self._limit - self._position
            if self._most_gap_clusters is not None and passed_over > self._most_gap_clusters:
                return 0
            self._next_run()
            if remainder[0] < remainder[1]:
                self._gaps.append(remainder)
            if self._limit - self._position < length:
                return 0
        first = self._position
        self._position += length
        self.used += length
        self.high_water = self._position
        return first

    def take_each_whole(
        self, items: Iterable[tuple[int, int]], longest: int, starts: MutableSequence[int]
    ) -> Iterator[tuple[int, int]]:
        """Call :meth:`take_whole` for the length of each (index, length), in order.

        The first cluster goes into ``starts`` at the index. Items with a length above ``longest``,
        or for which :meth:`take_whole` returns 0, are yielded instead: the caller may take their
        clusters in another way before it continues. Items with a length of 0 are skipped.
        """
        position = self._position
        before, end, largest_gap = position, self._limit, self._largest_gap()
        for item in items:
            index, length = item
            # The usual case: no gap is large enough, but the current range is.
            if largest_gap < length <= longest and position + length <= end:
                starts[index] = position
                position += length
            elif length:
                self._advance(before, position)
                first = self.take_whole(length) if length <= longest else 0
                if first:
                    starts[index] = first
                else:
                    yield item
                position = before = self._position
                end, largest_gap = self._limit, self._largest_gap()
        self._advance(before, position)

    def _advance(self, before: int, position: int) -> None:
        if position > before:
            self._position = self.high_water = position
            self.used += position - before

    def _largest_gap(self) -> int:
        return max([end - first for first, end in self._gaps], default=0)

    def skip(self, length: int) -> None:
        """Leave up to ``length`` clusters of the current range free."""
        count = min(length, self._limit - self._position)
        if count:
            self._gaps.append([self._position, self._position + count])
            self._position += count

    @property
    def gap_clusters(self) -> int:
        """Clusters in gaps that are still free."""
        return sum(end - first for first, end in self._gaps)

    def free_ranges(self) -> list[Span]:
        """Return the remaining free ranges, ascending; do not use the allocator afterwards."""
        free = [Span(first, end) for first, end in self._gaps]
        if self._position < self._limit:
            free.append(Span(self._position, self._limit))
        free.extend(self._runs)
        free.sort()
        return free


class FreeSpace(Allocator):
    """Allocates clusters from the smallest free range that holds them in one piece.

    This is for an image in which almost everything has its place already: there are many ranges,
    and little is left to place.
    """

    def __init__(self, free_runs: Iterable[Span], used: int, high_water: int) -> None:
        """``used`` clusters are taken already, the last of them before ``high_water``."""
        super().__init__(())
        self._ranges = sorted((end - first, first) for first, end in free_runs)
        """(length, first cluster) of each range."""
        self.used = used
        self.high_water = high_water

    def take(self, length: int) -> list[Run]:
        pieces = []
        while length:
            if not self._ranges:
                raise OutOfBlocks
            count = min(length, self._ranges[-1][0])
            pieces.append(Run(self.take_whole(count), count))
            length -= count
        return pieces

    def take_one(self) -> int:
        first = self.take_whole(1)
        if not first:
            raise OutOfBlocks
        return first

    def take_whole(self, length: int) -> int:
        """Take ``length`` clusters in one piece; return the first, or 0 if no range holds them."""
        place = bisect_left(self._ranges, (length, 0))
        if place == len(self._ranges):
            return 0
        there, first = self._ranges.pop(place)
        if there > length:
            insort(self._ranges, (there - length, first + length))
        self.used += length
        self.high_water = max(self.high_water, first + length)
        return first

    def take_each_whole(
        self, items: Iterable[tuple[int, int]], longest: int, starts: MutableSequence[int]
    ) -> Iterator[tuple[int, int]]:
        for item in items:
            index, length = item
            first = self.take_whole(length) if 0 < length <= longest else 0
            if first:
                starts[index] = first
            elif length:
                yield item

    def give_back(self, cluster: int) -> None:
        """Free a single cluster again."""
        insort(self._ranges, (1, cluster))
        self.used -= 1

    @property
    def gap_clusters(self) -> int:
        """0: space that is free between other things was free before, and stays free."""
        return 0

    def free_ranges(self) -> list[Span]:
        free: list[Span] = []
        for first, length in sorted((first, length) for length, first in self._ranges):
            if free and free[-1][1] == first:
                free[-1] = Span(free[-1][0], first + length)
            else:
                free.append(Span(first, first + length))
        return free
