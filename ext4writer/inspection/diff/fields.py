"""Compares superblocks, group descriptors and inodes field by field."""

from __future__ import annotations

from typing import Any

from ...ondisk.inode import EXT4_GOOD_OLD_INODE_SIZE, INODE, decode_time
from ...ondisk.record import Record, Value
from ...ondisk.superblock import SUPERBLOCK
from ...ondisk.units import Unit, UnitKind
from ...read import Image, Inode
from ...read.units import group_units
from ..show import TIMES
from ..words import iso_time, words
from .found import FIELD, PLACE, Differences

Numbers = dict[str, int | bytes | list[int]]

SEEN_AS_PATHS = frozenset(
    (
        *("i_mode", "i_uid", "i_gid", "i_size", "i_links_count", "i_projid"),
        *(name + tail for name in TIMES for tail in ("", "_extra")),
    )
)
"""Fields that the level of paths reports."""
_NOT_INODES = frozenset(("i_block", "i_checksum"))
"""Fields that are compared as content and runs, or that follow from others."""
_OWN_PLACE = frozenset(("s_block_group_nr",))


def described(record: Record, whole: str, value: Value, block_size: int) -> Any:
    """Return a value with its meaning, as a JSON value."""
    shown: Any = value.hex() if isinstance(value, bytes) else value
    meaning = record.meanings[record.parts(whole)[0]]
    means = words(value, meaning, block_size, field=whole)
    if isinstance(value, bytes) and meaning.unit == "text":
        return means or None
    if not means:
        return shown
    return means if isinstance(value, bytes) else f"{shown} ({means})"


def is_checksum(record: Record, whole: str) -> bool:
    """Return whether a number is a checksum, which follows from other fields."""
    return record.meanings[record.parts(whole)[0]].unit == "checksum"


def is_place(record: Record, whole: str) -> bool:
    """Return whether a number is a location."""
    return record.meanings[record.parts(whole)[0]].unit == "block"


def changed(record: Record, a: Numbers, b: Numbers) -> list[str]:
    """Return the names of the numbers that differ; checksums only if nothing else does."""
    names = [whole for whole in record.wholes if whole in a and a[whole] != b.get(whole)]
    return [whole for whole in names if not is_checksum(record, whole)] or names


def compare_superblocks(a: Image, b: Image, found: Differences) -> None:
    """Compare the superblocks, and report other differences between their backups."""
    names = changed(SUPERBLOCK, a.superblock, b.superblock)
    for whole in names:
        found.add(FIELD, f"superblock.{whole}", "superblock", *_both(SUPERBLOCK, whole, a, b))
    for group in range(min(a.groups, b.groups)):
        backups = [_superblock_of(image, group) for image in (a, b)]
        if not group or None in backups:
            continue
        first, second = (SUPERBLOCK.join(SUPERBLOCK.parse(data)) for data in backups if data)
        for whole in changed(SUPERBLOCK, first, second):
            pair = first[whole], second[whole]
            repeats = pair == (a.superblock[whole], b.superblock[whole])
            if not repeats and whole not in _OWN_PLACE and not is_checksum(SUPERBLOCK, whole):
                where = f"backup of the superblock in group {group}"
                values = (described(SUPERBLOCK, whole, value, a.block_size) for value in pair)
                found.add(FIELD, f"backup superblock.{whole}", where, *values)


def _both(record: Record, whole: str, a: Image, b: Image) -> tuple[Any, Any]:
    return (
        described(record, whole, a.superblock[whole], a.block_size),
        described(record, whole, b.superblock[whole], b.block_size),
    )


def _superblock_of(image: Image, group: int) -> bytes | None:
    if not image.format.has_super(group):
        return None
    offset = image.format.super_offset(group)
    return image.read(offset, SUPERBLOCK.size) if offset < image.store.size else None


def compare_groups(a: Image, b: Image, found: Differences) -> None:
    """Compare the descriptors, and their backups, of the groups that both images have."""
    for group in range(min(a.groups, b.groups)):
        _compare_descriptors(group, a, b, found)
    if a.format.desc_size == b.format.desc_size:
        _compare_descriptor_copies(a, b, found)


def _compare_descriptors(group: int, a: Image, b: Image, found: Differences) -> None:
    first, second = a.descriptor(group), b.descriptor(group)
    if first == second:
        return
    record = min((a.desc_record, b.desc_record), key=lambda each: each.size)
    for whole in changed(record, dict(first), dict(second)):
        level = PLACE if is_place(record, whole) else FIELD
        values = (described(record, whole, each[whole], 0) for each in (first, second))
        found.add(level, f"group_desc.{whole}", f"group {group}", *values)


def _compare_descriptor_copies(a: Image, b: Image, found: Differences) -> None:
    """Report backups that differ in another way than the primary descriptors."""
    record = min((a.desc_record, b.desc_record), key=lambda each: each.size)
    for group in range(1, min(a.groups, b.groups)):
        copies = [
            [run for run in group_units(image, group) if run.kind is UnitKind.GROUP_DESC]
            for image in (a, b)
        ]
        for one, other in zip(*copies, strict=False):
            count = min(one.count, other.count)
            size = one.size
            data = a.read(one.offset, count * size), b.read(other.offset, count * size)
            if data[0] == data[1]:
                continue
            for place in range(count):
                unit = one.unit(place)
                pieces = [each[place * size : (place + 1) * size] for each in data]
                if pieces[0] != pieces[1] and unit.offset != a.descriptor_offset(unit.number):
                    _compare_copy(record, unit, pieces, (a, b), found)


def _compare_copy(
    record: Record, unit: Unit, pieces: list[bytes], images: tuple[Image, Image], found: Differences
) -> None:
    first, second = (record.join(record.parse(each)) for each in pieces)
    primary = [image.descriptor(unit.number) for image in images]
    for whole in changed(record, first, second):
        pair = first[whole], second[whole]
        if pair != (primary[0][whole], primary[1][whole]) and not is_checksum(record, whole):
            where = f"copy in group {unit.owner} of the descriptor of group {unit.number}"
            values = (described(record, whole, value, 0) for value in pair)
            found.add(FIELD, f"backup group_desc.{whole}", where, *values)


def inode_numbers(inode: Inode) -> Numbers:
    """Return the numbers of an inode that fit into its size."""
    end = EXT4_GOOD_OLD_INODE_SIZE + inode.extra_isize
    record = inode.record
    raw = inode.raw[:end] if record is INODE else inode.raw
    return record.join(record.parse(raw[: record.size].ljust(record.size, b"\0")))


def compare_inodes(path: str, a: Inode, b: Inode, found: Differences) -> bool:
    """Compare the fields of two inodes of one path; return whether any difference was reported."""
    if a.raw == b.raw:
        return False
    record = min((a.record, b.record), key=lambda each: each.size)
    first, second = inode_numbers(a), inode_numbers(b)
    reported = False
    for whole in changed(record, first, second):
        if whole in _NOT_INODES or (whole in SEEN_AS_PATHS and "path" in found.levels):
            continue
        level = PLACE if is_place(record, whole) else FIELD
        found.add(level, f"inode.{whole}", path, *_of_inodes(record, whole, first, second))
        reported = True
    return reported


def _of_inodes(record: Record, whole: str, a: Numbers, b: Numbers) -> tuple[Any, Any]:
    values: list[Any] = []
    for numbers in (a, b):
        value = numbers[whole]
        if whole in TIMES:
            assert isinstance(value, int)
            extra = numbers.get(f"{whole}_extra", 0)
            assert isinstance(extra, int)
            values.append(iso_time(*divmod(decode_time(value, extra), 10**9)))
        else:
            values.append(described(record, whole, value, 0))
    return values[0], values[1]
