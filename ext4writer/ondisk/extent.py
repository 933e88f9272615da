"""The extent tree: a header and 12-byte entries, in i_block or in blocks of the tree.

Rules: Documentation/filesystems/ext4/ifork.rst, "Extent Tree".
"""

from __future__ import annotations

from .declaration import Int16ul, Int32ul, Struct
from .record import Record, field

EXT4_EXT_MAGIC = 0xF30A
# A larger ee_len means an unwritten extent of ee_len - 32768 blocks: ifork.rst
EXT_INIT_MAX_LEN = 32768
EXT_UNWRITTEN_MAX_LEN = EXT_INIT_MAX_LEN - 1
EXT4_MAX_EXTENT_DEPTH = 5
EXT_MAX_BLOCKS = 0xFFFFFFFF
# Entries that fit i_block after the header.
INLINE_ENTRIES = 4

EXTENT_HEADER = Record(
    "extent_header",
    Struct(
        field("eh_magic", Int16ul, "0xF30A", "magic", names={EXT4_EXT_MAGIC: "extent"}),
        field("eh_entries", Int16ul, "Entries in use", "entries"),
        field(
            "eh_max",
            Int16ul,
            "Entries for which there is space",
            "entries",
            writes="4 in i_block, else as many as the block holds",
        ),
        field(
            "eh_depth",
            Int16ul,
            "Levels below this one; 0 in a leaf",
            "count",
            limits=(0, EXT4_MAX_EXTENT_DEPTH),
        ),
        field("eh_generation", Int32ul, "Generation of the tree", zero="used by no kernel"),
    ),
    size=12,
    doc="Begins every node of an extent tree; ifork.rst.",
)

EXTENT_IDX = Record(
    "extent_idx",
    Struct(
        field("ei_block", Int32ul, "First block of the file that the child maps", "file block"),
        field("ei_leaf_lo", Int32ul, "Block of the child", "block", high="ei_leaf_hi"),
        field("ei_leaf_hi", Int16ul, "High half of ei_leaf_lo", "block"),
        field("ei_unused", Int16ul, "Padding", "reserved", zero="reserved"),
    ),
    size=12,
    doc="An entry of an inner node; ifork.rst.",
)

EXTENT = Record(
    "extent",
    Struct(
        field("ee_block", Int32ul, "First block of the file that it maps", "file block"),
        field(
            "ee_len",
            Int16ul,
            "Number of blocks; a value n above 32768 means n - 32768 unwritten blocks",
            "blocks",
            writes="never unwritten",
        ),
        field("ee_start_hi", Int16ul, "High half of ee_start_lo", "block"),
        field("ee_start_lo", Int32ul, "First block of the extent", "block", high="ee_start_hi"),
    ),
    size=12,
    doc="An entry of a leaf; ifork.rst.",
)

EXTENT_TAIL = Record(
    "extent_tail",
    Struct(
        field(
            "et_checksum",
            Int32ul,
            "crc32c of the block up to here, seeded by the inode",
            "checksum",
            when="metadata_csum",
        )
    ),
    size=4,
    doc="Follows the space for eh_max entries in a block; never in i_block. ifork.rst.",
)


def entries_per_block(block_size: int) -> int:
    """Return eh_max of a node that fills a block."""
    # fs/ext4/extents.c:ext4_ext_space_block; any power of two leaves >= 4 bytes for the tail.
    return (block_size - EXTENT_HEADER.size) // EXTENT.size


def empty_extent_root(size: int) -> bytes:
    """Return the ``size`` bytes of an i_block that maps no blocks."""
    # fs/ext4/fast_commit.c:ext4_fc_replay_inode
    most = (size - EXTENT_HEADER.size) // EXTENT.size
    names = ("eh_magic", "eh_entries", "eh_max", "eh_depth")
    return EXTENT_HEADER.packer(*names)(EXT4_EXT_MAGIC, 0, most, 0).ljust(size, b"\0")
