"""Which bytes of which file go where in the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from ..plan.layout import Layout
from ..tree import S_IFREG, RegularFile
from .batches import CopyJob


class CopyJobs(Sequence[CopyJob]):
    """Every piece of file content, by ascending offset in the image; each is made when wanted."""

    def __init__(self, layout: Layout) -> None:
        self._nodes = nodes = layout.table.nodes
        self._block_size = layout.block_size
        starts, more = layout.placement.starts, layout.placement.extents
        counts = layout.demand.counts
        self._runs: list[tuple[int, int, int, int]] = []
        """(physical block, index of the node, logical block, blocks)."""
        runs = self._runs
        for index, node in enumerate(nodes):
            if node.file_type != S_IFREG or not counts[index]:
                continue
            extents = more.get(index)
            if extents is None:
                runs.append((starts[index], index, 0, counts[index]))
            else:
                runs += (
                    (extent.physical, index, extent.logical, extent.length) for extent in extents
                )
        runs.sort()

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, index: int) -> CopyJob: ...

    @overload
    def __getitem__(self, index: slice) -> list[CopyJob]: ...

    def __getitem__(self, index: int | slice) -> CopyJob | list[CopyJob]:
        if isinstance(index, slice):
            return [self._job(run) for run in self._runs[index]]
        return self._job(self._runs[index])

    def _job(self, run: tuple[int, int, int, int]) -> CopyJob:
        physical, index, logical, length = run
        block_size, node = self._block_size, self._nodes[index]
        assert isinstance(node, RegularFile)
        content = node.content
        offset = logical * block_size
        return (
            physical * block_size,
            content,
            offset,
            min(length * block_size, content.size - offset),
        )
