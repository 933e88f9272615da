"""Reads the disk in a qcow2 file; trusts nothing, and opens no other file.

Rules: docs/interop/qcow2.rst of QEMU.
"""

from __future__ import annotations

import zlib
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from struct import Struct, unpack
from typing import TypeVar

from ..arithmetic import ceil_div
from ..bits import ones
from ..errors import ImageError
from ..spans import Span
from .stores import Store

MAGIC = b"QFI\xfb"
HEADER = Struct(">4sIQIIQIIQ")
"""The fields of the header up to l1_table_offset."""
INCOMPATIBLE = Struct(">Q")
INCOMPATIBLE_AT = 72
CLUSTER_BITS = range(9, 22)
L1_BYTES_MOST = 32 << 20
"""QCOW_MAX_L1_SIZE of QEMU's block/qcow2.h."""
DIRTY = 1 << 0
"""Reference counts may be wrong; they are not read here."""
OFLAG_COMPRESSED = 1 << 62
OFLAG_ZERO = 1 << 0
OFFSET_MASK = (1 << 56) - (1 << 9)
SECTOR = 512
WINDOW_BITS = -12
KEPT_BYTES = 4 << 20
"""The most bytes of tables, and of decompressed clusters, that are cached."""

Kept = TypeVar("Kept", bytes, "array[int]")


def is_qcow2(store: Store) -> bool:
    """Whether ``store`` begins like a qcow2 file."""
    return store.size >= HEADER.size and store.read(0, len(MAGIC)) == MAGIC


class Qcow2Store(Store):
    """The disk that a guest sees in a qcow2 file."""

    def __init__(self, inner: Store) -> None:
        """Raises :class:`~ext4writer.ImageError` for a disk that cannot be read, or not alone."""
        self.name = inner.name
        self.inner = inner
        header = HEADER.unpack(inner.read(0, HEADER.size))
        _, version, backing, _, bits, size, crypt_method, l1_size, l1_offset = header
        if version not in (2, 3):
            raise self._wrong(f"version {version} is unknown")
        if backing:
            raise self._wrong("it has a backing file, which is not followed")
        if crypt_method:
            raise self._wrong("it is encrypted")
        self._has_zeros = version == 3
        if version == 3:
            [features] = INCOMPATIBLE.unpack(inner.read(INCOMPATIBLE_AT, INCOMPATIBLE.size))
            if features & ~DIRTY:
                raise self._wrong(
                    f"it has incompatible features {features & ~DIRTY:#x}, such as zstd or a "
                    "data file; convert it with 'qemu-img convert -O raw'"
                )
        if bits not in CLUSTER_BITS:
            raise self._wrong(f"it has clusters of 2^{bits} bytes")
        self.size = size
        self._cluster = 1 << bits
        self._entries = self._cluster // 8
        self._sectors_at = 62 - (bits - 8)
        """The first bit of the number of sectors in a compressed entry."""
        needed = ceil_div(size, self._cluster * self._entries)
        if needed > l1_size or needed * 8 > L1_BYTES_MOST:
            raise self._wrong(f"its L1 table has {l1_size} entries, but {size} bytes need {needed}")
        self._l1 = _numbers(inner.read(l1_offset, needed * 8))
        self._tables: OrderedDict[int, array[int]] = OrderedDict()
        self._unpacked: OrderedDict[int, bytes] = OrderedDict()
        self._most_kept = max(1, KEPT_BYTES // self._cluster)

    def _wrong(self, problem: str) -> ImageError:
        return ImageError(self.name, f"is a qcow2 disk that cannot be read: {problem}")

    def _read(self, offset: int, count: int) -> bytes:
        pieces = []
        end = offset + count
        while offset < end:
            number, within = divmod(offset, self._cluster)
            length = min(self._cluster - within, end - offset)
            entry = self._entry(number)
            if entry & OFLAG_COMPRESSED:
                pieces.append(self._compressed(entry)[within : within + length])
            elif self._is_zero(entry):
                pieces.append(bytes(length))
            else:
                pieces.append(self._data(entry & OFFSET_MASK, within, length))
            offset += length
        return b"".join(pieces)

    def _entry(self, number: int) -> int:
        """The L2 entry of a cluster of the guest."""
        table = self._table(number // self._entries)
        return 0 if table is None else table[number % self._entries]

    def _table(self, number: int) -> array[int] | None:
        at = self._l1[number] & OFFSET_MASK
        if not at:
            return None
        found = self._tables.get(at)
        if found is None:
            found = _numbers(self.inner.read(at, self._cluster))
            _keep(self._tables, at, found, self._most_kept)
        return found

    def _is_zero(self, entry: int) -> bool:
        return not entry & OFFSET_MASK or bool(self._has_zeros and entry & OFLAG_ZERO)

    def _data(self, at: int, within: int, length: int) -> bytes:
        """Bytes of a cluster of the file; the file may end inside its last cluster."""
        there = max(0, min(length, self.inner.size - at - within))
        if at >= self.inner.size:
            raise self._wrong(f"it has a cluster at byte {at}, but the file ends before that")
        data = self.inner.read(at + within, there) if there else b""
        return data.ljust(length, b"\0")

    def _compressed(self, entry: int) -> bytes:
        found = self._unpacked.get(entry)
        if found is not None:
            return found
        at = entry & ones(self._sectors_at)
        sectors = (entry & OFLAG_COMPRESSED - 1) >> self._sectors_at
        length = min((sectors + 1) * SECTOR - at % SECTOR, max(0, self.inner.size - at))
        packed = self.inner.read(at, length)
        try:
            found = zlib.decompressobj(WINDOW_BITS).decompress(packed, self._cluster)
        except zlib.error as error:
            raise self._wrong(f"the compressed cluster at byte {at} is damaged") from error
        if len(found) != self._cluster:
            raise self._wrong(f"the compressed cluster at byte {at} ends early")
        _keep(self._unpacked, entry, found, self._most_kept)
        return found

    def stored(self, start: int, end: int) -> Iterator[Span]:
        """Yield the spans of clusters that are stored, with adjacent ones joined."""
        reach = self._cluster * self._entries
        first = position = start
        while position < end:
            number = position // self._cluster
            if self._table(number // self._entries) is None:
                until, is_stored = (position // reach + 1) * reach, False
            else:
                entry = self._entry(number)
                is_stored = bool(entry & OFLAG_COMPRESSED) or not self._is_zero(entry)
                until = (number + 1) * self._cluster
            until = min(until, end)
            if not is_stored:
                if position > first:
                    yield Span(first, position)
                first = until
            position = until
        if position > first:
            yield Span(first, position)

    def close(self) -> None:
        self.inner.close()


def _numbers(data: bytes) -> array[int]:
    return array("Q", unpack(f">{len(data) // 8}Q", data))


def _keep(kept: OrderedDict[int, Kept], key: int, value: Kept, most: int) -> None:
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)
