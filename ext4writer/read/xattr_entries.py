"""Extended attributes as stored: entries in the inode and in a block."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import DamageError
from ..late_dataclasses import NamedTuple
from ..ondisk.checksum import crc32c
from ..ondisk.inode import EXT4_GOOD_OLD_INODE_SIZE, INLINE_DATA_NAME
from ..ondisk.record import Record
from ..ondisk.xattr import (
    EXT4_XATTR_INDEX_SYSTEM,
    EXT4_XATTR_MAGIC,
    XATTR_ENTRY,
    XATTR_HEADER,
    XATTR_IBODY_HEADER,
    entry_size,
)

if TYPE_CHECKING:
    from .inodes import Inode

_entry = XATTR_ENTRY.unpacker(
    "e_name_len", "e_name_index", "e_value_offs", "e_value_inum", "e_value_size", "e_hash"
)
# fs/ext4/xattr.h:EXT4_XATTR_SIZE_MAX
VALUE_MAX = 1 << 24
INLINE_DATA = (EXT4_XATTR_INDEX_SYSTEM, INLINE_DATA_NAME.partition(b".")[2])


class Xattr(NamedTuple):
    """One attribute as stored. ``name`` is without its prefix.

    ``offset`` is the byte of the entry in the file system.
    """

    name_index: int
    name: bytes
    value: bytes
    """Empty if the value has its own inode."""
    value_ino: int
    value_size: int
    entry_hash: int
    offset: int
    value_offset: int
    """Byte of the value in the file system; 0 if the value has its own inode."""


def in_inode(inode: Inode) -> list[Xattr]:
    """Return the attributes that are stored in the inode."""
    start = EXT4_GOOD_OLD_INODE_SIZE + inode.extra_isize
    raw = inode.raw
    if not inode.extra_isize or start + XATTR_IBODY_HEADER.size > len(raw):
        return []
    if XATTR_IBODY_HEADER.number(raw, start, "h_magic") != EXT4_XATTR_MAGIC:
        # fs/ext4/xattr.c:ext4_iget_extra_inode: no magic, no attributes
        return []
    first = start + XATTR_IBODY_HEADER.size
    return list(_entries(inode, raw, first, first, inode.offset))


def in_block(inode: Inode) -> list[Xattr]:
    """Return the attributes that are stored in a block."""
    block, image = inode.file_acl, inode.image
    if not block:
        return []
    if not image.has_blocks(block):
        inode.wrong("i_file_acl_lo", f"is {block}, where attributes cannot have a block")
        return []
    data, offset = image.try_block(block), block * image.block_size
    if data is None:
        return []
    magic = XATTR_HEADER.number(data, 0, "h_magic")
    if magic != EXT4_XATTR_MAGIC:
        wrong(inode, XATTR_HEADER, "h_magic", offset, f"is {magic:#010x}")
        return []
    blocks = XATTR_HEADER.number(data, 0, "h_blocks")
    if blocks != 1:
        wrong(inode, XATTR_HEADER, "h_blocks", offset, f"is {blocks}")
        return []
    if image.format.metadata_csum:
        stored = XATTR_HEADER.number(data, 0, "h_checksum")
        expected = expected_checksum(inode, block, data)
        if stored != expected:
            text = f"is {stored:#010x} but should be {expected:#010x}"
            wrong(inode, XATTR_HEADER, "h_checksum", offset, text)
    return list(_entries(inode, data, XATTR_HEADER.size, 0, offset))


def expected_checksum(inode: Inode, block: int, data: bytes) -> int:
    """Return the right checksum of an attribute block."""
    # fs/ext4/xattr.c:ext4_xattr_block_csum
    at = XATTR_HEADER.offset("h_checksum")
    crc = crc32c(inode.image.format.checksum_seed, struct.pack("<Q", block))
    return crc32c(crc, data[:at] + bytes(4) + data[at + 4 :])


def _entries(inode: Inode, data: bytes, first: int, base: int, offset: int) -> Iterator[Xattr]:
    """Yield the entries at byte ``first`` of ``data``; offsets of values are relative to ``base``.

    ``offset`` is the byte of ``data`` in the file system.
    """
    # fs/ext4/xattr.c:check_xattrs
    at, end = first, len(data)
    names_end = at
    while names_end + 4 <= end and any(data[names_end : names_end + 4]):
        if names_end + XATTR_ENTRY.size > end:
            break
        names_end += entry_size(data[names_end])
    while at + 4 <= end and any(data[at : at + 4]):
        if at + XATTR_ENTRY.size > end or at + entry_size(data[at]) > end:
            wrong(inode, XATTR_ENTRY, "e_name_len", offset + at, "leads past the end")
            return
        name_len, index, value_at, value_ino, size, hashed = _entry(data, at)
        name_at = at + XATTR_ENTRY.size
        name = data[name_at : name_at + name_len]
        start, place = base + value_at, 0
        value = b""
        if value_ino:
            if size > VALUE_MAX:
                wrong(inode, XATTR_ENTRY, "e_value_size", offset + at, f"is {size}")
                at += entry_size(name_len)
                continue
        elif size:
            if start < names_end or start + size > end:
                text = f"is {value_at}, where a value of {size} bytes cannot be"
                wrong(inode, XATTR_ENTRY, "e_value_offs", offset + at, text)
                at += entry_size(name_len)
                continue
            value, place = data[start : start + size], offset + start
        yield Xattr(index, name, value, value_ino, size, hashed, offset + at, place)
        at += entry_size(name_len)


def wrong(inode: Inode, record: Record, field: str, at: int, problem: str) -> None:
    inode.image.damage(
        DamageError(record.name, field, at + record.offset(field), problem, ino=inode.ino)
    )


def all_xattrs(inode: Inode) -> list[Xattr]:
    """Return all attributes in stored order, those in the inode first."""
    return in_inode(inode) + in_block(inode)


def inline_value(inode: Inode) -> tuple[bytes, int]:
    """Return the part of inline data in an attribute, and its byte in the file system.

    The part is empty if there is no such attribute.
    """
    for xattr in in_inode(inode):
        if (xattr.name_index, xattr.name) == INLINE_DATA and not xattr.value_ino:
            return xattr.value, xattr.value_offset
    return b"", 0
