"""Choices of a policy about file mappings: block maps instead of extents, and unwritten blocks.

Unwritten blocks are allocated but read as zeros, as after fallocate: in holes, and past the end of
a file (Documentation/filesystems/ext4/ifork.rst, "ee_len" above 32,768).
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Mapping

from ..arithmetic import ceil_div
from ..inode_flags import FS_VERITY_FL
from ..late_dataclasses import NamedTuple
from ..nodes import DT_DIR, DT_REG
from ..ondisk.format import Format
from ..spans import Run
from .contents import DataBlocks
from .inodes import InodeTable
from .mapping import mapping_of
from .policy import LayoutPolicy

_MAP_REACHES = 1 << 31
"""Blocks of an image that a block map can certainly address: its numbers have 32 bits."""


class FileChoices(NamedTuple):
    """All choices, and the blocks that nodes need with them."""

    counts: array[int]
    """Blocks of each node."""
    ranges: dict[int, list[Run]]
    """As in :class:`~ext4writer.planning.placement.Demand`."""
    block_mapped: tuple[int, ...] = ()
    """Indexes of nodes with a block map instead of extents, ascending."""
    unwritten: Mapping[int, tuple[Run, ...]] = {}
    """By node index: its unwritten logical blocks."""


def choose_for_files(
    table: InodeTable,
    data: DataBlocks,
    fmt: Format,
    policy: LayoutPolicy,
    whole: Container[int],
    image_blocks: int,
) -> FileChoices:
    """Ask ``policy`` about each file and directory that has or may have blocks.

    Nodes in ``whole`` do not change: those that are inline, share blocks or wait for truncation.
    ``image_blocks`` is the given size of the image in blocks, 0 if none is given.
    """
    if not fmt.extent:
        return FileChoices(data.counts, data.ranges)
    counts, ranges = data.counts[:], dict(data.ranges)
    block_mapped: list[int] = []
    unwritten: dict[int, tuple[Run, ...]] = {}
    most = mapping_of(fmt).max_blocks
    can_map = not fmt.bigalloc and max(sum(counts), image_blocks) < _MAP_REACHES
    for index, code in enumerate(table.types):
        if code not in (DT_REG, DT_DIR) or index in whole:
            continue
        if table.flags.get(index, 0) & FS_VERITY_FL:
            continue
        if can_map and policy.block_mapped(counts[index]):
            block_mapped.append(index)
        elif code == DT_REG:
            own = ranges.get(index, [Run(0, counts[index])] if counts[index] else [])
            blocks = ceil_div(table.sizes[index], fmt.block_size)
            found = _unwritten(own, blocks, most, policy)
            if found:
                unwritten[index] = found
                ranges[index] = sorted([*own, *found])
                counts[index] += sum(run.length for run in found)
    return FileChoices(counts, ranges, tuple(block_mapped), unwritten)


def _unwritten(own: list[Run], blocks: int, most: int, policy: LayoutPolicy) -> tuple[Run, ...]:
    """Return the unwritten runs of a file of ``blocks`` blocks; ``own`` are its runs of data."""
    found = []
    position = 0
    for start, length in [*own, Run(blocks, 0)]:
        if start > position:
            count = policy.unwritten_blocks(start - position)
            if count:
                found.append(Run(position, count))
        position = start + length
    past = min(policy.blocks_past_end(blocks), most - blocks)
    if past:
        found.append(Run(blocks, past))
    return tuple(found)
