"""The bad blocks inode: it owns the blocks that must not be used, so that they are never free."""

from __future__ import annotations

from bisect import bisect_left

from ...late_dataclasses import NamedTuple
from ...ondisk.format import Format
from ...ondisk.superblock import EXT4_BAD_INO
from ..mapping.block_map import BlockMapping
from ..spec import Spec
from .base import SystemFile


class BadBlocks(NamedTuple):
    """A slice of a list of bad blocks, without a copy: the search for a size needs many."""

    listed: tuple[int, ...] = ()
    first: int = 0
    end: int = 0

    @classmethod
    def of(cls, spec: Spec, fmt: Format, blocks_count: int) -> BadBlocks:
        """Return the bad blocks in a file system of ``blocks_count`` blocks."""
        listed = spec.bad_blocks
        first = bisect_left(listed, fmt.first_data_block)
        return cls(listed, first, bisect_left(listed, blocks_count))


def bad_blocks_file(fmt: Format, bad: BadBlocks) -> SystemFile | None:
    """Return the inode of bad blocks (lib/ext2fs/bb_inode.c:ext2fs_update_bb_inode), if any."""
    blocks = bad.listed[bad.first : bad.end]
    if not blocks:
        return None
    return SystemFile(
        ino=EXT4_BAD_INO,
        purpose="bad blocks",
        size_bytes=len(blocks) * fmt.block_size,
        data_blocks=len(blocks),
        # e2fsck reads it as a block map, even with the feature extent.
        mapping=BlockMapping(fmt),
        places=blocks,
        mode=0,
    )
