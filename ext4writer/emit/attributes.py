"""Makes the areas of extended attributes, in inodes and in blocks of their own."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..ondisk.xattr import (
    EXT4_XATTR_MAGIC,
    XATTR_ENTRY,
    XATTR_HEADER,
    XATTR_IBODY_HEADER,
    block_hash,
    entry_hash,
    value_size,
)
from ..planning.xattrs import Attribute

_pack_entry = XATTR_ENTRY.packer(
    "e_name_len", "e_name_index", "e_value_offs", "e_value_size", "e_hash"
)


def pack_in_inode(attributes: Sequence[Attribute], room: int) -> bytes:
    """The ``room`` bytes after the inode's fields; entries have no hash there."""
    header = struct.pack("<I", EXT4_XATTR_MAGIC)
    assert len(header) == XATTR_IBODY_HEADER.size
    return header + _pack_entries(attributes, room - len(header), 0, hashed=False)[0]


def pack_block(attributes: Sequence[Attribute], references: int, block_size: int) -> bytes:
    """An attribute block without its checksum, ``block_size`` bytes."""
    body, hashes = _pack_entries(
        attributes, block_size - XATTR_HEADER.size, XATTR_HEADER.size, hashed=True
    )
    header = XATTR_HEADER.pack(
        {
            "h_magic": EXT4_XATTR_MAGIC,
            "h_refcount": references,
            "h_blocks": 1,
            "h_hash": block_hash(hashes),
        }
    )
    return header + body


def _pack_entries(
    attributes: Sequence[Attribute], room: int, offset_base: int, *, hashed: bool
) -> tuple[bytes, list[int]]:
    """Entries from the front, values from the back; e_value_offs counts from ``-offset_base``."""
    area = bytearray(room)
    hashes = []
    front, back = 0, room
    for index, name, value in attributes:
        digest = entry_hash(name, value) if hashed else 0
        hashes.append(digest)
        offset = 0
        if value:
            back -= value_size(len(value))
            area[back : back + len(value)] = value
            offset = back + offset_base
        entry = _pack_entry(len(name), index, offset, len(value), digest)
        area[front : front + len(entry)] = entry
        area[front + len(entry) : front + len(entry) + len(name)] = name
        front += len(entry) + (len(name) + 3 & ~3)
    return bytes(area), hashes
