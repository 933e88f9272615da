"""The numbers of a file system that mke2fs would make: groups, inodes, what is reserved.

Rules: e2fsprogs lib/ext2fs/initialize.c:ext2fs_initialize. The planner of the library has the same
rules for what follows from these numbers; here are those that mke2fs chooses itself.
"""

from __future__ import annotations

from ext4writer.arithmetic import ceil_div, round_down
from ext4writer.late_dataclasses import NamedTuple
from ext4writer.ondisk.features import FeatureSet
from ext4writer.ondisk.format import Format

from .refusal import Refusal

MAX_32 = (1 << 32) - 1


class Wanted(NamedTuple):
    """What the options ask for."""

    features: FeatureSet
    block_size: int
    cluster_size: int
    blocks: int
    inodes: int
    inode_size: int
    desc_size: int | None
    """None for the usual one."""
    blocks_per_group: int
    """Or clusters; 0 for as many as there can be."""
    reserved_gdt_blocks: int
    """0 for what growth to 1,024 times the size needs."""
    reserved_blocks: int
    groups_per_flex: int
    num_backup_sb: int
    first_meta_bg: int


class Numbers(NamedTuple):
    """What a file system has."""

    format: Format
    blocks: int
    groups: int
    inodes_per_group: int
    reserved_gdt_blocks: int
    reserved_blocks: int

    @property
    def inodes(self) -> int:
        return self.inodes_per_group * self.groups

    @property
    def free_blocks(self) -> int:
        """Free blocks before any table of a flex group is placed, as ext2fs_initialize counts."""
        fmt = self.format
        heads = len(fmt.super_groups(self.groups))
        head = 1 + fmt.gdt_blocks(self.groups) + self.reserved_gdt_blocks
        used = fmt.first_data_block + heads * head
        if not fmt.flex_bg:
            used += self.groups * (2 + fmt.inode_table_blocks(self.inodes_per_group))
        return self.blocks - used


def _too_small(device: str) -> Refusal:
    return Refusal(
        f"{device}: Not enough space to build proposed filesystem while setting up superblock\n"
    )


def _too_many_inodes(device: str) -> Refusal:
    return Refusal(
        f"{device}: Cannot create filesystem with requested number of inodes "
        "while setting up superblock\n"
    )


def numbers_for(wanted: Wanted, device: str) -> Numbers:
    """Decide as ext2fs_initialize does; raises :class:`Refusal` where it fails."""
    per_group: int | None = wanted.blocks_per_group or None
    reserved_blocks = wanted.reserved_blocks
    while True:
        fmt = Format.of(
            wanted.features,
            wanted.block_size,
            wanted.inode_size,
            cluster_size=wanted.cluster_size,
            groups_per_flex=wanted.groups_per_flex,
            first_meta_bg=wanted.first_meta_bg,
            num_backup_sb=wanted.num_backup_sb,
            clusters_per_group=per_group,
            desc_size=wanted.desc_size,
        )
        blocks = round_down(wanted.blocks, fmt.blocks_per_cluster)
        if wanted.reserved_blocks >= wanted.blocks:
            raise Refusal(
                f"{device}: Invalid argument passed to ext2 library while setting up superblock\n"
            )
        found = _sized(wanted, fmt, blocks, reserved_blocks, device)
        if isinstance(found, Numbers):
            return found
        # Not computed again where no group is left out of the next try.
        reserved_blocks = found
        # More inodes for each group than its bitmap has bits: try smaller groups.
        if fmt.bigalloc or fmt.blocks_per_group < 256:
            raise _too_many_inodes(device)
        per_group = fmt.clusters_per_group - 8


def _sized(
    wanted: Wanted, fmt: Format, blocks: int, reserved_blocks: int, device: str
) -> Numbers | int:
    """The numbers with groups of this size; the reserve so far if they hold too few inodes."""
    while True:
        groups = fmt.groups_for(blocks) if blocks > fmt.first_data_block else 0
        if groups <= 0:
            raise _too_small(device)
        sized = fmt.of_groups(groups)
        per_group = ceil_div(wanted.inodes, groups)
        if per_group > 8 * fmt.block_size:
            return reserved_blocks
        per_group = _inodes_per_group(sized, per_group, groups)
        descriptors = fmt.gdt_blocks(groups)
        reserved = 0
        if fmt.resize_inode:
            reserved = wanted.reserved_gdt_blocks or _for_growth(fmt, blocks, descriptors)
            if reserved > fmt.block_size // 4:
                raise Refusal(
                    f"{device}: Too many reserved group descriptor blocks "
                    "while setting up superblock\n"
                )
        if reserved + descriptors > fmt.blocks_per_group * 3 // 4:
            # Descriptors would fill more than three quarters of a group.
            fmt = fmt.with_meta_bg()
            sized, reserved = fmt.of_groups(groups), 0
        table = fmt.inode_table_blocks(per_group)
        heads = 1 if fmt.meta_bg else descriptors
        if 3 + table + reserved + heads > fmt.blocks_per_group:
            raise _too_many_inodes(device)
        least = 2 + table
        if sized.has_super(groups - 1):
            least += 1 + descriptors + reserved
        rest = (blocks - fmt.first_data_block) % fmt.blocks_per_group
        if groups == 1 and 0 < rest < least:
            raise _too_small(device)
        if not 0 < rest < least + 50:
            return Numbers(sized, blocks, groups, per_group, reserved, reserved_blocks)
        blocks -= rest
        # With the rounding of its floating point numbers.
        ratio = 100.0 * wanted.reserved_blocks / wanted.blocks
        reserved_blocks = int(ratio * blocks / 100.0)


def _inodes_per_group(fmt: Format, per_group: int, groups: int) -> int:
    """Whole blocks of them and a multiple of 8, in all at least one that is not reserved."""
    per_group = min(per_group, 8 * fmt.block_size, (1 << 16) - fmt.inodes_per_block)
    while True:
        found = fmt.inode_table_blocks(per_group) * fmt.block_size // fmt.inode_size
        found = round_down(max(found, 8), 8)
        if found * groups > MAX_32:
            per_group -= 1
        elif found * groups < fmt.first_ino + 1:
            per_group += 8
        else:
            return found


def _for_growth(fmt: Format, blocks: int, descriptors: int) -> int:
    """calc_reserved_gdt_blocks"""
    most = blocks * 1024 if blocks < MAX_32 // 1024 else MAX_32
    wanted = fmt.gdt_blocks(fmt.groups_for(most)) - descriptors
    return min(wanted if wanted >= 0 else fmt.block_size // 4, fmt.block_size // 4)
