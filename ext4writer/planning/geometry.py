"""The locations of the fixed metadata of all block groups, and the space for data between them.

Rules: ext2fs_initialize and ext2fs_allocate_tables in e2fsprogs' lib/ext2fs, and the kernel's
Documentation/filesystems/ext4/blockgroup.rst.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from ..arithmetic import ceil_div, round_up
from ..errors import SpecError
from ..late_dataclasses import NamedTuple
from ..ondisk.format import Format
from ..spans import Span, joined
from .group_tables import Tables, place_in_flex_group, place_in_group
from .policy import LayoutPolicy

_GAPS_DIVISOR = 8
"""Gaps that a policy leaves between metadata take at most one in this many blocks."""

MIN_BLOCKS_AFTER_OVERHEAD = 50
"""Blocks that the last group must have besides its own metadata; otherwise mke2fs drops it."""


def least_inodes_per_group(fmt: Format, inodes: int, groups: int) -> int:
    """Return the smallest count per group for ``inodes`` in total; it may exceed the maximum."""
    per_group = ceil_div(inodes, groups)
    return round_up(per_group, fmt.inode_unit)


def last_group_minimum(
    fmt: Format, groups: int, inode_table_blocks: int, reserved_gdt_blocks: int
) -> int:
    """Return the blocks that the last group must have (ext2fs_initialize, "rem < overhead")."""
    head = fmt.of_groups(groups).head_blocks(groups - 1, groups, reserved_gdt_blocks)
    overhead = 2 + inode_table_blocks + head
    return overhead if groups == 1 else overhead + MIN_BLOCKS_AFTER_OVERHEAD


class Geometry(NamedTuple):
    """The groups of one image of a known size; block numbers are absolute."""

    format: Format
    blocks_count: int
    groups: int
    inodes_per_group: int
    gdt_blocks: int
    reserved_gdt_blocks: int
    block_bitmaps: array[int]
    inode_bitmaps: array[int]
    inode_tables: array[int]
    fixed: list[Span]
    """All blocks of fixed metadata and all bad blocks, merged and ascending."""
    super_groups: list[int]

    @property
    def inodes_count(self) -> int:
        """Inodes of all groups."""
        return self.inodes_per_group * self.groups

    @property
    def inode_table_blocks(self) -> int:
        """Blocks of the inode table of one group."""
        return self.format.inode_table_blocks(self.inodes_per_group)

    @property
    def head_blocks(self) -> int:
        """Superblock, descriptors and reserved descriptors of the first group."""
        return self.format.head_blocks(0, self.groups, self.reserved_gdt_blocks)

    @property
    def most_head_blocks(self) -> int:
        """The most blocks of superblock and descriptors at the start of any group."""
        # Inside a metagroup, a group holds at most the superblock and one block of descriptors.
        return max(self.head_blocks, 2)

    @property
    def all_head_blocks(self) -> int:
        """Superblocks, descriptors and reserved descriptors of all groups."""
        return self.format.all_head_blocks(self.groups, self.reserved_gdt_blocks)

    @property
    def fixed_blocks(self) -> int:
        """Blocks of superblocks, descriptors, bitmaps and inode tables of the whole image."""
        return self.all_head_blocks + self.groups * (2 + self.inode_table_blocks)

    def agrees_with(self, other: Geometry) -> bool:
        """Whether bitmaps and inode tables are where ``other``, which may be larger, has them."""
        return (
            self.block_bitmaps == other.block_bitmaps
            and self.inode_bitmaps == other.inode_bitmaps
            and self.inode_tables == other.inode_tables
        )

    def group_first_block(self, group: int) -> int:
        """Return the number of the first block of ``group``."""
        return self.format.group_first_block(group)

    def group_range(self, group: int) -> Span:
        """Return the blocks of ``group``; the last group may be short."""
        first = self.group_first_block(group)
        return Span(first, min(first + self.format.blocks_per_group, self.blocks_count))

    def group_of(self, block: int) -> int:
        """Return the group that ``block`` is in."""
        return self.format.group_of(block)

    def free_runs(self) -> Iterator[Span]:
        """Yield the clusters without fixed metadata, ascending; partly filled ones are not free."""
        ratio = self.format.blocks_per_cluster
        position, last = self.format.first_data_cluster, self.blocks_count // ratio
        for first, end in self.fixed:
            if first // ratio > position:
                yield Span(position, first // ratio)
            position = ceil_div(end, ratio)
        if position < last:
            yield Span(position, last)

    @property
    def fixed_clusters(self) -> int:
        """Clusters that fixed metadata fills at least partly, and those before the first group."""
        if self.format.blocks_per_cluster == 1:
            return self.format.first_data_block + self.fixed_blocks
        free = sum(end - first for first, end in self.free_runs())
        return self.blocks_count // self.format.blocks_per_cluster - free

    def own_clusters(self, group: int) -> int:
        """Count the clusters of ``group`` with its head and, without flex groups, its tables."""
        fmt = self.format
        start = fmt.super_block(group)
        spans = [Span(start, start + fmt.head_blocks(group, self.groups, self.reserved_gdt_blocks))]
        if fmt.groups_per_flex == 1:
            spans += (
                Span(at[group], at[group] + 1) for at in (self.block_bitmaps, self.inode_bitmaps)
            )
            table = self.inode_tables[group]
            spans.append(Span(table, table + self.inode_table_blocks))
        ratio = fmt.blocks_per_cluster
        if ratio == 1:
            return sum(end - first for first, end in spans)
        clusters = (range(first // ratio, ceil_div(end, ratio)) for first, end in spans)
        return len({cluster for some in clusters for cluster in some})

    @property
    def rounding_blocks(self) -> int:
        """Blocks that stay unused in clusters that fixed metadata fills partly."""
        fixed = self.format.first_data_block + self.fixed_blocks
        return self.fixed_clusters * self.format.blocks_per_cluster - fixed

    @classmethod
    def lay_out(
        cls,
        fmt: Format,
        blocks_count: int,
        inodes_per_group: int,
        reserved_gdt_blocks: int,
        *,
        packed: bool = False,
        bad_blocks: Sequence[int] = (),
        policy: LayoutPolicy | None = None,
        like_mke2fs: bool = False,
        stride: int = 0,
    ) -> Geometry | None:
        """Place the metadata of every group; return None if it does not fit.

        In each flex group all block bitmaps come first, then all inode bitmaps, then all inode
        tables, as close to its start as the superblock backups allow. With ``packed``, all groups
        are placed as one flex group (misc/mke2fs.c:packed_allocate_tables). ``bad_blocks``, which
        ascend, are avoided; raises :class:`SpecError` for one in a superblock or in descriptors.
        ``policy`` may reorder the metadata of each flex group, or of all of them, and leave gaps.

        With ``like_mke2fs`` the tables are where ext2fs_allocate_tables puts them, if they fit
        there. It leaves gaps in flex groups of one group or with an obstacle, and moves the bitmaps
        of groups outside flex groups by ``stride`` blocks.
        """
        groups = fmt.groups_for(blocks_count)
        fmt = fmt.of_groups(groups)
        gdt_blocks = fmt.gdt_blocks(groups)
        table_blocks = fmt.inode_table_blocks(inodes_per_group)
        # With clusters of 1 KiB blocks, the boot block is part of group 0.
        heads = [
            Span(
                fmt.group_first_block(group),
                fmt.super_block(group) + fmt.head_blocks(group, groups, reserved_gdt_blocks),
            )
            for group in fmt.head_groups(groups)
        ]
        if heads[-1].end > blocks_count or heads[0].end > fmt.blocks_per_group + heads[0].start:
            return None
        obstacles = _with_bad_blocks(heads, bad_blocks) if bad_blocks else heads
        block_bitmaps, inode_bitmaps, inode_tables = array("Q"), array("Q"), array("Q")
        fixed: list[Span] = []
        flex_groups = groups if packed else fmt.groups_per_flex
        flex_blocks = flex_groups * fmt.blocks_per_group
        flex_overhead = flex_groups * (2 + table_blocks)
        # If nothing is in the way, mke2fs places them without gaps, too.
        by_rule = like_mke2fs and not packed and policy is None
        stride = stride if by_rule and flex_groups == 1 else 0
        group = upcoming = 0
        if policy is not None and policy.crosses_flex_groups and fmt.flex_bg:
            # fs/ext4/super.c:ext4_check_descriptors and e2fsck/super.c:check_super_block accept
            # tables anywhere.
            placer = _Placer(fmt.first_data_block, blocks_count, obstacles)
            crossing = placer.place_mixed(
                groups,
                {"block_bitmap": 1, "inode_bitmap": 1, "inode_table": table_blocks},
                policy,
                groups * fmt.blocks_per_group // _GAPS_DIVISOR,
                (fmt.groups_per_flex, fmt.blocks_per_group),
            )
            if placer.position > blocks_count:
                return None
            block_bitmaps, inode_bitmaps, inode_tables = crossing.values()
            fixed += placer.finish()
            group = groups
        while group < groups:
            first = fmt.first_data_block + group * fmt.blocks_per_group
            until = obstacles[upcoming][0] if upcoming < len(obstacles) else blocks_count
            alike = (until - first) // flex_blocks
            if alike and flex_overhead <= flex_blocks and policy is None and not stride:
                # A shortcut: most flex groups have no obstacles, and a huge image has thousands.
                starts = range(first, first + alike * flex_blocks, flex_blocks)
                tables = range(2 * flex_groups, flex_overhead, table_blocks)
                _repeat(block_bitmaps, starts, range(flex_groups))
                _repeat(inode_bitmaps, starts, range(flex_groups, 2 * flex_groups))
                _repeat(inode_tables, starts, tables)
                fixed += [Span(start, start + flex_overhead) for start in starts]
                group += alike * flex_groups
                continue
            count = min(flex_groups, groups - group)
            end = min(first + count * fmt.blocks_per_group, blocks_count)
            last = bisect_left(obstacles, (end,), upcoming)
            ahead = obstacles[upcoming:last]
            upcoming = last
            found: Tables | None = None
            if by_rule and flex_groups > 1:
                found = place_in_flex_group(
                    fmt,
                    Span(first, end),
                    count,
                    is_last=group + count == groups,
                    table_blocks=table_blocks,
                    obstacles=ahead,
                )
            elif by_rule and (stride or bad_blocks):
                found = place_in_group(group, Span(first, end), table_blocks, ahead, stride)
            if found is not None:
                block_bitmaps += found.block_bitmaps
                inode_bitmaps += found.inode_bitmaps
                inode_tables += found.inode_tables
                fixed += found.taken
                group += count
                continue
            placer = _Placer(first, end, ahead)
            if policy is None:
                placer.place(block_bitmaps, count, 1)
                placer.place(inode_bitmaps, count, 1)
                placer.place(inode_tables, count, table_blocks)
            else:
                lengths = {"block_bitmap": 1, "inode_bitmap": 1, "inode_table": table_blocks}
                spare = count * fmt.blocks_per_group // _GAPS_DIVISOR
                mixed = placer.place_mixed(count, lengths, policy, spare)
                block_bitmaps.extend(mixed["block_bitmap"])
                inode_bitmaps.extend(mixed["inode_bitmap"])
                inode_tables.extend(mixed["inode_table"])
            if placer.position > end:
                return None
            fixed += placer.finish()
            group += count
        return cls(
            format=fmt,
            blocks_count=blocks_count,
            groups=groups,
            inodes_per_group=inodes_per_group,
            gdt_blocks=gdt_blocks,
            reserved_gdt_blocks=reserved_gdt_blocks,
            block_bitmaps=block_bitmaps,
            inode_bitmaps=inode_bitmaps,
            inode_tables=inode_tables,
            fixed=fixed,
            super_groups=fmt.super_groups(groups),
        )


def _with_bad_blocks(heads: list[Span], bad_blocks: Sequence[int]) -> list[Span]:
    """Merge ``heads`` and bad blocks; raise :class:`SpecError` for a bad block in a head."""
    for first, end in heads:
        place = bisect_left(bad_blocks, first)
        if place < len(bad_blocks) and bad_blocks[place] < end:
            raise SpecError(
                "bad_blocks",
                f"block {bad_blocks[place]} would hold a superblock or descriptors, which cannot "
                "be elsewhere",
            )
    return sorted([*heads, *(Span(block, block + 1) for block in bad_blocks)])


def _repeat(locations: array[int], starts: range, offsets: range) -> None:
    """Append ``start + offset``, for each start and offset, to ``locations``; all ascend."""
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
    """Places items of equal size between obstacles: first fit, in ascending order only."""

    def __init__(self, first: int, end: int, obstacles: list[Span]) -> None:
        self.position = first
        self.end = end
        self._obstacles = obstacles
        self._next = 0
        self._taken: list[Span] = []

    def place(self, locations: array[int], count: int, length: int) -> None:
        """Append the first block of ``count`` items of ``length`` blocks to ``locations``."""
        while count:
            limit = self.end
            if self._next < len(self._obstacles):
                limit = self._obstacles[self._next][0]
            fitting = min(count, max(0, limit - self.position) // length)
            if fitting:
                end = self.position + fitting * length
                locations.extend(range(self.position, end, length))
                self._taken.append(Span(self.position, end))
                self.position = end
                count -= fitting
            elif self._next < len(self._obstacles):
                obstacle = self._obstacles[self._next]
                self._taken.append(obstacle)
                self._next += 1
                self.position = obstacle[1]
            else:
                self.position = self.end + 1
                return

    def place_mixed(
        self,
        count: int,
        lengths: Mapping[str, int],
        policy: LayoutPolicy,
        spare: int,
        spread: tuple[int, int] | None = None,
    ) -> dict[str, array[int]]:
        """Place ``count`` items of each kind; return their first blocks in the order of groups.

        ``lengths`` has the blocks of an item by kind. ``policy`` orders all items, and leaves up to
        ``spare`` blocks between them. ``spread`` is (groups of a flex group, blocks of a group):
        then each flex group gets as many items as its groups have. The location of an item does not
        depend on later items, so it is the same if the last group is shorter.
        """
        items = [(kind, number) for kind in lengths for number in range(count)]
        policy.metadata_order(items)
        found = {kind: array("Q", bytes(8 * count)) for kind in lengths}
        first = self.position
        for at, (kind, number) in enumerate(items):
            if spread is not None and at % (len(lengths) * spread[0]) == 0:
                self._advance(first + at // len(lengths) * spread[1])
            gap = min(policy.metadata_gap(), spare)
            spare -= gap
            limit = self.end
            if self._next < len(self._obstacles):
                limit = self._obstacles[self._next][0]
            self.position = max(self.position, min(self.position + gap, limit))
            place = array("Q")
            self.place(place, 1, lengths[kind])
            if not place:
                break
            found[kind][number] = place[0]
        return found

    def _advance(self, block: int) -> None:
        """Continue at ``block`` or after it."""
        while self._next < len(self._obstacles) and self._obstacles[self._next].start <= block:
            obstacle = self._obstacles[self._next]
            self._taken.append(obstacle)
            self._next += 1
            block = max(block, obstacle.end)
        self.position = max(self.position, block)

    def finish(self) -> list[Span]:
        """Return all ranges taken, including obstacles, merged and ascending."""
        return joined(self._taken + self._obstacles[self._next :])
