"""Packs extended attributes, inside inodes and in attribute blocks."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property

from ..ondisk.checksum import crc32c
from ..ondisk.inode import INODE
from ..ondisk.xattr import (
    EXT4_XATTR_MAGIC,
    XATTR_ENTRY,
    XATTR_HEADER,
    XATTR_IBODY_HEADER,
    block_hash,
    entry_hash,
    entry_size,
    value_entry_hash,
    value_size,
)
from ..planning.layout import ImagePlan
from ..planning.xattrs import Attribute

_pack_entry = XATTR_ENTRY.packer(
    "e_name_len", "e_name_index", "e_value_offs", "e_value_inum", "e_value_size", "e_hash"
)


class AttributePacker:
    """Packs the attributes of one layout."""

    def __init__(self, layout: ImagePlan) -> None:
        self._xattrs = layout.xattrs
        self._seed = layout.format.checksum_seed
        self._value_inos = layout.table.value_inos
        self._block_size = layout.block_size
        self._area_size = layout.format.inode_size - INODE.size

    @cached_property
    def value_hashes(self) -> list[int]:
        """The hash of each value that is stored in its own inode."""
        # fs/ext4/xattr.c:ext4_xattr_inode_hash
        return [crc32c(self._seed, value) for value in self._xattrs.values]

    @cached_property
    def inside(self) -> list[bytes]:
        """By number of the set: the bytes after the fields of an inode without inline data."""
        return list(map(self.in_inode, self._xattrs.insides))

    def in_inode(self, attributes: Sequence[Attribute]) -> bytes:
        """Return all bytes after the inode's fields. Only entries with a value inode are hashed."""
        header = struct.pack("<I", EXT4_XATTR_MAGIC)
        size = self._area_size - XATTR_IBODY_HEADER.size
        return header + self._entries(attributes, size, 0, hashed=False)[0]

    def block(self, number: int) -> bytes:
        """Return attribute block ``number``, one block of bytes, without its checksum."""
        body, hashes = self._entries(
            self._xattrs.blocks[number],
            self._block_size - XATTR_HEADER.size,
            XATTR_HEADER.size,
            hashed=True,
        )
        header = XATTR_HEADER.pack(
            {
                "h_magic": EXT4_XATTR_MAGIC,
                "h_refcount": self._xattrs.references[number],
                "h_blocks": 1,
                "h_hash": block_hash(hashes),
            }
        )
        return header + body

    def _entries(
        self, attributes: Sequence[Attribute], size: int, offset_base: int, *, hashed: bool
    ) -> tuple[bytes, list[int]]:
        """Return ``size`` bytes, entries at the front and values at the back, and all hashes.

        e_value_offs counts from ``offset_base`` bytes before this area.
        """
        area = bytearray(size)
        hashes = []
        front, back = 0, size
        for name_index, name, value, holder in attributes:
            offset = ino = digest = 0
            if holder is not None:
                ino = self._value_inos[holder]
                digest = value_entry_hash(name, self.value_hashes[holder])
            elif value:
                back -= value_size(len(value))
                area[back : back + len(value)] = value
                offset = back + offset_base
            if hashed and holder is None:
                digest = entry_hash(name, value)
            hashes.append(digest)
            entry = _pack_entry(len(name), name_index, offset, ino, len(value), digest)
            area[front : front + len(entry)] = entry
            area[front + len(entry) : front + len(entry) + len(name)] = name
            front += entry_size(len(name))
        return bytes(area), hashes
