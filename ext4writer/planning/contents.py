"""How many blocks each file needs, and which of them are holes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..arithmetic import ceil_div
from ..bits import log2
from ..errors import TreeError
from ..late_dataclasses import dataclass, field
from ..spans import Run
from ..tree import S_IFLNK, S_IFREG, SYMLINK_MAX, RegularFile, Symlink
from .inodes import InodeTable
from .mapping import mapping_of
from .spec import GIB, Spec, format_of

if TYPE_CHECKING:
    from .hole_search import Found

FAST_SYMLINK_MAX = 59
"""Bytes of a link target that fit in the inode, without the NUL (fs/ext4/symlink.c)."""

LARGE_FILE_BYTES = 2 * GIB
"""Files of this size or more need large_file (ext4_update_inode_size, 0x7fffffff)."""


@dataclass(slots=True, eq=False, repr=False)
class DataBlocks:
    """The blocks that every node needs, by node index; directories are filled in later."""

    counts: array[int]
    """Blocks of data, without holes."""
    ranges: dict[int, list[Run]] = field(default_factory=dict)
    """By node index: the logical blocks of data, for files that have holes."""
    content_bytes: int = 0
    """Bytes that will be copied."""

    def leave_inline(self, indexes: Iterable[int]) -> None:
        """Remove the blocks of nodes whose content is inside their inodes."""
        for index in indexes:
            self.counts[index] = 0


def count_blocks(table: InodeTable, spec: Spec) -> tuple[DataBlocks, array[int]]:
    """Count the blocks of all files and symbolic links, as if no file had holes.

    Returns them, and the indexes of the files that are long enough to have holes. Raises
    :class:`TreeError` for a size or link target that the format cannot hold.
    """
    block_size, hole_size = spec.block_size, spec.hole_size
    # Opening a file is expensive, so skip those that are too short for a hole.
    least_blocks = ceil_div(hole_size, block_size) + (0 if spec.leading_hole else 1)
    _check_sizes(table, spec)
    sizes = table.sizes
    mask, shift = block_size - 1, log2(block_size)
    data = DataBlocks(array("Q", [size + mask >> shift for size in sizes]))
    counts, content_bytes = data.counts, sum(sizes)
    for index in table.indexes_of(S_IFLNK):
        counts[index] = 0
        content_bytes -= sizes[index]
    zeros = files_of_zeros(table)
    data.content_bytes = content_bytes - sum(sizes[index] for index in zeros)
    candidates = array("L")
    if hole_size:
        blocks = enumerate(counts)
        candidates.extend([index for index, count in blocks if count >= least_blocks])
        most = format_of(spec).inline_most
        if most >= (least_blocks - 1) * block_size:
            # Shorter files may be stored in their inodes.
            candidates = array("L", [index for index in candidates if sizes[index] > most])
    for index in table.indexes_of(S_IFLNK):
        if sizes[index] > FAST_SYMLINK_MAX:
            counts[index] = 1
    return data, candidates


def files_of_zeros(table: InodeTable) -> list[int]:
    """Return the indexes of files whose content is stored zeros, according to its class."""
    if not any(kind.stored_zeros for kind in table.content_kinds):
        return []
    nodes: list[Any] = table.nodes
    return [at for at in table.indexes_of(S_IFREG) if nodes[at].content.stored_zeros]


def leave_holes(data: DataBlocks, table: InodeTable, found: Found, block_size: int) -> None:
    """Subtract the holes that were found."""
    for index, ranges in found.ranges.items():
        blocks = data.counts[index]
        kept = sum(length for _, length in ranges)
        data.ranges[index] = ranges
        data.counts[index] = kept
        data.content_bytes -= (blocks - kept) * block_size
        if not ranges or ranges[-1][0] + ranges[-1][1] < blocks:
            data.content_bytes += blocks * block_size - table.sizes[index]


def _check_sizes(table: InodeTable, spec: Spec) -> None:
    """Raise for the first file or symbolic link that the format cannot hold."""
    sizes, nodes = table.sizes, table.nodes
    longest_target = min(SYMLINK_MAX, spec.block_size - 1)
    links_fit = True
    for index in table.indexes_of(S_IFLNK):
        node = nodes[index]
        assert isinstance(node, Symlink)
        if not 0 < sizes[index] <= longest_target or b"\0" in node.target:
            links_fit = False
            break
    if links_fit and min(sizes) >= 0 and max(sizes) < LARGE_FILE_BYTES:
        return
    for index, (node, size) in enumerate(zip(nodes, sizes, strict=True)):
        if isinstance(node, RegularFile):
            if not 0 <= size < LARGE_FILE_BYTES:
                _check_file_size(table, index, size, spec)
        elif isinstance(node, Symlink) and (not 0 < size <= longest_target or b"\0" in node.target):
            raise _symlink_error(table.path_of(index), node.target, spec.block_size)


def _check_file_size(table: InodeTable, index: int, size: int, spec: Spec) -> None:
    if size < 0:
        raise TreeError(table.path_of(index), f"has {size} bytes; no size is negative")
    if not format_of(spec).large_file:
        raise TreeError(
            table.path_of(index), f"has {size} bytes; 2 GiB and more need the feature large_file"
        )
    max_blocks = mapping_of(format_of(spec)).max_blocks
    if ceil_div(size, spec.block_size) > max_blocks:
        most = max_blocks * spec.block_size
        hint = "" if format_of(spec).huge_file else " without the feature huge_file"
        raise TreeError(
            table.path_of(index),
            f"has {size} bytes; with blocks of {spec.block_size} bytes the maximum is {most}{hint}",
        )


def _symlink_error(path: bytes, target: bytes, block_size: int) -> TreeError:
    if not target:
        problem = "is a symbolic link without a target; no system can create or read one"
        return TreeError(path, problem)
    if b"\0" in target:
        return TreeError(path, "is a symbolic link with a NUL byte in its target")
    most = min(SYMLINK_MAX, block_size - 1)
    return TreeError(
        path,
        f"is a symbolic link of {len(target)} bytes; with blocks of {block_size} bytes "
        f"the maximum is {most}",
    )
