"""Blocks as they are before the journal is recovered: older versions, zeros or other data.

An older version is valid by itself and has a correct checksum: an inode before a change of mode, a
directory before its last entry was added, a bitmap with one bit fewer, counts with one more.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress

from ..ondisk.dirent import (
    DIR_ENTRY_2,
    DIR_ENTRY_TAIL,
    EXT4_FT_DIR_CSUM,
    decode_rec_len,
    encode_rec_len,
)
from ..ondisk.extent import EXT_INIT_MAX_LEN, EXTENT, EXTENT_HEADER
from ..ondisk.format import Format
from ..ondisk.group_desc import GROUP_DESC_32
from ..ondisk.inode import INODE_128
from ..ondisk.journal import JBD2_MAGIC_NUMBER
from ..ondisk.superblock import SUPERBLOCK
from ..ondisk.units import Unit, UnitKind, checksum_unit
from ..planning.states.journal import Version

MAGIC = struct.pack(">I", JBD2_MAGIC_NUMBER)
_GROUP_AND_OTHERS = 0o077
"""The permission bits that an older version of an inode lacks."""


def version_of(fmt: Format, number: int, version: Version, data: bytes, units: list[Unit]) -> bytes:
    """Return a version of block ``number``; ``data`` is the correct one, and holds ``units``."""
    if version == "right":
        return data
    if version == "blank" or (version == "older" and not units):
        return bytes(len(data))
    if version == "other":
        once = bytes((number + step * step) % 251 for step in range(251))
        return (MAGIC + once * (len(data) // len(once) + 1))[: len(data)]
    buffer = bytearray(data)
    for unit in units:
        make_older = _OLDER.get(unit.kind, _blank)
        at = unit.offset - number * fmt.block_size
        if make_older(fmt, buffer, at, unit):
            # ValueError: the older version does not show where a checksum belongs.
            with suppress(ValueError):
                checksum_unit(fmt, unit, buffer, at)
    return bytes(buffer)


def _blank(_fmt: Format, buffer: bytearray, at: int, unit: Unit) -> bool:
    buffer[at : at + unit.size] = bytes(unit.size)
    return False


def _superblock(_fmt: Format, buffer: bytearray, at: int, _unit: Unit) -> bool:
    free = SUPERBLOCK.number(buffer, at, "s_free_inodes_count")
    if free < SUPERBLOCK.number(buffer, at, "s_inodes_count"):
        SUPERBLOCK.put(buffer, at, "s_free_inodes_count", free + 1)
    return True


def _descriptor(_fmt: Format, buffer: bytearray, at: int, _unit: Unit) -> bool:
    free = GROUP_DESC_32.number(buffer, at, "bg_free_inodes_count")
    GROUP_DESC_32.put(buffer, at, "bg_free_inodes_count", min(free + 1, 0xFFFF))
    return True


def _bitmap(_fmt: Format, buffer: bytearray, at: int, unit: Unit) -> bool:
    """Clear the last bit before the first clear one, if both are in the same byte."""
    for place in range(at, at + unit.size):
        byte = buffer[place]
        if byte != 0xFF:
            rest = byte & (byte + 1)  # clears the trailing ones
            trailing = byte ^ rest
            buffer[place] = rest | trailing >> 1
            break
    return False


def _inode(_fmt: Format, buffer: bytearray, at: int, _unit: Unit) -> bool:
    if not INODE_128.number(buffer, at, "i_mode"):
        return False
    make_older_inode(buffer, at)
    return True


def make_older_inode(buffer: bytearray, at: int) -> None:
    """Revert an inode to its state before a change of mode; its checksum does not change."""
    mode = INODE_128.number(buffer, at, "i_mode")
    INODE_128.set(buffer, at, "i_mode", mode & ~_GROUP_AND_OTHERS)
    time = INODE_128.number(buffer, at, "i_ctime")
    INODE_128.set(buffer, at, "i_ctime", max(time - 1, 0))


def _directory(fmt: Format, buffer: bytearray, at: int, unit: Unit) -> bool:
    """Remove the last entry: its record becomes part of the record before it."""
    end = at + unit.size
    if fmt.metadata_csum:
        end -= DIR_ENTRY_TAIL.size
    places = []
    place = at
    while place + DIR_ENTRY_2.size <= end:
        length = decode_rec_len(DIR_ENTRY_2.number(buffer, place, "rec_len"), fmt.block_size)
        if length < DIR_ENTRY_2.size or place + length > end:
            return False
        if DIR_ENTRY_2.number(buffer, place, "file_type") != EXT4_FT_DIR_CSUM:
            places.append((place, length))
        place += length
    if (len(places) > 1 and unit.number) or len(places) > 3:
        (before, first), (_, last) = places[-2:]
        DIR_ENTRY_2.set(buffer, before, "rec_len", encode_rec_len(first + last, fmt.block_size))
    return True


def make_unwritten(buffer: bytearray, at: int) -> None:
    """Flag each extent in the ``i_block`` at ``at`` as unwritten."""
    count = EXTENT_HEADER.number(buffer, at, "eh_entries")
    for place in range(count):
        start = at + EXTENT_HEADER.size + place * EXTENT.size
        length = EXTENT.number(buffer, start, "ee_len")
        EXTENT.set(buffer, start, "ee_len", length + EXT_INIT_MAX_LEN)


def rename(buffer: bytearray, ino: int, name: bytes, other: bytes) -> None:
    """Rename the entry ``name`` of ``ino`` in a directory block to ``other``, of equal length."""
    size, at = len(buffer), 0
    while at + DIR_ENTRY_2.size <= size:
        start = at + DIR_ENTRY_2.size
        end = start + len(name)
        if DIR_ENTRY_2.number(buffer, at, "inode") == ino and buffer[start:end] == name:
            buffer[start:end] = other
            return
        at += decode_rec_len(DIR_ENTRY_2.number(buffer, at, "rec_len"), size)


_OLDER: dict[UnitKind, Callable[[Format, bytearray, int, Unit], bool]] = {
    UnitKind.SUPERBLOCK: _superblock,
    UnitKind.GROUP_DESC: _descriptor,
    UnitKind.BLOCK_BITMAP: _bitmap,
    UnitKind.INODE_BITMAP: _bitmap,
    UnitKind.INODE: _inode,
    UnitKind.DIR_BLOCK: _directory,
}
