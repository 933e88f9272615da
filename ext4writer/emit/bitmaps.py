"""Block and inode bitmaps of all groups, and which of them are left to the kernel."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import compress, count

from ..arithmetic import ceil_div
from ..bits import ones, run_of_bits
from ..ondisk.superblock import EXT4_GOOD_OLD_FIRST_INO
from ..ondisk.units import UnitKind, UnitRun
from ..planning.layout import ImagePlan
from ..spans import Span

_NEGATION = bytes([1]) + bytes(255)
"""Translates a byte to 1 if it is 0, and to 0 otherwise."""


class BitmapEmitter:
    """Builds the bitmaps of one layout."""

    def __init__(self, layout: ImagePlan) -> None:
        self._layout = layout
        self._full = b"\xff" * layout.block_size
        # Many groups of a mostly free image have equal bitmaps.
        self._last_free: list[Span] = []
        self._last_bitmap = self._full
        self._alike: dict[int, bytes] = {}
        # A small image asks twice in a row for the same bitmap: for its checksum and to write it.
        self._last_inode_bitmap = (-1, b"")
        whole_groups, self._partly_free = self._free_groups()
        self.block_uninit = self._untouched_groups(whole_groups)
        """A byte for each group: 1 if its block bitmap is left to the kernel
        (ext4_init_block_bitmap)."""
        self.inode_uninit = self._groups_without_inodes()
        """A byte for each group: 1 if none of its inodes is in use."""

    def _free_groups(self) -> tuple[bytearray, dict[int, list[Span]]]:
        """Return a byte for each group, 1 if it is entirely free, and the free ranges of others.

        The ranges are by group, in clusters from its start, and only for partly free groups.
        """
        geometry = self._layout.geometry
        per_group, origin = geometry.format.clusters_per_group, geometry.format.first_data_cluster
        whole = bytearray(geometry.groups)
        ones = b"\1" * geometry.groups
        partly: dict[int, list[Span]] = {}
        for first, stop in self._layout.free_ranges:
            group, start = divmod(first - origin, per_group)
            last, end = divmod(stop - origin, per_group)
            if group == last:
                partly.setdefault(group, []).append(Span(start, end))
                continue
            if start:
                partly.setdefault(group, []).append(Span(start, per_group))
                group += 1
            whole[group:last] = ones[group:last]
            if end:
                partly.setdefault(last, []).append(Span(0, end))
        return whole, partly

    def _untouched_groups(self, untouched: bytearray) -> bytes:
        """Return a byte for each group, 1 if its block bitmap is left to the kernel.

        ``untouched`` has 1 for each group that is entirely free. A group with a backup is not. The
        kernel could build its bitmap, but a repair that starts from a backup could not. So mke2fs
        1.47.1 and later write it (lib/ext2fs/initialize.c:ext2fs_initialize, "numblocks == 0").
        """
        geometry = self._layout.geometry
        if not self._layout.format.has_uninit_groups:
            return bytes(geometry.groups)
        if self._layout.spec.group_tables == "mke2fs":
            self._mark_groups_with_own_metadata(untouched)
        # The last group's bitmap is always written, because its end must be padded.
        untouched[-1] = False
        return self._without("BLOCK_UNINIT", untouched)

    def _mark_groups_with_own_metadata(self, untouched: bytearray) -> None:
        """Set the bytes of groups that hold only their own metadata.

        Groups with metadata of other groups do not qualify: ext4_init_block_bitmap marks only a
        group's own. The first group must have a bitmap (ext4_read_block_bitmap_nowait).
        """
        layout, geometry = self._layout, self._layout.geometry
        fmt, free = geometry.format, layout.groups.free_blocks
        groups: Sequence[int] = fmt.head_groups(geometry.groups)
        if fmt.groups_per_flex == 1:
            # Each group has tables. If a cluster is a block, most groups have no other metadata.
            if fmt.blocks_per_cluster == 1:
                plain = fmt.clusters_per_group - 2 - geometry.inode_table_blocks
                untouched[:] = bytes(map(plain.__eq__, free))
            else:
                groups = range(geometry.groups)
            untouched[0] = False
        for group in groups[1:]:
            untouched[group] = free[group] == fmt.clusters_per_group - geometry.own_clusters(group)
        # lib/ext2fs/alloc.c:check_inode_uninit; the kernel does the same.
        per_group = geometry.inodes_per_group
        for group in range(ceil_div(layout.table.last_ino, per_group)):
            if layout.groups.free_inodes[group] < per_group:
                untouched[group] = False

    def _without(self, flag: str, groups: bytes | bytearray) -> bytes:
        """Return ``groups`` with 0 for each group that the policy leaves without ``flag``."""
        flagged = bytearray(groups)
        for group in self._layout.inode_choices.without.get(flag, ()):
            flagged[group] = 0
        return bytes(flagged)

    def _groups_without_inodes(self) -> bytes:
        layout = self._layout
        groups, per_group = layout.geometry.groups, layout.geometry.inodes_per_group
        if not self._layout.format.has_uninit_groups:
            return bytes(groups)
        some = layout.groups.free_inodes[: ceil_div(layout.table.last_ino, per_group)]
        free = bytes(map(per_group.__eq__, some)).ljust(groups, b"\1")
        return self._without("INODE_UNINIT", free)

    def runs(self) -> Iterator[UnitRun]:
        """Yield the bitmaps that are written."""
        return self._runs(self.block_bitmap_groups(), self.inode_bitmap_groups(), written=True)

    def blank_runs(self) -> Iterator[UnitRun]:
        """Yield the bitmaps that are left to the kernel, without a function that builds them."""
        left = (compress(count(), uninit) for uninit in (self.block_uninit, self.inode_uninit))
        return self._runs(*left, written=False)

    def _runs(
        self, block_groups: Iterator[int], inode_groups: Iterator[int], *, written: bool
    ) -> Iterator[UnitRun]:
        geometry, size = self._layout.geometry, self._layout.block_size
        for kind, groups, blocks, make in (
            (UnitKind.BLOCK_BITMAP, block_groups, geometry.block_bitmaps, self.block_bitmap),
            (UnitKind.INODE_BITMAP, inode_groups, geometry.inode_bitmaps, self.inode_bitmap),
        ):
            for group in groups:
                of_group = partial(make, group) if written else None
                yield UnitRun(kind, group, 0, blocks[group] * size, size, make=of_group)

    def block_bitmap_groups(self) -> Iterator[int]:
        """Yield the groups whose block bitmap is written, ascending."""
        return compress(count(), self.block_uninit.translate(_NEGATION))

    def inode_bitmap_groups(self) -> Iterator[int]:
        """Yield the groups whose inode bitmap is written, ascending."""
        return compress(count(), self.inode_uninit.translate(_NEGATION))

    def block_bitmap(self, group: int) -> bytes:
        """Return one block: a bit for each cluster of the group, then ones."""
        known = self._alike.get(group)
        if known is not None:
            return known
        block_size = self._layout.block_size
        free = self._partly_free.get(group)
        if free is None:
            if not self._layout.groups.free_blocks[group]:
                return self._full
            free = [Span(0, self._layout.format.clusters_per_group)]
        if free == self._last_free:
            self._alike[group] = self._last_bitmap
        else:
            bits = ones(8 * block_size)
            for low, end in free:
                bits ^= run_of_bits(low, end - low)
            self._last_free, self._last_bitmap = free, bits.to_bytes(block_size, "little")
        return self._last_bitmap

    def inode_bitmap(self, group: int) -> bytes:
        """Return one block: a bit for each inode of the group, then ones."""
        if self._last_inode_bitmap[0] != group:
            self._last_inode_bitmap = group, self._inode_bitmap(group)
        return self._last_inode_bitmap[1]

    def _inode_bitmap(self, group: int) -> bytes:
        layout = self._layout
        per_group = layout.geometry.inodes_per_group
        base = group * per_group
        used = max(0, min(EXT4_GOOD_OLD_FIRST_INO - 1 - base, per_group))
        bits = ones(used)
        inos = layout.table.inos
        low = bisect_left(inos, base + 1)
        high = bisect_left(inos, base + per_group + 1)
        if high > low:
            first, last = inos[low] - base - 1, inos[high - 1] - base - 1
            if last - first == high - 1 - low:
                bits |= run_of_bits(first, high - low)
            else:
                # The digits of a binary number, the last inode first: faster than many shifts.
                digits = bytearray(b"0" * per_group)
                for index in range(low, high):
                    digits[per_group - inos[index] + base] = ord("1")
                bits |= int(digits, 2)
        for ino in layout.table.nameless_in(range(base + 1, base + per_group + 1)):
            bits |= 1 << ino - base - 1
        bits |= run_of_bits(per_group, 8 * layout.block_size - per_group)
        return bits.to_bytes(layout.block_size, "little")
