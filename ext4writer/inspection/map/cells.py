"""Arranges blocks as lines of cells: the scale of a map, and the content of each cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...arithmetic import ceil_div
from ...late_dataclasses import NamedTuple
from ...spans import Span

COLUMNS = 128
FEW_COLUMNS = 32
FEW_BLOCKS = 512
LINES = 48
LINES_MOST = 96


class Scale(NamedTuple):
    """The scale of a map. A row is one group or more, drawn as one line of cells or more."""

    first: int
    """The first block of group 0."""
    blocks: int
    """The number of blocks, starting at ``first``."""
    columns: int
    """The number of cells on a line."""
    row_blocks: int
    groups_per_row: int
    cell_blocks: int
    lines_per_row: int

    @classmethod
    def of(cls, first: int, blocks: int, group_blocks: int) -> Scale:
        """Choose the finest scale for which the map has about :data:`LINES` lines.

        ``group_blocks`` is the number of blocks in a group. Up to :data:`LINES_MOST` groups each
        have a row.
        """
        columns = FEW_COLUMNS if blocks <= FEW_BLOCKS else COLUMNS
        groups = ceil_div(blocks, group_blocks)
        together = 1
        while groups > together * LINES_MOST:
            together *= 2
        row = min(together * group_blocks, blocks)
        rows = ceil_div(blocks, row)
        cell = 1
        while rows * ceil_div(row, cell * columns) > max(LINES, rows):
            cell *= 2
        return cls(first, blocks, columns, row, together, cell, ceil_div(row, cell * columns))

    @property
    def rows(self) -> int:
        return ceil_div(self.blocks, self.row_blocks)

    def lines_of(self, row: int) -> int:
        """Return the number of lines of a row; the last row may have fewer than the others."""
        length = min(self.row_blocks, self.blocks - row * self.row_blocks)
        return ceil_div(length, self.cell_blocks * self.columns)

    def cell(self, block: int) -> int:
        """Return the number of the cell that holds a block; lines have ``columns`` cells each."""
        row, inside = divmod(block - self.first, self.row_blocks)
        return row * self.lines_per_row * self.columns + inside // self.cell_blocks

    def range_of(self, cell: int) -> Span:
        """Return the blocks of a cell."""
        row, inside = divmod(cell, self.lines_per_row * self.columns)
        start = row * self.row_blocks
        end = min(start + self.row_blocks, self.blocks)
        low = start + inside * self.cell_blocks
        high = max(low, min(low + self.cell_blocks, end))
        return Span(self.first + low, self.first + high)


Counts = dict[int, dict[int, int]]
"""Cell -> class -> blocks."""


def counted(scale: Scale, ranges: Iterable[tuple[int, int, int]]) -> Counts:
    """Count the blocks of each class in each cell; ``ranges`` are (first block, end, class)."""
    counts: Counts = {}
    for start, end, number in ranges:
        for cell, count in _cut(scale, max(start, scale.first), end):
            here = counts.setdefault(cell, {})
            here[number] = here.get(number, 0) + count
    return counts


def _cut(scale: Scale, start: int, end: int) -> Iterator[tuple[int, int]]:
    end = min(end, scale.first + scale.blocks)
    while start < end:
        cell = scale.cell(start)
        stop = min(scale.range_of(cell)[1], end)
        yield cell, stop - start
        start = stop
