"""Block and inode bitmaps of every group, and which of them are left to the kernel."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import compress, count

from ..ondisk.superblock import EXT4_GOOD_OLD_FIRST_INO
from ..plan.layout import Layout

_NEGATION = bytes([1]) + bytes(255)


class BitmapEmitter:
    """Makes the bitmaps of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._full = b"\xff" * layout.block_size
        # Where much is free, one group after the other looks the same.
        self._last_free: list[tuple[int, int]] = []
        self._last_bitmap = self._full
        self._alike: dict[int, bytes] = {}
        self._behind = [behind for _, behind in layout.free_ranges]
        features = layout.features
        self.lazy = "metadata_csum" in features or "uninit_bg" in features
        """Whether groups may be flagged as not initialised."""
        self.block_uninit = self._untouched_groups()
        """A byte for each group: 1 if the kernel can make its block bitmap itself
        (ext4_init_block_bitmap)."""
        per_group, free_inodes = layout.geometry.inodes_per_group, layout.groups.free_inodes
        self.inode_uninit = bytes(layout.geometry.groups)
        """A byte for each group: 1 if no inode of it is in use."""
        if self.lazy:
            self.inode_uninit = bytes(map(per_group.__eq__, free_inodes))

    def _untouched_groups(self) -> bytes:
        geometry, free_blocks = self._layout.geometry, self._layout.groups.free_blocks
        if not self.lazy:
            return bytes(geometry.groups)
        whole = geometry.rules.blocks_per_group
        untouched = bytearray(map(whole.__eq__, free_blocks))
        for group in geometry.super_groups:
            untouched[group] = free_blocks[group] == whole - geometry.head_blocks
        # The last group's is always written, because its end must be padded.
        untouched[-1] = False
        return bytes(untouched)

    def block_bitmap_groups(self) -> Iterator[int]:
        """The groups whose block bitmap is written, ascending."""
        return compress(count(), self.block_uninit.translate(_NEGATION))

    def inode_bitmap_groups(self) -> Iterator[int]:
        """The groups whose inode bitmap is written, ascending."""
        return compress(count(), self.inode_uninit.translate(_NEGATION))

    def block_bitmap(self, group: int) -> bytes:
        """One block: a bit for each block of the group, ones behind its end."""
        known = self._alike.get(group)
        if known is not None:
            return known
        layout = self._layout
        if not layout.groups.free_blocks[group]:
            return self._full
        first, end = layout.geometry.group_range(group)
        free = []
        for index in range(bisect_right(self._behind, first), len(self._behind)):
            low, behind = layout.free_ranges[index]
            if low >= end:
                break
            free.append((max(low, first) - first, min(behind, end) - first))
        if free == self._last_free:
            self._alike[group] = self._last_bitmap
        else:
            bits = (1 << 8 * layout.block_size) - 1
            for low, behind in free:
                bits ^= ((1 << behind - low) - 1) << low
            self._last_free, self._last_bitmap = free, bits.to_bytes(layout.block_size, "little")
        return self._last_bitmap

    def inode_bitmap(self, group: int) -> bytes:
        """One block: a bit for each inode of the group, ones behind them."""
        layout = self._layout
        per_group = layout.geometry.inodes_per_group
        base = group * per_group
        used = max(0, min(EXT4_GOOD_OLD_FIRST_INO - 1 - base, per_group))
        bits = (1 << used) - 1
        inos = layout.table.inos
        low = bisect_left(inos, base + 1)
        high = bisect_left(inos, base + per_group + 1)
        if high > low:
            first, last = inos[low] - base - 1, inos[high - 1] - base - 1
            if last - first == high - 1 - low:
                bits |= ((1 << high - low) - 1) << first
            else:
                marks = bytearray(b"0" * per_group)
                for index in range(low, high):
                    marks[per_group - inos[index] + base] = 0x31
                bits |= int(marks, 2)
        bits |= ((1 << 8 * layout.block_size - per_group) - 1) << per_group
        return bits.to_bytes(layout.block_size, "little")
