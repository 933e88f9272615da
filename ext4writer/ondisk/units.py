"""Units: pieces of metadata, each covered by one checksum or none.

A *unit* is read, checked and changed as a whole: a superblock, one descriptor, one inode, one block
of a directory. A writer lists the units that it has planned, a reader those that it finds. Code
that shows, compares, checks or damages metadata works on either list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import TypeAlias

from ..late_dataclasses import NamedTuple
from .checksum import (
    bitmap_checksum,
    group_desc_checksum,
    group_desc_crc16,
    inode_seed,
    set_dir_block_checksum,
    set_dx_node_checksum,
    set_dx_root_checksum,
    set_extent_block_checksum,
    set_inode_checksum,
    set_journal_superblock_checksum,
    set_mmp_checksum,
    set_orphan_block_checksum,
    set_superblock_checksum,
    set_xattr_block_checksum,
)
from .format import Checksum, Format
from .group_desc import GROUP_DESC_32
from .inode import INODE_128
from .journal import (
    JBD2_FEATURE_INCOMPAT_CSUM_V2,
    JBD2_FEATURE_INCOMPAT_CSUM_V3,
    JOURNAL_SUPERBLOCK,
)
from .record import ReadBuffer, WriteBuffer

Make: TypeAlias = Callable[[], ReadBuffer]
"""Builds the bytes of a unit on demand; they may be valid only until the next call."""


class UnitKind(Enum):
    """Kinds of metadata, as the kernel names them, with the meaning of owner and number."""

    SUPERBLOCK = "superblock"
    """Owner: the group that holds it."""
    GROUP_DESC = "group_desc"
    """Owner: the group that holds the copy; number: the group that it describes."""
    BLOCK_BITMAP = "block_bitmap"
    """Owner: the group, as for the other bitmap. Their checksums are in the descriptor."""
    INODE_BITMAP = "inode_bitmap"
    INODE = "inode"
    """Owner: the inode number, as for all kinds below unless stated otherwise."""
    EXTENT_BLOCK = "extent_block"
    """Number: its position in the tree, counted from 1 level by level, from the root down."""
    INDIRECT_BLOCK = "indirect_block"
    """Number: its position among the blocks of the map."""
    DIR_BLOCK = "dir_block"
    """A leaf block. Number: the logical block, as for blocks of the index."""
    DX_ROOT = "dx_root"
    DX_NODE = "dx_node"
    XATTR_BLOCK = "xattr_block"
    """Owner: the first of the inodes that share it."""
    XATTR_VALUE = "xattr_value"
    """A block of an attribute value that has its own inode. Number: the logical block."""
    SYMLINK_BLOCK = "symlink_block"
    ORPHAN_BLOCK = "orphan_block"
    """Number: the logical block."""
    QUOTA_BLOCK = "quota_block"
    """A block of a quota file. Number: the logical block."""
    VERITY_BLOCK = "verity_block"
    """A block of the Merkle tree or the descriptor past the end of a file. Number: the logical
    block."""
    JOURNAL_SUPERBLOCK = "journal_superblock"
    """Owner: the inode of the journal, or 0 on a journal device, as for all blocks of a journal."""
    JOURNAL_DESCRIPTOR = "journal_descriptor"
    """A block of the log that is to be recovered. Number: the block of the journal, as for the
    other kinds of log blocks. Their checksums depend on the entire transaction."""
    JOURNAL_REVOKE = "journal_revoke"
    JOURNAL_COMMIT = "journal_commit"
    JOURNAL_BLOCK = "journal_block"
    """A copy of a block of the file system, which recovery writes back."""
    FAST_COMMIT = "fast_commit"
    """A block of tags after the log."""
    MMP = "mmp"
    """Owner: 0."""


class Unit(NamedTuple):
    """One unit. ``offset`` and ``size`` are in bytes, the offset from the start of the image."""

    kind: UnitKind
    owner: int
    number: int
    offset: int
    size: int
    make: Make | None = None
    """Builds the bytes; None if they are all zeros."""
    generation: int = 0
    """i_generation of the owner, which is part of the checksum seed of its units."""


class UnitRun(NamedTuple):
    """Adjacent units of one kind and size, as columns; most are built together.

    An owner or number that is an ``int`` applies to all of them.
    """

    kind: UnitKind
    owners: Sequence[int] | int
    numbers: Sequence[int] | int
    offset: int
    """Offset of the first unit, in bytes."""
    size: int
    """Size of each unit, in bytes."""
    count: int = 1  # type: ignore[assignment]  # hides tuple.count on purpose
    make: Make | None = None
    """Builds the bytes of all units, with padding of the last block; None if they are all zeros."""

    def find(self, owner: int, number: int = 0) -> Unit | None:
        """Return the unit with this owner and number; None if it is not in the run."""
        for position in _positions(self.owners, owner, self.count):
            if _value(self.numbers, position) == number:
                return self.unit(position)
        return None

    def at(self, offset: int) -> Unit | None:
        """Return the unit that holds the byte at ``offset``; None if it is not in the run."""
        position = (offset - self.offset) // self.size
        return self.unit(position) if 0 <= position < self.count else None

    def of_owner(self, owner: int) -> Iterator[Unit]:
        """Yield the units of this owner."""
        return map(self.unit, _positions(self.owners, owner, self.count))

    def unit(self, position: int) -> Unit:
        """Return the unit at ``position`` of the run."""
        make, size = self.make, self.size
        start = position * size
        return Unit(
            self.kind,
            _value(self.owners, position),
            _value(self.numbers, position),
            self.offset + start,
            size,
            None if make is None else partial(_part, make, start, start + size),
        )

    def units(self) -> Iterator[Unit]:
        """Yield all units in ascending order of offsets."""
        return map(self.unit, range(self.count))


def _part(make: Make, start: int, end: int) -> memoryview:
    return memoryview(make())[start:end]


def _value(column: Sequence[int] | int, position: int) -> int:
    return column if isinstance(column, int) else column[position]


def _positions(column: Sequence[int] | int, value: int, count: int) -> Sequence[int]:
    """The positions of ``value`` in a column; all of them if the column is one value."""
    if isinstance(column, int):
        return range(count) if column == value else ()
    if isinstance(column, range):
        return (column.index(value),) if value in column else ()
    return [position for position, other in enumerate(column) if other == value]


_OWN_CHECKSUM: dict[UnitKind, tuple[str, ...]] = {
    UnitKind.SUPERBLOCK: ("s_checksum",),
    UnitKind.GROUP_DESC: ("bg_checksum",),
    UnitKind.INODE: ("l_i_checksum_lo", "i_checksum_hi"),
    UnitKind.EXTENT_BLOCK: ("et_checksum",),
    UnitKind.DIR_BLOCK: ("det_checksum",),
    UnitKind.DX_ROOT: ("dt_checksum",),
    UnitKind.DX_NODE: ("dt_checksum",),
    UnitKind.XATTR_BLOCK: ("h_checksum",),
    UnitKind.ORPHAN_BLOCK: ("ob_checksum",),
    UnitKind.JOURNAL_SUPERBLOCK: ("s_checksum",),
    UnitKind.MMP: ("mmp_checksum",),
}


def checksum_fields(kind: UnitKind) -> tuple[str, ...]:
    """Return the fields that hold a unit's own checksum, for units of this kind."""
    return _OWN_CHECKSUM.get(kind, ())


def checksum_unit(fmt: Format, unit: Unit, buffer: WriteBuffer, at: int = 0) -> int | None:
    """Write the checksum of ``unit``, whose bytes begin at ``at`` of ``buffer``; return it.

    A bitmap's checksum is only returned, because it is stored in the group's descriptor. Returns
    None and writes nothing if the format has no checksum for this kind of unit. Raises
    ``ValueError`` if a field that locates the checksum (``eh_max``, ``limit``) leaves no space for
    it.
    """
    kind = unit.kind
    if kind is UnitKind.GROUP_DESC:
        return _set_group_desc_checksum(fmt, unit, buffer, at)
    if kind is UnitKind.JOURNAL_SUPERBLOCK:
        # The journal has its own feature words.
        features = JOURNAL_SUPERBLOCK.get(buffer, at, "s_feature_incompat")
        assert isinstance(features, int)
        if features & (JBD2_FEATURE_INCOMPAT_CSUM_V2 | JBD2_FEATURE_INCOMPAT_CSUM_V3):
            return set_journal_superblock_checksum(buffer, at)
        return None
    make = _CHECKSUMS.get(kind)
    return make(fmt, unit, buffer, at) if make is not None and fmt.metadata_csum else None


def _set_group_desc_checksum(fmt: Format, unit: Unit, buffer: WriteBuffer, at: int) -> int | None:
    desc = buffer[at : at + unit.size]
    if fmt.group_desc_checksum is Checksum.CRC32C:
        value = group_desc_checksum(fmt.checksum_seed, unit.number, desc)
    elif fmt.group_desc_checksum is Checksum.CRC16:
        value = group_desc_crc16(fmt.uuid, unit.number, desc)
    else:
        return None
    GROUP_DESC_32.set(buffer, at, "bg_checksum", value)
    return value


def _set_inode_checksum(fmt: Format, unit: Unit, buffer: WriteBuffer, at: int) -> int:
    generation = INODE_128.get(buffer, at, "i_generation")
    assert isinstance(generation, int)
    return set_inode_checksum(buffer, at, unit.size, fmt.checksum_seed, unit.owner, generation)


def _owner_seed(fmt: Format, unit: Unit) -> int:
    return inode_seed(fmt.checksum_seed, unit.owner, unit.generation)


def _block_number(fmt: Format, unit: Unit) -> int:
    return unit.offset // fmt.block_size


def _of_bytes(buffer: WriteBuffer, at: int, size: int) -> memoryview:
    return memoryview(buffer)[at : at + size]


_CHECKSUMS: dict[UnitKind, Callable[[Format, Unit, WriteBuffer, int], int]] = {
    UnitKind.SUPERBLOCK: lambda _fmt, _unit, buffer, at: set_superblock_checksum(buffer, at),
    # csum.c:ext2fs_block_bitmap_csum_set and ext2fs_inode_bitmap_csum_set: padding does not count
    UnitKind.BLOCK_BITMAP: lambda fmt, _unit, buffer, at: bitmap_checksum(
        fmt.checksum_seed, _of_bytes(buffer, at, fmt.clusters_per_group // 8)
    ),
    UnitKind.INODE_BITMAP: lambda fmt, _unit, buffer, at: bitmap_checksum(
        fmt.checksum_seed, _of_bytes(buffer, at, fmt.inodes_per_group // 8)
    ),
    UnitKind.INODE: _set_inode_checksum,
    UnitKind.EXTENT_BLOCK: lambda fmt, unit, buffer, at: set_extent_block_checksum(
        buffer, at, unit.size, _owner_seed(fmt, unit)
    ),
    UnitKind.DIR_BLOCK: lambda fmt, unit, buffer, at: set_dir_block_checksum(
        buffer, at, unit.size, _owner_seed(fmt, unit)
    ),
    UnitKind.DX_ROOT: lambda fmt, unit, buffer, at: set_dx_root_checksum(
        buffer, at, unit.size, _owner_seed(fmt, unit)
    ),
    UnitKind.DX_NODE: lambda fmt, unit, buffer, at: set_dx_node_checksum(
        buffer, at, unit.size, _owner_seed(fmt, unit)
    ),
    UnitKind.XATTR_BLOCK: lambda fmt, unit, buffer, at: set_xattr_block_checksum(
        buffer, at, unit.size, fmt.checksum_seed, _block_number(fmt, unit)
    ),
    UnitKind.ORPHAN_BLOCK: lambda fmt, unit, buffer, at: set_orphan_block_checksum(
        buffer, at, unit.size, _owner_seed(fmt, unit), _block_number(fmt, unit)
    ),
    UnitKind.MMP: lambda fmt, _unit, buffer, at: set_mmp_checksum(buffer, at, fmt.checksum_seed),
}
