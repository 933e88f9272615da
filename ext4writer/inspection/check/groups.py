"""Checks group descriptors and claims the blocks of metadata that they and the format define.

Rules: e2fsck/super.c:check_super_block, e2fsck/pass1.c:mark_table_blocks.
"""

from __future__ import annotations

from ...ondisk.group_desc import EXT4_BG_BLOCK_UNINIT, EXT4_BG_INODE_UNINIT
from .state import METADATA, Check


def check_groups(check: Check) -> None:
    """Check every descriptor; claim the metadata of all groups."""
    image, fmt = check.image, check.format
    table_blocks = fmt.inode_table_blocks(image.inodes_per_group)
    last_group = image.counted_groups - 1
    # lib/ext2fs/alloc_sb.c:ext2fs_reserve_super_and_bgd does not check resize_inode.
    reserved = 0 if fmt.meta_bg else image.number("s_reserved_gdt_blocks")
    for group in range(image.groups):
        if not group & 1023:
            check.check_cancelled()
        claimed = fmt.head_blocks(group, image.counted_groups, reserved)
        if claimed:
            # A superblock in block 0 is at byte 1024 of it.
            first = fmt.super_block(group)
            check.claims.add(METADATA, first, min(claimed, image.blocks_count - first))
        _check_group(check, group, table_blocks, group == last_group)
    if fmt.first_data_block == 0 and fmt.block_size == 1024:
        check.claims.add(METADATA, 0, 1)  # clusters start at block 0, which is the boot block
    if fmt.mmp and image.has_blocks(image.number("s_mmp_block")):
        check.claims.add(METADATA, image.number("s_mmp_block"), 1)


def _check_group(check: Check, group: int, table_blocks: int, is_last: bool) -> None:
    image, fmt = check.image, check.format
    numbers = image.descriptor(group)
    first, end = fmt.first_data_block, image.blocks_count
    if not fmt.flex_bg:
        first = fmt.group_first_block(group)
        end = min(first + fmt.blocks_per_group, end)
    for name, code, length in (
        ("bg_block_bitmap", "PR_0_BB_NOT_GROUP", 1),
        ("bg_inode_bitmap", "PR_0_IB_NOT_GROUP", 1),
        ("bg_inode_table", "PR_0_ITABLE_NOT_GROUP", table_blocks),
    ):
        block = numbers[name]
        if block and first <= block and block + length <= end:
            check.claims.add(METADATA, block, length)
        else:
            where = f"in the range {first} to {end - 1}"
            check.of_group(code, group, f"{name}_lo", f"is {block}, not {where}")
    flags, unused = numbers["bg_flags"], numbers["bg_itable_unused"]
    uninit = flags & (EXT4_BG_BLOCK_UNINIT | EXT4_BG_INODE_UNINIT)
    if not fmt.has_uninit_groups and (uninit or unused):
        check.of_group(
            "PR_0_GDT_UNINIT", group, "bg_flags", "has UNINIT without a feature that allows it"
        )
        in_use = image.inodes_per_group - numbers["bg_free_inodes_count"]
        if flags & EXT4_BG_INODE_UNINIT and in_use:
            # e2fsck/pass2.c:check_dir_block does not check the features.
            text = "is INODE_UNINIT, but inodes are in use"
            check.of_group("PR_2_INOREF_BG_INO_UNINIT", group, "bg_flags", text)
    if is_last and flags & EXT4_BG_BLOCK_UNINIT:
        check.of_group(
            "PR_0_BB_UNINIT_LAST", group, "bg_flags", "is BLOCK_UNINIT in the last group"
        )
    free = numbers["bg_free_inodes_count"]
    if fmt.has_uninit_groups and (unused > free or unused > image.inodes_per_group):
        check.of_group(
            "PR_0_GDT_ITABLE_UNUSED",
            group,
            "bg_itable_unused_lo",
            f"is {unused}, but {free} inodes are free",
        )


def check_descriptor_copies(check: Check) -> None:
    """Compare the backups of the descriptors; only the block numbers in them must be equal."""
    image, fmt = check.image, check.format
    names = ("bg_block_bitmap", "bg_inode_bitmap", "bg_inode_table")
    record = image.desc_record
    for number in range(fmt.gdt_blocks(image.groups)):
        check.check_cancelled()
        copies = fmt.desc_block_copies(number, image.groups)
        if len(copies) < 2:
            continue
        first = number * fmt.descs_per_block
        primary = image.block(copies[0])
        for block in copies[1:]:
            if (block + 1) * check.block_size > image.store.size:
                break  # the image is truncated, which was reported before
            data = image.block(block)
            if data == primary:
                continue
            for place in range(min(fmt.descs_per_block, image.groups - first)):
                at = place * fmt.desc_size
                for name in names:
                    if record.number(data, at, name) != record.number(primary, at, name):
                        check.of_record(
                            "BACKUP_DESCRIPTOR",
                            record,
                            f"{name}_lo",
                            block * check.block_size + at,
                            f"of the copy for group {first + place} differs from the first",
                            warn=True,
                        )
                        break
