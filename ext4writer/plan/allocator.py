"""Hands out the clusters between the fixed metadata, from the front to the back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence

from .geometry import Span


class OutOfBlocks(Exception):  # noqa: N818 (never leaves the planner)
    """The free ranges are used up."""


class Allocator:
    """Takes clusters in ascending order out of ascending free ranges.

    A piece that would straddle two ranges can skip to the next one (:meth:`take_whole`); the gap
    it leaves stays free and is offered to later, smaller pieces first.
    """

    def __init__(self, free_runs: Iterable[Span], most_gap_clusters: int | None = None) -> None:
        """Pass over at most ``most_gap_clusters`` clusters at any time; None is any number."""
        self._most_gap_clusters = most_gap_clusters
        self._runs = iter(free_runs)
        self._position = 0
        self._limit = 0
        self._gaps: list[list[int]] = []
        self.used = 0
        self.high_water = 0
        """Cluster behind the last one that was taken."""

    def _next_run(self) -> None:
        for first, behind in self._runs:
            self._position, self._limit = first, behind
            return
        raise OutOfBlocks

    def take(self, length: int) -> list[tuple[int, int]]:
        """Take ``length`` clusters; return (first, length) pieces, more than one at obstacles."""
        pieces = []
        self.used += length
        while length:
            if self._position == self._limit:
                self._next_run()
            count = min(length, self._limit - self._position)
            pieces.append((self._position, count))
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
        small or too much would be passed over.

        Looks no further than one range ahead, so that a large piece never wastes many ranges.
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

        The first cluster is put into ``starts`` under the index. Nothing is taken for what is
        longer than ``longest`` or cannot be taken whole: that is yielded, and the caller may take
        it in another way before the next one is asked for. A length of 0 is passed over.
        """
        position = self._position
        before, end, largest_gap = position, self._limit, self._largest_gap()
        for item in items:
            index, length = item
            # Where no gap is large enough and the present range is: most files, most of the time.
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
        return max([behind - first for first, behind in self._gaps], default=0)

    def skip(self, length: int) -> None:
        """Leave up to ``length`` clusters of the present range free."""
        count = min(length, self._limit - self._position)
        if count:
            self._gaps.append([self._position, self._position + count])
            self._position += count

    @property
    def gap_clusters(self) -> int:
        """Clusters that were passed over and are still free."""
        return sum(behind - first for first, behind in self._gaps)

    def free_ranges(self) -> list[Span]:
        """What was not taken, ascending; ends the allocator."""
        free = [(first, behind) for first, behind in self._gaps]
        if self._position < self._limit:
            free.append((self._position, self._limit))
        free.extend(self._runs)
        free.sort()
        return free
