"""Checks the superblock: its limits, conflicting features, and its backups.

Rules: e2fsck/super.c:check_super_block.
"""

from __future__ import annotations

from ...bits import is_power_of_two, low_16
from ...ondisk.format import Format
from ...ondisk.superblock import (
    EXT4_CRC32C_CHKSUM,
    EXT4_DYNAMIC_REV,
    EXT4_ENC_UTF8_12_1,
    EXT4_ERROR_FS,
    EXT4_VALID_FS,
    SUPERBLOCK,
    SUPERBLOCK_OFFSET,
    SUPERBLOCK_SIZE,
)
from .state import Check

_MIN_EXTRA_ISIZE = 4  # i_extra_isize itself and i_checksum_hi

_VARYING = {
    *("s_block_group_nr", "s_checksum", "s_state", "s_mtime", "s_wtime", "s_mnt_count"),
    *("s_free_blocks_count_lo", "s_free_blocks_count_hi", "s_free_inodes_count"),
    *(
        "s_lastcheck",
        "s_journal_dev",
        "s_last_orphan",
        "s_kbytes_written",
        "s_last_mounted",
        "s_error_count",
    ),
    *("s_first_error_time", "s_first_error_ino", "s_first_error_block", "s_first_error_func"),
    *("s_first_error_line", "s_last_error_time", "s_last_error_ino", "s_last_error_line"),
    *("s_last_error_block", "s_last_error_func", "s_mtime_hi", "s_wtime_hi", "s_lastcheck_hi"),
    *("s_first_error_time_hi", "s_last_error_time_hi", "s_first_error_errcode"),
    *("s_last_error_errcode", "s_overhead_clusters", "s_jnl_blocks", "s_jnl_backup_type"),
    "s_feature_incompat",  # needs_recovery is set only in the primary superblock
    "s_feature_ro_compat",  # so is orphan_present
}
"""Fields that the kernel writes only to the primary superblock, or that identify the copy."""


def check_superblock(check: Check) -> None:
    """Check the fields that the readers do not check."""
    image, fmt = check.image, check.format
    number = image.number

    def bounded(field: str, value: int, least: int, most: int) -> None:
        if not least <= value <= most:
            check.of_superblock(
                "PR_0_SB_CORRUPT", field, f"is {value}, not in the range {least} to {most}"
            )

    blocks, inodes = image.blocks_count, image.inodes_count
    bounded("s_r_blocks_count_lo", number("s_r_blocks_count"), 0, blocks // 2)
    bounded("s_reserved_gdt_blocks", number("s_reserved_gdt_blocks"), 0, check.block_size // 4)
    bounded(
        "s_inodes_per_group", image.inodes_per_group, fmt.inodes_per_block, 8 * check.block_size
    )
    # lib/ext2fs/openfs.c:ext2fs_open2; the features do not matter
    per_group = number("s_clusters_per_group") * fmt.blocks_per_cluster
    if not fmt.bigalloc and per_group != number("s_blocks_per_group"):
        text = f"is {number('s_clusters_per_group')} and contradicts s_blocks_per_group"
        check.of_superblock("PR_0_SB_CORRUPT", "s_clusters_per_group", text)
    if number("s_log_groups_per_flex") > 31:
        bounded("s_log_groups_per_flex", number("s_log_groups_per_flex"), 0, 31)
    desc_size = number("s_desc_size")
    if desc_size > 1024 or (desc_size and not is_power_of_two(desc_size)):
        check.of_superblock("PR_0_SB_CORRUPT", "s_desc_size", f"is {desc_size}")
    bounded("s_rev_level", number("s_rev_level"), 0, EXT4_DYNAMIC_REV)
    if fmt.metadata_csum and number("s_checksum_type") != EXT4_CRC32C_CHKSUM:
        # lib/ext2fs/openfs.c: EXT2_ET_UNKNOWN_CSUM
        text = f"is {number('s_checksum_type')}, an unknown type"
        check.of_superblock("PR_0_SB_CORRUPT", "s_checksum_type", text)
    if number("s_rev_level"):
        bounded("s_first_ino", fmt.first_ino, 11, inodes)
    if not fmt.bigalloc and number("s_log_cluster_size") != number("s_log_block_size"):
        check.of_superblock(
            "PR_0_SB_CORRUPT",
            "s_log_cluster_size",
            f"is {number('s_log_cluster_size')} without bigalloc, but s_log_block_size is "
            f"{number('s_log_block_size')}",
        )
    if number("s_blocks_per_group") != fmt.blocks_per_group:
        check.of_superblock(
            "PR_0_MISC_CORRUPT_SUPER",
            "s_blocks_per_group",
            f"is {number('s_blocks_per_group')}, but s_clusters_per_group implies "
            f"{fmt.blocks_per_group}",
        )
    should_be = image.counted_groups * image.inodes_per_group
    if inodes != should_be:
        check.of_superblock(
            "PR_0_INODE_COUNT_WRONG", "s_inodes_count", f"is {inodes} but should be {should_be}"
        )
    first = 1 if fmt.block_size == 1024 and fmt.blocks_per_cluster == 1 else 0
    if fmt.first_data_block != first:
        check.of_superblock(
            "PR_0_FIRST_DATA_BLOCK",
            "s_first_data_block",
            f"is {fmt.first_data_block} but should be {first}",
        )
    _check_features(check, fmt)
    if fmt.has_extra_fields:
        most = fmt.inode_size - 128
        for field, code in (
            ("s_min_extra_isize", "PR_0_BAD_MIN_EXTRA_ISIZE"),
            ("s_want_extra_isize", "PR_0_BAD_WANT_EXTRA_ISIZE"),
        ):
            value = number(field)
            if value and (value & 3 or not _MIN_EXTRA_ISIZE <= value <= most):
                check.of_superblock(code, field, f"is {value}")
    state = number("s_state")
    if state & EXT4_ERROR_FS:
        text = "records that the kernel found errors"
        check.of_superblock("ERRORS_NOTED", "s_state", text, warn=True)
    elif not state & EXT4_VALID_FS:
        text = "records that it is mounted"
        check.of_superblock("NOT_UNMOUNTED", "s_state", text, warn=True)
    if number("s_last_orphan") and not check.image.is_replayed:
        check.of_superblock(
            "ORPHANS",
            "s_last_orphan",
            f"is {number('s_last_orphan')}: inodes are waiting to be deleted or truncated",
            warn=True,
        )


def _check_features(check: Check, fmt: Format) -> None:
    unknown = fmt.features.unsupported()
    if unknown:
        # Linux mounts such a file system, perhaps read-only; e2fsck refuses it.
        text = f"has unknown features: {', '.join(unknown)}"
        check.of_superblock("UNSUPPORTED_FEATURE", "s_feature_compat", text)
    wrong = (
        (
            fmt.metadata_csum and fmt.uninit_bg,
            "PR_0_META_AND_GDT_CSUM_SET",
            "metadata_csum and uninit_bg",
        ),
        (
            fmt.metadata_csum_seed and not fmt.metadata_csum,
            "PR_0_CSUM_SEED_WITHOUT_META_CSUM",
            "metadata_csum_seed without metadata_csum",
        ),
        (fmt.is_64bit and not fmt.extent, "PR_0_64BIT_WITHOUT_EXTENTS", "64bit without extent"),
    )
    for is_wrong, code, text in wrong:
        if is_wrong:
            check.of_superblock(code, "s_feature_ro_compat", f"has {text}")
    image = check.image
    encoding = image.number("s_encoding")
    if fmt.casefold and encoding != EXT4_ENC_UTF8_12_1:
        # fs/ext4/super.c:ext4_encoding_init; e2fsck/unix.c has no problem code for it
        check.of_superblock(
            "UNSUPPORTED_ENCODING", "s_encoding", f"is {encoding}, not {EXT4_ENC_UTF8_12_1}"
        )
    if fmt.meta_bg and fmt.first_meta_bg > fmt.gdt_blocks(image.counted_groups):
        check.of_superblock(
            "PR_0_FIRST_META_BG_TOO_BIG", "s_first_meta_bg", f"is {fmt.first_meta_bg}"
        )
    reserved = image.number("s_reserved_gdt_blocks")
    if reserved and not fmt.resize_inode:
        check.of_superblock(
            "PR_0_NONZERO_RESERVED_GDT_BLOCKS",
            "s_reserved_gdt_blocks",
            f"is {reserved} without resize_inode",
        )


def check_backups(check: Check) -> None:
    """Compare the backups of the superblock with it; e2fsck does not do so by itself."""
    image, fmt = check.image, check.format
    primary = SUPERBLOCK.parse(image.superblock_bytes)
    for group in fmt.super_groups(image.groups)[1:]:
        check.check_cancelled()
        offset = fmt.super_block(group) * check.block_size
        if offset + SUPERBLOCK_SIZE > image.store.size:
            break  # the image is truncated, which was reported before
        data = image.read(offset, SUPERBLOCK_SIZE)
        copy = SUPERBLOCK.parse(data)
        for field, value in copy.items():
            right = low_16(group) if field == "s_block_group_nr" else primary[field]
            if value != right and (field == "s_block_group_nr" or field not in _VARYING):
                check.of_record(
                    "BACKUP_SUPERBLOCK",
                    SUPERBLOCK,
                    field,
                    offset,
                    f"of the copy in group {group} differs from the superblock's at byte "
                    f"{SUPERBLOCK_OFFSET + SUPERBLOCK.offset(field)}",
                    warn=True,
                )
                break
