"""Which bytes of which file go where in the image."""

from __future__ import annotations

from collections.abc import Iterator

from ..plan.layout import Layout
from ..tree import S_IFREG, RegularFile
from .batches import CopyJob


def copy_jobs(layout: Layout) -> Iterator[CopyJob]:
    """Yield every piece of file content by ascending offset in the image."""
    block_size = layout.block_size
    starts, more = layout.placement.starts, layout.placement.extents
    nodes, counts = layout.table.nodes, layout.demand.counts
    runs: list[tuple[int, int, int, int]] = []
    for index, node in enumerate(nodes):
        if node.file_type != S_IFREG or not counts[index]:
            continue
        extents = more.get(index)
        if extents is None:
            runs.append((starts[index], index, 0, counts[index]))
        else:
            runs += ((extent.physical, index, extent.logical, extent.length) for extent in extents)
    runs.sort()
    for physical, index, logical, length in runs:
        node = nodes[index]
        assert isinstance(node, RegularFile)
        content = node.content
        offset = logical * block_size
        yield (
            physical * block_size,
            content,
            offset,
            min(length * block_size, content.size - offset),
        )
