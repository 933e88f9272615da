"""Where the fixed metadata of every block group lies, and what is left between for data.

The rules are ext2fs_initialize and ext2fs_allocate_tables in e2fsprogs' lib/ext2fs, and the
kernel's Documentation/filesystems/ext4/blockgroup.rst.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import SpecError
from .spec import Spec

MIN_BLOCKS_BEHIND_OVERHEAD = 50
"""What mke2fs asks of the last group beside its own metadata, else it drops the group."""

MAX_32BIT_BLOCKS = (1 << 32) - 1

Range = tuple[int, int]
"""First block and the block behind the last one."""


def resize_inode_bytes(block_size: int) -> int:
    """Size of the resize inode (lib/ext2fs/res_gdt.c): all that two levels of blocks can map."""
    per_block = block_size // 4
    return (per_block * per_block + per_block + 12) * block_size


class Rules(NamedTuple):
    """What of the geometry follows from the Spec alone; counts are in blocks or inodes."""

    block_size: int
    inode_size: int
    desc_size: int
    first_data_block: int
    blocks_per_group: int
    groups_per_flex: int
    sparse_super: bool
    resize_inode: bool
    wide: bool
    max_inodes_per_group: int
    inode_unit: int
    """Inodes per group come in multiples of this: whole blocks, and whole bytes of bitmap."""

    @classmethod
    def of(cls, spec: Spec, blocks_count: int = 0) -> Rules:
        """The rules for a Spec and, where it is known to be huge, a size in blocks.

        The resize inode maps 32-bit block numbers; beyond those mke2fs leaves it out (PRS in
        misc/mke2fs.c), and so does this.
        """
        block_size, features = spec.block_size, spec.features
        inodes_per_block = block_size // spec.inode_size
        unit = max(8, inodes_per_block)
        return cls(
            block_size=block_size,
            inode_size=spec.inode_size,
            desc_size=64 if "64bit" in features else 32,
            first_data_block=1 if block_size == 1024 else 0,
            blocks_per_group=8 * block_size,
            groups_per_flex=spec.groups_per_flex if "flex_bg" in features else 1,
            sparse_super="sparse_super" in features,
            resize_inode="resize_inode" in features and blocks_count <= MAX_32BIT_BLOCKS,
            wide="64bit" in features,
            # EXT2_MAX_INODES_PER_GROUP, and one bit each in one block of bitmap.
            max_inodes_per_group=min(8 * block_size, (1 << 16) - inodes_per_block) // unit * unit,
            inode_unit=unit,
        )

    @property
    def descs_per_block(self) -> int:
        return self.block_size // self.desc_size

    def groups_for(self, blocks_count: int) -> int:
        return -(-(blocks_count - self.first_data_block) // self.blocks_per_group)

    def inodes_per_group(self, inodes: int, groups: int) -> int:
        """The least count that gives ``inodes`` over all groups; may exceed the maximum."""
        per_group = -(-inodes // groups)
        return -(-per_group // self.inode_unit) * self.inode_unit

    def inode_table_blocks(self, inodes_per_group: int) -> int:
        return inodes_per_group * self.inode_size // self.block_size

    def gdt_blocks(self, groups: int) -> int:
        return -(-groups // self.descs_per_block)

    def has_super(self, group: int) -> bool:
        """Whether ``group`` holds a superblock (ext2fs_bg_has_super)."""
        if group <= 1 or not self.sparse_super:
            return True
        # The powers are odd, and most callers ask for every group.
        return bool(group & 1) and any(_is_power(group, base) for base in (3, 5, 7))

    def super_groups(self, groups: int) -> list[int]:
        """All groups below ``groups`` that hold a superblock, ascending."""
        if not self.sparse_super:
            return list(range(groups))
        found = {group for group in (0, 1) if group < groups}
        for base in (3, 5, 7):
            power = base
            while power < groups:
                found.add(power)
                power *= base
        return sorted(found)

    def super_groups_count(self, groups: int) -> int:
        """How many of the first ``groups`` hold a superblock; the search for a size asks often."""
        return len(self.super_groups(groups)) if self.sparse_super else groups

    def max_reserved_gdt_blocks(self) -> int:
        """The resize inode's double indirect block maps no more (EXT2_ADDR_PER_BLOCK)."""
        return self.block_size // 4

    def reserved_gdt_blocks(self, blocks_count: int, grow_to_blocks: int | None) -> int:
        """Blocks kept behind the descriptors for later growth (calc_reserved_gdt_blocks).

        Without ``grow_to_blocks``: 1,024 times the size, up to 2^32 blocks, as mke2fs has it.
        """
        if not self.resize_inode:
            return 0
        present = self.gdt_blocks(self.groups_for(blocks_count))
        if grow_to_blocks is None:
            target = min(blocks_count * 1024, MAX_32BIT_BLOCKS)
            wanted = self.gdt_blocks(self.groups_for(target)) - present
            return max(0, min(wanted, self.max_reserved_gdt_blocks()))
        wanted = self.gdt_blocks(self.groups_for(max(grow_to_blocks, blocks_count))) - present
        if wanted > self.max_reserved_gdt_blocks():
            groups = (present + self.max_reserved_gdt_blocks()) * self.descs_per_block
            most = (self.first_data_block + groups * self.blocks_per_group) * self.block_size
            raise SpecError(
                "grow_to",
                f"the resize inode reserves descriptors for at most {most} bytes "
                "with this block size; ask for less, or for larger blocks",
            )
        return wanted

    def last_group_minimum(self, groups: int, inode_table_blocks: int, head_blocks: int) -> int:
        """Blocks that the last of ``groups`` must have (ext2fs_initialize, "rem < overhead").

        ``head_blocks`` is the superblock with all descriptors, counted where the group has them.
        """
        overhead = 2 + inode_table_blocks
        if self.has_super(groups - 1):
            overhead += head_blocks
        return overhead if groups == 1 else overhead + MIN_BLOCKS_BEHIND_OVERHEAD


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1


class Geometry(NamedTuple):
    """The groups of one image of a known size; block numbers are absolute."""

    rules: Rules
    blocks_count: int
    groups: int
    inodes_per_group: int
    gdt_blocks: int
    reserved_gdt_blocks: int
    block_bitmaps: array[int]
    inode_bitmaps: array[int]
    inode_tables: array[int]
    fixed: list[Range]
    """All blocks that hold none of the tree, merged and ascending."""
    super_groups: list[int]

    @property
    def inodes_count(self) -> int:
        return self.inodes_per_group * self.groups

    @property
    def inode_table_blocks(self) -> int:
        return self.rules.inode_table_blocks(self.inodes_per_group)

    @property
    def head_blocks(self) -> int:
        """Superblock, descriptors and reserved descriptors of a group that holds them."""
        return 1 + self.gdt_blocks + self.reserved_gdt_blocks

    @property
    def fixed_blocks(self) -> int:
        """Blocks of superblocks, descriptors, bitmaps and inode tables of the whole image."""
        return len(self.super_groups) * self.head_blocks + self.groups * (
            2 + self.inode_table_blocks
        )

    def group_first_block(self, group: int) -> int:
        return self.rules.first_data_block + group * self.rules.blocks_per_group

    def group_range(self, group: int) -> Range:
        """First block of ``group`` and the one behind it; the last group may be short."""
        first = self.group_first_block(group)
        return first, min(first + self.rules.blocks_per_group, self.blocks_count)

    def group_of(self, block: int) -> int:
        return (block - self.rules.first_data_block) // self.rules.blocks_per_group

    def free_runs(self) -> Iterator[Range]:
        """The ranges between the fixed metadata, ascending."""
        position = self.rules.first_data_block
        for first, behind in self.fixed:
            if first > position:
                yield position, first
            position = behind
        if position < self.blocks_count:
            yield position, self.blocks_count

    @classmethod
    def lay_out(
        cls,
        rules: Rules,
        blocks_count: int,
        inodes_per_group: int,
        reserved_gdt_blocks: int,
    ) -> Geometry | None:
        """Place the metadata of every group; None if it does not fit.

        In each flex group all block bitmaps come first, then all inode bitmaps, then all inode
        tables, as close to its start as the superblock backups allow.
        """
        groups = rules.groups_for(blocks_count)
        gdt_blocks = rules.gdt_blocks(groups)
        head = 1 + gdt_blocks + reserved_gdt_blocks
        table_blocks = rules.inode_table_blocks(inodes_per_group)
        supers = rules.super_groups(groups)
        heads = [
            (first, first + head)
            for first in (
                rules.first_data_block + group * rules.blocks_per_group for group in supers
            )
        ]
        if heads[-1][1] > blocks_count or head > rules.blocks_per_group:
            return None
        block_bitmaps, inode_bitmaps, inode_tables = array("Q"), array("Q"), array("Q")
        fixed: list[Range] = []
        flex_groups = rules.groups_per_flex
        flex_blocks = flex_groups * rules.blocks_per_group
        flex_overhead = flex_groups * (2 + table_blocks)
        group = next_head = 0
        while group < groups:
            first = rules.first_data_block + group * rules.blocks_per_group
            until = heads[next_head][0] if next_head < len(heads) else blocks_count
            alike = (until - first) // flex_blocks
            if alike and flex_overhead <= flex_blocks:
                # Most have nothing in the way, and a huge image has thousands of them.
                starts = range(first, first + alike * flex_blocks, flex_blocks)
                tables = range(2 * flex_groups, flex_overhead, table_blocks)
                _repeat(block_bitmaps, starts, range(flex_groups))
                _repeat(inode_bitmaps, starts, range(flex_groups, 2 * flex_groups))
                _repeat(inode_tables, starts, tables)
                fixed += [(start, start + flex_overhead) for start in starts]
                group += alike * flex_groups
                continue
            count = min(flex_groups, groups - group)
            behind = min(first + count * rules.blocks_per_group, blocks_count)
            last_head = bisect_left(heads, (behind,), next_head)
            placer = _Placer(first, behind, heads[next_head:last_head])
            next_head = last_head
            placer.place(block_bitmaps, count, 1)
            placer.place(inode_bitmaps, count, 1)
            placer.place(inode_tables, count, table_blocks)
            if placer.position > behind:
                return None
            fixed += placer.finish()
            group += count
        return cls(
            rules=rules,
            blocks_count=blocks_count,
            groups=groups,
            inodes_per_group=inodes_per_group,
            gdt_blocks=gdt_blocks,
            reserved_gdt_blocks=reserved_gdt_blocks,
            block_bitmaps=block_bitmaps,
            inode_bitmaps=inode_bitmaps,
            inode_tables=inode_tables,
            fixed=fixed,
            super_groups=supers,
        )


def _repeat(locations: array[int], starts: range, offsets: range) -> None:
    """Append ``offsets`` from each of ``starts``, all ascending, to ``locations``."""
    count, period = len(starts), len(offsets)
    if count < period:
        for start in starts:
            locations.extend(range(start + offsets.start, start + offsets.stop, offsets.step))
        return
    numbers = array("Q", bytes(8 * count * period))
    for index, offset in enumerate(offsets):
        column = range(starts.start + offset, starts.stop + offset, starts.step)
        numbers[index::period] = array("Q", column)
    locations += numbers


class _Placer:
    """Puts equal items one behind the other between obstacles, first fit, never backwards."""

    def __init__(self, first: int, behind: int, obstacles: list[Range]) -> None:
        self.position = first
        self.behind = behind
        self._obstacles = obstacles
        self._next = 0
        self._taken: list[Range] = []

    def place(self, locations: array[int], count: int, length: int) -> None:
        """Append the first block of ``count`` items of ``length`` blocks to ``locations``."""
        while count:
            limit = self.behind
            if self._next < len(self._obstacles):
                limit = self._obstacles[self._next][0]
            fitting = min(count, max(0, limit - self.position) // length)
            if fitting:
                end = self.position + fitting * length
                locations.extend(range(self.position, end, length))
                self._taken.append((self.position, end))
                self.position = end
                count -= fitting
            elif self._next < len(self._obstacles):
                obstacle = self._obstacles[self._next]
                self._taken.append(obstacle)
                self._next += 1
                self.position = obstacle[1]
            else:
                self.position = self.behind + 1
                return

    def finish(self) -> list[Range]:
        """All ranges taken, obstacles included, merged and ascending."""
        merged: list[Range] = []
        for first, behind in self._taken + self._obstacles[self._next :]:
            if merged and merged[-1][1] == first:
                merged[-1] = (merged[-1][0], behind)
            else:
                merged.append((first, behind))
        return merged
