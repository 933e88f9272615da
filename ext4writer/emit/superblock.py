"""Builds the superblock, its backups and the group descriptors."""

from __future__ import annotations

from array import array
from struct import Struct

from ..bits import high_32, le32, log2, low_16, low_32
from ..ondisk.checksum import (
    bitmap_checksum,
    group_desc_checksums,
    group_desc_crc16,
)
from ..ondisk.features import feature
from ..ondisk.format import Checksum, Format
from ..ondisk.group_desc import (
    EXT4_BG_BLOCK_UNINIT,
    EXT4_BG_INODE_UNINIT,
    EXT4_BG_INODE_ZEROED,
    GROUP_DESC,
    GROUP_DESC_32,
)
from ..ondisk.htree import is_unsigned, stored_hash_version
from ..ondisk.inode import INODE_EXTRA_ISIZE
from ..ondisk.record import Record
from ..ondisk.superblock import (
    DEFAULT_ENCRYPT_ALGOS,
    ERRORS,
    EXT2_FLAGS_SIGNED_HASH,
    EXT2_FLAGS_TEST_FILESYS,
    EXT2_FLAGS_UNSIGNED_HASH,
    EXT4_CRC32C_CHKSUM,
    EXT4_ENC_STRICT_MODE_FL,
    EXT4_ENC_UTF8_12_1,
    EXT4_JNL_BACKUP_BLOCKS,
    EXT4_JOURNAL_INO,
    EXT4_MIN_BLOCK_LOG_SIZE,
    EXT4_SUPER_MAGIC,
    EXT4_VALID_FS,
    MAX_MOUNTS_UNLIMITED,
    SUPERBLOCK,
    SYSTEMS,
)
from ..planning.layout import ImagePlan
from ..planning.mapping import I_BLOCK_BYTES
from ..planning.spec import LAST_MOUNTED_MAX, MOUNT_OPTS_MAX
from ..planning.system_files.base import NO_INODE, QUOTA_PURPOSE
from ..planning.system_files.orphan_file import ORPHAN_FILE_PURPOSE
from .bitmaps import BitmapEmitter
from .system_files import system_file_i_block

_HALF = Struct("<H")


def superblock(layout: ImagePlan, group: int) -> bytes:
    """Build the superblock of ``group``, 1,024 bytes without checksum; 0 is the primary one."""
    return SUPERBLOCK.pack(SUPERBLOCK.split(superblock_values(layout, group)))


def superblock_values(layout: ImagePlan, group: int) -> dict[str, int | bytes | list[int]]:
    """Return every nonzero field; the declaration says why the others are zero."""
    spec, geometry, fmt = layout.spec, layout.geometry, layout.format
    log_block_size, log_cluster_size = (
        log2(size) - EXT4_MIN_BLOCK_LOG_SIZE for size in (fmt.block_size, fmt.cluster_size)
    )
    free_blocks = layout.free_blocks
    hash_version = layout.directory_rules.hash_version
    signedness = EXT2_FLAGS_SIGNED_HASH
    if is_unsigned(hash_version):
        signedness = EXT2_FLAGS_UNSIGNED_HASH
    values: dict[str, int | bytes | list[int]] = {
        "s_inodes_count": geometry.inodes_count,
        "s_blocks_count": geometry.blocks_count,
        "s_r_blocks_count": layout.reserved_blocks,
        "s_free_blocks_count": free_blocks,
        "s_free_inodes_count": layout.free_inodes,
        "s_first_data_block": fmt.first_data_block,
        "s_log_block_size": log_block_size,
        "s_log_cluster_size": log_cluster_size,
        "s_blocks_per_group": fmt.blocks_per_group,
        "s_clusters_per_group": fmt.clusters_per_group,
        "s_inodes_per_group": geometry.inodes_per_group,
        "s_wtime": layout.epoch,
        "s_max_mnt_count": spec.max_mount_count or MAX_MOUNTS_UNLIMITED,
        "s_magic": EXT4_SUPER_MAGIC,
        # lib/ext2fs/closefs.c:ext2fs_flush2: a backup never marks the file system as clean.
        "s_state": EXT4_VALID_FS if group == 0 else 0,
        "s_errors": ERRORS[spec.errors],
        "s_lastcheck": layout.epoch,
        "s_checkinterval": spec.check_interval,
        "s_creator_os": SYSTEMS[spec.creator_os],
        "s_rev_level": spec.revision,
        "s_def_resuid": spec.reserved_uid,
        "s_def_resgid": spec.reserved_gid,
        "s_first_ino": fmt.first_ino,
        "s_inode_size": fmt.inode_size,
        # The field has 16 bits, and wraps in the kernel and in e2fsprogs, too.
        "s_block_group_nr": low_16(group),
        "s_feature_compat": fmt.features.compat,
        "s_feature_incompat": fmt.features.incompat,
        "s_feature_ro_compat": fmt.features.ro_compat,
        "s_uuid": fmt.uuid,
        "s_volume_name": layout.label.ljust(16, b"\0"),
        "s_last_mounted": spec.last_mounted.ljust(LAST_MOUNTED_MAX, b"\0"),
        "s_reserved_gdt_blocks": geometry.reserved_gdt_blocks,
        "s_hash_seed": list(layout.directory_rules.hash_seed),
        "s_def_hash_version": stored_hash_version(hash_version),
        "s_desc_size": fmt.desc_size if fmt.is_64bit else 0,
        # misc/mke2fs.c:PRS leaves them out of revision 0.
        "s_default_mount_opts": spec.default_mntopts if spec.revision else 0,
        "s_mkfs_time": layout.epoch,
        "s_flags": signedness | (EXT2_FLAGS_TEST_FILESYS if spec.test_fs else 0),
        "s_raid_stride": spec.raid_stride,
        "s_raid_stripe_width": spec.raid_stripe_width,
        "s_mount_opts": spec.mount_opts.ljust(MOUNT_OPTS_MAX + 1, b"\0"),
        "s_kbytes_written": _kbytes_written(layout),
        "s_overhead_clusters": _overhead_clusters(layout),
    }
    if fmt.has_extra_fields:
        values["s_min_extra_isize"] = layout.inode_choices.least_extra_isize
        values["s_want_extra_isize"] = INODE_EXTRA_ISIZE
    if fmt.flex_bg:
        values["s_log_groups_per_flex"] = log2(fmt.groups_per_flex)
    if fmt.meta_bg:
        values["s_first_meta_bg"] = fmt.first_meta_bg
    if fmt.metadata_csum:
        values["s_checksum_type"] = EXT4_CRC32C_CHKSUM
    if fmt.metadata_csum_seed:
        values["s_checksum_seed"] = fmt.checksum_seed
    if fmt.encrypt:
        values["s_encrypt_algos"] = DEFAULT_ENCRYPT_ALGOS
    if fmt.casefold:
        values["s_encoding"] = EXT4_ENC_UTF8_12_1
        if layout.directory_rules.strict:
            values["s_encoding_flags"] = EXT4_ENC_STRICT_MODE_FL
    if fmt.backup_groups:
        # lib/ext2fs/initialize.c:ext2fs_initialize sorts them, and no backup is group 0.
        values["s_backup_bgs"] = [0, *fmt.backup_groups][-2:]
    if layout.table.lost_and_found is not None:
        values["s_lpf_ino"] = layout.table.inos[layout.table.lost_and_found]
    for file in layout.system_files:
        if file.purpose == ORPHAN_FILE_PURPOSE:
            values["s_orphan_file_inum"] = file.ino
        elif file.purpose == QUOTA_PURPOSE:
            from ..planning.system_files.quota import quota_kind_of

            values[quota_kind_of(file).inum] = file.ino
    if fmt.mmp:
        [run] = layout.placement.system[NO_INODE].runs
        values["s_mmp_block"] = run.physical
        values["s_mmp_update_interval"] = spec.mmp_update_interval
    if layout.journal_state is not None and not group:
        # lib/ext2fs/closefs.c:write_backup_super: never in a backup
        values["s_feature_incompat"] = fmt.features.incompat | feature("needs_recovery").mask
    orphans = layout.orphans
    if orphans is not None and not group:
        values["s_last_orphan"] = orphans.chain[0] if orphans.chain else 0
        if orphans.slots:
            present = fmt.features.ro_compat | feature("orphan_present").mask
            values["s_feature_ro_compat"] = present
    if layout.external_journal_blocks:
        # lib/ext2fs/mkjournal.c:ext2fs_add_journal_device
        values["s_journal_uuid"] = layout.journal_uuid
        values["s_journal_dev"] = spec.journal_dev
    journal = layout.demand.system_file(EXT4_JOURNAL_INO)
    if journal is not None:
        size = journal.size_bytes
        i_block = system_file_i_block(layout, journal)
        words = [le32(i_block, at) for at in range(0, I_BLOCK_BYTES, 4)]
        values["s_journal_inum"] = EXT4_JOURNAL_INO
        values["s_jnl_backup_type"] = EXT4_JNL_BACKUP_BLOCKS
        values["s_jnl_blocks"] = [*words, high_32(size), low_32(size)]
    return values


def _overhead_clusters(layout: ImagePlan) -> int:
    """fs/ext4/super.c:ext4_calculate_overhead, as mke2fs stores it; 32 bits."""
    geometry = layout.geometry
    overhead = geometry.fixed_clusters + layout.format.clusters_for(layout.demand.journal_blocks)
    return min(overhead, 0xFFFFFFFF)


def _kbytes_written(layout: ImagePlan) -> int:
    """Return the KiB written so far: every block in use, but only the superblock of the journal."""
    journal = layout.demand.journal_blocks
    blocks = layout.blocks_count - layout.free_blocks - journal + (1 if journal else 0)
    reserved = layout.geometry.reserved_gdt_blocks * len(layout.geometry.super_groups)
    return (blocks - reserved) * layout.block_size // 1024


def group_descriptors(layout: ImagePlan, bitmaps: BitmapEmitter) -> bytearray:
    """Build all group descriptors, padded to full blocks."""
    geometry, counts = layout.geometry, layout.groups
    groups, fmt = geometry.groups, layout.format
    block_csums, inode_csums = _bitmap_checksums(layout, bitmaps)
    unused = counts.itable_unused if fmt.has_uninit_groups else array("I", bytes(4 * groups))
    columns = {
        "bg_block_bitmap": geometry.block_bitmaps,
        "bg_inode_bitmap": geometry.inode_bitmaps,
        "bg_inode_table": geometry.inode_tables,
        "bg_free_blocks_count": counts.free_blocks,
        "bg_free_inodes_count": counts.free_inodes,
        "bg_used_dirs_count": counts.used_dirs,
        "bg_itable_unused": unused,
        "bg_block_bitmap_csum": block_csums,
        "bg_inode_bitmap_csum": inode_csums,
    }
    record = GROUP_DESC if fmt.is_64bit else GROUP_DESC_32
    table = record.pack_columns(
        groups,
        {
            ("bg_flags",): _group_flags(layout, bitmaps),
            **{record.parts(name): column for name, column in columns.items()},
        },
        fmt.desc_size,
    )
    _checksum_descriptors(table, record, fmt)
    table += bytes(geometry.gdt_blocks * layout.block_size - len(table))
    return table


def _group_flags(layout: ImagePlan, bitmaps: BitmapEmitter) -> array[int]:
    groups = layout.geometry.groups
    if not layout.format.has_uninit_groups:
        return array("B", bytes(groups))
    # One big integer with a byte for each group: there may be more than 131,072 groups.
    block_uninit = int.from_bytes(bitmaps.block_uninit, "big") * EXT4_BG_BLOCK_UNINIT
    inode_uninit = int.from_bytes(bitmaps.inode_uninit, "big") * EXT4_BG_INODE_UNINIT
    is_zeroed = 0 if layout.spec.lazy_itable_init else EXT4_BG_INODE_ZEROED
    zeroed = int.from_bytes(bytes([is_zeroed]) * groups, "big")
    flags = array("B", (block_uninit | inode_uninit | zeroed).to_bytes(groups, "big"))
    for group in layout.inode_choices.without.get("INODE_ZEROED", ()):
        flags[group] &= ~EXT4_BG_INODE_ZEROED
    return flags


def _bitmap_checksums(layout: ImagePlan, bitmaps: BitmapEmitter) -> tuple[array[int], array[int]]:
    """Return the checksums of block and inode bitmaps by group; 0 for bitmaps not written."""
    geometry, fmt = layout.geometry, layout.format
    seed = fmt.checksum_seed
    block_csums, inode_csums = (array("I", bytes(4 * geometry.groups)) for _ in range(2))
    if fmt.metadata_csum:
        block_bytes = fmt.clusters_per_group // 8
        inode_bytes = geometry.inodes_per_group // 8
        last, csum = b"", 0
        for group in bitmaps.block_bitmap_groups():
            bitmap = bitmaps.block_bitmap(group)
            if bitmap is not last:
                last, csum = bitmap, bitmap_checksum(seed, bitmap[:block_bytes])
            block_csums[group] = csum
        for group in bitmaps.inode_bitmap_groups():
            bitmap = bitmaps.inode_bitmap(group)[:inode_bytes]
            inode_csums[group] = bitmap_checksum(seed, bitmap)
    return block_csums, inode_csums


def _checksum_descriptors(table: bytearray, record: Record, fmt: Format) -> None:
    size, at = fmt.desc_size, record.offset("bg_checksum")
    if fmt.group_desc_checksum is Checksum.CRC32C:
        sums = group_desc_checksums(fmt.checksum_seed, table, size)
        record.write_column(table, 0, size, ("bg_checksum",), sums)
    elif fmt.group_desc_checksum is Checksum.CRC16:
        for group, start in enumerate(range(0, len(table), size)):
            crc = group_desc_crc16(fmt.uuid, group, table[start : start + size])
            _HALF.pack_into(table, start + at, crc)
