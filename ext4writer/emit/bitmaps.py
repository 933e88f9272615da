"""Block and inode bitmaps of every group, and which of them are left to the kernel."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from ..ondisk.superblock import EXT4_GOOD_OLD_FIRST_INO
from ..plan.layout import Layout


class BitmapEmitter:
    """Makes the bitmaps of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._full = b"\xff" * layout.block_size
        # Where much is free, one group after the other looks the same.
        self._last_free: list[tuple[int, int]] = []
        self._last_bitmap = self._full
        self._behind = [behind for _, behind in layout.free_ranges]
        features = layout.features
        self.lazy = "metadata_csum" in features or "uninit_bg" in features
        """Whether groups may be flagged as not initialised."""
        self._block_uninit = self._untouched_groups()
        per_group, free_inodes = layout.geometry.inodes_per_group, layout.groups.free_inodes
        self._inode_uninit = [self.lazy and free == per_group for free in free_inodes]

    def _untouched_groups(self) -> list[bool]:
        geometry, free_blocks = self._layout.geometry, self._layout.groups.free_blocks
        if not self.lazy:
            return [False] * geometry.groups
        whole = geometry.rules.blocks_per_group
        untouched = [free == whole for free in free_blocks]
        for group in geometry.super_groups:
            untouched[group] = free_blocks[group] == whole - geometry.head_blocks
        # The last group's is always written, because its end must be padded.
        untouched[-1] = False
        return untouched

    def block_uninit(self, group: int) -> bool:
        """Whether the kernel can make the group's block bitmap itself: ext4_init_block_bitmap."""
        return self._block_uninit[group]

    def inode_uninit(self, group: int) -> bool:
        """Whether no inode of the group is in use."""
        return self._inode_uninit[group]

    def uninit(self) -> Iterator[tuple[bool, bool]]:
        """What is so of the block bitmap and of the inode bitmap, group by group."""
        return zip(self._block_uninit, self._inode_uninit, strict=True)

    def block_bitmap_groups(self) -> Iterator[int]:
        """The groups whose block bitmap is written, ascending."""
        return (group for group, uninit in enumerate(self._block_uninit) if not uninit)

    def inode_bitmap_groups(self) -> Iterator[int]:
        """The groups whose inode bitmap is written, ascending."""
        return (group for group, uninit in enumerate(self._inode_uninit) if not uninit)

    def block_bitmap(self, group: int) -> bytes:
        """One block: a bit for each block of the group, ones behind its end."""
        layout = self._layout
        if not layout.groups.free_blocks[group]:
            return self._full
        first = layout.geometry.group_first_block(group)
        end = first + layout.geometry.group_blocks(group)
        free = []
        for index in range(bisect_right(self._behind, first), len(self._behind)):
            low, behind = layout.free_ranges[index]
            if low >= end:
                break
            free.append((max(low, first) - first, min(behind, end) - first))
        if free != self._last_free:
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
