"""Gives every piece of the tree its blocks, inside one geometry."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from .allocator import Allocator, OutOfBlocks
from .geometry import Geometry, Range
from .mapping import Run, mapping_of
from .policy import LayoutPolicy

JOURNAL = -1
"""Key of the journal among the node indexes."""

NEVER_WHOLE = 1 << 64
"""More blocks than anything has: what is to be placed in several runs."""


class Demand(NamedTuple):
    """What of a tree needs blocks, whatever the geometry; indexes are node indexes."""

    counts: array[int]
    """Data blocks of each node."""
    ranges: dict[int, list[tuple[int, int]]]
    """(logical, blocks) of the data of nodes that are not one run from logical block 0."""
    directories: list[int]
    xattr_blocks: int
    journal_blocks: int
    block_size: int
    data_blocks: int
    """The sum of ``counts``."""

    def least_blocks(self) -> int:
        """Blocks that are needed even if no mapping needs a block of its own."""
        return self.data_blocks + self.xattr_blocks + self.journal_blocks


@dataclass(slots=True, eq=False, repr=False)
class Placement:
    """Where everything lies. A node is in ``runs`` unless it is one run at ``starts``."""

    starts: array[int]
    runs: dict[int, list[Run]] = field(default_factory=dict)
    map_blocks: dict[int, list[int]] = field(default_factory=dict)
    """Blocks that the mapping needs for itself, in its order, by node index or ``JOURNAL``."""
    xattr_blocks: array[int] = field(default_factory=lambda: array("Q"))
    resize_block: int = 0
    """The resize inode's double indirect block."""
    used: int = 0
    """Blocks taken, without the fixed metadata."""
    high_water: int = 0
    """Block behind the last one in use, fixed metadata included."""
    gap_blocks: int = 0
    free_ranges: list[Range] = field(default_factory=list)

    def runs_of(self, index: int, count: int) -> list[Run]:
        """The runs of a node that has ``count`` data blocks."""
        found = self.runs.get(index)
        if found is not None:
            return found
        return [Run(0, count, self.starts[index])] if count else []

    @property
    def map_block_count(self) -> int:
        return sum(map(len, self.map_blocks.values()))


def place(
    geometry: Geometry, demand: Demand, policy: LayoutPolicy, *, spare: int
) -> Placement | None:
    """Place all of ``demand``; None if it does not fit.

    ``spare`` is how many blocks may be passed over so that files stay in one piece. If more would
    be in the end, files are cut where going on would pass over too many.
    """
    policy = policy.fresh()
    if not policy.sequential:
        return _Placer(geometry, demand).scattered(policy, spare)
    placement = _Placer(geometry, demand).sequential()
    if placement is None or placement.gap_blocks > spare:
        placement = _Placer(geometry, demand, spare).sequential()
    return placement


class _Placer:
    def __init__(
        self, geometry: Geometry, demand: Demand, most_gap_blocks: int | None = None
    ) -> None:
        self._geometry = geometry
        self._demand = demand
        self._allocator = Allocator(geometry.free_runs(), most_gap_blocks)
        self._mapping = mapping_of(geometry.format)
        self._result = Placement(array("Q", bytes(8 * len(demand.counts))))

    def sequential(self) -> Placement | None:
        """Journal, directories, attributes, then all files in the order of their inodes."""
        try:
            self._place_resize_block()
            self._place_runs(JOURNAL, [(0, self._demand.journal_blocks)])
            directories = self._demand.directories
            counts = self._demand.counts
            self._place_nodes((index, counts[index]) for index in directories)
            self._place_xattrs()
            files = array("Q", counts)
            for index in directories:
                files[index] = 0
            self._place_nodes(enumerate(files))
        except OutOfBlocks:
            return None
        return self._finish()

    def scattered(self, policy: LayoutPolicy, spare: int) -> Placement | None:
        """Every node cut as the policy says, the pieces in the policy's order."""
        demand, allocator = self._demand, self._allocator
        pieces: list[tuple[int, int, int]] = []
        for index, count in enumerate(demand.counts):
            for logical, length in demand.ranges.get(index, [(0, count)] if count else []):
                for piece in policy.run_lengths(length):
                    pieces.append((index, logical, piece))
                    logical += piece
        policy.shuffle(pieces)
        found: dict[int, list[Run]] = {}
        try:
            self._place_resize_block()
            self._place_runs(JOURNAL, [(0, demand.journal_blocks)])
            for index, logical, length in pieces:
                gap = min(policy.gap(), spare)
                spare -= gap
                allocator.skip(gap)
                for physical, taken in allocator.take(length):
                    found.setdefault(index, []).extend(
                        self._mapping.split(logical, taken, physical)
                    )
                    logical += taken
            for index in sorted(found):
                self._result.runs[index] = self._mapping.join(sorted(found[index]))
                self._place_map(index)
            self._place_xattrs()
        except OutOfBlocks:
            return None
        return self._finish()

    def _place_resize_block(self) -> None:
        if self._geometry.format.resize_inode:
            self._result.resize_block = self._allocator.take_one()

    def _place_xattrs(self) -> None:
        self._result.xattr_blocks.extend(
            self._allocator.take_one() for _ in range(self._demand.xattr_blocks)
        )

    def _place_nodes(self, counted: Iterable[tuple[int, int]]) -> None:
        """Place the data of nodes, given as (index, blocks)."""
        ranges = self._demand.ranges
        if ranges:
            counted = ((at, NEVER_WHOLE if at in ranges else count) for at, count in counted)
        # What can be one run and fits between two superblock backups is never cut.
        between = self._geometry.format.blocks_per_group - self._geometry.head_blocks
        longest = min(self._mapping.max_plain_run, between)
        for index, count in self._allocator.take_each_whole(counted, longest, self._result.starts):
            self._place_runs(index, ranges.get(index, [(0, count)]))

    def _place_runs(self, index: int, runs: list[tuple[int, int]]) -> None:
        placed: list[Run] = []
        for logical, length in runs:
            for physical, taken in self._allocator.take(length):
                placed += self._mapping.split(logical, taken, physical)
                logical += taken
        if not placed:
            return
        if len(placed) == 1 and placed[0].logical == 0 and index != JOURNAL:
            self._result.starts[index] = placed[0].physical
            return
        self._result.runs[index] = placed
        self._place_map(index)

    def _place_map(self, index: int) -> None:
        blocks = self._mapping.metadata_blocks(self._result.runs[index])
        if blocks:
            self._result.map_blocks[index] = [self._allocator.take_one() for _ in range(blocks)]

    def _finish(self) -> Placement:
        result, allocator = self._result, self._allocator
        result.used = allocator.used
        result.high_water = max(allocator.high_water, self._geometry.fixed[-1][1])
        result.gap_blocks = allocator.gap_blocks
        result.free_ranges = allocator.free_ranges()
        return result
