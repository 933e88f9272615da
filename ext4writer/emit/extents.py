"""The extent tree of one file as bytes: what lies in ``i_block`` and in blocks of their own."""

from __future__ import annotations

from collections.abc import Sequence

from ..ondisk.extent import (
    EXT4_EXT_MAGIC,
    EXTENT,
    EXTENT_HEADER,
    EXTENT_IDX,
    INLINE_ENTRIES,
    entries_per_block,
)
from ..plan.extents import Extent, tree_levels

I_BLOCK_BYTES = 60

_pack_header = EXTENT_HEADER.packer("eh_magic", "eh_entries", "eh_max", "eh_depth")
_pack_extent = EXTENT.packer("ee_block", "ee_len", "ee_start")
_pack_idx = EXTENT_IDX.packer("ei_block", "ei_leaf")

EMPTY_ROOT = _pack_header(EXT4_EXT_MAGIC, 0, INLINE_ENTRIES, 0).ljust(I_BLOCK_BYTES, b"\0")
_ONE_EXTENT = _pack_header(EXT4_EXT_MAGIC, 1, INLINE_ENTRIES, 0)
_PADDING = bytes(I_BLOCK_BYTES - EXTENT_HEADER.size - EXTENT.size)


def single_extent(length: int, physical: int) -> bytes:
    """``i_block`` of a file that is one run of ``length`` blocks from logical block 0."""
    extent = _pack_extent(0, length, physical)
    return _ONE_EXTENT + extent + _PADDING


def extent_tree(
    extents: Sequence[Extent], tree_blocks: Sequence[int], block_size: int
) -> tuple[bytes, list[tuple[int, bytes]]]:
    """``i_block``, and (block number, bytes without checksum) of each block of the tree.

    ``tree_blocks`` are the numbers of those blocks, the levels from the top down.
    """
    entries = [_pack_extent(logical, length, physical) for logical, length, physical in extents]
    keys = [extent.logical for extent in extents]
    per_block = entries_per_block(block_size)
    blocks: list[tuple[int, bytes]] = []
    depth = 0
    end = len(tree_blocks)
    for count in reversed(tree_levels(len(extents), per_block)):
        numbers = tree_blocks[end - count : end]
        end -= count
        next_entries, next_keys = [], []
        for position, number in enumerate(numbers):
            start = position * per_block
            held = entries[start : start + per_block]
            header = _pack_header(EXT4_EXT_MAGIC, len(held), per_block, depth)
            blocks.append((number, (header + b"".join(held)).ljust(block_size, b"\0")))
            next_entries.append(_pack_idx(keys[start], number))
            next_keys.append(keys[start])
        entries, keys = next_entries, next_keys
        depth += 1
    root = _pack_header(EXT4_EXT_MAGIC, len(entries), INLINE_ENTRIES, depth)
    return (root + b"".join(entries)).ljust(I_BLOCK_BYTES, b"\0"), blocks
