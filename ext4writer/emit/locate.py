"""Finds the record and the unit of a planned image that an override names."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

from ..errors import OverrideError, RecordError
from ..ondisk.dirent import DIR_ENTRY_2, DIR_ENTRY_TAIL, decode_rec_len
from ..ondisk.extent import EXTENT, EXTENT_HEADER, EXTENT_IDX, EXTENT_TAIL, entries_per_block
from ..ondisk.format import MappingKind
from ..ondisk.group_desc import GROUP_DESC, GROUP_DESC_32
from ..ondisk.htree import (
    DX_ENTRY,
    DX_NODE,
    DX_NODE_COUNT_OFFSET,
    DX_ROOT,
    DX_ROOT_COUNT_OFFSET,
    DX_TAIL,
    node_limit,
    root_limit,
)
from ..ondisk.inode import EXT4_INLINE_DOTDOT_SIZE, EXT4_MIN_INLINE_DATA_SIZE, INODE, INODE_128
from ..ondisk.journal import (
    JOURNAL_SUPERBLOCK,
)
from ..ondisk.mmp import MMP
from ..ondisk.orphan import ORPHAN_BLOCK_TAIL
from ..ondisk.record import Record
from ..ondisk.superblock import SUPERBLOCK
from ..ondisk.units import Unit, UnitKind, checksum_fields, checksum_unit
from ..ondisk.xattr import XATTR_ENTRY, XATTR_HEADER, XATTR_IBODY_HEADER, split_name
from ..planning.directories import IndexedDirectory, InlineDirectory
from ..planning.inodes import ROOT
from ..planning.layout import ImagePlan
from ..planning.system_files.orphan_file import ORPHAN_FILE_PURPOSE
from ..tree import Directory, RegularFile
from .attributes import pack_block
from .override import Override
from .units import PlannedUnits

_NUMBER = re.compile(r"[0-9]{1,19}")

_DIRECTORY_BLOCKS = (UnitKind.DX_ROOT, UnitKind.DX_NODE, UnitKind.DIR_BLOCK)
_BITMAPS = {
    "block_bitmap": (UnitKind.BLOCK_BITMAP, "bg_block_bitmap_csum"),
    "inode_bitmap": (UnitKind.INODE_BITMAP, "bg_inode_bitmap_csum"),
}


class Target(NamedTuple):
    """The place that one override changes."""

    unit: Unit
    put_at: Callable[[bytearray, int], None]
    """Writes the value into a buffer in which the unit begins at the given byte offset."""
    reseal: bool
    """Whether the checksum of the unit is updated for the value."""

    def put(self, data: bytearray, data_offset: int) -> None:
        self.put_at(data, self.unit.offset - data_offset)


class _Place(NamedTuple):
    unit: Unit
    record: Record
    inside: int = 0
    """Byte offset of the record in its unit."""


class _Entries(NamedTuple):
    """A stretch of directory entries inside a unit, and the unit's bytes."""

    unit: Unit
    data: bytes
    first: int
    end: int


class Locator:
    """Finds the targets of overrides in one layout."""

    def __init__(self, layout: ImagePlan) -> None:
        self._layout = layout
        self._format = layout.format
        self._csum = layout.format.metadata_csum
        self._block_size = layout.block_size
        self._units = PlannedUnits(layout)
        self._bitmap_state: dict[tuple[UnitKind, int], bytearray] = {}
        self._finders: dict[str, Callable[[Override], _Place]] = {
            "superblock": self._superblock,
            "group_desc": self._group_desc,
            "inode": self._inode,
            "extent_header": lambda override: self._extent_node(override, EXTENT_HEADER),
            "extent": lambda override: self._extent_node(override, EXTENT),
            "extent_idx": lambda override: self._extent_node(override, EXTENT_IDX),
            "extent_tail": lambda override: self._extent_node(override, EXTENT_TAIL),
            "dir_entry_2": self._dir_entry,
            "dir_entry_tail": lambda override: self._directory_block(override, DIR_ENTRY_TAIL),
            "dx_root": lambda override: self._directory_block(override, DX_ROOT),
            "dx_node": lambda override: self._directory_block(override, DX_NODE),
            "dx_entry": lambda override: self._directory_block(override, DX_ENTRY),
            "dx_tail": lambda override: self._directory_block(override, DX_TAIL),
            "xattr_header": self._xattr_header,
            "xattr_ibody_header": self._xattr_ibody_header,
            "xattr_entry": self._xattr_entry,
            "journal_superblock": self._journal_superblock,
            "mmp": self._mmp,
            "orphan_block_tail": self._orphan_block_tail,
        }

    def targets(self, override: Override) -> Iterator[Target]:
        """Yield the places that ``override`` changes: several for a bit of a resealed bitmap."""
        if override.record in _BITMAPS:
            yield from self._bitmap_targets(override)
            return
        finder = self._finders.get(override.record)
        if finder is None:
            known = ", ".join([*self._finders, *_BITMAPS])
            raise OverrideError(f"override {override}: no such record; there are {known}")
        yield self._target(override, finder(override))

    def _target(self, override: Override, place: _Place) -> Target:
        field, element = _split_field(override)
        record, inside, value = place.record, place.inside, override.value
        row = record.fields.get(field)
        if row is None and len(record.wholes.get(field, ())) > 1:
            return self._whole_target(override, place)
        if row is None:
            known = ", ".join(record.fields)
            raise OverrideError(f"override {override}: {record.name} has the fields {known}")
        if row.is_array and (element is None or element >= row.count):
            raise OverrideError(
                f"override {override}: name an element, {field}[0] to {field}[{row.count - 1}]"
            )
        if not row.is_array and element is not None:
            raise OverrideError(f"override {override}: {field} is no array")
        if row.is_bytes:
            if isinstance(value, int):
                raise OverrideError(f"override {override}: a byte field takes hex:... or text:...")
            value = value.ljust(row.size, b"\0")
        elif isinstance(value, bytes):
            raise OverrideError(f"override {override}: the field takes a number")
        elif value < 0:
            value += 1 << 8 * (row.size // row.count)

        def put(data: bytearray, unit: int) -> None:
            if element is None:
                record.set(data, unit + inside, field, value)
                return
            values = record.get(data, unit + inside, field)
            assert isinstance(values, list) and isinstance(value, int)
            values[element] = value
            record.set(data, unit + inside, field, values)

        try:
            put(bytearray(inside + record.size), 0)
        except RecordError as error:
            raise OverrideError(f"override {override}: {error}") from None
        reseal = override.reseal and field not in checksum_fields(place.unit.kind)
        return Target(place.unit, put, reseal)

    def _whole_target(self, override: Override, place: _Place) -> Target:
        """The target for both parts of a number, such as ``i_size``."""
        field, element = _split_field(override)
        record, value = place.record, override.value
        bits = 8 * sum(record.fields[part].size for part in record.parts(field))
        if element is not None:
            raise OverrideError(f"override {override}: {field} is no array")
        if isinstance(value, bytes):
            raise OverrideError(f"override {override}: the field takes a number")
        if value < 0:
            value += 1 << bits
        if not 0 <= value < 1 << bits:
            raise OverrideError(f"override {override}: {field} holds {bits} bits")

        def put(data: bytearray, unit: int) -> None:
            record.put(data, unit + place.inside, field, value)

        own = checksum_fields(place.unit.kind)
        reseal = override.reseal and not set(record.parts(field)) & set(own)
        return Target(place.unit, put, reseal)

    def _unit(self, override: Override, kind: UnitKind, owner: int, number: int = 0) -> Unit:
        unit = self._units.find(kind, owner, number)
        if unit is None:
            raise OverrideError(f"override {override}: the image has no such {kind.value}")
        return unit

    # -- superblock, descriptors, bitmaps, journal -----------------------------------------------

    def _superblock(self, override: Override) -> _Place:
        group = self._super_group(override, _numbers(override, 1, default=(0,))[0])
        return _Place(self._unit(override, UnitKind.SUPERBLOCK, group), SUPERBLOCK)

    def _super_group(self, override: Override, group: int) -> int:
        if group not in self._layout.geometry.super_groups:
            groups = ", ".join(map(str, self._layout.geometry.super_groups))
            raise OverrideError(f"override {override}: superblocks lie in the groups {groups}")
        return group

    def _group(self, override: Override, group: int) -> int:
        if group >= self._layout.geometry.groups:
            raise OverrideError(
                f"override {override}: the image has {self._layout.geometry.groups} groups"
            )
        return group

    @property
    def _desc_record(self) -> Record:
        return GROUP_DESC if self._format.is_64bit else GROUP_DESC_32

    def _group_desc(self, override: Override) -> _Place:
        group, copy = _numbers(override, 2, default=(0,))
        holders = self._descriptor_holders(self._group(override, group))
        if copy and copy not in holders:
            groups = ", ".join(map(str, holders))
            raise OverrideError(f"override {override}: that descriptor lies in the groups {groups}")
        unit = self._unit(override, UnitKind.GROUP_DESC, copy or holders[0], group)
        return _Place(unit, self._desc_record)

    def _descriptor_holders(self, group: int) -> list[int]:
        """The groups that hold the descriptor of ``group``, the one that a mount reads first."""
        fmt = self._format
        block = group // fmt.descs_per_block
        copies = fmt.desc_block_copies(block, self._layout.geometry.groups)
        return [fmt.group_of(copy) for copy in copies]

    def _bitmap_targets(self, override: Override) -> Iterator[Target]:
        kind, checksum_field = _BITMAPS[override.record]
        group = self._group(override, _numbers(override, 1)[0])
        bit = _number(override.field)
        if bit is None or bit >= 8 * self._block_size:
            raise OverrideError(f"override {override}: the field of a bitmap is a bit's number")
        if override.value not in (0, 1):
            raise OverrideError(f"override {override}: a bit is 0 or 1")
        mask = 1 << bit % 8

        def put(data: bytearray, at: int) -> None:
            if override.value:
                data[at + bit // 8] |= mask
            else:
                data[at + bit // 8] &= ~mask

        unit = self._unit(override, kind, group)
        yield Target(unit, put, True)
        if not override.reseal:
            return
        # Bits changed by earlier overrides count, too.
        state = self._bitmap_state.get((kind, group))
        if state is None:
            made = unit.make() if unit.make is not None else bytes(unit.size)
            state = self._bitmap_state[kind, group] = bytearray(made)
        put(state, 0)
        checksum = checksum_unit(self._format, unit, state)
        if checksum is None:
            return
        for copy in self._descriptor_holders(group):
            desc = self._unit(override, UnitKind.GROUP_DESC, copy, group)

            def put_checksum(data: bytearray, at: int, checksum: int = checksum) -> None:
                self._desc_record.put(data, at, checksum_field, checksum)

            yield Target(desc, put_checksum, True)

    def _journal_superblock(self, override: Override) -> _Place:
        runs = self._units.runs_of(UnitKind.JOURNAL_SUPERBLOCK)
        if not runs:
            raise OverrideError(f"override {override}: the image has no journal")
        if override.index:
            raise OverrideError(f"override {override}: there is only one, without an index")
        return _Place(runs[0].unit(0), JOURNAL_SUPERBLOCK)

    def _mmp(self, override: Override) -> _Place:
        if override.index:
            raise OverrideError(f"override {override}: there is only one, without an index")
        return _Place(self._unit(override, UnitKind.MMP, 0), MMP)

    def _orphan_block_tail(self, override: Override) -> _Place:
        [block] = _numbers(override, 1, default=(0,))
        files = self._layout.system_files
        ino = next((file.ino for file in files if file.purpose == ORPHAN_FILE_PURPOSE), 0)
        unit = self._unit(override, UnitKind.ORPHAN_BLOCK, ino, block)
        return _Place(unit, ORPHAN_BLOCK_TAIL, unit.size - ORPHAN_BLOCK_TAIL.size)

    # -- inodes and what hangs on them -----------------------------------------------------------

    @cached_property
    def _slot_of(self) -> dict[int, int]:
        """The slot of each directory by its index."""
        directories = self._layout.table.directories
        return dict(zip(directories, range(len(directories)), strict=True))

    def _node(self, override: Override, path: str) -> int:
        """The node index of a path, or of an inode number that a node has."""
        table = self._layout.table
        if not path:
            raise OverrideError(f"override {override}: name a file, as a path or inode number")
        number = _number(path)
        if number is not None:
            index = bisect_left(table.inos, number)
            if index == len(table.inos) or table.inos[index] != number:
                raise OverrideError(f"override {override}: no file has inode {path}")
            return index
        index = ROOT
        for name in _encoded(override, path).split(b"/"):
            if name:
                if not isinstance(table.nodes[index], Directory):
                    raise OverrideError(f"override {override}: no such path in the image")
                try:
                    index = table.child(self._slot_of[index], name)
                except KeyError:
                    raise OverrideError(f"override {override}: no such path in the image") from None
        return index

    def _directory(self, override: Override, path: str) -> int:
        index = self._node(override, path)
        if not isinstance(self._layout.table.nodes[index], Directory):
            raise OverrideError(f"override {override}: {path} is no directory")
        return index

    def _inode(self, override: Override) -> _Place:
        ino = _number(override.index)
        if ino is not None:
            if not 1 <= ino <= self._layout.inodes_count:
                raise OverrideError(
                    f"override {override}: inodes are 1 to {self._layout.inodes_count}"
                )
        else:
            ino = self._layout.table.inos[self._node(override, override.index)]
        return self._inode_place(override, ino, self._inode_record)

    @property
    def _inode_record(self) -> Record:
        return INODE if self._format.has_extra_fields else INODE_128

    def _inode_place(self, override: Override, ino: int, record: Record, inside: int = 0) -> _Place:
        return _Place(self._unit(override, UnitKind.INODE, ino), record, inside)

    def _extent_node(self, override: Override, record: Record) -> _Place:
        if self._format.mapping is not MappingKind.EXTENTS:
            raise OverrideError(f"override {override}: files are mapped by blocks, not by extents")
        has_entry = record in (EXTENT, EXTENT_IDX)
        path, numbers = _path_and_numbers(override, 2 if has_entry else 1)
        node, entry = (numbers[0], numbers[1]) if has_entry else (numbers[0], 0)
        index = self._node(override, path)
        held = self._layout.table.nodes[index]
        is_mapped = isinstance(held, RegularFile | Directory) and index not in self._layout.inline
        if not is_mapped and not self._layout.demand.counts[index]:
            raise OverrideError(f"override {override}: {path} has no extent tree")
        ino = self._layout.table.inos[index]
        inside = EXTENT_HEADER.size * (1 + entry) if has_entry else 0
        if node == 0:
            if record is EXTENT_TAIL or inside >= 60:
                raise OverrideError(f"override {override}: i_block has 4 entries and no tail")
            return self._inode_place(override, ino, record, INODE.offset("i_block") + inside)
        blocks = self._layout.placement.map_blocks.get(index, [])
        if node > len(blocks):
            raise OverrideError(f"override {override}: the extent tree has {len(blocks)} blocks")
        per_block = entries_per_block(self._block_size)
        if entry >= per_block:
            raise OverrideError(f"override {override}: a block has {per_block} entries")
        if record is EXTENT_TAIL and not self._csum:
            raise OverrideError(f"override {override}: no such record in that block")
        if record is EXTENT_TAIL:
            inside = EXTENT_HEADER.size + per_block * EXTENT.size
        return _Place(self._unit(override, UnitKind.EXTENT_BLOCK, ino, node), record, inside)

    # -- directories -----------------------------------------------------------------------------

    def _dir_entry(self, override: Override) -> _Place:
        parent, _, name = override.index.rpartition("/")
        index = self._directory(override, parent or "/")
        wanted = _encoded(override, name)
        for unit, data, position, end in self._entry_parts(override, index):
            while position < end:
                entry = DIR_ENTRY_2.parse(data, position)
                length, start = entry["name_len"], position + DIR_ENTRY_2.size
                assert isinstance(length, int) and isinstance(entry["rec_len"], int)
                if entry["inode"] and data[start : start + length] == wanted:
                    return _Place(unit, DIR_ENTRY_2, position)
                position += decode_rec_len(entry["rec_len"], self._block_size)
        raise OverrideError(f"override {override}: no such entry in the image")

    def _entry_parts(self, override: Override, index: int) -> Iterator[_Entries]:
        """Where the entries of a directory lie: in blocks, or in two parts of its inode."""
        ino = self._layout.table.inos[index]
        planned = self._layout.directories.get(index)
        if not isinstance(planned, InlineDirectory):
            for unit in self._units.of_owner(_DIRECTORY_BLOCKS, ino):
                assert unit.make is not None
                data = bytes(unit.make())
                yield _Entries(unit, data, 0, len(data))
            return
        unit = self._unit(override, UnitKind.INODE, ino)
        assert unit.make is not None
        data, at = bytes(unit.make()), INODE.offset("i_block")
        first, end = at + EXT4_INLINE_DOTDOT_SIZE, at + EXT4_MIN_INLINE_DATA_SIZE
        yield _Entries(unit, data, first, end)
        # The first attribute is system.data, and values lie from the end on downwards.
        yield _Entries(unit, data, len(data) - planned.value_bytes, len(data))

    def _directory_block(self, override: Override, record: Record) -> _Place:
        if record is DX_ROOT:
            path, block, entry = override.index, 0, 0
        elif record is DX_ENTRY:
            path, (block, entry) = _path_and_numbers(override, 2)
        else:
            path, (block,) = _path_and_numbers(override, 1)
            entry = 0
        index = self._directory(override, path)
        planned = self._layout.directories.get(index)
        inner = 1 + planned.nodes if isinstance(planned, IndexedDirectory) else 0
        if (record is DIR_ENTRY_TAIL) == (block < inner) or (record is DX_NODE and not block):
            raise OverrideError(
                f"override {override}: blocks 0 to {inner - 1} of it are index blocks"
                if inner
                else f"override {override}: it has no index"
            )
        if record is DIR_ENTRY_TAIL:
            inside = self._block_size - record.size
        elif record is DX_ENTRY:
            base = DX_NODE_COUNT_OFFSET if block else DX_ROOT_COUNT_OFFSET
            inside = base + entry * DX_ENTRY.size
        elif record is DX_TAIL:
            limit, base = (
                (node_limit(self._block_size, self._csum), DX_NODE_COUNT_OFFSET)
                if block
                else (root_limit(self._block_size, self._csum), DX_ROOT_COUNT_OFFSET)
            )
            inside = base + limit * DX_ENTRY.size
        else:
            inside = 0
        if inside + record.size > self._block_size or (
            not self._csum and record in (DIR_ENTRY_TAIL, DX_TAIL)
        ):
            raise OverrideError(f"override {override}: no such record in that block")
        for unit in self._units.of_owner(_DIRECTORY_BLOCKS, self._layout.table.inos[index]):
            if unit.number == block:
                return _Place(unit, record, inside)
        raise OverrideError(f"override {override}: the directory has no block {block}")

    # -- extended attributes ---------------------------------------------------------------------

    def _xattr_header(self, override: Override) -> _Place:
        index = self._node(override, override.index)
        number = self._layout.xattrs.block_of.get(index)
        if number is None:
            raise OverrideError(f"override {override}: it has no attribute block")
        return self._xattr_block_place(override, number, XATTR_HEADER)

    def _xattr_block_place(
        self, override: Override, number: int, record: Record, inside: int = 0
    ) -> _Place:
        offset = self._layout.placement.xattr_blocks[number] * self._block_size
        for run in self._units.runs_of(UnitKind.XATTR_BLOCK):
            unit = run.at(offset)
            if unit is not None:
                return _Place(unit, record, inside)
        raise OverrideError(f"override {override}: the image has no such attribute block")

    def _xattr_ibody_header(self, override: Override) -> _Place:
        index = self._node(override, override.index)
        if index not in self._layout.xattrs.inside_of and index not in self._layout.inline:
            raise OverrideError(f"override {override}: it has no attributes in its inode")
        return self._inode_place(
            override, self._layout.table.inos[index], XATTR_IBODY_HEADER, INODE.size
        )

    def _xattr_entry(self, override: Override) -> _Place:
        # Both a path and a name may contain colons; the contents of the image decide.
        for position, character in enumerate(override.index):
            if character != ":":
                continue
            try:
                wanted = split_name(_encoded(override, override.index[position + 1 :]))
                index = self._node(override, override.index[:position])
            except (ValueError, OverrideError):
                continue
            place = self._find_xattr(override, index, wanted)
            if place is not None:
                return place
        raise OverrideError(f"override {override}: the image has no such attribute; PATH:NAME")

    def _find_xattr(
        self, override: Override, index: int, wanted: tuple[int, bytes]
    ) -> _Place | None:
        xattrs = self._layout.xattrs
        if index in xattrs.inside_of or index in self._layout.inline:
            ino = self._layout.table.inos[index]
            unit = self._unit(override, UnitKind.INODE, ino)
            assert unit.make is not None
            inside = _find_entry(bytes(unit.make()), INODE.size + XATTR_IBODY_HEADER.size, wanted)
            if inside is not None:
                return _Place(unit, XATTR_ENTRY, inside)
        number = xattrs.block_of.get(index)
        if number is not None:
            block = pack_block(xattrs.blocks[number], 1, self._block_size)
            inside = _find_entry(block, XATTR_HEADER.size, wanted)
            if inside is not None:
                return self._xattr_block_place(override, number, XATTR_ENTRY, inside)
        return None


def _find_entry(area: bytes, position: int, wanted: tuple[int, bytes]) -> int | None:
    while area[position : position + 4] != bytes(4):
        length, index = area[position], area[position + 1]
        start = position + XATTR_ENTRY.size
        if (index, area[start : start + length]) == wanted:
            return position
        position = start + (length + 3 & ~3)
    return None


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _encoded(override: Override, text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise OverrideError(f"override {override}: the text has no form in bytes") from None


def _split_field(override: Override) -> tuple[str, int | None]:
    name, bracket, rest = override.field.partition("[")
    if not bracket:
        return name, None
    element = _number(rest.removesuffix("]"))
    if element is None or not rest.endswith("]"):
        raise OverrideError(f"override {override}: an element is a number in brackets")
    return name, element


def _numbers(override: Override, most: int, default: tuple[int, ...] = ()) -> list[int]:
    """The numbers of an index ``A:B``; those missing after the first are 0."""
    if not override.index and default:
        numbers = list(default)
    else:
        given = [_number(part) for part in override.index.split(":")]
        numbers = [number for number in given if number is not None]
        if len(numbers) < len(given) or len(numbers) > most:
            raise OverrideError(f"override {override}: the index must be a number")
    return numbers + [0] * (most - len(numbers))


def _path_and_numbers(override: Override, count: int) -> tuple[str, list[int]]:
    """The path and the last ``count`` numbers of an index ``PATH:A:B``."""
    path = override.index
    numbers: list[int] = []
    while len(numbers) < count:
        rest, colon, last = path.rpartition(":")
        number = _number(last)
        if not colon or number is None:
            break
        path = rest
        numbers.insert(0, number)
    return path, [0] * (count - len(numbers)) + numbers
