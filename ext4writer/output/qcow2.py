"""A qcow2 disk, version 3.

Rules: docs/interop/qcow2.rst of QEMU, and QEMU's block/qcow2.c for what that leaves open.
"""

from __future__ import annotations

import zlib
from array import array
from struct import Struct
from sys import byteorder

from ..arithmetic import ceil_div, round_up
from .blocked import BlockedSink, check_size

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
ENTRIES = CLUSTER // 8
"""Entries of an L2 table, which occupies one cluster."""
MAX_BYTES = (32 << 20) // 8 * ENTRIES * CLUSTER
"""QCOW_MAX_L1_SIZE of QEMU's block/qcow2.h is 32 MiB."""
REFCOUNTS = CLUSTER // 2
"""Entries of a refcount block, of 16 bits each."""
REFCOUNT_ORDER = 4

OFLAG_COPIED = 1 << 63
OFLAG_COMPRESSED = 1 << 62
COMPRESSED_OFFSET_BITS = 62 - (CLUSTER_BITS - 8)
COMPRESSED_SECTOR = 512
WINDOW_BITS = -12
"""Raw deflate, with the window size of QEMU's decompressor."""

HEADER = Struct(">4sIQIIQIIQQIIQQQQII")
HEADER_BYTES = HEADER.size
MAGIC = b"QFI\xfb"
VERSION = 3


class Qcow2Sink(BlockedSink):
    """Writes the header and the L1 table, then data in image order, then the other tables."""

    def __init__(self, path: bytes, size: int, *, is_compressed: bool, sync: bool) -> None:
        check_size(path, size, MAX_BYTES)
        super().__init__(path, size, CLUSTER, sync=sync)
        self._is_compressed = is_compressed
        clusters = ceil_div(size, CLUSTER)
        self._l1_entries = ceil_div(clusters, ENTRIES)
        l1_clusters = ceil_div(self._l1_entries * 8, CLUSTER)
        self._end = (1 + l1_clusters) * CLUSTER
        """End of the allocated bytes of the file."""
        self._tables: dict[int, array[int]] = {}
        """L1 index -> L2 table, for those with entries."""
        self._refcounts = array("H", bytes(2 * (1 + l1_clusters)))
        """With compression: the reference count of each cluster of the file."""

    def _put(self, number: int, view: memoryview) -> None:
        if self._is_compressed:
            for at in range(0, len(view), CLUSTER):
                self._put_compressed(number + at // CLUSTER, view[at : at + CLUSTER])
            return
        self._write(self._end, view)
        for at in range(0, len(view), CLUSTER):
            self._map(number + at // CLUSTER, OFLAG_COPIED | self._end + at)
        self._end += len(view)

    def _put_compressed(self, number: int, view: memoryview) -> None:
        encoder = zlib.compressobj(wbits=WINDOW_BITS)
        packed = encoder.compress(view) + encoder.flush()
        if len(packed) >= CLUSTER:
            # Compression does not help, so it is stored uncompressed in its own cluster.
            self._end = round_up(self._end, CLUSTER)
            self._write(self._end, view)
            self._count(self._end, CLUSTER)
            self._map(number, OFLAG_COPIED | self._end)
            self._end += CLUSTER
            return
        self._write(self._end, packed)
        self._count(self._end, len(packed))
        last = self._end + len(packed) - 1
        further = last // COMPRESSED_SECTOR - self._end // COMPRESSED_SECTOR
        self._map(number, OFLAG_COMPRESSED | further << COMPRESSED_OFFSET_BITS | self._end)
        self._end += len(packed)

    def _count(self, offset: int, length: int) -> None:
        """Increment the reference count of each cluster of the file that a range touches."""
        first, last = offset // CLUSTER, (offset + length - 1) // CLUSTER
        if last >= len(self._refcounts):
            self._refcounts.extend([0] * (last + 1 - len(self._refcounts)))
        for cluster in range(first, last + 1):
            self._refcounts[cluster] += 1

    def _map(self, number: int, entry: int) -> None:
        """Set the L2 entry of guest cluster ``number``."""
        table = self._tables.get(number // ENTRIES)
        if table is None:
            table = self._tables[number // ENTRIES] = array("Q", bytes(CLUSTER))
        table[number % ENTRIES] = entry

    def _complete(self) -> None:
        self._end = round_up(self._end, CLUSTER)
        l1 = array("Q", bytes(8 * self._l1_entries))
        for number, table in sorted(self._tables.items()):
            l1[number] = OFLAG_COPIED | self._end
            self._write(self._end, _big_endian(table))
            self._end += CLUSTER
        self._write(CLUSTER, _big_endian(l1))
        table_offset, table_clusters = self._put_refcounts()
        header = HEADER.pack(
            MAGIC,
            VERSION,
            *(0, 0),  # no backing file
            CLUSTER_BITS,
            self.size,
            0,  # no encryption
            self._l1_entries,
            CLUSTER,
            table_offset,
            table_clusters,
            *(0, 0),  # no snapshots
            *(0, 0, 0),  # no features
            REFCOUNT_ORDER,
            HEADER_BYTES,
        )
        self._write(0, header)
        self._set_size(self._end)

    def _put_refcounts(self) -> tuple[int, int]:
        """Write refcount blocks and their table; return its offset in bytes and its clusters."""
        taken = self._end // CLUSTER
        blocks = table = 0
        while True:
            needed = ceil_div(taken + blocks + table, REFCOUNTS)
            if needed <= blocks:
                break
            blocks, table = needed, ceil_div(needed * 8, CLUSTER)
        total = taken + blocks + table
        counts = array("H", [1]) * total
        for cluster, users in enumerate(self._refcounts):
            if users:
                counts[cluster] = users
        counts.extend([0] * (blocks * REFCOUNTS - total))
        first = self._end
        self._write(first, _big_endian(counts))
        block_offsets = array("Q", range(first, first + blocks * CLUSTER, CLUSTER))
        table_offset = first + blocks * CLUSTER
        self._write(table_offset, _big_endian(block_offsets))
        self._end = table_offset + table * CLUSTER
        return table_offset, table


def _big_endian(values: array[int]) -> bytes:
    if byteorder == "little":
        values = values[:]
        values.byteswap()
    return values.tobytes()
