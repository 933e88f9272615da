"""The inode of blocks that must not be used, and so are never free."""

from __future__ import annotations

from bisect import bisect_left

from ...ondisk.format import Format
from ...ondisk.superblock import EXT4_BAD_INO
from ..mapping.block_map import BlockMapping
from ..spec import Spec
from .base import SystemFile


def bad_blocks_below(spec: Spec, fmt: Format, blocks_count: int) -> tuple[int, ...]:
    """Return those that lie in a file system of ``blocks_count`` blocks."""
    first = bisect_left(spec.bad_blocks, fmt.first_data_block)
    return spec.bad_blocks[first : bisect_left(spec.bad_blocks, blocks_count)]


def bad_blocks_file(fmt: Format, blocks: tuple[int, ...]) -> SystemFile:
    """Return the inode of ``blocks`` (lib/ext2fs/bb_inode.c:ext2fs_update_bb_inode)."""
    return SystemFile(
        ino=EXT4_BAD_INO,
        purpose="bad blocks",
        size_bytes=len(blocks) * fmt.block_size,
        data_blocks=len(blocks),
        # e2fsck reads it as a map, with the feature extent too.
        mapping=BlockMapping(fmt),
        places=blocks,
        mode=0,
    )
