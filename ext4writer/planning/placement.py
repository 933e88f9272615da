"""Allocates the blocks of everything in the tree, within one geometry."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from ..arithmetic import ceil_div
from ..late_dataclasses import NamedTuple, dataclass, field
from ..ondisk.superblock import EXT4_JOURNAL_INO
from ..spans import Run, Span
from .allocator import Allocator, FreeSpace, OutOfBlocks
from .geometry import Geometry
from .goals import FirstNode, allocate_at_goals, allocate_like_mke2fs, runs_of
from .kept import Kept
from .mapping import DataMapping, MappedRun, block_map_of, mapping_of
from .policy import LayoutPolicy
from .system_files import SystemFile
from .system_files.base import XATTR_VALUE_PURPOSE

if TYPE_CHECKING:
    from .dedupe import SharedRun

NEVER_WHOLE = 1 << 64
"""More clusters than any node has; stands for nodes that are placed in several runs."""


class Demand(NamedTuple):
    """The blocks that a tree needs in any geometry; indexes are node indexes."""

    counts: array[int]
    """Data blocks of each node."""
    clusters: array[int]
    """Clusters that hold them; the same column if a cluster is a block."""
    ranges: dict[int, list[Run]]
    """The logical blocks of data, for nodes that are not one run from block 0."""
    directories: list[int]
    xattr_blocks: int
    cluster_blocks: int
    """Blocks in a cluster."""
    data_clusters: int
    """The sum of ``clusters``."""
    verity_clusters: int = 0
    """Those of them that hold verity metadata."""
    system_files: tuple[SystemFile, ...] = ()
    """System files. Those whose size depends on that of the image are added when it is known."""

    shared: Mapping[int, list[SharedRun]] = {}
    """Blocks of nodes that are stored as blocks of others; the columns do not count them."""
    node_entries: int = 0
    """Entries of each node of an extent tree; 0 means all that fit."""
    block_mapped: tuple[int, ...] = ()
    """Nodes with a block map instead of extents, ascending."""
    unwritten: Mapping[int, tuple[Run, ...]] = {}
    """The unwritten logical blocks of a node; ``counts`` includes them."""
    first: tuple[FirstNode, ...] = ()
    """Directories that are placed first, together with the system files, as by mke2fs."""
    kept: Kept | None = None
    """Clusters to keep from another image."""

    def with_files(self, files: Sequence[SystemFile]) -> Demand:
        """Return a copy with ``files`` before the other system files."""
        return self._replace(system_files=(*files, *self.system_files))

    @property
    def journal_blocks(self) -> int:
        """Blocks of the journal; 0 means no journal."""
        journal = self.system_file(EXT4_JOURNAL_INO)
        return journal.data_blocks if journal is not None else 0

    def system_file(self, ino: int) -> SystemFile | None:
        """Return the system file with this inode number; None if there is none."""
        return next((file for file in self.system_files if file.ino == ino), None)

    def least_blocks(self) -> int:
        """Return the blocks that are needed if no mapping needs blocks of its own."""
        of_system = sum(
            ceil_div(file.data_blocks, self.cluster_blocks) for file in self.system_files
        )
        return (self.data_clusters + self.xattr_blocks + of_system) * self.cluster_blocks


class PlacedFile(NamedTuple):
    """The location of one system file."""

    runs: list[MappedRun]
    map_blocks: list[int]
    """The mapping's own blocks, in its order."""


@dataclass(slots=True, eq=False, repr=False)
class Placement:
    """The location of everything. A node is in ``runs`` unless it is one run at ``starts``."""

    starts: array[int]
    runs: dict[int, list[MappedRun]] = field(default_factory=dict)
    map_blocks: dict[int, list[int]] = field(default_factory=dict)
    """By node index: the mapping's own blocks, in its order."""
    xattr_blocks: array[int] = field(default_factory=lambda: array("Q"))
    system: dict[int, PlacedFile] = field(default_factory=dict)
    """By inode number: the locations of system files."""
    used: int = 0
    """Clusters taken, without the fixed metadata."""
    high_water: int = 0
    """The cluster after the last one in use, including fixed metadata."""
    gap_clusters: int = 0
    """Clusters in gaps that are still free."""
    free_ranges: list[Span] = field(default_factory=list)
    """In clusters."""

    def runs_of(self, index: int, count: int) -> list[MappedRun]:
        """Return the runs of a node that has ``count`` data blocks."""
        found = self.runs.get(index)
        if found is not None:
            return found
        return [MappedRun(0, count, self.starts[index])] if count else []

    @property
    def map_block_count(self) -> int:
        """The number of the mappings' own blocks, without those of system files."""
        return sum(map(len, self.map_blocks.values()))


def place(
    geometry: Geometry, demand: Demand, policy: LayoutPolicy, *, spare: int
) -> Placement | None:
    """Place all of ``demand``; return None if it does not fit.

    ``spare`` is the number of blocks that may be left in gaps to keep files in one piece. If the
    gaps would be larger, files are split.
    """
    spare //= geometry.format.blocks_per_cluster
    policy = policy.fresh()
    if type(policy) is not LayoutPolicy:
        journal = _journal_pieces(geometry, demand, policy, spare)
        if journal is not None:
            placement = _place(geometry, demand, policy, spare, journal)
            if placement is not None:
                return placement
            # Around these pieces, files have more pieces and need more blocks than there are.
            policy = policy.fresh()
    return _place(geometry, demand, policy, spare, None)


def _place(
    geometry: Geometry,
    demand: Demand,
    policy: LayoutPolicy,
    spare: int,
    journal: Sequence[Run] | None,
) -> Placement | None:
    """Like :func:`place`, with ``spare`` in clusters, and the journal in ``journal`` if given."""
    try:
        if not policy.sequential:
            return _Placer(geometry, demand, journal=journal).scattered(policy, spare)
        placement = _Placer(geometry, demand, journal=journal).sequential()
        if placement is None or placement.gap_clusters > spare:
            placement = _Placer(geometry, demand, spare, journal=journal).sequential()
    except OutOfBlocks:
        return None
    return placement


def _journal_pieces(
    geometry: Geometry, demand: Demand, policy: LayoutPolicy, spare: int
) -> list[Run] | None:
    """Return the clusters where ``policy`` puts the journal; None if it does not choose any.

    The image does not grow: files fill the space before the journal and between its pieces.
    """
    file = demand.system_file(EXT4_JOURNAL_INO)
    if file is None or file.goal is not None or demand.kept is not None:
        return None
    clusters = geometry.format.clusters_for(file.data_blocks)
    free = list(geometry.free_runs())
    total = sum(end - first for first, end in free)
    most = min(total, demand.least_blocks() // geometry.format.blocks_per_cluster + spare)
    places = policy.journal_places(clusters, most) if most >= clusters else None
    if places is None:
        return None
    return [run for first, length in places for run in _nth_clusters(free, first, length)]


def _nth_clusters(free: Iterable[Span], first: int, length: int) -> Iterator[Run]:
    """Yield ``length`` clusters of ``free``, starting at the one with number ``first`` in it."""
    for start, end in free:
        count = min(length, end - start - first)
        if count > 0:
            yield Run(start + first, count)
            length -= count
        first = max(0, first - (end - start))


def part_of(runs: Sequence[MappedRun], logical: int, length: int) -> Iterator[MappedRun]:
    """Yield the parts of ``runs``, which ascend, for ``length`` blocks starting at ``logical``."""
    end = logical + length
    place = max(0, bisect_right(runs, logical, key=attrgetter("logical")) - 1)
    for position in range(place, len(runs)):
        first, count, physical = runs[position]
        start, stop = max(first, logical), min(first + count, end)
        if first >= end:
            break
        if start < stop:
            yield MappedRun(start, stop - start, physical + start - first)


class _Placer:
    def __init__(
        self,
        geometry: Geometry,
        demand: Demand,
        most_gap_clusters: int | None = None,
        journal: Sequence[Run] | None = None,
    ) -> None:
        self._geometry = geometry
        self._demand = demand
        if demand.first and journal is None:
            files = [file for file in demand.system_files if file.purpose != XATTR_VALUE_PURPOSE]
            allocated = allocate_like_mke2fs(geometry, demand.first, files)
        else:
            allocated = allocate_at_goals(geometry, demand.system_files, journal)
        self._allocated, free_runs, used = allocated, allocated.free, allocated.used
        self._mapping = mapping_of(geometry.format, demand.node_entries)
        self._kept = Kept()
        if demand.kept is None:
            self._allocator = Allocator(free_runs, most_gap_clusters)
            self._allocator.used = used
        else:
            wanted = {
                file.ino: self._mapping.clusters([Run(0, file.data_blocks)])
                for file in demand.system_files
                if file.ino not in allocated.files
            }
            from .hints import settle  # imported late: few images follow an earlier one

            settled = settle(demand.kept.of_system(wanted), free_runs)
            self._kept = settled.kept
            used += settled.clusters
            self._allocator = FreeSpace(settled.free, used, settled.high_water)
        self._block_mapped = frozenset(demand.block_mapped)
        self._block_map = block_map_of(geometry.format) if self._block_mapped else self._mapping
        self._ratio = geometry.format.blocks_per_cluster
        self._result = Placement(array("Q", bytes(8 * len(demand.counts))))

    def sequential(self) -> Placement | None:
        """Place journal, directories, attributes, then all files in the order of their inodes."""
        try:
            self._place_system_files()
            directories = self._demand.directories
            clusters, first = self._demand.clusters, self._allocated.nodes
            for index, pieces in first.items():
                count = self._demand.counts[index]
                self._settle(index, runs_of(self._mapping, count, pieces))
            self._place_nodes((at, clusters[at]) for at in directories if at not in first)
            self._place_xattrs()
            files = array("Q", clusters)
            for index in directories:
                files[index] = 0
            self._place_nodes(enumerate(files))
            self._place_shared()
        except OutOfBlocks:
            return None
        return self._finish()

    def scattered(self, policy: LayoutPolicy, spare: int) -> Placement | None:
        """Split every node as the policy says, and place the pieces in the policy's order."""
        demand, allocator = self._demand, self._allocator
        pieces: list[tuple[int, int, int]] = []
        for index in range(len(demand.counts)):
            for logical, length in self._mapping.clusters(self._ranges(index)):
                for piece in policy.run_lengths(length):
                    pieces.append((index, logical, piece))
                    logical += piece
        policy.shuffle(pieces)
        found: dict[int, list[tuple[int, int, int]]] = {}
        try:
            self._place_system_files()
            for index, logical, length in pieces:
                gap = min(policy.gap(), spare)
                spare -= gap
                allocator.skip(gap)
                for physical, taken in allocator.take(length):
                    found.setdefault(index, []).append((logical, taken, physical))
                    logical += taken
            for index in sorted(found):
                mapping = self._mapping_of(index)
                runs = mapping.runs(self._ranges(index), sorted(found[index]))
                self._result.runs[index] = mapping.join(self._marked(index, runs))
                if index not in demand.shared:
                    self._place_map(index)
            self._place_xattrs()
            self._place_shared()
        except OutOfBlocks:
            return None
        return self._finish()

    def _mapping_of(self, index: int) -> DataMapping:
        return self._block_map if index in self._block_mapped else self._mapping

    def _marked(self, index: int, runs: list[MappedRun]) -> list[MappedRun]:
        """Return the runs of a node with its unwritten blocks as unwritten runs."""
        unwritten = self._demand.unwritten.get(index)
        return self._mapping.with_unwritten(runs, unwritten) if unwritten else runs

    def _ranges(self, index: int) -> list[Run]:
        """Return the logical blocks of all data of a node."""
        count = self._demand.counts[index]
        return self._demand.ranges.get(index, [Run(0, count)] if count else [])

    def _take_blocks(self, count: int) -> list[int]:
        """Take single blocks, each in its own cluster."""
        return [self._allocator.take_one() * self._ratio for _ in range(count)]

    def _keep_blocks(self, kept: Sequence[int], count: int) -> list[int]:
        """Return ``count`` single blocks: first in kept clusters, then in new ones."""
        if isinstance(self._allocator, FreeSpace):
            for cluster in kept[count:]:
                self._allocator.give_back(cluster)
        blocks = [cluster * self._ratio for cluster in kept[:count]]
        return blocks + self._take_blocks(count - len(blocks))

    def _place_system_files(self) -> None:
        for file in self._demand.system_files:
            wanted = [Run(0, file.data_blocks)]
            pieces = self._allocated.files.get(file.ino)
            if pieces is None:
                runs = self._take(wanted, self._kept.system.get(file.ino, ()))
            else:
                runs = runs_of(self._mapping, file.data_blocks, pieces)
            if file.ino in self._allocated.maps:
                blocks = self._allocated.maps[file.ino]
                self._result.system[file.ino] = PlacedFile(runs, blocks)
                continue
            wanted_blocks = file.mapping.metadata_blocks(runs)
            blocks = self._keep_blocks(self._kept.system_maps.get(file.ino, ()), wanted_blocks)
            self._result.system[file.ino] = PlacedFile(runs, blocks)

    def _place_xattrs(self) -> None:
        kept = self._kept.xattrs
        for number in range(self._demand.xattr_blocks):
            blocks = self._keep_blocks((kept[number],) if number in kept else (), 1)
            self._result.xattr_blocks.extend(blocks)

    def _place_nodes(self, counted: Iterable[tuple[int, int]]) -> None:
        """Place the data of nodes, given as (index, clusters)."""
        ranges, kept = self._demand.ranges, self._kept.nodes
        block_mapped = self._block_mapped
        if block_mapped:
            counted = (
                (at, NEVER_WHOLE if count and (at in ranges or at in block_mapped) else count)
                for at, count in counted
            )
        elif kept:
            counted = (
                (at, NEVER_WHOLE if count and (at in ranges or at in kept) else count)
                for at, count in counted
            )
        elif ranges:
            counted = ((at, NEVER_WHOLE if at in ranges else count) for at, count in counted)
        # A node that can be one run and fits between two superblock backups is never split.
        fmt = self._geometry.format
        between = fmt.clusters_per_group - fmt.clusters_for(self._geometry.most_head_blocks)
        longest = min(self._mapping.max_plain_run // self._ratio, between)
        for index, _ in self._allocator.take_each_whole(counted, longest, self._result.starts):
            self._place_runs(index, self._ranges(index))

    def _take(
        self, ranges: Sequence[Run], kept: Sequence[tuple[int, int, int]] = ()
    ) -> list[MappedRun]:
        """Take clusters for the logical blocks of a file, except those that are ``kept``."""
        pieces = list(kept)
        wanted: Iterable[Run] = self._mapping.clusters(ranges)
        if kept:
            from .hints import without

            wanted = without(list(wanted), kept)
        for logical, length in wanted:
            for physical, count in self._allocator.take(length):
                pieces.append((logical, count, physical))
                logical += count
        if kept:
            return self._mapping.join(self._mapping.runs(ranges, sorted(pieces)))
        return self._mapping.runs(ranges, pieces)

    def _place_runs(self, index: int, wanted: list[Run]) -> None:
        self._settle(index, self._take(wanted, self._kept.nodes.get(index, ())))

    def _settle(self, index: int, placed: list[MappedRun]) -> None:
        """Record the runs of a node, and place the blocks of its mapping."""
        if not placed:
            return
        if index in self._demand.shared:
            self._result.runs[index] = placed
            return
        if index in self._block_mapped or index in self._demand.unwritten:
            self._result.runs[index] = self._mapping_of(index).join(self._marked(index, placed))
            self._place_map(index)
            return
        first = placed[0]
        if len(placed) == 1 and not first.logical and first.length <= self._mapping.max_plain_run:
            self._result.starts[index] = first.physical // self._ratio
            self._keep_blocks(self._kept.maps.get(index, ()), 0)
            return
        self._result.runs[index] = placed
        self._place_map(index)

    def _place_shared(self) -> None:
        """Add the runs of blocks that are stored elsewhere, when all others are placed."""
        shared, result = self._demand.shared, self._result
        own = {index: result.runs.get(index, []) for index in shared}

        def runs_of(index: int) -> list[MappedRun]:
            found = own.get(index)
            return result.runs_of(index, self._demand.counts[index]) if found is None else found

        for index in sorted(shared):
            runs = list(own[index])
            for piece in shared[index]:
                for run in part_of(runs_of(piece.owner), piece.owner_logical, piece.length):
                    logical = piece.logical + run.logical - piece.owner_logical
                    runs.append(run._replace(logical=logical))
            result.runs[index] = self._mapping.join(sorted(runs))
            self._place_map(index)

    def _place_map(self, index: int) -> None:
        blocks = self._mapping_of(index).metadata_blocks(self._result.runs[index])
        kept = self._kept.maps.get(index, ())
        if blocks or kept:
            placed = self._keep_blocks(kept, blocks)
            if placed:
                self._result.map_blocks[index] = placed

    def _finish(self) -> Placement:
        result, allocator = self._result, self._allocator
        if self._ratio > 1:
            # Convert clusters to blocks.
            result.starts = array("Q", [start * self._ratio for start in result.starts])
        result.used = allocator.used
        fixed_end = self._geometry.format.clusters_for(self._geometry.fixed[-1][1])
        result.high_water = max(allocator.high_water, fixed_end)
        result.gap_clusters = allocator.gap_clusters
        result.free_ranges = allocator.free_ranges()
        return result
