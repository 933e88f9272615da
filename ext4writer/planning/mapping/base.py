"""The interface of mappings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from ...arithmetic import ceil_div
from ...late_dataclasses import NamedTuple
from ...ondisk.extent import EXT_UNWRITTEN_MAX_LEN
from ...ondisk.format import Format
from ...ondisk.inode import EXT4_N_BLOCKS
from ...ondisk.units import Unit
from ...spans import Run

MAX_SECTORS = (1 << 32) - 1
"""i_blocks_lo counts sectors in 32 bits."""
BLOCK_NUMBER_BYTES = 4
"""Size of a block number in an indirect block and in i_block."""
I_BLOCK_BYTES = BLOCK_NUMBER_BYTES * EXT4_N_BLOCKS


class MappedRun(NamedTuple):
    """``length`` blocks: from block ``logical`` of a file, at block ``physical`` of the image."""

    logical: int
    length: int
    physical: int


class UnwrittenRun(MappedRun):
    """A run of blocks that read as zeros, whatever they hold; only with extents."""

    __slots__ = ()


class FileMapping(ABC):
    """A way to map files, for one format."""

    flags: ClassVar[int]
    """Its bits of ``i_flags``."""
    blocks_purpose: ClassVar[str | None]
    """The name of the mapping's own blocks in the report; None if they count as the file's."""

    def __init__(self, fmt: Format) -> None:
        self.format = fmt

    @abstractmethod
    def metadata_blocks(self, runs: Sequence[MappedRun]) -> int:
        """Return how many blocks the mapping needs for ``runs``, which ascend by logical block."""

    @abstractmethod
    def i_block(self, runs: Sequence[MappedRun], blocks: Sequence[int]) -> bytes:
        """Return the 60 bytes of ``i_block``; ``blocks`` are the mapping's own block numbers."""

    @abstractmethod
    def units(self, ino: int, runs: Sequence[MappedRun], blocks: Sequence[int]) -> Iterator[Unit]:
        """Yield the mapping's own blocks as units, each built without its checksum."""


class DataMapping(FileMapping):
    """A mapping for ordinary files, of which there may be many.

    Only it deals with the blocks inside a cluster; all other code places and counts clusters.
    """

    max_blocks: int
    """The most blocks that a file can have, holes included."""
    max_run: ClassVar[int]
    """The most blocks in one run."""
    max_plain_run: ClassVar[int]
    """The most blocks in one run for which the mapping needs no block."""

    def cluster_counts(self, counts: array[int], ranges: Mapping[int, list[Run]]) -> array[int]:
        """Return the number of clusters that each node needs for its data blocks.

        ``ranges`` holds the logical blocks of nodes whose data is not one run from block 0.
        """
        ratio = self.format.blocks_per_cluster
        if ratio == 1:
            return counts
        clusters = array("Q", [ceil_div(count, ratio) for count in counts])
        for index, stretches in ranges.items():
            clusters[index] = sum(count for _, count in self.clusters(stretches))
        return clusters

    def clusters(self, ranges: Sequence[Run]) -> Sequence[Run]:
        """Return the logical clusters that hold ``ranges`` of logical blocks, which ascend."""
        ratio = self.format.blocks_per_cluster
        if ratio == 1:
            return ranges
        found: list[Run] = []
        end = 0
        for logical, length in ranges:
            first, until = logical // ratio, ceil_div(logical + length, ratio)
            if found and first <= end:
                # Ranges that meet in one cluster share it.
                start = found.pop()[0]
                first, until = start, max(until, end)
            if until > first:
                found.append(Run(first, until - first))
            end = until
        return found

    def runs(
        self, ranges: Sequence[Run], pieces: Sequence[tuple[int, int, int]]
    ) -> list[MappedRun]:
        """Return the runs of blocks in allocated clusters.

        ``ranges`` are the logical blocks of data, ``pieces`` the (first logical cluster, clusters,
        first physical cluster) for :meth:`clusters`, both ascending.
        """
        ratio = self.format.blocks_per_cluster
        runs: list[MappedRun] = []
        if ratio == 1:
            for piece in pieces:
                runs += self.split(*piece)
            return runs
        position = 0
        for first, length in ranges:
            end = first + length
            while first < end:
                cluster, count, physical = pieces[position]
                limit = (cluster + count) * ratio
                if first >= limit:
                    position += 1
                    continue
                taken = min(end, limit) - first
                runs += self.split(first, taken, physical * ratio + first - cluster * ratio)
                first += taken
        return runs

    def split(self, logical: int, length: int, physical: int) -> list[MappedRun]:
        """Split a run into runs of at most ``max_run`` blocks."""
        most = self.max_run
        return [
            MappedRun(logical + done, min(most, length - done), physical + done)
            for done in range(0, length, most)
        ]

    def with_unwritten(
        self, runs: Sequence[MappedRun], unwritten: Sequence[Run]
    ) -> list[MappedRun]:
        """Return ``runs`` with ``unwritten`` blocks as unwritten runs; both ascend."""
        found: list[MappedRun] = []
        waiting = [(start, start + length) for start, length in unwritten]
        for run in runs:
            logical, end = run.logical, run.logical + run.length
            while logical < end:
                while waiting and waiting[0][1] <= logical:
                    del waiting[0]
                start, stop = waiting[0] if waiting else (end, end)
                is_unwritten = start <= logical
                until = min(stop if is_unwritten else start, end)
                if is_unwritten:
                    until = min(until, logical + EXT_UNWRITTEN_MAX_LEN)
                kind = UnwrittenRun if is_unwritten else MappedRun
                physical = run.physical + logical - run.logical
                found.append(kind(logical, until - logical, physical))
                logical = until
        return found

    def join(self, runs: Sequence[MappedRun]) -> list[MappedRun]:
        """Join adjacent runs, up to the longest run."""
        joined = list(runs[:1])
        for run in runs[1:]:
            last = joined[-1]
            if (
                last.logical + last.length == run.logical
                and last.physical + last.length == run.physical
                and last.length + run.length <= self.max_run
                and type(last) is type(run)
            ):
                joined[-1] = last._replace(length=last.length + run.length)
            else:
                joined.append(run)
        return joined

    @abstractmethod
    def plain_i_block(self) -> bytes:
        """Return the initial ``i_block`` that :meth:`write_plain_runs` fills in."""

    @abstractmethod
    def write_plain_runs(
        self, view: memoryview, offset: int, stride: int, lengths: array[int], starts: array[int]
    ) -> None:
        """Write one run into each of many inodes whose ``i_block`` is :meth:`plain_i_block`.

        The first ``i_block`` is at byte ``offset`` of ``view`` and the others follow every
        ``stride`` bytes; ``lengths`` are in blocks, 0 for an empty file.
        """
