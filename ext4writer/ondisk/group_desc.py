"""The block group descriptors: 32 bytes each, or 64 with the 64bit feature.

Rules: Documentation/filesystems/ext4/group_descr.rst.
"""

from __future__ import annotations

from .declaration import Int16ul, Int32ul, Struct
from .record import Record, field

# bg_flags
EXT4_BG_INODE_UNINIT = 0x0001
EXT4_BG_BLOCK_UNINIT = 0x0002
EXT4_BG_INODE_ZEROED = 0x0004

EXT4_MIN_DESC_SIZE = 32
EXT4_MIN_DESC_SIZE_64BIT = 64

_FLAGS = {
    EXT4_BG_INODE_UNINIT: "INODE_UNINIT",
    EXT4_BG_BLOCK_UNINIT: "BLOCK_UNINIT",
    EXT4_BG_INODE_ZEROED: "INODE_ZEROED",
}

_LOW = (
    field(
        "bg_block_bitmap_lo",
        Int32ul,
        "Block of the block bitmap",
        "block",
        high="bg_block_bitmap_hi",
    ),
    field(
        "bg_inode_bitmap_lo",
        Int32ul,
        "Block of the inode bitmap",
        "block",
        high="bg_inode_bitmap_hi",
    ),
    field(
        "bg_inode_table_lo",
        Int32ul,
        "First block of the inode table",
        "block",
        high="bg_inode_table_hi",
    ),
    field(
        "bg_free_blocks_count_lo",
        Int16ul,
        "Free blocks; clusters with bigalloc",
        "clusters",
        high="bg_free_blocks_count_hi",
    ),
    field(
        "bg_free_inodes_count_lo", Int16ul, "Free inodes", "inodes", high="bg_free_inodes_count_hi"
    ),
    field(
        "bg_used_dirs_count_lo",
        Int16ul,
        "Directories among the inodes of the group",
        "count",
        high="bg_used_dirs_count_hi",
    ),
    field(
        "bg_flags",
        Int16ul,
        "What has never been initialized",
        "flags",
        when="metadata_csum|uninit_bg",
        writes="INODE_ZEROED always, since unwritten parts of the image are zero; INODE_UNINIT if "
        "no inode is in use; BLOCK_UNINIT if the group holds nothing, not even a backup, but "
        "never for the last group, whose bitmap must be padded",
        names=_FLAGS,
    ),
    field(
        "bg_exclude_bitmap_lo",
        Int32ul,
        "Block of the exclude bitmap, for snapshots",
        "block",
        high="bg_exclude_bitmap_hi",
        zero="used by no kernel",
    ),
    field(
        "bg_block_bitmap_csum_lo",
        Int16ul,
        "crc32c of the block bitmap; without 64bit only its low half",
        "checksum",
        high="bg_block_bitmap_csum_hi",
        when="metadata_csum",
        writes="0 with BLOCK_UNINIT, since the bitmap is a hole then",
    ),
    field(
        "bg_inode_bitmap_csum_lo",
        Int16ul,
        "crc32c of the inode bitmap; without 64bit only its low half",
        "checksum",
        high="bg_inode_bitmap_csum_hi",
        when="metadata_csum",
        writes="0 with INODE_UNINIT, since the bitmap is a hole then",
    ),
    field(
        "bg_itable_unused_lo",
        Int16ul,
        "Inodes after the last one that was ever in use",
        "inodes",
        high="bg_itable_unused_hi",
        when="metadata_csum|uninit_bg",
    ),
    field(
        "bg_checksum",
        Int16ul,
        "Low half of the crc32c of the descriptor, with zeros here; crc16 with uninit_bg",
        "checksum",
        when="metadata_csum|uninit_bg",
    ),
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
        field("bg_block_bitmap_hi", Int32ul, "High half of bg_block_bitmap_lo", "block"),
        field("bg_inode_bitmap_hi", Int32ul, "High half of bg_inode_bitmap_lo", "block"),
        field("bg_inode_table_hi", Int32ul, "High half of bg_inode_table_lo", "block"),
        field(
            "bg_free_blocks_count_hi", Int16ul, "High half of bg_free_blocks_count_lo", "clusters"
        ),
        field("bg_free_inodes_count_hi", Int16ul, "High half of bg_free_inodes_count_lo", "inodes"),
        field("bg_used_dirs_count_hi", Int16ul, "High half of bg_used_dirs_count_lo", "count"),
        field("bg_itable_unused_hi", Int16ul, "High half of bg_itable_unused_lo", "inodes"),
        field(
            "bg_exclude_bitmap_hi",
            Int32ul,
            "High half of bg_exclude_bitmap_lo",
            "block",
            zero="used by no kernel",
        ),
        field(
            "bg_block_bitmap_csum_hi",
            Int16ul,
            "High half of bg_block_bitmap_csum_lo",
            "checksum",
            when="metadata_csum",
        ),
        field(
            "bg_inode_bitmap_csum_hi",
            Int16ul,
            "High half of bg_inode_bitmap_csum_lo",
            "checksum",
            when="metadata_csum",
        ),
        field("bg_reserved", Int32ul, "Padding", "reserved", zero="reserved"),
    ),
    size=64,
    doc="A block group descriptor with the 64bit feature; group_descr.rst.",
)
