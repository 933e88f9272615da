"""The block group descriptors: 32 bytes each, or 64 with the 64bit feature.

Rules: Documentation/filesystems/ext4/group_descr.rst.
"""

from __future__ import annotations

from construct import Int16ul, Int32ul, Struct

from .record import Record

# bg_flags
EXT4_BG_INODE_UNINIT = 0x0001
EXT4_BG_BLOCK_UNINIT = 0x0002
EXT4_BG_INODE_ZEROED = 0x0004

EXT4_MIN_DESC_SIZE = 32
EXT4_MIN_DESC_SIZE_64BIT = 64

_LOW = (
    "bg_block_bitmap_lo" / Int32ul,
    "bg_inode_bitmap_lo" / Int32ul,
    "bg_inode_table_lo" / Int32ul,
    "bg_free_blocks_count_lo" / Int16ul,
    "bg_free_inodes_count_lo" / Int16ul,
    "bg_used_dirs_count_lo" / Int16ul,
    "bg_flags" / Int16ul,
    "bg_exclude_bitmap_lo" / Int32ul,
    "bg_block_bitmap_csum_lo" / Int16ul,
    "bg_inode_bitmap_csum_lo" / Int16ul,
    "bg_itable_unused_lo" / Int16ul,
    "bg_checksum" / Int16ul,
)

GROUP_DESC_32 = Record(
    "group_desc_32",
    Struct(*_LOW),
    size=32,
    doc="A block group descriptor without the 64bit feature; group_descr.rst.",
)

GROUP_DESC = Record(
    "group_desc",
    Struct(
        *_LOW,
        "bg_block_bitmap_hi" / Int32ul,
        "bg_inode_bitmap_hi" / Int32ul,
        "bg_inode_table_hi" / Int32ul,
        "bg_free_blocks_count_hi" / Int16ul,
        "bg_free_inodes_count_hi" / Int16ul,
        "bg_used_dirs_count_hi" / Int16ul,
        "bg_itable_unused_hi" / Int16ul,
        "bg_exclude_bitmap_hi" / Int32ul,
        "bg_block_bitmap_csum_hi" / Int16ul,
        "bg_inode_bitmap_csum_hi" / Int16ul,
        "bg_reserved" / Int32ul,
    ),
    size=64,
    doc="A block group descriptor with the 64bit feature; group_descr.rst.",
)
