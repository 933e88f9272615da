"""Partition tables: MBR with its chain of logical partitions, and GPT.

Rules: UEFI Specification 2.10, chapter 5 (GPT, protective MBR).
"""

from __future__ import annotations

import struct
from uuid import UUID

from ..arithmetic import round_down
from ..errors import ImageError
from ..late_dataclasses import NamedTuple
from .stores import Store

_SECTOR_SIZES = (512, 4096)
_MBR_ENTRY = struct.Struct("<B3xB3xII")
_MBR_TABLE = 446
_MBR_MAGIC = b"\x55\xaa"
_MBR_EXTENDED = (0x05, 0x0F, 0x85)
_MBR_PROTECTIVE = 0xEE
_FIRST_LOGICAL = 5
_GPT_HEADER = struct.Struct("<8s64xQII")
_GPT_MAGIC = b"EFI PART"
_GPT_ENTRY = struct.Struct("<16s16sQQQ72s")
_GPT_ENTRIES_MAX = 4096
_LOGICAL_MAX = 256


class Partition(NamedTuple):
    """One partition; ``offset`` and ``size`` are in bytes, ``number`` is that of Linux."""

    number: int
    offset: int
    size: int
    kind: str
    """The type: ``0x83`` or a UUID."""
    name: str


def partitions(store: Store) -> list[Partition]:
    """Return the partitions of a disk, ascending by number; none if there is no table."""
    if store.size < 512:
        return []
    sector = store.read(0, 512)
    if sector[510:512] != _MBR_MAGIC:
        return []
    rows = [_MBR_ENTRY.unpack_from(sector, _MBR_TABLE + 16 * row) for row in range(4)]
    if any(kind == _MBR_PROTECTIVE for _, kind, _, _ in rows):
        found = _gpt(store)
        if found:
            return found
    primary, logical = [], []
    for number, (_, kind, first, count) in enumerate(rows, 1):
        if kind in _MBR_EXTENDED:
            logical += _logical(store, first)
        elif kind and kind != _MBR_PROTECTIVE and count:
            primary.append(Partition(number, first * 512, count * 512, f"{kind:#04x}", ""))
    return primary + logical


def _logical(store: Store, base: int) -> list[Partition]:
    """Follow the chain of tables in an extended partition; each has one partition and a link."""
    found: list[Partition] = []
    seen: set[int] = set()
    at = base
    while at not in seen and len(seen) < _LOGICAL_MAX and (at + 1) * 512 <= store.size:
        seen.add(at)
        sector = store.read(at * 512, 512)
        if sector[510:512] != _MBR_MAGIC:
            break
        _, kind, first, count = _MBR_ENTRY.unpack_from(sector, _MBR_TABLE)
        if kind and count:
            number = _FIRST_LOGICAL + len(found)
            offset = (at + first) * 512
            found.append(Partition(number, offset, count * 512, f"{kind:#04x}", ""))
        _, kind, first, _ = _MBR_ENTRY.unpack_from(sector, _MBR_TABLE + 16)
        if kind not in _MBR_EXTENDED:
            break
        at = base + first
    return found


def _gpt(store: Store) -> list[Partition]:
    for sector in _SECTOR_SIZES:
        for header_at in (sector, round_down(store.size, sector) - sector):
            if header_at + 512 > store.size or header_at < sector:
                continue
            header = _GPT_HEADER.unpack_from(store.read(header_at, 512))
            magic, table, count, size = header
            start = table * sector
            fits = count <= _GPT_ENTRIES_MAX and _GPT_ENTRY.size <= size <= 4096
            if magic == _GPT_MAGIC and fits and start + count * size <= store.size:
                return _gpt_entries(store.read(start, count * size), count, size, sector)
    return []


def _gpt_entries(table: bytes, count: int, size: int, sector: int) -> list[Partition]:
    found = []
    for row in range(count):
        kind, _, first, last, _, name = _GPT_ENTRY.unpack_from(table, row * size)
        if any(kind) and first <= last:
            label = name.decode("utf-16-le", "replace").partition("\0")[0]
            uuid = str(UUID(bytes_le=kind))
            length = (last - first + 1) * sector
            found.append(Partition(row + 1, first * sector, length, uuid, label))
    return found


def partition(store: Store, number: int) -> Partition:
    """Return one partition; raise :class:`ImageError` that lists all if there is none."""
    found = partitions(store)
    for part in found:
        if part.number == number:
            if part.offset >= store.size:
                raise ImageError(store.name, f"ends before partition {number} begins")
            return part
    known = ", ".join(str(part.number) for part in found)
    raise ImageError(
        store.name,
        f"has no partition {number}; there are {known}" if known else "has no partition table",
    )
