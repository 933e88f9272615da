"""The geometry that mke2fs would choose: groups, inodes, reserved blocks.

Rules: e2fsprogs lib/ext2fs/initialize.c:ext2fs_initialize. This module chooses the numbers that
mke2fs chooses itself. The planner of the library derives everything else from them by the same
rules.
"""

from __future__ import annotations

from ext4writer.arithmetic import ceil_div, round_down
from ext4writer.late_dataclasses import NamedTuple
from ext4writer.ondisk.features import FeatureSet
from ext4writer.ondisk.format import Format

from .refusal import Refusal

MAX_32 = (1 << 32) - 1


class Request(NamedTuple):
    """The geometry that the options request; sizes are in bytes."""

    features: FeatureSet
    block_size: int
    cluster_size: int
    blocks: int
    inodes: int
    inode_size: int
    desc_size: int | None
    """None for the default."""
    blocks_per_group: int
    """Clusters per group with bigalloc; 0 for as many as possible."""
    reserved_gdt_blocks: int
    """0 for as many as growth to 1,024 times the size needs."""
    reserved_blocks: int
    groups_per_flex: int
    num_backup_sb: int
    first_meta_bg: int


class Geometry(NamedTuple):
    """The geometry of a file system."""

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
        """Free blocks as ext2fs_initialize counts them.

        With flex_bg it counts before any bitmap or inode table is placed.
        """
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


def choose_geometry(wanted: Request, device: str) -> Geometry:
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
        if isinstance(found, Geometry):
            return found
        # ext2fs_initialize keeps this value if the next attempt does not drop the last group.
        reserved_blocks = found
        # A group would need more inodes than its bitmap has bits: try smaller groups.
        if fmt.bigalloc or fmt.blocks_per_group < 256:
            raise _too_many_inodes(device)
        per_group = fmt.clusters_per_group - 8


def _sized(
    wanted: Request, fmt: Format, blocks: int, reserved_blocks: int, device: str
) -> Geometry | int:
    """Return the geometry with groups of this size.

    If such groups hold too few inodes, return the number of reserved blocks computed so far.
    """
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
            return Geometry(sized, blocks, groups, per_group, reserved, reserved_blocks)
        blocks -= rest
        # The same floating-point arithmetic as in C, for the same rounding.
        ratio = 100.0 * wanted.reserved_blocks / wanted.blocks
        reserved_blocks = int(ratio * blocks / 100.0)


def _inodes_per_group(fmt: Format, per_group: int, groups: int) -> int:
    """Round the inodes of a group up to full inode table blocks, then down to a multiple of 8.

    All groups together have at least one inode that is not reserved, and at most 2^32 - 1.
    """
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
    """Descriptor blocks to reserve for growth (lib/ext2fs/initialize.c:calc_reserved_gdt_blocks).

    ``descriptors`` are the descriptor blocks in use.
    """
    most = blocks * 1024 if blocks < MAX_32 // 1024 else MAX_32
    wanted = fmt.gdt_blocks(fmt.groups_for(most)) - descriptors
    return min(wanted if wanted >= 0 else fmt.block_size // 4, fmt.block_size // 4)
