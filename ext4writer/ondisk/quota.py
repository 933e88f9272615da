"""Quota files of format v2: header, limits of time, and a tree of 1 KiB blocks.

Rules: fs/quota/quotaio_v2.h and fs/quota/quota_tree.h. Block 0 holds header and limits of time,
block 1 the root of the tree: QT_TREEDEPTH levels of 32-bit block numbers, one for each byte of the
id, the highest first; the last level points at blocks of entries.
"""

from __future__ import annotations

from construct import Int16ul, Int32ul, Int64ul, Struct

from .record import Record, field

QT_BLKSIZE = 1024
QT_TREEOFF = 1
QT_TREEDEPTH = 4

# dqh_magic: fs/quota/quotaio_v2.h:V2_INITQMAGICS
USER_QUOTA_MAGIC = 0xD9C01F11
GROUP_QUOTA_MAGIC = 0xD9C01927
PROJECT_QUOTA_MAGIC = 0xD9C03F14

_MAGICS = {USER_QUOTA_MAGIC: "user", GROUP_QUOTA_MAGIC: "group", PROJECT_QUOTA_MAGIC: "project"}

QUOTA_HEADER = Record(
    "quota_header",
    Struct(
        field("dqh_magic", Int32ul, "Whose quotas these are", "magic", names=_MAGICS),
        field("dqh_version", Int32ul, "Format of the entries", "code", names={0: "r0", 1: "r1"}),
    ),
    size=8,
    doc="Begins a quota file (v2_disk_dqheader); quotaio_v2.h.",
)

QUOTA_INFO = Record(
    "quota_info",
    Struct(
        field("dqi_bgrace", Int32ul, "How long the soft limit of room may be passed", "seconds"),
        field("dqi_igrace", Int32ul, "How long the soft limit of inodes may be passed", "seconds"),
        field("dqi_flags", Int32ul, "Flags; none are defined", "flags"),
        field("dqi_blocks", Int32ul, "Blocks of 1 KiB in the file", "blocks"),
        field("dqi_free_blk", Int32ul, "First of a list of free blocks; 0 for none", "file block"),
        field(
            "dqi_free_entry",
            Int32ul,
            "First of a list of blocks with free entries; 0 for none",
            "file block",
        ),
    ),
    size=24,
    doc="Follows the header (v2_disk_dqinfo); quotaio_v2.h.",
)

QUOTA_BLOCK_HEADER = Record(
    "quota_block_header",
    Struct(
        field("dqdh_next_free", Int32ul, "Next block of the list", "file block"),
        field("dqdh_prev_free", Int32ul, "Block before it in the list", "file block"),
        field("dqdh_entries", Int16ul, "Entries in use", "entries"),
        field("dqdh_pad1", Int16ul, "Padding", "reserved"),
        field("dqdh_pad2", Int32ul, "Padding", "reserved"),
    ),
    size=16,
    doc="Begins a block of entries, or a free block (qt_disk_dqdbheader); quota_tree.h.",
)

QUOTA_ENTRY_R0 = Record(
    "quota_entry_r0",
    Struct(
        field("dqb_id", Int32ul, "User, group or project"),
        field("dqb_ihardlimit", Int32ul, "Most inodes", "inodes"),
        field("dqb_isoftlimit", Int32ul, "Most inodes for long", "inodes"),
        field("dqb_curinodes", Int32ul, "Inodes in use", "inodes"),
        field("dqb_bhardlimit", Int32ul, "Most room", "KiB"),
        field("dqb_bsoftlimit", Int32ul, "Most room for long", "KiB"),
        field("dqb_curspace", Int64ul, "Room in use", "bytes"),
        field("dqb_btime", Int64ul, "When the time for the soft limit of room ends", "time"),
        field("dqb_itime", Int64ul, "When the time for the soft limit of inodes ends", "time"),
    ),
    size=48,
    doc="Use and limits of one id in version 0 (v2r0_disk_dqblk); quotaio_v2.h.",
)

QUOTA_ENTRY = Record(
    "quota_entry",
    Struct(
        field("dqb_id", Int32ul, "User, group or project"),
        field("dqb_pad", Int32ul, "Padding", "reserved"),
        field("dqb_ihardlimit", Int64ul, "Most inodes", "inodes"),
        field("dqb_isoftlimit", Int64ul, "Most inodes for long", "inodes"),
        field("dqb_curinodes", Int64ul, "Inodes in use", "inodes"),
        field("dqb_bhardlimit", Int64ul, "Most room", "KiB"),
        field("dqb_bsoftlimit", Int64ul, "Most room for long", "KiB"),
        field("dqb_curspace", Int64ul, "Room in use", "bytes"),
        field("dqb_btime", Int64ul, "When the time for the soft limit of room ends", "time"),
        field("dqb_itime", Int64ul, "When the time for the soft limit of inodes ends", "time"),
    ),
    size=72,
    doc="Use and limits of one id in version 1 (v2r1_disk_dqblk); quotaio_v2.h.",
)
