"""The orphan file: blocks of inode numbers, each with a tail.

Rules: Documentation/filesystems/ext4/orphan.rst and fs/ext4/ext4.h:struct ext4_orphan_block_tail.
"""

from __future__ import annotations

from .declaration import Int32ul, Struct
from .record import Record, field

EXT4_ORPHAN_BLOCK_MAGIC = 0x0B10CA04
MAX_ORPHAN_FILE_BLOCKS = 512
"""The most blocks of an orphan file that the kernel accepts (fs/ext4/orphan.c)."""

ORPHAN_BLOCK_TAIL = Record(
    "orphan_block_tail",
    Struct(
        field(
            "ob_magic",
            Int32ul,
            "0x0B10CA04",
            "magic",
            names={EXT4_ORPHAN_BLOCK_MAGIC: "orphan file"},
        ),
        field(
            "ob_checksum",
            Int32ul,
            "crc32c of the block's number and its inode numbers, seeded by the inode",
            "checksum",
            when="metadata_csum",
        ),
    ),
    size=8,
    doc="The last bytes of a block of the orphan file, after 32-bit inode numbers; orphan.rst.",
)


def orphans_per_block(block_size: int) -> int:
    """Return how many inode numbers a block of the orphan file holds."""
    # fs/ext4/ext4.h:ext4_inodes_per_orphan_block
    return (block_size - ORPHAN_BLOCK_TAIL.size) // 4


def default_orphan_file_blocks(fs_blocks: int) -> int:
    """Return the blocks of the orphan file that mke2fs creates in ``fs_blocks`` blocks."""
    # e2fsprogs lib/ext2fs/orphan.c:ext2fs_default_orphan_file_blocks
    if fs_blocks < 128 * 1024:
        return 32
    return min(fs_blocks // 4096, MAX_ORPHAN_FILE_BLOCKS)
