"""Explains each byte of metadata, field by field, from the declarations of the format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..arithmetic import ceil_div
from ..bits import le32, lowest_bit
from ..errors import display_path
from ..late_dataclasses import NamedTuple
from ..nodes import S_IFLNK
from ..ondisk.dirent import DIR_ENTRY_2, DIR_ENTRY_TAIL, EXT4_FT_DIR_CSUM, decode_rec_len
from ..ondisk.extent import EXT4_EXT_MAGIC, EXTENT, EXTENT_HEADER, EXTENT_IDX, EXTENT_TAIL
from ..ondisk.fast_commit import EXT4_FC_TAG_TAIL, FC_NAMES, FC_TL, FC_VALUES, TAGS
from ..ondisk.group_desc import GROUP_DESC, GROUP_DESC_32
from ..ondisk.htree import DX_ENTRY, DX_NODE, DX_ROOT, DX_TAIL
from ..ondisk.inode import (
    EXT4_EA_INODE_FL,
    EXT4_EXTENTS_FL,
    EXT4_GOOD_OLD_INODE_SIZE,
    EXT4_INLINE_DOTDOT_SIZE,
    EXT4_N_BLOCKS,
    INODE,
    INODE_128,
    decode_time,
)
from ..ondisk.journal import JOURNAL_HEADER, JOURNAL_SUPERBLOCK
from ..ondisk.journal_log import (
    JOURNAL_BLOCK_TAG,
    JOURNAL_BLOCK_TAG3,
    JOURNAL_BLOCK_TAIL,
    JOURNAL_COMMIT_HEADER,
    JOURNAL_REVOKE_HEADER,
)
from ..ondisk.mmp import MMP
from ..ondisk.orphan import ORPHAN_BLOCK_TAIL, orphans_per_block
from ..ondisk.quota import (
    QT_BLKSIZE,
    QUOTA_BLOCK_HEADER,
    QUOTA_ENTRY,
    QUOTA_HEADER,
    QUOTA_INFO,
)
from ..ondisk.record import Record
from ..ondisk.superblock import SUPERBLOCK
from ..ondisk.units import Unit, UnitKind, checksum_fields, checksum_unit
from ..ondisk.xattr import (
    EXT4_XATTR_INDEX_ENCRYPTION,
    EXT4_XATTR_MAGIC,
    NAME_INDEXES,
    XATTR_ENTRY,
    XATTR_HEADER,
    XATTR_IBODY_HEADER,
    entry_size,
)
from ..read import FileReader, Image, Inode
from ..read.quota import ENTRIES, check_header, entry_offsets, quota_inodes, tree_blocks
from ..read.xattr_entries import inline_value
from .words import iso_time, words

_QUOTA_MOST_BYTES = 1 << 24
"""How much of a quota file is read to find out what each block holds, in bytes."""

TIMES = ("i_atime", "i_ctime", "i_mtime", "i_crtime")


class Row(NamedTuple):
    """Some bytes and their meaning; ``offset`` is in bytes from the start of the file system."""

    offset: int
    size: int
    name: str
    """``record.field``, or a description of the bytes."""
    value: int | str | list[int]
    """Byte strings are hexadecimal digits."""
    means: str
    """The value in words; empty if the number is enough."""

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return self._asdict()


def fields(
    image: Image, record: Record, data: bytes, offset: int, *, at: int = 0, label: str = ""
) -> list[Row]:
    """Return a row for each field of the record at byte ``at`` of ``data``.

    ``offset`` is the byte of the file system at which ``data`` begins. Fields that do not fit
    into ``data`` are left out.
    """
    rows = []
    for name, field in record.fields.items():
        start = at + field.offset
        if start + field.size > len(data):
            break
        value = record.get(data[: at + record.size].ljust(at + record.size, b"\0"), at, name)
        meaning = record.meanings[name]
        means = words(value, meaning, image.block_size, field=name)
        if meaning.high in record.fields and at + record.size <= len(data):
            whole = meaning.whole or name.removesuffix("_lo")
            number = record.number(data, at, whole)
            if number != value:
                means = f"{number} with {meaning.high}"
        shown: int | str | list[int] = value.hex() if isinstance(value, bytes) else value
        rows.append(Row(offset + start, field.size, f"{label or record.name}.{name}", shown, means))
    return rows


def explain(image: Image, unit: Unit) -> list[Row]:
    """Return rows that together cover every byte of a unit, by ascending offset."""
    data = image.read(unit.offset, unit.size)
    rows = _EXPLAINERS.get(unit.kind, _raw)(image, unit, data)
    rows = _checked(image, unit, data, rows)
    return _without_gaps(rows, unit.offset, data)


def _checked(image: Image, unit: Unit, data: bytes, rows: list[Row]) -> list[Row]:
    """Add to the row of the checksum whether it is right."""
    names = checksum_fields(unit.kind)
    resealed = bytearray(data)
    try:
        checksum = checksum_unit(image.format, unit, resealed)
    except ValueError:
        return rows
    if checksum is None or not names:
        return rows
    verdict = "right" if resealed == data else f"wrong: {checksum:#x} would be right"
    last = max(
        (place for place, row in enumerate(rows) if row.name.partition(".")[2] in names),
        default=None,
    )
    if last is not None:
        rows[last] = rows[last]._replace(means=verdict)
    return rows


def _without_gaps(rows: list[Row], offset: int, data: bytes) -> list[Row]:
    """Add rows for the bytes that no row covers."""
    complete: list[Row] = []
    end = offset

    def fill(until: int) -> None:
        if until > end:
            rest = data[end - offset : until - offset]
            means = "zeros" if not any(rest) else ""
            complete.append(Row(end, until - end, "unused", rest.hex() if any(rest) else "", means))

    for row in sorted(rows, key=lambda row: row.offset):
        if row.offset < end:
            continue
        fill(row.offset)
        complete.append(row)
        end = row.offset + row.size
    fill(offset + len(data))
    return complete


def _raw(_image: Image, unit: Unit, data: bytes) -> list[Row]:
    return [Row(unit.offset, unit.size, unit.kind.value, data.hex(), "")]


def _one_record(record: Record) -> Any:
    def explain_record(image: Image, unit: Unit, data: bytes) -> list[Row]:
        return fields(image, record, data, unit.offset)

    return explain_record


def _group_desc(image: Image, unit: Unit, data: bytes) -> list[Row]:
    record = GROUP_DESC if unit.size >= GROUP_DESC.size else GROUP_DESC_32
    return fields(image, record, data, unit.offset)


def _bitmap(image: Image, unit: Unit, data: bytes) -> list[Row]:
    """Return one row that lists the ranges in use and the free ones."""
    fmt = image.format
    if unit.kind is UnitKind.BLOCK_BITMAP:
        first, counted = fmt.group_first_block(unit.owner), fmt.clusters_per_group
        step, what = fmt.blocks_per_cluster, "blocks"
    else:
        first, counted = unit.owner * image.inodes_per_group + 1, image.inodes_per_group
        step, what = 1, "inodes"
    ranges = []
    bits = int.from_bytes(data[: ceil_div(counted, 8)], "little")
    position = 0
    while position < counted:
        is_used = bits >> position & 1
        rest = bits >> position
        flipped = ~rest if is_used else rest
        length = lowest_bit(flipped) if flipped else counted - position
        length = min(max(length, 1), counted - position)
        start = first + position * step
        last = start + length * step - 1
        ranges.append(f"{what} {start}-{last} {'in use' if is_used else 'free'}")
        position += length
    size = ceil_div(counted, 8)
    return [Row(unit.offset, size, f"{unit.kind.value}.bits", data[:size].hex(), "; ".join(ranges))]


def _inode(image: Image, unit: Unit, data: bytes) -> list[Row]:
    """The fields, the content of ``i_block``, and the extended attributes inside the inode."""
    inode = Inode(image, unit.owner, unit.offset, data)
    large = image.format.has_extra_fields
    record = INODE if large else INODE_128
    end = EXT4_GOOD_OLD_INODE_SIZE + (inode.extra_isize if large else 0)
    if large:
        end = max(end, INODE.offset("i_extra_isize") + 2)
    rows = []
    for row in fields(image, record, data[:end], unit.offset):
        name = row.name.partition(".")[2]
        if name in TIMES:
            assert isinstance(row.value, int)
            row = row._replace(means=_inode_time(record, data, end, name))
        elif name.endswith("_extra"):
            assert isinstance(row.value, int)
            row = row._replace(means=f"{row.value >> 2} ns, epoch {row.value & 3}")
        elif name == "i_block":
            rows += _i_block(image, inode, row)
            continue
        rows.append(row)
    if inode.flags & EXT4_EA_INODE_FL and inode.is_file:
        rows = [row._replace(means=_OF_VALUES.get(row.name, row.means)) for row in rows]
    inside = _xattrs_inside(image, inode)
    if inode.is_directory and inode.has_inline_data:
        inside = _inline_entries(image, inode, inside)
    return rows + inside


_OF_VALUES = {
    "inode.i_atime": "the hash of the attribute value that it holds",
    "inode.i_ctime": "the number of attributes that refer to the value, upper 32 bits",
    "inode.l_i_version": "the number of attributes that refer to the value",
}
"""Meanings of fields in an inode that holds an attribute value (ea_inode; fs/ext4/xattr.c)."""


def _inline_entries(image: Image, inode: Inode, rows: list[Row]) -> list[Row]:
    """Replace, in the rows of attributes, the bytes of inline directory entries by the entries."""
    value, offset = inline_value(inode)
    at = offset - inode.offset
    return [
        each
        for row in rows
        for each in (
            _entries(image, inode.raw, inode.offset, at, at + len(value))
            if value and row.offset == offset
            else [row]
        )
    ]


def _inode_time(record: Record, data: bytes, end: int, name: str) -> str:
    low = record.number(data, 0, name)
    extra = 0
    field = record.fields.get(f"{name}_extra")
    if field is not None and field.offset + field.size <= end:
        extra = record.number(data, 0, field.name)
    return iso_time(*divmod(decode_time(low, extra), 10**9)) or ""


def _i_block(image: Image, inode: Inode, row: Row) -> list[Row]:
    data, offset = inode.block_bytes, row.offset
    if inode.has_inline_data and inode.is_directory:
        parent = le32(data)
        size = EXT4_INLINE_DOTDOT_SIZE
        return [
            Row(offset, size, "i_block[0]", parent, "inode of the parent directory"),
            *_entries(image, data, offset, size, len(data)),
        ]
    if inode.has_inline_data:
        return [row._replace(means="the first bytes of the content")]
    if inode.file_type == S_IFLNK and inode.is_fast_symlink:
        return [row._replace(means=display_path(data[: inode.size]))]
    if inode.is_device:
        major, minor = inode.device
        return [row._replace(means=f"device {major}:{minor}")]
    if inode.flags & EXT4_EXTENTS_FL:
        return _extents(image, data, offset)
    if not (inode.is_file or inode.is_directory or inode.is_symlink):
        return [row]
    levels = ["direct"] * 12 + ["indirect", "double indirect", "triple indirect"]
    rows = []
    for place in range(EXT4_N_BLOCKS):
        block = le32(data, 4 * place)
        name = f"i_block[{place}]"
        rows.append(Row(offset + 4 * place, 4, name, block, levels[place] if block else "hole"))
    return rows


def _extents(image: Image, data: bytes, offset: int) -> list[Row]:
    rows = fields(image, EXTENT_HEADER, data, offset)
    if EXTENT_HEADER.number(data, 0, "eh_magic") != EXT4_EXT_MAGIC:
        return rows
    depth = EXTENT_HEADER.number(data, 0, "eh_depth")
    record = EXTENT_IDX if depth else EXTENT
    count = EXTENT_HEADER.number(data, 0, "eh_entries")
    for place in range(min(count, (len(data) - EXTENT_HEADER.size) // record.size)):
        at = EXTENT_HEADER.size + place * record.size
        rows += fields(image, record, data, offset, at=at, label=f"{record.name}[{place}]")
    tail = EXTENT_HEADER.size + EXTENT.size * EXTENT_HEADER.number(data, 0, "eh_max")
    if len(data) > 4 * EXT4_N_BLOCKS and tail + EXTENT_TAIL.size <= len(data):
        rows += fields(image, EXTENT_TAIL, data, offset, at=tail)
    return rows


def _extent_block(image: Image, unit: Unit, data: bytes) -> list[Row]:
    return _extents(image, data, unit.offset)


def _indirect(_image: Image, unit: Unit, data: bytes) -> list[Row]:
    rows = []
    for place in range(0, len(data), 4):
        block = le32(data, place)
        if block:
            rows.append(Row(unit.offset + place, 4, f"block[{place // 4}]", block, ""))
    return rows


def _dir_block(image: Image, unit: Unit, data: bytes) -> list[Row]:
    return _entries(image, data, unit.offset, 0, len(data))


def _entries(image: Image, data: bytes, offset: int, start: int, end: int) -> list[Row]:
    rows: list[Row] = []
    at, number = start, 0
    while at + DIR_ENTRY_2.size <= end:
        length = decode_rec_len(DIR_ENTRY_2.number(data, at, "rec_len"), image.block_size)
        name_len = DIR_ENTRY_2.number(data, at, "name_len")
        is_tail = (
            DIR_ENTRY_2.number(data, at, "file_type") == EXT4_FT_DIR_CSUM
            and not DIR_ENTRY_2.number(data, at, "inode")
            and length == DIR_ENTRY_TAIL.size == end - at
        )
        if is_tail:
            return rows + fields(image, DIR_ENTRY_TAIL, data, offset, at=at)
        label = f"{DIR_ENTRY_2.name}[{number}]"
        rows += fields(image, DIR_ENTRY_2, data, offset, at=at, label=label)
        name = data[at + 8 : min(at + 8 + name_len, end)]
        if name:
            where = offset + at + 8
            rows.append(Row(where, len(name), f"{label}.name", name.hex(), display_path(name)))
        if length < DIR_ENTRY_2.size or at + length > end:
            return rows
        at, number = at + length, number + 1
    return rows


def _index(record: Record) -> Any:
    def explain_index(image: Image, unit: Unit, data: bytes) -> list[Row]:
        rows = fields(image, record, data, unit.offset)
        count_at = record.offset("limit")
        limit, count = record.number(data, 0, "limit"), record.number(data, 0, "count")
        for place in range(1, min(count, (len(data) - count_at) // DX_ENTRY.size)):
            at, label = count_at + place * DX_ENTRY.size, f"{DX_ENTRY.name}[{place}]"
            rows += fields(image, DX_ENTRY, data, unit.offset, at=at, label=label)
        tail = count_at + DX_ENTRY.size * limit
        if image.format.metadata_csum and tail + DX_TAIL.size <= len(data):
            rows += fields(image, DX_TAIL, data, unit.offset, at=tail)
        return rows

    return explain_index


def _xattr_block(image: Image, unit: Unit, data: bytes) -> list[Row]:
    rows = fields(image, XATTR_HEADER, data, unit.offset)
    return rows + _xattr_entries(image, data, unit.offset, XATTR_HEADER.size, 0)


def _xattrs_inside(image: Image, inode: Inode) -> list[Row]:
    start = EXT4_GOOD_OLD_INODE_SIZE + inode.extra_isize
    raw = inode.raw
    if not inode.extra_isize or start + XATTR_IBODY_HEADER.size > len(raw):
        return []
    if XATTR_IBODY_HEADER.number(raw, start, "h_magic") != EXT4_XATTR_MAGIC:
        return []
    rows = fields(image, XATTR_IBODY_HEADER, raw, inode.offset, at=start)
    first = start + XATTR_IBODY_HEADER.size
    return rows + _xattr_entries(image, raw, inode.offset, first, first)


def _xattr_entries(image: Image, data: bytes, offset: int, first: int, base: int) -> list[Row]:
    rows: list[Row] = []
    at, number = first, 0
    while at + XATTR_ENTRY.size <= len(data) and any(data[at : at + 4]):
        label = f"{XATTR_ENTRY.name}[{number}]"
        rows += fields(image, XATTR_ENTRY, data, offset, at=at, label=label)
        size = XATTR_ENTRY.number(data, at, "e_name_len")
        name = data[at + XATTR_ENTRY.size : at + XATTR_ENTRY.size + size]
        prefix = NAME_INDEXES.get(XATTR_ENTRY.number(data, at, "e_name_index"), "?.")
        full = prefix + display_path(name)
        if name:
            where = offset + at + XATTR_ENTRY.size
            rows.append(Row(where, len(name), f"{label}.name", name.hex(), full))
        value_at = base + XATTR_ENTRY.number(data, at, "e_value_offs")
        length = XATTR_ENTRY.number(data, at, "e_value_size")
        in_place = not XATTR_ENTRY.number(data, at, "e_value_inum")
        if in_place and length and value_at + length <= len(data):
            value = data[value_at : value_at + length]
            if XATTR_ENTRY.number(data, at, "e_name_index") == EXT4_XATTR_INDEX_ENCRYPTION:
                rows += _context(image, value, offset + value_at)
                at += entry_size(size)
                number += 1
                continue
            text = display_path(value) if value.rstrip(b"\0").isascii() else ""
            rows.append(Row(offset + value_at, length, f"{label}.value", value.hex(), text))
        at += entry_size(size)
        number += 1
    return rows


def _context(image: Image, value: bytes, offset: int) -> list[Row]:
    """The fields of an encryption context."""
    from ..ondisk.encryption import FSCRYPT_CONTEXT_V1, FSCRYPT_CONTEXT_V2

    for record in (FSCRYPT_CONTEXT_V1, FSCRYPT_CONTEXT_V2):
        if len(value) == record.size:
            return fields(image, record, value, offset)
    return [Row(offset, len(value), "value", value.hex(), "")]


def _orphans(image: Image, unit: Unit, data: bytes) -> list[Row]:
    rows = []
    count = orphans_per_block(len(data))
    for place in range(count):
        ino = le32(data, 4 * place)
        if ino:
            rows.append(Row(unit.offset + 4 * place, 4, f"inode[{place}]", ino, ""))
    return rows + fields(image, ORPHAN_BLOCK_TAIL, data, unit.offset, at=4 * count)


def _log_block(record: Record) -> Any:
    """Return the explainer of a descriptor block, revoke block or commit block."""

    def explain_log_block(image: Image, unit: Unit, data: bytes) -> list[Row]:
        from ..read.journal import Journal

        journal = Journal(image)
        rows = fields(image, record, data, unit.offset)
        if record is JOURNAL_HEADER:
            tag = JOURNAL_BLOCK_TAG3 if journal.csum_v3 else JOURNAL_BLOCK_TAG
            for place, at in enumerate(journal.tag_places(data)):
                label = f"{tag.name}[{place}]"
                rows += [
                    row
                    for row in fields(image, tag, data, unit.offset, at=at, label=label)
                    if journal.is_64bit or not row.name.endswith("t_blocknr_high")
                ]
        elif record is JOURNAL_REVOKE_HEADER:
            width = 8 if journal.is_64bit else 4
            for place, block in enumerate(journal.revoked_by(data)):
                at = unit.offset + record.size + place * width
                rows.append(Row(at, width, f"block[{place}]", block, ""))
        if journal.has_checksums and record is not JOURNAL_COMMIT_HEADER:
            at = len(data) - JOURNAL_BLOCK_TAIL.size
            rows += fields(image, JOURNAL_BLOCK_TAIL, data, unit.offset, at=at)
        return rows

    return explain_log_block


def _copied_block(image: Image, unit: Unit, data: bytes) -> list[Row]:
    """A block that recovery copies: its bytes, and the block to which it is written."""
    from ..read.journal import Journal

    found = [
        tag
        for each in Journal(image).transactions()
        for tag, place in each.blocks
        if place == unit.number
    ]
    means = f"recovery writes it to block {found[0].block}" if found else "never committed"
    return [Row(unit.offset, unit.size, unit.kind.value, data.hex(), means)]


def _fast_commit(image: Image, unit: Unit, data: bytes) -> list[Row]:
    """The tags of a fast commit block, each with the fields of its value."""
    rows: list[Row] = []
    at = number = 0
    while at + FC_TL.size <= len(data):
        tag, length = FC_TL.number(data, at, "fc_tag"), FC_TL.number(data, at, "fc_len")
        rows += fields(image, FC_TL, data, unit.offset, at=at, label=f"{FC_TL.name}[{number}]")
        record, start = FC_VALUES.get(tag), at + FC_TL.size
        end = min(start + length, len(data))
        if record is not None:
            label = f"{record.name}[{number}]"
            rows += fields(image, record, data[:end], unit.offset, at=start, label=label)
            rest = data[start + record.size : end]
            if tag in FC_NAMES and rest:
                where = unit.offset + start + record.size
                rows.append(Row(where, len(rest), f"{label}.name", rest.hex(), display_path(rest)))
        if tag not in TAGS or tag == EXT4_FC_TAG_TAIL:
            break  # padding follows
        at, number = end, number + 1
    return rows


def _verity(image: Image, unit: Unit, data: bytes) -> list[Row]:
    """The hashes of a Merkle tree block, or the fs-verity descriptor with its signature."""
    from ..ondisk.verity import FSVERITY_DESCRIPTOR
    from ..read.verity import verity

    found = verity(image.inode(unit.owner))
    if found is None:
        return []
    at = unit.number * len(data) - found.descriptor_offset
    if at == 0:
        rows = fields(image, FSVERITY_DESCRIPTOR, data, unit.offset)
        if found.signature:
            end = FSVERITY_DESCRIPTOR.size + len(found.signature)
            signature = data[FSVERITY_DESCRIPTOR.size : end]
            where = unit.offset + FSVERITY_DESCRIPTOR.size
            rows.append(Row(where, len(signature), "signature", signature.hex(), ""))
        return rows
    if at > 0:
        return [Row(unit.offset, len(data), "signature", data.hex(), "")]
    size = found.tree.digest_size
    return [
        Row(unit.offset + place, size, f"hash[{number}]", data[place : place + size].hex(), "")
        for number, place in enumerate(range(0, len(data), size))
        if any(data[place : place + size])
    ]


def _symlink(_image: Image, unit: Unit, data: bytes) -> list[Row]:
    target = data.partition(b"\0")[0]
    return [Row(unit.offset, len(target), "target", target.hex(), display_path(target))]


def _quota_block(image: Image, unit: Unit, data: bytes) -> list[Row]:
    """The quota blocks of ``QT_BLKSIZE`` bytes, each by its level in the quota tree."""
    file = FileReader(image.inode(unit.owner)).read_at(0, _QUOTA_MOST_BYTES)
    levels: dict[int, int] = {}
    try:
        check_header(file, quota_inodes(image)[unit.owner])
        levels.update(tree_blocks(file))
    except (KeyError, ValueError):
        pass  # blocks that were found before the damage are still explained
    rows: list[Row] = []
    for start in range(0, len(data), QT_BLKSIZE):
        number = (unit.number * len(data) + start) // QT_BLKSIZE
        part, offset = data[start : start + QT_BLKSIZE], unit.offset + start
        level = levels.get(number)
        if number == 0:
            rows += fields(image, QUOTA_HEADER, part, offset)
            rows += fields(image, QUOTA_INFO, part, offset, at=QUOTA_HEADER.size)
        elif level == ENTRIES:
            rows += fields(image, QUOTA_BLOCK_HEADER, part, offset)
            for place, at in enumerate(entry_offsets(part, 0)):
                label = f"{QUOTA_ENTRY.name}[{place}]"
                rows += fields(image, QUOTA_ENTRY, part, offset, at=at, label=label)
        elif level is not None:
            below = "entries" if level + 1 == ENTRIES else f"level {level + 1} of the tree"
            for at in range(0, len(part), 4):
                child = le32(part, at)
                if child:
                    name = f"quota_tree[{level}][{at // 4}]"
                    rows.append(Row(offset + at, 4, name, child, f"file block of {below}"))
    return rows


_EXPLAINERS = {
    UnitKind.SUPERBLOCK: _one_record(SUPERBLOCK),
    UnitKind.GROUP_DESC: _group_desc,
    UnitKind.BLOCK_BITMAP: _bitmap,
    UnitKind.INODE_BITMAP: _bitmap,
    UnitKind.INODE: _inode,
    UnitKind.EXTENT_BLOCK: _extent_block,
    UnitKind.INDIRECT_BLOCK: _indirect,
    UnitKind.DIR_BLOCK: _dir_block,
    UnitKind.DX_ROOT: _index(DX_ROOT),
    UnitKind.DX_NODE: _index(DX_NODE),
    UnitKind.XATTR_BLOCK: _xattr_block,
    UnitKind.SYMLINK_BLOCK: _symlink,
    UnitKind.ORPHAN_BLOCK: _orphans,
    UnitKind.QUOTA_BLOCK: _quota_block,
    UnitKind.VERITY_BLOCK: _verity,
    UnitKind.JOURNAL_SUPERBLOCK: _one_record(JOURNAL_SUPERBLOCK),
    UnitKind.JOURNAL_DESCRIPTOR: _log_block(JOURNAL_HEADER),
    UnitKind.JOURNAL_REVOKE: _log_block(JOURNAL_REVOKE_HEADER),
    UnitKind.JOURNAL_COMMIT: _log_block(JOURNAL_COMMIT_HEADER),
    UnitKind.JOURNAL_BLOCK: _copied_block,
    UnitKind.FAST_COMMIT: _fast_commit,
    UnitKind.MMP: _one_record(MMP),
}


# -- what is shown ---------------------------------------------------------------------------------


def superblock_units(image: Image, group: int = 0) -> Iterator[Unit]:
    """Yield the superblock of one group; for a journal device, also the journal's superblock."""
    if group:
        image.check_group(group)
    if image.format.journal_dev:
        yield from _of_journal_device(image, UnitKind.SUPERBLOCK, UnitKind.JOURNAL_SUPERBLOCK)
        return
    yield from _of_group(image, group, (UnitKind.SUPERBLOCK,))


def journal_units(image: Image) -> Iterator[Unit]:
    """Yield the superblock of the journal, and the log blocks that recovery reads.

    ``image`` contains the journal or is a journal device.
    """
    kinds = (
        *(UnitKind.JOURNAL_SUPERBLOCK, UnitKind.JOURNAL_DESCRIPTOR, UnitKind.JOURNAL_REVOKE),
        *(UnitKind.JOURNAL_COMMIT, UnitKind.FAST_COMMIT),
    )
    if image.format.journal_dev:
        return _of_journal_device(image, *kinds)
    return units_of_inode(image.inode(image.number("s_journal_inum")), *kinds)


def _of_journal_device(device: Image, *kinds: UnitKind) -> Iterator[Unit]:
    for run in device.unit_runs():
        if run.kind in kinds:
            yield from run.units()


def group_units(image: Image, group: int) -> Iterator[Unit]:
    """Yield the descriptor and bitmaps of one group; raise if the image has no such group."""
    image.descriptor(group)
    offset = image.descriptor_offset(group)
    yield Unit(UnitKind.GROUP_DESC, 0, group, offset, image.format.desc_size)
    yield from _of_group(image, group, (UnitKind.BLOCK_BITMAP, UnitKind.INODE_BITMAP))


def _of_group(image: Image, group: int, kinds: tuple[UnitKind, ...]) -> Iterator[Unit]:
    from ..read import units

    for run in units.group_units(image, group):
        if run.kind in kinds:
            yield from run.units()


def inode_unit(inode: Inode) -> Unit:
    """Return the unit of an inode."""
    return Unit(UnitKind.INODE, inode.ino, 0, inode.offset, len(inode.raw))


def units_of_inode(inode: Inode, *kinds: UnitKind) -> Iterator[Unit]:
    """Yield the units that belong to an inode; ``kinds``, if given, selects among them."""
    from ..read import units

    for run in units.inode_units(inode, set()):
        if not kinds or run.kind in kinds:
            for unit in run.units():
                yield unit._replace(generation=inode.generation)


def descriptor_units(inode: Inode) -> Iterator[Unit]:
    """Yield the blocks that hold the fs-verity descriptor of a file, if it has one."""
    from ..read.verity import verity

    found = verity(inode)
    if found is not None:
        first = found.descriptor_offset // inode.image.block_size
        for unit in units_of_inode(inode, UnitKind.VERITY_BLOCK):
            if unit.number >= first:
                yield unit


def block_units(image: Image, block: int) -> Iterator[Unit]:
    """Yield the units that overlap a block; descriptors and inodes are single units."""
    start, end = block * image.block_size, (block + 1) * image.block_size
    for run in image.unit_runs():
        if run.offset < end and start < run.offset + run.size * run.count:
            for unit in run.units():
                if unit.offset < end and start < unit.offset + unit.size:
                    generation = 0
                    if run.kind not in (UnitKind.INODE, UnitKind.GROUP_DESC) and unit.owner > 0:
                        generation = _generation(image, unit)
                    yield unit._replace(generation=generation)


def _generation(image: Image, unit: Unit) -> int:
    of_inodes = (
        *(UnitKind.EXTENT_BLOCK, UnitKind.DIR_BLOCK, UnitKind.DX_ROOT, UnitKind.DX_NODE),
        UnitKind.ORPHAN_BLOCK,
    )
    return image.inode(unit.owner).generation if unit.kind in of_inodes else 0
