"""Places bitmaps and inode tables where mke2fs does.

Rules: e2fsprogs 1.47, lib/ext2fs/alloc_tables.c: ext2fs_allocate_group_table and flexbg_offset.
Each group in turn gets a block bitmap, an inode bitmap and an inode table, each in the first free
blocks after a goal. In a flex group, the goal is the end of the previous item of the same kind.
The first of a kind goes where all of that kind fit.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from ..bits import low_32
from ..late_dataclasses import NamedTuple
from ..ondisk.format import Format
from ..spans import Span, joined


class Tables(NamedTuple):
    """The first blocks of bitmaps and tables by group, and all taken blocks of these groups."""

    block_bitmaps: array[int]
    inode_bitmaps: array[int]
    inode_tables: array[int]
    taken: list[Span]
    """Merged and ascending, including obstacles."""


class _NoRoomError(Exception):
    """mke2fs would place something before these groups, or would not find space."""


def place_in_flex_group(
    fmt: Format, span: Span, count: int, *, is_last: bool, table_blocks: int, obstacles: list[Span]
) -> Tables | None:
    """Place the tables of the ``count`` groups of a flex group, whose blocks are ``span``.

    ``is_last`` marks the last flex group. ``obstacles`` are taken blocks, ascending. Returns None
    if the tables do not fit between them.
    """
    arguments = fmt, span, count, is_last, table_blocks, obstacles
    for place in (_FlexGroup(*arguments).all_at_once, _FlexGroup(*arguments).one_by_one):
        try:
            return place()
        except _NoRoomError:
            continue
    return None


def place_in_group(
    group: int, span: Span, table_blocks: int, obstacles: list[Span], stride: int
) -> Tables | None:
    """Place the tables of a group outside flex groups, whose blocks are ``span``.

    ``stride`` is in blocks of a RAID disk. If it is not 0, the bitmaps follow the space for a
    table, at a different distance in each group, so that they are on different disks. Returns None
    if the tables do not fit.
    """
    free = _FreeBlocks(obstacles, span.end)
    # The last block is not searched.
    first, last = span.start, span.end - 1
    start = first
    try:
        if stride:
            start = free.find(first, last, 1) + table_blocks
            searched = last - start + 1
            # In mke2fs, stride and group have 32 bits, and so has their product.
            start += low_32(stride * group) % searched if searched > 0 else 0
            if start >= last:
                start = first
        places = []
        for _ in range(2):
            try:
                places.append(free.take(free.find(start, last, 1), 1))
            except _NoRoomError:
                places.append(free.take(free.find(first, last, 1), 1))
        places.append(free.take(free.find(first, last, table_blocks), table_blocks))
    except _NoRoomError:
        return None
    block_bitmap, inode_bitmap, table = (array("Q", [place]) for place in places)
    return Tables(block_bitmap, inode_bitmap, table, free.taken())


class _FreeBlocks:
    """Finds the first free blocks, as ext2fs_get_free_blocks2 does."""

    def __init__(self, obstacles: list[Span], end: int) -> None:
        self._end = end
        self._starts = [span.start for span in obstacles]
        self._ends = [span.end for span in obstacles]

    def find(self, start: int, finish: int, length: int) -> int:
        """Return the first of ``length`` free blocks at ``start`` or later.

        It is ``start`` itself or before ``finish``; the other blocks may be past ``finish``. Raises
        :class:`_NoRoomError`.
        """
        starts, ends, goal = self._starts, self._ends, start
        place = bisect_right(ends, start)
        while place < len(starts) and starts[place] < start + length:
            start = ends[place]
            place += 1
        if start + length > self._end or (start >= finish and start != goal):
            raise _NoRoomError
        return start

    def take(self, start: int, length: int) -> int:
        """Take free blocks, and return the first of them."""
        starts, ends = self._starts, self._ends
        place, end = bisect_left(starts, start), start + length
        joins_before = place > 0 and ends[place - 1] == start
        joins_after = place < len(starts) and starts[place] == end
        if joins_before and joins_after:
            ends[place - 1] = ends[place]
            del starts[place], ends[place]
        elif joins_before:
            ends[place - 1] = end
        elif joins_after:
            starts[place] = start
        else:
            starts.insert(place, start)
            ends.insert(place, end)
        return start

    def taken(self) -> list[Span]:
        """Return all taken blocks, merged and ascending."""
        return joined(zip(self._starts, self._ends, strict=True))


class _FlexGroup:
    """The tables of one flex group."""

    def __init__(
        self,
        fmt: Format,
        span: Span,
        count: int,
        is_last: bool,
        table_blocks: int,
        obstacles: list[Span],
    ) -> None:
        self._span, self._count, self._table_blocks = span, count, table_blocks
        self._obstacles = obstacles
        self._free = _FreeBlocks(obstacles, span.end)
        self._most_searched = fmt.blocks_per_group // 4
        # The tables of the last flex group have no gaps, except that a single group gets the gaps
        # of a full flex group (table_offset).
        self._offset = count if is_last and count > 1 else fmt.groups_per_flex

    def all_at_once(self) -> Tables:
        """Place each table right after the previous one, except at obstacles.

        Returns what :meth:`one_by_one` does, with one step for each obstacle. Raises
        :class:`_NoRoomError` in more complex cases.
        """
        count, offset, length, free = self._count, self._offset, self._table_blocks, self._free
        first = free.find(self._span.start, self._span.end - 1, min(count, self._most_searched))
        bitmaps = first + offset + count
        if free.find(first, bitmaps, bitmaps - first) != first:
            raise _NoRoomError
        tables = array("Q")
        position, obstacles = first + 2 * offset, self._obstacles
        following = bisect_right([span.end for span in obstacles], position)
        spans = [Span(first, first + count), Span(first + offset, bitmaps)]
        while len(tables) < count:
            left = count - len(tables)
            limit = self._span.end
            if following < len(obstacles):
                limit = obstacles[following].start
            fitting = min(left, max(0, limit - position) // length)
            if fitting:
                end = position + fitting * length
                tables.extend(range(position, end, length))
                spans.append(Span(position, end))
                position = end
                continue
            goal = position
            while following < len(obstacles) and obstacles[following].start < position + length:
                position = obstacles[following].end
                following += 1
            searched = min(left * length, self._most_searched)
            if position >= goal + searched or position + length > self._span.end:
                raise _NoRoomError
        for span in spans:
            free.take(span.start, span.end - span.start)
        block_bitmaps = array("Q", range(first, first + count))
        inode_bitmaps = array("Q", range(first + offset, bitmaps))
        return Tables(block_bitmaps, inode_bitmaps, tables, free.taken())

    def one_by_one(self) -> Tables:
        """Place each bitmap and table separately, group by group."""
        free, last = self._free, self._span.end - 1
        found = array("Q"), array("Q"), array("Q")
        lengths = 1, 1, self._table_blocks
        for left in range(self._count, 0, -1):
            is_first = left == self._count
            for kind, (places, length) in enumerate(zip(found, lengths, strict=True)):
                goal = 0
                if not is_first:
                    goal = places[-1] + length
                elif kind:
                    goal = found[kind - 1][0] + self._offset
                start = self._goal(goal, left, length)
                places.append(free.take(free.find(start, last, length), length))
        return Tables(*found, free.taken())

    def _goal(self, after: int, left: int, length: int) -> int:
        """Return where to search (flexbg_offset): at ``after``, the end of the previous item, or 0.

        ``left`` groups still lack such an item of ``length`` blocks.
        """
        free, size = self._free, min(left * length, self._most_searched)
        if after:
            try:
                return free.find(after, after + size, length)
            except _NoRoomError:
                pass
        first, last = self._span.start, self._span.end - 1
        try:
            return free.find(first, last, size)
        except _NoRoomError:
            return free.find(first, last, length)
