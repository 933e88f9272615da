"""The superblock, its backups and the group descriptors as bytes, sealed."""

from __future__ import annotations

from ..ondisk.checksum import (
    bitmap_checksum,
    filesystem_seed,
    group_desc_checksum,
    group_desc_crc16,
    seal_superblock,
)
from ..ondisk.group_desc import (
    EXT4_BG_BLOCK_UNINIT,
    EXT4_BG_INODE_UNINIT,
    EXT4_BG_INODE_ZEROED,
    GROUP_DESC,
    GROUP_DESC_32,
)
from ..ondisk.htree import DX_HASH_HALF_MD4
from ..ondisk.inode import INODE_EXTRA_ISIZE
from ..ondisk.superblock import (
    EXT2_FLAGS_SIGNED_HASH,
    EXT4_CRC32C_CHKSUM,
    EXT4_DEFM_ACL,
    EXT4_DEFM_XATTR_USER,
    EXT4_DYNAMIC_REV,
    EXT4_ERRORS_CONTINUE,
    EXT4_GOOD_OLD_FIRST_INO,
    EXT4_JNL_BACKUP_BLOCKS,
    EXT4_JOURNAL_INO,
    EXT4_OS_LINUX,
    EXT4_SUPER_MAGIC,
    EXT4_VALID_FS,
    SUPERBLOCK,
)
from ..plan.layout import Layout
from .bitmaps import BitmapEmitter
from .inodes import journal_i_block

MAX_MOUNTS_UNLIMITED = 0xFFFF

_LOW_FIELDS = (
    "bg_block_bitmap_lo",
    "bg_inode_bitmap_lo",
    "bg_inode_table_lo",
    "bg_free_blocks_count_lo",
    "bg_free_inodes_count_lo",
    "bg_used_dirs_count_lo",
    "bg_flags",
    "bg_block_bitmap_csum_lo",
    "bg_inode_bitmap_csum_lo",
    "bg_itable_unused_lo",
    "bg_checksum",
)
_HIGH_FIELDS = (
    "bg_block_bitmap_hi",
    "bg_inode_bitmap_hi",
    "bg_inode_table_hi",
    "bg_free_blocks_count_hi",
    "bg_free_inodes_count_hi",
    "bg_used_dirs_count_hi",
    "bg_itable_unused_hi",
    "bg_block_bitmap_csum_hi",
    "bg_inode_bitmap_csum_hi",
)
_pack_32 = GROUP_DESC_32.packer(*_LOW_FIELDS)
_pack_64 = GROUP_DESC.packer(*_LOW_FIELDS, *_HIGH_FIELDS)


def superblock(layout: Layout, group: int) -> bytes:
    """The superblock that lies in ``group``, 1,024 bytes; 0 is the primary one."""
    packed = bytearray(SUPERBLOCK.pack(superblock_values(layout, group)))
    if "metadata_csum" in layout.features:
        seal_superblock(packed)
    return bytes(packed)


def superblock_values(layout: Layout, group: int) -> dict[str, int | bytes | list[int]]:
    """Every field that is not zero; docs/format.md says why the others are."""
    geometry, spec, features = layout.geometry, layout.spec, layout.features
    rules = geometry.rules
    log_block_size = (layout.block_size // 1024).bit_length() - 1
    free_blocks = layout.free_blocks
    values: dict[str, int | bytes | list[int]] = {
        "s_inodes_count": geometry.inodes_count,
        "s_blocks_count_lo": geometry.blocks_count & 0xFFFFFFFF,
        "s_r_blocks_count_lo": layout.reserved_blocks & 0xFFFFFFFF,
        "s_free_blocks_count_lo": free_blocks & 0xFFFFFFFF,
        "s_free_inodes_count": layout.free_inodes,
        "s_first_data_block": rules.first_data_block,
        "s_log_block_size": log_block_size,
        "s_log_cluster_size": log_block_size,
        "s_blocks_per_group": rules.blocks_per_group,
        "s_clusters_per_group": rules.blocks_per_group,
        "s_inodes_per_group": geometry.inodes_per_group,
        "s_wtime": layout.epoch & 0xFFFFFFFF,
        "s_max_mnt_count": MAX_MOUNTS_UNLIMITED,
        "s_magic": EXT4_SUPER_MAGIC,
        # lib/ext2fs/closefs.c:ext2fs_flush2: a backup never says that the file system is clean.
        "s_state": EXT4_VALID_FS if group == 0 else 0,
        "s_errors": EXT4_ERRORS_CONTINUE,
        "s_lastcheck": layout.epoch & 0xFFFFFFFF,
        "s_creator_os": EXT4_OS_LINUX,
        "s_rev_level": EXT4_DYNAMIC_REV,
        "s_first_ino": EXT4_GOOD_OLD_FIRST_INO,
        "s_inode_size": spec.inode_size,
        # 16 bits: the field wraps in the kernel and in e2fsprogs too.
        "s_block_group_nr": group & 0xFFFF,
        "s_feature_compat": features.compat,
        "s_feature_incompat": features.incompat,
        "s_feature_ro_compat": features.ro_compat,
        "s_uuid": layout.uuid.bytes,
        "s_volume_name": layout.label.ljust(16, b"\0"),
        "s_reserved_gdt_blocks": geometry.reserved_gdt_blocks,
        "s_hash_seed": list(layout.directory_rules.hash_seed),
        "s_def_hash_version": DX_HASH_HALF_MD4,
        "s_desc_size": rules.desc_size if rules.wide else 0,
        "s_default_mount_opts": EXT4_DEFM_XATTR_USER | EXT4_DEFM_ACL,
        "s_mkfs_time": layout.epoch & 0xFFFFFFFF,
        "s_flags": EXT2_FLAGS_SIGNED_HASH,
        "s_kbytes_written": _kbytes_written(layout),
        "s_overhead_clusters": _overhead_blocks(layout),
        "s_wtime_hi": layout.epoch >> 32,
        "s_mkfs_time_hi": layout.epoch >> 32,
        "s_lastcheck_hi": layout.epoch >> 32,
    }
    if rules.wide:
        values["s_blocks_count_hi"] = geometry.blocks_count >> 32
        values["s_r_blocks_count_hi"] = layout.reserved_blocks >> 32
        values["s_free_blocks_count_hi"] = free_blocks >> 32
    if spec.inode_size > 128:
        values["s_min_extra_isize"] = INODE_EXTRA_ISIZE
        values["s_want_extra_isize"] = INODE_EXTRA_ISIZE
    if "flex_bg" in features:
        values["s_log_groups_per_flex"] = rules.groups_per_flex.bit_length() - 1
    if "metadata_csum" in features:
        values["s_checksum_type"] = EXT4_CRC32C_CHKSUM
    if "metadata_csum_seed" in features:
        values["s_checksum_seed"] = filesystem_seed(layout.uuid.bytes)
    if layout.table.lost_and_found is not None:
        values["s_lpf_ino"] = layout.table.inos[layout.table.lost_and_found]
    if layout.demand.journal_blocks:
        size = layout.demand.journal_blocks * layout.block_size
        i_block = journal_i_block(layout)
        words = [int.from_bytes(i_block[at : at + 4], "little") for at in range(0, 60, 4)]
        values["s_journal_inum"] = EXT4_JOURNAL_INO
        values["s_jnl_backup_type"] = EXT4_JNL_BACKUP_BLOCKS
        values["s_jnl_blocks"] = [*words, size >> 32, size & 0xFFFFFFFF]
    return values


def _overhead_blocks(layout: Layout) -> int:
    """fs/ext4/super.c:ext4_calculate_overhead, as mke2fs stores it; 32 bits."""
    geometry = layout.geometry
    overhead = geometry.rules.first_data_block + geometry.fixed_blocks
    return min(overhead + layout.demand.journal_blocks, 0xFFFFFFFF)


def _kbytes_written(layout: Layout) -> int:
    """What was written so far: every block in use, but of the journal only its superblock."""
    journal = layout.demand.journal_blocks
    blocks = layout.blocks_count - layout.free_blocks - journal + (1 if journal else 0)
    reserved = layout.geometry.reserved_gdt_blocks * len(layout.geometry.super_groups)
    return (blocks - reserved) * layout.block_size // 1024


def group_descriptors(layout: Layout, bitmaps: BitmapEmitter, seed: int) -> bytes:
    """All group descriptors, in whole blocks."""
    geometry, counts = layout.geometry, layout.groups
    rules = geometry.rules
    csum = "metadata_csum" in layout.features
    crc16 = not csum and "uninit_bg" in layout.features
    uuid = layout.uuid.bytes
    block_bytes, inode_bytes = rules.blocks_per_group // 8, geometry.inodes_per_group // 8
    packed = bytearray()
    checksum_of: dict[bytes, int] = {}
    for group in range(geometry.groups):
        flags = 0
        block_csum = inode_csum = itable_unused = 0
        if bitmaps.lazy:
            itable_unused = counts.itable_unused[group]
            flags = EXT4_BG_INODE_ZEROED
            if bitmaps.block_uninit(group):
                flags |= EXT4_BG_BLOCK_UNINIT
            if bitmaps.inode_uninit(group):
                flags |= EXT4_BG_INODE_UNINIT
        if csum and not flags & EXT4_BG_BLOCK_UNINIT:
            bitmap = bitmaps.block_bitmap(group)[:block_bytes]
            block_csum = checksum_of.get(bitmap, -1)
            if block_csum < 0:
                block_csum = checksum_of[bitmap] = bitmap_checksum(seed, bitmap)
        if csum and not flags & EXT4_BG_INODE_UNINIT:
            inode_csum = bitmap_checksum(seed, bitmaps.inode_bitmap(group)[:inode_bytes])
        block_bitmap = geometry.block_bitmaps[group]
        inode_bitmap = geometry.inode_bitmaps[group]
        inode_table = geometry.inode_tables[group]
        free_blocks, free_inodes = counts.free_blocks[group], counts.free_inodes[group]
        used_dirs = counts.used_dirs[group]
        values = [
            block_bitmap & 0xFFFFFFFF,
            inode_bitmap & 0xFFFFFFFF,
            inode_table & 0xFFFFFFFF,
            free_blocks & 0xFFFF,
            free_inodes & 0xFFFF,
            used_dirs & 0xFFFF,
            flags,
            block_csum & 0xFFFF,
            inode_csum & 0xFFFF,
            itable_unused & 0xFFFF,
            0,
        ]
        if rules.wide:
            values += (
                block_bitmap >> 32,
                inode_bitmap >> 32,
                inode_table >> 32,
                free_blocks >> 16,
                free_inodes >> 16,
                used_dirs >> 16,
                itable_unused >> 16,
                block_csum >> 16,
                inode_csum >> 16,
            )
            desc = _pack_64(*values)
        else:
            desc = _pack_32(*values)
        if csum:
            values[10] = group_desc_checksum(seed, group, desc)
        elif crc16:
            values[10] = group_desc_crc16(uuid, group, desc)
        packed += _pack_64(*values) if rules.wide else _pack_32(*values)
    return bytes(packed.ljust(geometry.gdt_blocks * layout.block_size, b"\0"))
