"""The extent tree: a header and 12-byte entries, in i_block or in blocks of their own.

Rules: Documentation/filesystems/ext4/ifork.rst, "Extent Tree".
"""

from __future__ import annotations

from construct import Int16ul, Int32ul, Struct

from .record import Record

EXT4_EXT_MAGIC = 0xF30A
# ee_len above this means unwritten, with 32768 taken off: ifork.rst
EXT_INIT_MAX_LEN = 32768
EXT_UNWRITTEN_MAX_LEN = EXT_INIT_MAX_LEN - 1
EXT4_MAX_EXTENT_DEPTH = 5
EXT_MAX_BLOCKS = 0xFFFFFFFF
# Entries that fit i_block behind the header.
INLINE_ENTRIES = 4

EXTENT_HEADER = Record(
    "extent_header",
    Struct(
        "eh_magic" / Int16ul,
        "eh_entries" / Int16ul,
        "eh_max" / Int16ul,
        "eh_depth" / Int16ul,
        "eh_generation" / Int32ul,
    ),
    size=12,
    doc="Begins every node of an extent tree; ifork.rst.",
)

EXTENT_IDX = Record(
    "extent_idx",
    Struct(
        "ei_block" / Int32ul,
        "ei_leaf_lo" / Int32ul,
        "ei_leaf_hi" / Int16ul,
        "ei_unused" / Int16ul,
    ),
    size=12,
    doc="An entry of an inner node; ifork.rst.",
)

EXTENT = Record(
    "extent",
    Struct(
        "ee_block" / Int32ul,
        "ee_len" / Int16ul,
        "ee_start_hi" / Int16ul,
        "ee_start_lo" / Int32ul,
    ),
    size=12,
    doc="An entry of a leaf; ifork.rst.",
)

EXTENT_TAIL = Record(
    "extent_tail",
    Struct("et_checksum" / Int32ul),
    size=4,
    doc="Follows the room for eh_max entries in a block; never in i_block. ifork.rst.",
)


def entries_per_block(block_size: int) -> int:
    """Return eh_max of a node that fills a block."""
    # fs/ext4/extents.c:ext4_ext_space_block; a power of two leaves >= 4 bytes for the tail.
    return (block_size - EXTENT_HEADER.size) // EXTENT.size
