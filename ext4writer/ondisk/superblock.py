"""The superblock: 1024 bytes at byte 1024 of the image, and copies in the backup groups.

Rules: Documentation/filesystems/ext4/super.rst and fs/ext4/ext4.h:struct ext4_super_block.
"""

from __future__ import annotations

from construct import Array, Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

from .record import Record

SUPERBLOCK_OFFSET = 1024
SUPERBLOCK_SIZE = 1024

EXT4_SUPER_MAGIC = 0xEF53

# s_state
EXT4_VALID_FS = 0x0001
EXT4_ERROR_FS = 0x0002
EXT4_ORPHAN_FS = 0x0004
EXT4_FC_REPLAY = 0x0020

# s_errors
EXT4_ERRORS_CONTINUE = 1
EXT4_ERRORS_RO = 2
EXT4_ERRORS_PANIC = 3

# s_creator_os
EXT4_OS_LINUX = 0
EXT4_OS_HURD = 1
EXT4_OS_MASIX = 2
EXT4_OS_FREEBSD = 3
EXT4_OS_LITES = 4

# s_rev_level
EXT4_GOOD_OLD_REV = 0
EXT4_DYNAMIC_REV = 1

# s_flags. A mounted image without either hash flag gets the flag of the host's C "char".
EXT2_FLAGS_SIGNED_HASH = 0x0001
EXT2_FLAGS_UNSIGNED_HASH = 0x0002
EXT2_FLAGS_TEST_FILESYS = 0x0004

# s_default_mount_opts
EXT4_DEFM_DEBUG = 0x0001
EXT4_DEFM_BSDGROUPS = 0x0002
EXT4_DEFM_XATTR_USER = 0x0004
EXT4_DEFM_ACL = 0x0008
EXT4_DEFM_UID16 = 0x0010
EXT4_DEFM_JMODE = 0x0060
EXT4_DEFM_JMODE_DATA = 0x0020
EXT4_DEFM_JMODE_ORDERED = 0x0040
EXT4_DEFM_JMODE_WBACK = 0x0060
EXT4_DEFM_NOBARRIER = 0x0100
EXT4_DEFM_BLOCK_VALIDITY = 0x0200
EXT4_DEFM_DISCARD = 0x0400
EXT4_DEFM_NODELALLOC = 0x0800

# s_checksum_type
EXT4_CRC32C_CHKSUM = 1

# s_jnl_backup_type: s_jnl_blocks holds i_block and the size of the journal's inode
EXT4_JNL_BACKUP_BLOCKS = 1

# s_encoding and s_encoding_flags
EXT4_ENC_UTF8_12_1 = 1
EXT4_ENC_STRICT_MODE_FL = 0x0001

# Reserved inodes: special_inodes.rst
EXT4_BAD_INO = 1
EXT4_ROOT_INO = 2
EXT4_USR_QUOTA_INO = 3
EXT4_GRP_QUOTA_INO = 4
EXT4_BOOT_LOADER_INO = 5
EXT4_UNDEL_DIR_INO = 6
EXT4_RESIZE_INO = 7
EXT4_JOURNAL_INO = 8
EXT4_EXCLUDE_INO = 9
EXT4_REPLICA_INO = 10
EXT4_GOOD_OLD_FIRST_INO = 11

# A directory with more links than this has i_links_count 1 (dir_nlink).
EXT4_LINK_MAX = 65000

EXT4_MIN_BLOCK_SIZE = 1024
EXT4_MAX_BLOCK_SIZE = 65536
EXT4_MIN_BLOCK_LOG_SIZE = 10
EXT4_LABEL_MAX = 16

SUPERBLOCK = Record(
    "superblock",
    Struct(
        "s_inodes_count" / Int32ul,
        "s_blocks_count_lo" / Int32ul,
        "s_r_blocks_count_lo" / Int32ul,
        "s_free_blocks_count_lo" / Int32ul,
        "s_free_inodes_count" / Int32ul,
        "s_first_data_block" / Int32ul,
        "s_log_block_size" / Int32ul,
        "s_log_cluster_size" / Int32ul,
        "s_blocks_per_group" / Int32ul,
        "s_clusters_per_group" / Int32ul,
        "s_inodes_per_group" / Int32ul,
        "s_mtime" / Int32ul,
        "s_wtime" / Int32ul,
        "s_mnt_count" / Int16ul,
        "s_max_mnt_count" / Int16ul,
        "s_magic" / Int16ul,
        "s_state" / Int16ul,
        "s_errors" / Int16ul,
        "s_minor_rev_level" / Int16ul,
        "s_lastcheck" / Int32ul,
        "s_checkinterval" / Int32ul,
        "s_creator_os" / Int32ul,
        "s_rev_level" / Int32ul,
        "s_def_resuid" / Int16ul,
        "s_def_resgid" / Int16ul,
        # From here on only with EXT4_DYNAMIC_REV.
        "s_first_ino" / Int32ul,
        "s_inode_size" / Int16ul,
        "s_block_group_nr" / Int16ul,
        "s_feature_compat" / Int32ul,
        "s_feature_incompat" / Int32ul,
        "s_feature_ro_compat" / Int32ul,
        "s_uuid" / Bytes(16),
        "s_volume_name" / Bytes(16),
        "s_last_mounted" / Bytes(64),
        "s_algorithm_usage_bitmap" / Int32ul,
        "s_prealloc_blocks" / Int8ul,
        "s_prealloc_dir_blocks" / Int8ul,
        "s_reserved_gdt_blocks" / Int16ul,
        "s_journal_uuid" / Bytes(16),
        "s_journal_inum" / Int32ul,
        "s_journal_dev" / Int32ul,
        "s_last_orphan" / Int32ul,
        "s_hash_seed" / Array(4, Int32ul),
        "s_def_hash_version" / Int8ul,
        "s_jnl_backup_type" / Int8ul,
        "s_desc_size" / Int16ul,
        "s_default_mount_opts" / Int32ul,
        "s_first_meta_bg" / Int32ul,
        "s_mkfs_time" / Int32ul,
        "s_jnl_blocks" / Array(17, Int32ul),
        "s_blocks_count_hi" / Int32ul,
        "s_r_blocks_count_hi" / Int32ul,
        "s_free_blocks_count_hi" / Int32ul,
        "s_min_extra_isize" / Int16ul,
        "s_want_extra_isize" / Int16ul,
        "s_flags" / Int32ul,
        "s_raid_stride" / Int16ul,
        "s_mmp_update_interval" / Int16ul,
        "s_mmp_block" / Int64ul,
        "s_raid_stripe_width" / Int32ul,
        "s_log_groups_per_flex" / Int8ul,
        "s_checksum_type" / Int8ul,
        "s_encryption_level" / Int8ul,
        "s_reserved_pad" / Int8ul,
        "s_kbytes_written" / Int64ul,
        "s_snapshot_inum" / Int32ul,
        "s_snapshot_id" / Int32ul,
        "s_snapshot_r_blocks_count" / Int64ul,
        "s_snapshot_list" / Int32ul,
        "s_error_count" / Int32ul,
        "s_first_error_time" / Int32ul,
        "s_first_error_ino" / Int32ul,
        "s_first_error_block" / Int64ul,
        "s_first_error_func" / Bytes(32),
        "s_first_error_line" / Int32ul,
        "s_last_error_time" / Int32ul,
        "s_last_error_ino" / Int32ul,
        "s_last_error_line" / Int32ul,
        "s_last_error_block" / Int64ul,
        "s_last_error_func" / Bytes(32),
        "s_mount_opts" / Bytes(64),
        "s_usr_quota_inum" / Int32ul,
        "s_grp_quota_inum" / Int32ul,
        "s_overhead_clusters" / Int32ul,
        "s_backup_bgs" / Array(2, Int32ul),
        "s_encrypt_algos" / Bytes(4),
        "s_encrypt_pw_salt" / Bytes(16),
        "s_lpf_ino" / Int32ul,
        "s_prj_quota_inum" / Int32ul,
        "s_checksum_seed" / Int32ul,
        "s_wtime_hi" / Int8ul,
        "s_mtime_hi" / Int8ul,
        "s_mkfs_time_hi" / Int8ul,
        "s_lastcheck_hi" / Int8ul,
        "s_first_error_time_hi" / Int8ul,
        "s_last_error_time_hi" / Int8ul,
        "s_first_error_errcode" / Int8ul,
        "s_last_error_errcode" / Int8ul,
        "s_encoding" / Int16ul,
        "s_encoding_flags" / Int16ul,
        "s_orphan_file_inum" / Int32ul,
        # Only newer kernels know these two; reserved, and so zero, before.
        "s_def_resuid_hi" / Int16ul,
        "s_def_resgid_hi" / Int16ul,
        "s_reserved" / Bytes(93 * 4),
        "s_checksum" / Int32ul,
    ),
    size=SUPERBLOCK_SIZE,
    doc="The superblock; super.rst.",
)
