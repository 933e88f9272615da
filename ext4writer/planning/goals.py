"""Allocates first what has a goal: a block where the search for free blocks starts.

In an image laid out as by mke2fs, these are all files and directories that mke2fs creates before
it copies files, in its order (misc/mke2fs.c:main), so that the same blocks remain free.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from ..arithmetic import ceil_div, round_down
from ..late_dataclasses import NamedTuple
from ..ondisk.extent import INLINE_ENTRIES
from ..ondisk.superblock import EXT4_JOURNAL_INO, EXT4_RESIZE_INO
from ..spans import Run, Span
from .allocator import OutOfBlocks
from .geometry import Geometry
from .mapping import DataMapping, FileMapping, MappedRun
from .system_files import SystemFile
from .system_files.base import QUOTA_PURPOSE
from .system_files.orphan_file import ORPHAN_FILE_PURPOSE


class Allocated(NamedTuple):
    """Clusters that are allocated first, and those that are still free."""

    free: Iterable[Span]
    files: Mapping[int, Sequence[Run]] = {}
    """By inode number: the data clusters of system files."""
    maps: Mapping[int, list[int]] = {}
    """By inode number: the blocks of their mappings, if these are allocated, too."""
    nodes: Mapping[int, Sequence[Run]] = {}
    """By node index: the data clusters of directories."""

    @property
    def used(self) -> int:
        """The number of allocated clusters."""
        pieces = [*self.files.values(), *self.nodes.values()]
        return sum(run.length for some in pieces for run in some) + sum(
            map(len, self.maps.values())
        )


def allocate_at_goals(
    geometry: Geometry, files: Iterable[SystemFile], journal: Sequence[Run] | None = None
) -> Allocated:
    """Allocate the clusters of files that have a goal or fixed places.

    ``journal`` has the clusters of the journal, if a policy chose them. Raises
    :class:`OutOfBlocks`.
    """
    placed: dict[int, list[Run]] = {}
    free: _FreeClusters | None = None
    if journal is not None:
        free = _FreeClusters(geometry)
        placed[EXT4_JOURNAL_INO] = [run for piece in journal for run in free.take(*piece)]
    for file in files:
        if file.places:
            # The geometry counts them as fixed.
            placed[file.ino] = [Run(block, 1) for block in file.places]
        if file.goal is None or not file.data_blocks:
            continue
        free = free or _FreeClusters(geometry)
        goal = _middle(geometry, free.runs) if file.goal == "middle" else file.goal
        wanted = geometry.format.clusters_for(file.data_blocks)
        placed[file.ino] = free.take(ceil_div(goal, geometry.format.blocks_per_cluster), wanted)
    return Allocated(geometry.free_runs() if free is None else free.runs, placed)


class _FreeClusters:
    """The free clusters of an image while some of them are taken."""

    def __init__(self, geometry: Geometry) -> None:
        self.runs = list(geometry.free_runs())
        """Ascending."""

    def take(self, goal: int, wanted: int) -> list[Run]:
        """Take free clusters from ``goal`` to the end, and then from the first one.

        lib/ext2fs/alloc.c:ext2fs_new_block2 wraps around, too. Raises :class:`OutOfBlocks`.
        """
        runs, taken = self.runs, []
        for start in (goal, 0):
            place = bisect_right(runs, start, key=attrgetter("end"))
            while wanted and place < len(runs):
                first, end = runs[place]
                at = max(first, start)
                count = min(wanted, end - at)
                taken.append(Run(at, count))
                wanted -= count
                around = (Span(first, at), Span(at + count, end))
                runs[place : place + 1] = [span for span in around if span.start < span.end]
                place += first < at
        if wanted:
            raise OutOfBlocks
        return taken


class FirstNode(NamedTuple):
    """A directory that mke2fs creates itself."""

    node: int
    """Its index."""
    ino: int
    clusters: int


def allocate_like_mke2fs(
    geometry: Geometry, nodes: Iterable[FirstNode], files: Sequence[SystemFile]
) -> Allocated:
    """Allocate to ``nodes`` and ``files`` the clusters that mke2fs does, or as many others.

    The order of the blocks in a file may differ: mke2fs writes quota files in an order that
    fragments them. Raises :class:`OutOfBlocks`.
    """
    return _LikeMke2fs(geometry).placed(nodes, files)


class _LikeMke2fs:
    def __init__(self, geometry: Geometry) -> None:
        self._geometry, self._format = geometry, geometry.format
        self._free = _FreeClusters(geometry)

    def placed(self, nodes: Iterable[FirstNode], files: Sequence[SystemFile]) -> Allocated:
        of_nodes = {
            first.node: self._take(self._goal_of(first.ino), first.clusters) for first in nodes
        }
        pieces, maps = {}, {}
        for file in sorted(files, key=_creation_order):
            pieces[file.ino], maps[file.ino] = self._place(file)
        return Allocated(self._free.runs, pieces, maps, of_nodes)

    def _place(self, file: SystemFile) -> tuple[list[Run], list[int]]:
        fmt = self._format
        clusters = fmt.clusters_for(file.data_blocks)
        if file.places:
            # The geometry counts them as fixed.
            pieces = [Run(block, 1) for block in file.places]
            return pieces, self._maps(file, pieces, 0)
        if file.ino == EXT4_RESIZE_INO:
            return [], self._maps(file, [], self._after_the_tables())
        if file.ino == EXT4_JOURNAL_INO:
            goal = (
                _middle(self._geometry, self._free.runs)
                if file.goal == "middle"
                else file.goal or 0
            )
            return self._journal(file, goal, clusters)
        goal = self._goal_of(file.ino) if file.purpose == QUOTA_PURPOSE else 0
        pieces = self._take(goal, clusters)
        return pieces, self._maps(file, pieces, 0)

    def _journal(self, file: SystemFile, goal: int, clusters: int) -> tuple[list[Run], list[int]]:
        """Allocate the data, starting at ``goal``, and the blocks of its mapping.

        The goal of an extent block is just before the data (lib/ext2fs/extent.c:
        extent_node_split). It is allocated after the first extent for which the inode is too small.
        """
        fmt, mapping = self._format, file.mapping
        if not fmt.extent or not isinstance(mapping, DataMapping):
            pieces = self._take(goal, clusters)
            return pieces, self._maps(file, pieces, goal)
        longest = round_down(mapping.max_run, fmt.blocks_per_cluster)
        with_map = (INLINE_ENTRIES + 1) * (longest // fmt.blocks_per_cluster)
        pieces = self._take(goal, min(clusters, with_map))
        before = pieces[0].start * fmt.blocks_per_cluster - fmt.blocks_per_cluster
        maps = self._maps(file, pieces, before)
        if clusters > with_map:
            last = pieces[-1]
            goal = (last.start + last.length) * fmt.blocks_per_cluster
            pieces += self._take(goal, clusters - with_map)
            maps += self._maps(file, pieces, before, have=len(maps))
        return pieces, maps

    def _maps(
        self, file: SystemFile, pieces: Sequence[Run], goal: int, *, have: int = 0
    ) -> list[int]:
        """Allocate single blocks for the mapping of ``pieces``, which already has ``have``."""
        ratio = self._format.blocks_per_cluster
        held = sum(piece.length for piece in pieces) * ratio
        runs = runs_of(file.mapping, min(file.data_blocks, held), pieces)
        wanted = file.mapping.metadata_blocks(runs) - have
        return [self._take(goal, 1)[0].start * ratio for _ in range(wanted)]

    def _goal_of(self, ino: int) -> int:
        """Return the first block of the flex group of an inode (ext2fs_find_inode_goal)."""
        group = (ino - 1) // self._geometry.inodes_per_group
        fmt = self._format
        return fmt.group_first_block(round_down(group, fmt.groups_per_flex))

    def _after_the_tables(self) -> int:
        """Return the goal of the block that maps the blocks reserved for descriptors.

        lib/ext2fs/res_gdt.c:ext2fs_create_resize_inode computes it as if each group held its own
        tables.
        """
        geometry, fmt = self._geometry, self._format
        reserved = geometry.gdt_blocks + geometry.reserved_gdt_blocks
        return fmt.super_block(0) + reserved + 2 + geometry.inode_table_blocks

    def _take(self, goal: int, wanted: int) -> list[Run]:
        """Take clusters, starting at the block ``goal``."""
        return self._free.take(goal // self._format.blocks_per_cluster, wanted)


_LAST = (QUOTA_PURPOSE, ORPHAN_FILE_PURPOSE)


def _creation_order(file: SystemFile) -> int:
    """Sort key for the order in which mke2fs creates files: quota and orphan files come last."""
    return _LAST.index(file.purpose) if file.purpose in _LAST else -1


def runs_of(mapping: FileMapping, blocks: int, pieces: Iterable[Run]) -> list[MappedRun]:
    """Return the runs of a file of ``blocks`` blocks whose clusters are ``pieces``, in order."""
    if not blocks or not isinstance(mapping, DataMapping):
        return []
    logical, taken = 0, []
    for first, count in pieces:
        taken.append((logical, count, first))
        logical += count
    return mapping.runs([Run(0, blocks)], taken)


def _middle(geometry: Geometry, runs: Sequence[Span]) -> int:
    """Return the first block of the group with the most free blocks near the middle."""
    # lib/ext2fs/mkjournal.c:get_midpoint_journal_block
    fmt, groups = geometry.format, geometry.groups

    def within(span: Span, others: Iterable[Span]) -> int:
        return sum(max(0, min(end, span.end) - max(first, span.start)) for first, end in others)

    free_at_first = list(geometry.free_runs())

    def free_blocks(group: int) -> int:
        """Count free blocks as mke2fs does until fix_cluster_bg_counts corrects the descriptors.

        These are the blocks without metadata, minus one for each cluster of a file.
        """
        span = geometry.group_range(group)
        clusters = Span(*(block // fmt.blocks_per_cluster for block in span))
        taken = within(clusters, free_at_first) - within(clusters, runs)
        return span.end - span.start - within(span, geometry.fixed) - taken

    group = (geometry.blocks_count - fmt.first_data_block) // 2 // fmt.blocks_per_group
    if 1 < fmt.groups_per_flex < group:
        group -= group % fmt.groups_per_flex
        while group < groups and not free_blocks(group):
            group += 1
        group = 0 if group == groups else group
        start = group
    else:
        start = max(0, group - 1)
    end = min(group + 1, groups - 1)
    # Of several maxima, ``max`` returns the first.
    return fmt.group_first_block(max(range(start, end + 1), key=free_blocks))
