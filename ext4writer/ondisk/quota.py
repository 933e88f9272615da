"""Quota files of format v2: header, grace periods, and a tree of 1 KiB blocks.

Rules: fs/quota/quotaio_v2.h and fs/quota/quota_tree.h. Block 0 holds the header and the grace
periods, block 1 the root of the tree. It has QT_TREEDEPTH levels of 32-bit block numbers, one level
for each byte of the ID, the highest byte first; the last level points to blocks of entries.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..arithmetic import ceil_div
from ..late_dataclasses import NamedTuple
from .declaration import Int16ul, Int32ul, Int64ul, Struct
from .record import Record, field
from .superblock import EXT4_GRP_QUOTA_INO, EXT4_USR_QUOTA_INO

QT_BLKSIZE = 1024
QT_TREEOFF = 1
QT_TREEDEPTH = 4
QT_REFERENCES = 256
"""Block numbers in a block of the tree: one for each value of a byte of an ID."""

# dqh_magic: fs/quota/quotaio_v2.h:V2_INITQMAGICS
USER_QUOTA_MAGIC = 0xD9C01F11
GROUP_QUOTA_MAGIC = 0xD9C01927
PROJECT_QUOTA_MAGIC = 0xD9C03F14


class QuotaKind(NamedTuple):
    """The kind of owners in a quota file: users, groups or projects."""

    name: str
    short: str
    """The name in mke2fs -E quotatype."""
    magic: int
    inum: str
    """The field of the superblock that holds the inode number of the file."""
    ino: int
    """The reserved inode of the file in a new file system; 0 if none is reserved."""


QUOTA_KINDS = (
    QuotaKind("user", "usr", USER_QUOTA_MAGIC, "s_usr_quota_inum", EXT4_USR_QUOTA_INO),
    QuotaKind("group", "grp", GROUP_QUOTA_MAGIC, "s_grp_quota_inum", EXT4_GRP_QUOTA_INO),
    QuotaKind("project", "prj", PROJECT_QUOTA_MAGIC, "s_prj_quota_inum", 0),
)

_MAGICS = {kind.magic: kind.name for kind in QUOTA_KINDS}

# lib/support/quotaio.h:MAX_DQ_TIME and MAX_IQ_TIME: a week
DEFAULT_GRACE = 7 * 24 * 60 * 60
GRACE_MOST = (1 << 32) - 1
# fs/quota/quota_v2.c:v2_read_file_info: the kernel counts bytes in 63 bits.
LIMIT_MOST_KIB = (1 << 53) - 1
# lib/support/quotaio_v2.c:v2_init_io
QUOTA_FILE_MOST_BYTES = 1 << 31

QUOTA_HEADER = Record(
    "quota_header",
    Struct(
        field("dqh_magic", Int32ul, "Users, groups or projects", "magic", names=_MAGICS),
        field("dqh_version", Int32ul, "Format of the entries", "code", names={0: "r0", 1: "r1"}),
    ),
    size=8,
    doc="Begins a quota file (v2_disk_dqheader); quotaio_v2.h.",
)

QUOTA_INFO = Record(
    "quota_info",
    Struct(
        field("dqi_bgrace", Int32ul, "Grace period of the soft limit of space", "seconds"),
        field("dqi_igrace", Int32ul, "Grace period of the soft limit of inodes", "seconds"),
        field("dqi_flags", Int32ul, "Flags", "flags", zero="none are defined"),
        field("dqi_blocks", Int32ul, "Blocks of 1 KiB in the file", "count"),
        field(
            "dqi_free_blk",
            Int32ul,
            "First in the list of free blocks; 0 for none",
            "file block",
            zero="all are in use",
        ),
        field(
            "dqi_free_entry",
            Int32ul,
            "First in the list of blocks with free entries; 0 for none",
            "file block",
        ),
    ),
    size=24,
    doc="Follows the header (v2_disk_dqinfo); quotaio_v2.h.",
)

QUOTA_BLOCK_HEADER = Record(
    "quota_block_header",
    Struct(
        field(
            "dqdh_next_free",
            Int32ul,
            "Next block in the list",
            "file block",
            zero="only the last block may have free entries",
        ),
        field(
            "dqdh_prev_free",
            Int32ul,
            "Previous block in the list",
            "file block",
            zero="only the last block may have free entries",
        ),
        field("dqdh_entries", Int16ul, "Entries in use", "entries"),
        field("dqdh_pad1", Int16ul, "Padding", "reserved", zero="padding"),
        field("dqdh_pad2", Int32ul, "Padding", "reserved", zero="padding"),
    ),
    size=16,
    doc="Begins a block of entries, or a free block (qt_disk_dqdbheader); quota_tree.h.",
)

QUOTA_ENTRY_R0 = Record(
    "quota_entry_r0",
    Struct(
        field("dqb_id", Int32ul, "User, group or project"),
        field("dqb_ihardlimit", Int32ul, "Hard limit of inodes", "inodes"),
        field("dqb_isoftlimit", Int32ul, "Soft limit of inodes", "inodes"),
        field("dqb_curinodes", Int32ul, "Inodes in use", "inodes"),
        field("dqb_bhardlimit", Int32ul, "Hard limit of space", "KiB"),
        field("dqb_bsoftlimit", Int32ul, "Soft limit of space", "KiB"),
        field("dqb_curspace", Int64ul, "Space in use", "bytes"),
        field("dqb_btime", Int64ul, "End of the grace period for space", "time"),
        field("dqb_itime", Int64ul, "End of the grace period for inodes", "time"),
    ),
    size=48,
    doc="Usage and limits of one ID in version 0 (v2r0_disk_dqblk); quotaio_v2.h.",
)

QUOTA_ENTRY = Record(
    "quota_entry",
    Struct(
        field("dqb_id", Int32ul, "User, group or project"),
        field("dqb_pad", Int32ul, "Padding", "reserved", zero="padding"),
        field("dqb_ihardlimit", Int64ul, "Hard limit of inodes", "inodes"),
        field("dqb_isoftlimit", Int64ul, "Soft limit of inodes", "inodes"),
        field("dqb_curinodes", Int64ul, "Inodes in use", "inodes"),
        field("dqb_bhardlimit", Int64ul, "Hard limit of space", "KiB"),
        field("dqb_bsoftlimit", Int64ul, "Soft limit of space", "KiB"),
        field("dqb_curspace", Int64ul, "Space in use", "bytes"),
        field(
            "dqb_btime",
            Int64ul,
            "End of the grace period for space",
            "time",
            zero="the kernel starts the period when it first finds the limit exceeded",
        ),
        field(
            "dqb_itime",
            Int64ul,
            "End of the grace period for inodes",
            "time",
            zero="the kernel starts the period when it first finds the limit exceeded",
        ),
    ),
    size=72,
    doc="Usage and limits of one ID in version 1 (v2r1_disk_dqblk); quotaio_v2.h.",
)

ENTRIES_PER_BLOCK = (QT_BLKSIZE - QUOTA_BLOCK_HEADER.size) // QUOTA_ENTRY.size
"""Entries of version 1 in a block."""


class QuotaTree(NamedTuple):
    """The blocks of a quota file: header, levels of the tree from the root down, entries."""

    levels: tuple[Sequence[int], ...]
    """For each level the upper bits of IDs that have a block there, ascending; 0 for the root."""
    entry_blocks: int

    @classmethod
    def of(cls, ids: Sequence[int]) -> QuotaTree:
        """Return the tree of ``ids``, which must ascend; entries are stored in this order."""
        levels: list[Sequence[int]] = []
        prefixes = ids
        for _ in range(QT_TREEDEPTH):
            # dict.fromkeys drops duplicates and keeps the order.
            prefixes = list(dict.fromkeys([prefix // QT_REFERENCES for prefix in prefixes])) or [0]
            levels.insert(0, prefixes)
        return cls(tuple(levels), ceil_div(len(ids), ENTRIES_PER_BLOCK))

    @property
    def blocks(self) -> int:
        """The number of blocks of ``QT_BLKSIZE`` bytes in the file."""
        return QT_TREEOFF + sum(map(len, self.levels)) + self.entry_blocks
