"""Lists which bytes of which file go where in the image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress

from ..content import Content
from ..planning.layout import ImagePlan
from ..planning.mapping import Run
from ..planning.placement import part_of
from ..tree import S_IFREG, RegularFile
from .batches import CopyJob

REGULAR = S_IFREG >> 12
"""A regular file in the types of an :class:`~ext4writer.planning.inodes.InodeTable`."""


def copy_jobs(layout: ImagePlan) -> Iterator[CopyJob]:
    """Yield every piece of file content by ascending offset in the image."""
    block_size = layout.block_size
    starts, ranges = layout.placement.starts, layout.demand.ranges
    nodes, counts, types = layout.table.nodes, layout.demand.counts, layout.table.types
    files = [index for index in compress(range(len(nodes)), counts) if types[index] == REGULAR]
    if layout.verity:
        # A tree makes a file of no bytes have blocks, too.
        files = [index for index in files if layout.table.sizes[index]]
    scattered = layout.placement.runs.keys() & files
    if scattered:
        files = [index for index in files if index not in scattered]
    # This is nearly in order; only small files that fill gaps are not.
    files.sort(key=starts.__getitem__)
    pieces = _pieces(layout, scattered)
    piece = next(pieces, None)
    for index in files:
        node = nodes[index]
        assert isinstance(node, RegularFile)
        content = node.content
        offset, length = starts[index] * block_size, content.size
        if index in ranges:
            length = min(length, counts[index] * block_size)
        while piece is not None and piece[0] < offset:
            yield piece
            piece = next(pieces, None)
        yield offset, content, 0, length
    while piece is not None:
        yield piece
        piece = next(pieces, None)


def _stored_runs(layout: ImagePlan, index: int) -> Iterable[Run]:
    """The runs of a file without those that another place stores."""
    runs = layout.placement.runs[index]
    if index not in layout.demand.shared:
        return runs
    own = layout.demand.ranges[index]
    return [part for logical, length in own for part in part_of(runs, logical, length)]


def _pieces(layout: ImagePlan, indexes: set[int]) -> Iterator[CopyJob]:
    """The pieces of files that are not one run from their beginning."""
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
            continue  # the tree of verity
        yield (
            physical * block_size,
            content,
            offset,
            min(length * block_size, content.size - offset),
        )
