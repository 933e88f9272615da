"""Lists which bytes of which file go where in the image."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, compress, count
from operator import add, ne
from typing import Any, TypeVar

from ..bits import log2
from ..content import Content, Parcel
from ..nodes import IS_REGULAR
from ..planning.contents import files_of_zeros
from ..planning.layout import ImagePlan
from ..planning.mapping import MappedRun, UnwrittenRun
from ..planning.placement import part_of
from ..tree import RegularFile
from .batches import (
    BATCH_BYTES,
    BATCH_FILES,
    SMALL_BYTES,
    Batch,
    CopyJob,
    Neighbours,
    Part,
    unit_in_buffer,
)

FILES_AT_ONCE = 1024
"""The number of files whose offsets are compared at a time."""

Jobs = TypeVar("Jobs", CopyJob, CopyJob | Batch)


def copy_jobs(layout: ImagePlan) -> Iterator[CopyJob]:
    """Yield every piece of file content by ascending offset in the image."""
    files, scattered = _files(layout)
    return _merged(_one_by_one(layout, files), _pieces(layout, scattered))


def grouped_jobs(layout: ImagePlan) -> Iterator[CopyJob | Batch]:
    """Like :func:`copy_jobs`, but yield adjacent small files, as most are, in batches."""
    files, scattered = _files(layout)
    jobs = _merged(_grouped(layout, files), _pieces(layout, scattered))
    return _unbatch_verity(layout, jobs) if layout.verity else jobs


def _unbatch_verity(
    layout: ImagePlan, jobs: Iterator[CopyJob | Batch]
) -> Iterator[CopyJob | Batch]:
    """Keep small files out of batches if their verity metadata starts in a cluster of content."""
    from ..ondisk.verity import VERITY_ALIGNMENT  # imported late: few images have such files

    if layout.format.cluster_size <= VERITY_ALIGNMENT:
        yield from jobs
        return
    block_size, placement = layout.block_size, layout.placement
    places: set[int] = set()
    for index in layout.verity:
        if index in placement.runs:
            runs = _stored_runs(layout, index)
            places.update(physical * block_size for _, _, physical in runs)
        else:
            places.add(placement.starts[index] * block_size)
    for job in jobs:
        if not isinstance(job, Neighbours | Part):
            offset, content, start, length = job
            if offset in places and length <= SMALL_BYTES:
                parcel = Parcel([content])
                yield Part(offset, parcel, content.first_generation, start, length, not start)
                continue
        yield job


def _files(layout: ImagePlan) -> tuple[list[int], set[int]]:
    """Return the indexes of contiguous files by ascending offset, and of scattered files."""
    starts = layout.placement.starts
    counts, types = layout.demand.counts, layout.table.types
    regular = types.translate(IS_REGULAR)
    files = list(compress(compress(range(len(counts)), regular), compress(counts, regular)))
    if layout.verity or layout.orphans is not None:
        # An empty file, too, has blocks if it has a verity tree or waits to be truncated.
        files = [index for index in files if layout.table.sizes[index]]
    # The output is zeros wherever nothing is written.
    zeros = set(files_of_zeros(layout.table))
    if zeros:
        files = [index for index in files if index not in zeros]
    scattered = layout.placement.runs.keys() & files
    if scattered:
        files = [index for index in files if index not in scattered]
    # Nearly sorted already: only small files that fill gaps are out of order.
    files.sort(key=starts.__getitem__)
    return files, scattered


def _merged(jobs: Iterator[Jobs], pieces: Iterator[CopyJob]) -> Iterator[Jobs]:
    """Merge ``jobs`` of contiguous files and ``pieces`` of scattered ones by ascending offset."""
    piece = next(pieces, None)
    for job in jobs:
        while piece is not None and piece[0] < job[0]:
            yield piece
            piece = next(pieces, None)
        yield job
    while piece is not None:
        yield piece
        piece = next(pieces, None)


def _one_by_one(layout: ImagePlan, files: Iterable[int]) -> Iterator[CopyJob]:
    block_size, nodes, counts = layout.block_size, layout.table.nodes, layout.demand.counts
    starts, ranges = layout.placement.starts, layout.demand.ranges
    for index in files:
        node = nodes[index]
        assert isinstance(node, RegularFile)
        content = node.content
        length = content.size
        if index in ranges:
            length = min(length, counts[index] * block_size)
        yield starts[index] * block_size, content, 0, length


def _grouped(layout: ImagePlan, files: list[int]) -> Iterator[CopyJob | Batch]:
    """Like :func:`_one_by_one`, but in columns: a quarter of its cost for a small file."""
    nodes: list[Any] = layout.table.nodes
    sizes, fmt = layout.table.sizes, layout.format
    starts, ranges = layout.placement.starts, layout.demand.ranges.keys()
    ratio, mask, shift = (
        fmt.blocks_per_cluster,
        fmt.cluster_size - 1,
        log2(fmt.cluster_size),
    )
    unit = unit_in_buffer(fmt.cluster_size)
    most_units, rest = BATCH_BYTES // unit, unit - 1
    for begin in range(0, len(files), FILES_AT_ONCE):
        some = files[begin : begin + FILES_AT_ONCE]
        if not ranges.isdisjoint(some):
            yield from _one_by_one(layout, some)
            continue
        lengths = [sizes[index] for index in some]
        firsts = [starts[index] for index in some]
        if ratio > 1:
            firsts = [first // ratio for first in firsts]
        ends = list(map(add, firsts, [length + mask >> shift for length in lengths]))
        # Between neighbours that are none, and around each large file, a batch ends.
        breaks = list(compress(count(1), map(ne, ends, firsts[1:])))
        if max(lengths) > SMALL_BYTES:
            large = [at for at, length in enumerate(lengths) if length > SMALL_BYTES]
            breaks = sorted({*breaks, *large, *(at + 1 for at in large)})
        breaks.append(len(some))
        filled = ends
        if unit <= mask:
            # A buffer holds more files than an equal length of the image.
            filled = list(accumulate([(length + rest) // unit for length in lengths]))
        low = 0
        while low < len(some):
            high = min(low + BATCH_FILES, breaks[bisect_right(breaks, low)])
            before = firsts[low] if filled is ends else filled[low] - (lengths[low] + rest) // unit
            high = max(bisect_right(filled, before + most_units, low, high), low + 1)
            if lengths[low] <= SMALL_BYTES:
                contents = [node.content for node in map(nodes.__getitem__, some[low:high])]
                yield Neighbours.of(firsts[low] << shift, contents)
            else:
                yield from _one_by_one(layout, some[low:high])
            low = high


def _stored_runs(layout: ImagePlan, index: int) -> Iterable[MappedRun]:
    """Return the runs of a file that it stores itself and that are not unwritten."""
    runs = layout.placement.runs[index]
    if index in layout.demand.unwritten:
        return [run for run in runs if not isinstance(run, UnwrittenRun)]
    if index not in layout.demand.shared:
        return runs
    own = layout.demand.ranges[index]
    return [part for logical, length in own for part in part_of(runs, logical, length)]


def _pieces(layout: ImagePlan, indexes: set[int]) -> Iterator[CopyJob]:
    """Yield the pieces of scattered files by ascending offset."""
    block_size, nodes = layout.block_size, layout.table.nodes
    runs: list[tuple[int, int, int, int]] = []
    for index in indexes:
        runs += (
            (physical, index, logical, length)
            for logical, length, physical in _stored_runs(layout, index)
        )
    runs.sort()
    for physical, index, logical, length in runs:
        node = nodes[index]
        assert isinstance(node, RegularFile)
        content: Content = node.content
        offset = logical * block_size
        if offset >= content.size:
            continue  # a verity tree
        yield (
            physical * block_size,
            content,
            offset,
            min(length * block_size, content.size - offset),
        )
