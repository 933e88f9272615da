"""How many blocks each file needs, and which of them are holes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from ..errors import TreeError
from ..holes import BlockRanges
from ..ondisk.extent import EXT_MAX_BLOCKS
from ..progress import Cancel, Progress, ProgressCallback
from ..tree import S_IFLNK, S_IFREG, SYMLINK_MAX, Node, RegularFile, Symlink
from .hole_search import search_holes
from .inodes import InodeTable
from .spec import GIB, Spec

FAST_SYMLINK_MAX = 59
"""Bytes of a link target that fit the inode with their NUL (fs/ext4/symlink.c)."""

LARGE_FILE_BYTES = 2 * GIB
"""From here on a file needs the feature large_file (ext4_update_inode_size, 0x7fffffff)."""


@dataclass(slots=True)
class DataBlocks:
    """Demand of every node for blocks, by node index; directories are filled in later."""

    counts: array[int]
    """Blocks of data; for a file with holes what remains without them."""
    ranges: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """(first logical block, blocks) of each stretch of data, for files that have holes."""
    content_bytes: int = 0
    """Bytes that will be copied."""


def measure_contents(
    table: InodeTable,
    spec: Spec,
    *,
    processes: int = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> DataBlocks:
    """Count blocks and find the holes of all files and symbolic links.

    Raises :class:`TreeError` for a size or link target that the format cannot hold, and what
    reading a source may raise.
    """
    block_size, hole_size = spec.block_size, spec.hole_size
    # Opening a file costs more than counting: what is too short for a hole stays closed.
    least_blocks = -(-hole_size // block_size) + (0 if spec.leading_hole else 1)
    data = DataBlocks(array("Q", bytes(8 * len(table.nodes))))
    counts, content_bytes = data.counts, 0
    candidates = array("L")
    for index, node in enumerate(table.nodes):
        kind = node.file_type
        if kind == S_IFREG:
            assert isinstance(node, RegularFile)
            size = node.content.size
            blocks = -(-size // block_size)
            if not 0 <= size < LARGE_FILE_BYTES:
                _check_file_size(table, index, size, blocks, spec)
            content_bytes += size
            counts[index] = blocks
            if hole_size and blocks >= least_blocks:
                candidates.append(index)
        elif kind == S_IFLNK:
            assert isinstance(node, Symlink)
            length = len(node.target)
            if length > FAST_SYMLINK_MAX:
                counts[index] = 1
            if not 0 < length <= min(SYMLINK_MAX, block_size - 1) or b"\0" in node.target:
                raise _symlink_error(table.path_of(index), node.target, block_size)
    data.content_bytes = content_bytes

    searched = 0
    for found in search_holes(table.nodes, candidates, spec, processes, cancel):
        for index, ranges in found.ranges.items():
            _leave_holes(data, index, table.nodes[index], ranges, block_size)
        searched += found.files
        if progress is not None:
            total = len(table.nodes)
            reached = total * searched // len(candidates)
            progress(Progress("plan", reached, total, data.content_bytes, 0))
    return data


def _leave_holes(
    data: DataBlocks, index: int, node: Node, ranges: BlockRanges, block_size: int
) -> None:
    """Count only the blocks of ``ranges`` for a file, which are not all it has."""
    assert isinstance(node, RegularFile)
    size, blocks = node.content.size, data.counts[index]
    kept = sum(length for _, length in ranges)
    data.ranges[index] = ranges
    data.counts[index] = kept
    data.content_bytes -= (blocks - kept) * block_size
    if not ranges or ranges[-1][0] + ranges[-1][1] < blocks:
        data.content_bytes += blocks * block_size - size


def _check_file_size(table: InodeTable, index: int, size: int, blocks: int, spec: Spec) -> None:
    if size < 0:
        raise TreeError(table.path_of(index), f"has {size} bytes; no file can be so short")
    if "large_file" not in spec.features:
        raise TreeError(
            table.path_of(index), f"has {size} bytes; 2 GiB and more need the feature large_file"
        )
    if blocks > EXT_MAX_BLOCKS:
        most = EXT_MAX_BLOCKS * spec.block_size
        raise TreeError(
            table.path_of(index),
            f"has {size} bytes; with blocks of {spec.block_size} bytes {most} is the most",
        )


def _symlink_error(path: bytes, target: bytes, block_size: int) -> TreeError:
    if not target:
        return TreeError(path, "is a symbolic link without a target; no system can make or read it")
    if b"\0" in target:
        return TreeError(path, "is a symbolic link whose target holds a NUL byte")
    most = min(SYMLINK_MAX, block_size - 1)
    return TreeError(
        path,
        f"is a symbolic link of {len(target)} bytes; with blocks of {block_size} bytes "
        f"{most} is the most",
    )
