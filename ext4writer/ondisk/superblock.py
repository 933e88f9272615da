"""The superblock: 1024 bytes at byte 1024 of the image, and copies in the backup groups.

Rules: Documentation/filesystems/ext4/super.rst and fs/ext4/ext4.h:struct ext4_super_block.
"""

from __future__ import annotations

import re

from .declaration import Array, Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct
from .record import Record, field

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

# s_flags. On a mount, an image with neither hash flag gets the one for the host's C type "char".
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

# s_encrypt_algos: AES-256-XTS and AES-256-CTS, as in misc/mke2fs.c:main
DEFAULT_ENCRYPT_ALGOS = b"\1\4\0\0"

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
MAX_MOUNTS_UNLIMITED = 0xFFFF
"""s_max_mnt_count: never check (-1 in 16 bits)."""

_STATES = {
    EXT4_VALID_FS: "clean",
    EXT4_ERROR_FS: "errors",
    EXT4_ORPHAN_FS: "orphans",
    EXT4_FC_REPLAY: "fast commit replay",
}
_ERRORS = {
    EXT4_ERRORS_CONTINUE: "continue",
    EXT4_ERRORS_RO: "remount-ro",
    EXT4_ERRORS_PANIC: "panic",
}
_SYSTEMS = {
    EXT4_OS_LINUX: "Linux",
    EXT4_OS_HURD: "Hurd",
    EXT4_OS_MASIX: "Masix",
    EXT4_OS_FREEBSD: "FreeBSD",
    EXT4_OS_LITES: "Lites",
}
ERRORS = {name: code for code, name in _ERRORS.items()}
SYSTEMS = {name: code for code, name in _SYSTEMS.items()}
_FLAGS = {
    EXT2_FLAGS_SIGNED_HASH: "signed_directory_hash",
    EXT2_FLAGS_UNSIGNED_HASH: "unsigned_directory_hash",
    EXT2_FLAGS_TEST_FILESYS: "test_filesystem",
}
_MOUNT_OPTIONS = {
    EXT4_DEFM_DEBUG: "debug",
    EXT4_DEFM_BSDGROUPS: "bsdgroups",
    EXT4_DEFM_XATTR_USER: "user_xattr",
    EXT4_DEFM_ACL: "acl",
    EXT4_DEFM_UID16: "uid16",
    EXT4_DEFM_JMODE_DATA: "journal_data",
    EXT4_DEFM_JMODE_ORDERED: "journal_data_ordered",
    EXT4_DEFM_NOBARRIER: "nobarrier",
    EXT4_DEFM_BLOCK_VALIDITY: "block_validity",
    EXT4_DEFM_DISCARD: "discard",
    EXT4_DEFM_NODELALLOC: "nodelalloc",
}


def edit_mount_options(text: str, bits: int) -> int:
    """Return the ``bits`` of s_default_mount_opts changed by the words of ``text``.

    ``name`` or ``+name`` adds, ``^name`` or ``-name`` removes, as in mke2fs.conf and for tune2fs.
    Raises ``ValueError`` for an unknown name.
    """
    # e2fsprogs lib/e2p/mntopts.c:e2p_edit_mntopts
    for word in text.replace(",", " ").split():
        name = word.lower().lstrip("+^-") if word[0] in "+^-" else word.lower()
        numbered = re.fullmatch(r"mntopt_([0-9]|[12][0-9]|3[01])", name)
        mask = 1 << int(numbered[1]) if numbered else _MOUNT_OPTIONS_BY_NAME.get(name)
        if mask is None:
            raise ValueError(
                f"{name!r} is no default mount option; there are "
                f"{', '.join(_MOUNT_OPTIONS_BY_NAME)}"
            )
        if mask & EXT4_DEFM_JMODE:
            bits &= ~EXT4_DEFM_JMODE
        bits = bits & ~mask if word[0] in "^-" else bits | mask
    return bits


_MOUNT_OPTIONS_BY_NAME = {name: mask for mask, name in _MOUNT_OPTIONS.items()} | {
    "journal_data_writeback": EXT4_DEFM_JMODE_WBACK
}

# dx_root_info.hash_version has three more values, which the superblock never holds.
_HASHES = {0: "legacy", 1: "half_md4", 2: "tea", 6: "siphash"}

SUPERBLOCK = Record(
    "superblock",
    Struct(
        field("s_inodes_count", Int32ul, "Inodes in all groups", "inodes"),
        field(
            "s_blocks_count_lo",
            Int32ul,
            "Blocks of the file system",
            "blocks",
            high="s_blocks_count_hi",
        ),
        field(
            "s_r_blocks_count_lo",
            Int32ul,
            "Blocks that only the superuser can use",
            "blocks",
            high="s_r_blocks_count_hi",
            writes="`--reserved-percent` of the blocks, rounded down, or `--reserved-blocks`",
        ),
        field(
            "s_free_blocks_count_lo",
            Int32ul,
            "Free blocks; with bigalloc, the blocks of free clusters",
            "blocks",
            high="s_free_blocks_count_hi",
            writes="as in the bitmaps",
        ),
        field("s_free_inodes_count", Int32ul, "Free inodes", "inodes", writes="as in the bitmaps"),
        field(
            "s_first_data_block",
            Int32ul,
            "The block of the primary superblock",
            "block",
            writes="1 with 1 KiB blocks, else 0",
            limits=(0, 1),
        ),
        field(
            "s_log_block_size",
            Int32ul,
            "Block size: 2 to the power of 10 plus this, in bytes",
            "log2",
            limits=(0, 6),
        ),
        field(
            "s_log_cluster_size",
            Int32ul,
            "Cluster size, in the same form; without bigalloc, that of the block size",
            "log2",
            limits=(0, 20),
        ),
        field(
            "s_blocks_per_group",
            Int32ul,
            "Blocks in a group",
            "blocks",
            writes="`--blocks-per-group`; 8 times the block size in bytes by default",
        ),
        field(
            "s_clusters_per_group",
            Int32ul,
            "Clusters in a group: the bits of a block bitmap",
            "clusters",
            writes="`--blocks-per-group`; 8 times the block size in bytes by default",
        ),
        field(
            "s_inodes_per_group",
            Int32ul,
            "Inodes in a group",
            "inodes",
            writes="the least number that is enough, in whole blocks and multiples of 8",
        ),
        field("s_mtime", Int32ul, "Last mount", "time", high="s_mtime_hi", zero="never mounted"),
        field(
            "s_wtime",
            Int32ul,
            "Last write of the superblock",
            "time",
            high="s_wtime_hi",
            writes="the epoch",
        ),
        field("s_mnt_count", Int16ul, "Mounts since the last check", "count", zero="never mounted"),
        field(
            "s_max_mnt_count",
            Int16ul,
            "Mounts after which the file system should be checked; 0xffff for never",
            "count",
            writes="`--max-mount-count`; 0xffff by default, as in mke2fs",
        ),
        field("s_magic", Int16ul, "0xEF53", "magic", names={EXT4_SUPER_MAGIC: "ext4"}),
        field(
            "s_state",
            Int16ul,
            "Whether the file system was unmounted cleanly, and whether it has errors",
            "flags",
            writes="clean; 0 in the backups, as e2fsprogs writes them (ext2fs_flush2)",
            names=_STATES,
        ),
        field(
            "s_errors",
            Int16ul,
            "What the kernel does when it finds an error",
            "code",
            writes="`--errors`; continue by default",
            names=_ERRORS,
        ),
        field(
            "s_minor_rev_level",
            Int16ul,
            "Minor revision",
            "code",
            zero="there is no other",
            names={0: "0"},
        ),
        field(
            "s_lastcheck", Int32ul, "Last check", "time", high="s_lastcheck_hi", writes="the epoch"
        ),
        field(
            "s_checkinterval",
            Int32ul,
            "Longest time between checks",
            "seconds",
            writes="`--check-interval`; by default 0, which means no checks by time",
        ),
        field(
            "s_creator_os",
            Int32ul,
            "System that created the file system",
            "code",
            writes="`--creator-os`",
            names=_SYSTEMS,
        ),
        field(
            "s_rev_level",
            Int32ul,
            "Revision; revision 0 ends before s_first_ino",
            "code",
            writes="`--revision`; 1 by default",
            names={EXT4_GOOD_OLD_REV: "original", EXT4_DYNAMIC_REV: "dynamic"},
        ),
        field(
            "s_def_resuid",
            Int16ul,
            "User who may use the reserved blocks",
            "user",
            high="s_def_resuid_hi",
            writes="`--reserved-uid`; root by default",
        ),
        field(
            "s_def_resgid",
            Int16ul,
            "Group that may use the reserved blocks",
            "group id",
            high="s_def_resgid_hi",
            writes="`--reserved-gid`; root by default",
        ),
        field(
            "s_first_ino",
            Int32ul,
            "First inode that is not reserved",
            "inode",
            when="revision 1",
            writes="11",
        ),
        field(
            "s_inode_size",
            Int16ul,
            "Size of an inode on disk",
            "bytes",
            when="revision 1",
            writes="`--inode-size`",
        ),
        field(
            "s_block_group_nr",
            Int16ul,
            "Group that holds this copy, truncated to 16 bits",
            "group",
            when="revision 1",
        ),
        field(
            "s_feature_compat",
            Int32ul,
            "Features that may be ignored",
            "features",
            when="revision 1",
            writes="`--features`; has_journal is left out of an image that is too small for one",
        ),
        field(
            "s_feature_incompat",
            Int32ul,
            "Features that a system must support to mount the file system",
            "features",
            when="revision 1",
            writes="`--features`",
        ),
        field(
            "s_feature_ro_compat",
            Int32ul,
            "Features that a system must support to mount the file system for writing",
            "features",
            when="revision 1",
            writes="`--features`",
        ),
        field(
            "s_uuid",
            Bytes(16),
            "UUID of the file system",
            "uuid",
            when="revision 1",
            writes="given, or derived from the tree",
        ),
        field("s_volume_name", Bytes(16), "Label", "text", when="revision 1", writes="`--label`"),
        field(
            "s_last_mounted",
            Bytes(64),
            "Last mount point",
            "text",
            when="revision 1",
            writes="`--last-mounted`; none by default",
        ),
        field(
            "s_algorithm_usage_bitmap",
            Int32ul,
            "For compression",
            "reserved",
            when="revision 1",
            zero="used by no kernel",
        ),
        field(
            "s_prealloc_blocks",
            Int8ul,
            "Blocks to preallocate for files",
            "blocks",
            when="revision 1",
            zero="used by no kernel",
        ),
        field(
            "s_prealloc_dir_blocks",
            Int8ul,
            "Blocks to preallocate for directories",
            "blocks",
            when="revision 1",
            zero="used by no kernel",
        ),
        field(
            "s_reserved_gdt_blocks",
            Int16ul,
            "Blocks after the descriptors that are reserved for further descriptors",
            "blocks",
            when="revision 1",
            writes="as many as `--grow-to` requires, or `--reserved-gdt-blocks`",
        ),
        field(
            "s_journal_uuid",
            Bytes(16),
            "UUID of an external journal",
            "uuid",
            when="has_journal",
            writes="0 unless the journal is on another device",
        ),
        field(
            "s_journal_inum",
            Int32ul,
            "Inode of the journal",
            "inode",
            when="has_journal",
            writes="8; 0 if the journal is on another device",
        ),
        field(
            "s_journal_dev",
            Int32ul,
            "Device number of an external journal",
            when="has_journal",
            writes="`--journal-dev`",
        ),
        field(
            "s_last_orphan",
            Int32ul,
            "First in the list of inodes to delete or truncate",
            "inode",
            zero="no orphans",
        ),
        field(
            "s_hash_seed",
            Array(4, Int32ul),
            "Seed of the directory hashes",
            when="dir_index",
            writes="given, or derived from the tree",
        ),
        field(
            "s_def_hash_version",
            Int8ul,
            "Hash version of new directories",
            "code",
            when="dir_index",
            writes="hash_alg; half_md4 by default",
            names=_HASHES,
        ),
        field(
            "s_jnl_backup_type",
            Int8ul,
            "Whether s_jnl_blocks is in use",
            "code",
            when="has_journal",
            writes="1",
            names={0: "none", EXT4_JNL_BACKUP_BLOCKS: "blocks"},
        ),
        field(
            "s_desc_size",
            Int16ul,
            "Size of a group descriptor; 32 bytes without the feature",
            "bytes",
            when="64bit",
            writes="64, or as requested",
        ),
        field(
            "s_default_mount_opts",
            Int32ul,
            "Default mount options",
            "flags",
            writes="`--default-mntopts`; user_xattr,acl by default, as in mke2fs.conf",
            names=_MOUNT_OPTIONS,
        ),
        field(
            "s_first_meta_bg",
            Int32ul,
            "First block of descriptors that is stored in its own metagroup",
            "count",
            when="meta_bg",
            writes="0, or as requested",
        ),
        field(
            "s_mkfs_time",
            Int32ul,
            "Creation of the file system",
            "time",
            high="s_mkfs_time_hi",
            writes="the epoch",
        ),
        field(
            "s_jnl_blocks",
            Array(17, Int32ul),
            "Copy of the journal's i_block, then i_size_high and i_size_lo",
            when="has_journal",
        ),
        field(
            "s_blocks_count_hi", Int32ul, "High half of s_blocks_count_lo", "blocks", when="64bit"
        ),
        field(
            "s_r_blocks_count_hi",
            Int32ul,
            "High half of s_r_blocks_count_lo",
            "blocks",
            when="64bit",
        ),
        field(
            "s_free_blocks_count_hi",
            Int32ul,
            "High half of s_free_blocks_count_lo",
            "blocks",
            when="64bit",
        ),
        field(
            "s_min_extra_isize",
            Int16ul,
            "Bytes beyond the first 128 that every inode uses for fields",
            "bytes",
            when="inode size > 128",
            writes="32",
        ),
        field(
            "s_want_extra_isize",
            Int16ul,
            "Bytes beyond the first 128 that new inodes should use for fields",
            "bytes",
            when="inode size > 128",
            writes="32",
        ),
        field(
            "s_flags",
            Int32ul,
            "How names are hashed, and whether kernels under development may use the file system",
            "flags",
            writes="signed characters, unless hash_alg is an unsigned one; all readers obey it",
            names=_FLAGS,
        ),
        field(
            "s_raid_stride",
            Int16ul,
            "Blocks on one disk of a RAID before the next disk",
            "blocks",
            writes="`--stride`; 0 by default",
        ),
        field(
            "s_mmp_update_interval",
            Int16ul,
            "Seconds between updates of the mmp block",
            "seconds",
            when="mmp",
            writes="`--mmp-update-interval`; 5 by default",
        ),
        field(
            "s_mmp_block",
            Int64ul,
            "Block of multi-mount protection",
            "block",
            when="mmp",
        ),
        field(
            "s_raid_stripe_width",
            Int32ul,
            "Data blocks in a stripe of the RAID",
            "blocks",
            writes="`--stripe-width`; 0 by default",
        ),
        field(
            "s_log_groups_per_flex",
            Int8ul,
            "Groups in a flex group: 2 to the power of this",
            "log2",
            when="flex_bg",
            writes="from `--groups-per-flex`; 4 by default",
            limits=(0, 31),
        ),
        field(
            "s_checksum_type",
            Int8ul,
            "Algorithm of metadata checksums",
            "code",
            when="metadata_csum",
            writes="crc32c",
            names={EXT4_CRC32C_CHKSUM: "crc32c"},
        ),
        field(
            "s_encryption_level",
            Int8ul,
            "Version of encryption",
            "code",
            when="encrypt",
            zero="there is no other",
            names={0: "0"},
        ),
        field("s_reserved_pad", Int8ul, "Padding", "reserved", zero="reserved"),
        field(
            "s_kbytes_written",
            Int64ul,
            "Amount of data written since the file system was created",
            "KiB",
            writes="the blocks in use, except those reserved for growth and the empty journal",
        ),
        field(
            "s_snapshot_inum",
            Int32ul,
            "Inode of the active snapshot",
            "inode",
            when="has_snapshot",
            zero="no kernel creates snapshots",
        ),
        field(
            "s_snapshot_id",
            Int32ul,
            "Number of the active snapshot",
            when="has_snapshot",
            zero="no kernel creates snapshots",
        ),
        field(
            "s_snapshot_r_blocks_count",
            Int64ul,
            "Blocks reserved for the active snapshot",
            "blocks",
            when="has_snapshot",
            zero="no kernel creates snapshots",
        ),
        field(
            "s_snapshot_list",
            Int32ul,
            "First in the list of snapshots",
            "inode",
            when="has_snapshot",
            zero="no kernel creates snapshots",
        ),
        field("s_error_count", Int32ul, "Errors since the last check", "count", zero="no errors"),
        field(
            "s_first_error_time",
            Int32ul,
            "Time of the first error",
            "time",
            high="s_first_error_time_hi",
            zero="no errors",
        ),
        field("s_first_error_ino", Int32ul, "Inode of the first error", "inode", zero="no errors"),
        field(
            "s_first_error_block", Int64ul, "Block of the first error", "block", zero="no errors"
        ),
        field(
            "s_first_error_func",
            Bytes(32),
            "Function that detected the first error",
            "text",
            zero="no errors",
        ),
        field(
            "s_first_error_line",
            Int32ul,
            "Source line that detected the first error",
            zero="no errors",
        ),
        field(
            "s_last_error_time",
            Int32ul,
            "Time of the last error",
            "time",
            high="s_last_error_time_hi",
            zero="no errors",
        ),
        field("s_last_error_ino", Int32ul, "Inode of the last error", "inode", zero="no errors"),
        field(
            "s_last_error_line",
            Int32ul,
            "Source line that detected the last error",
            zero="no errors",
        ),
        field("s_last_error_block", Int64ul, "Block of the last error", "block", zero="no errors"),
        field(
            "s_last_error_func",
            Bytes(32),
            "Function that detected the last error",
            "text",
            zero="no errors",
        ),
        field(
            "s_mount_opts",
            Bytes(64),
            "Further mount options, as text",
            "text",
            writes="`--mount-opts`; none by default",
        ),
        field(
            "s_usr_quota_inum",
            Int32ul,
            "Inode of the quota file for users",
            "inode",
            when="quota",
            writes="3 if there is such a file",
        ),
        field(
            "s_grp_quota_inum",
            Int32ul,
            "Inode of the quota file for groups",
            "inode",
            when="quota",
            writes="4 if there is such a file",
        ),
        field(
            "s_overhead_clusters",
            Int32ul,
            "Clusters used by metadata at fixed places and by the journal",
            "clusters",
            writes="counted as in mke2fs",
        ),
        field(
            "s_backup_bgs",
            Array(2, Int32ul),
            "The two groups with backups",
            "group",
            when="sparse_super2",
            writes="group 1 and the last one, or fewer; 0 for none",
        ),
        field(
            "s_encrypt_algos",
            Bytes(4),
            "Encryption algorithms in use",
            when="encrypt",
            writes="AES-256-XTS and AES-256-CTS, as in mke2fs",
        ),
        field(
            "s_encrypt_pw_salt",
            Bytes(16),
            "Salt for keys from passwords",
            when="encrypt",
            zero="the kernel creates one on first use",
        ),
        field(
            "s_lpf_ino",
            Int32ul,
            "Inode of lost+found",
            "inode",
            writes="that of `/lost+found`, if it exists",
        ),
        field(
            "s_prj_quota_inum",
            Int32ul,
            "Inode of the quota file for projects",
            "inode",
            when="project",
            writes="the first after lost+found, with quota",
        ),
        field(
            "s_checksum_seed",
            Int32ul,
            "Seed of metadata checksums; without the feature, derived from the UUID",
            "checksum",
            when="metadata_csum_seed",
            writes="derived from the UUID",
        ),
        field("s_wtime_hi", Int8ul, "Bits 32 to 39 of s_wtime", "time"),
        field("s_mtime_hi", Int8ul, "Bits 32 to 39 of s_mtime", "time"),
        field("s_mkfs_time_hi", Int8ul, "Bits 32 to 39 of s_mkfs_time", "time"),
        field("s_lastcheck_hi", Int8ul, "Bits 32 to 39 of s_lastcheck", "time"),
        field("s_first_error_time_hi", Int8ul, "Bits 32 to 39 of s_first_error_time", "time"),
        field("s_last_error_time_hi", Int8ul, "Bits 32 to 39 of s_last_error_time", "time"),
        field("s_first_error_errcode", Int8ul, "Code of the first error", zero="no errors"),
        field("s_last_error_errcode", Int8ul, "Code of the last error", zero="no errors"),
        field(
            "s_encoding",
            Int16ul,
            "Encoding of names",
            "code",
            when="casefold",
            writes="utf8-12.1",
            names={EXT4_ENC_UTF8_12_1: "utf8-12.1"},
        ),
        field(
            "s_encoding_flags",
            Int16ul,
            "Whether invalid names are refused",
            "flags",
            when="casefold",
            writes="encoding_flags",
            names={EXT4_ENC_STRICT_MODE_FL: "strict"},
        ),
        field(
            "s_orphan_file_inum",
            Int32ul,
            "Inode of the orphan file",
            "inode",
            when="orphan_file",
            writes="the first after lost+found and the quota file for projects",
        ),
        field(
            "s_def_resuid_hi", Int16ul, "High half of s_def_resuid; zero before Linux 6.18", "user"
        ),
        field(
            "s_def_resgid_hi",
            Int16ul,
            "High half of s_def_resgid; zero before Linux 6.18",
            "group id",
        ),
        field("s_reserved", Bytes(93 * 4), "Padding", "reserved", zero="reserved"),
        field(
            "s_checksum", Int32ul, "crc32c of all bytes before it", "checksum", when="metadata_csum"
        ),
    ),
    size=SUPERBLOCK_SIZE,
    doc="The superblock; super.rst.",
)
