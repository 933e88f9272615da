"""Quota files of format v2: header, limits of time, and a tree of 1 KiB blocks.

Rules: fs/quota/quotaio_v2.h and fs/quota/quota_tree.h. Block 0 holds header and limits of time,
block 1 the root of the tree: QT_TREEDEPTH levels of 32-bit block numbers, one for each byte of the
id, the highest first; the last level points at blocks of entries.
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
"""Numbers of blocks in a block of the tree: one for each value of a byte of an id."""

# dqh_magic: fs/quota/quotaio_v2.h:V2_INITQMAGICS
USER_QUOTA_MAGIC = 0xD9C01F11
GROUP_QUOTA_MAGIC = 0xD9C01927
PROJECT_QUOTA_MAGIC = 0xD9C03F14


class QuotaKind(NamedTuple):
    """Whose use a quota file counts."""

    name: str
    short: str
    """As in mke2fs -E quotatype."""
    magic: int
    inum: str
    """The field of the superblock that names the inode of the file."""
    ino: int
    """The inode that a new file system has for it; 0 is none that is reserved."""


QUOTA_KINDS = (
    QuotaKind("user", "usr", USER_QUOTA_MAGIC, "s_usr_quota_inum", EXT4_USR_QUOTA_INO),
    QuotaKind("group", "grp", GROUP_QUOTA_MAGIC, "s_grp_quota_inum", EXT4_GRP_QUOTA_INO),
    QuotaKind("project", "prj", PROJECT_QUOTA_MAGIC, "s_prj_quota_inum", 0),
)

_MAGICS = {kind.magic: kind.name for kind in QUOTA_KINDS}

# lib/support/quotaio.h:MAX_DQ_TIME and MAX_IQ_TIME: a week
DEFAULT_GRACE = 7 * 24 * 60 * 60
GRACE_MOST = (1 << 32) - 1
# fs/quota/quota_v2.c:v2_read_file_info: the kernel counts bytes with 63 bits.
LIMIT_MOST_KIB = (1 << 53) - 1
# lib/support/quotaio_v2.c:v2_init_io
QUOTA_FILE_MOST_BYTES = 1 << 31

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
        field("dqi_flags", Int32ul, "Flags", "flags", zero="none are defined"),
        field("dqi_blocks", Int32ul, "Blocks of 1 KiB in the file", "count"),
        field(
            "dqi_free_blk",
            Int32ul,
            "First of a list of free blocks; 0 for none",
            "file block",
            zero="all are in use",
        ),
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
        field(
            "dqdh_next_free",
            Int32ul,
            "Next block of the list",
            "file block",
            zero="the last block alone may have room",
        ),
        field(
            "dqdh_prev_free",
            Int32ul,
            "Block before it in the list",
            "file block",
            zero="the last block alone may have room",
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
        field("dqb_pad", Int32ul, "Padding", "reserved", zero="padding"),
        field("dqb_ihardlimit", Int64ul, "Most inodes", "inodes"),
        field("dqb_isoftlimit", Int64ul, "Most inodes for long", "inodes"),
        field("dqb_curinodes", Int64ul, "Inodes in use", "inodes"),
        field("dqb_bhardlimit", Int64ul, "Most room", "KiB"),
        field("dqb_bsoftlimit", Int64ul, "Most room for long", "KiB"),
        field("dqb_curspace", Int64ul, "Room in use", "bytes"),
        field(
            "dqb_btime",
            Int64ul,
            "When the time for the soft limit of room ends",
            "time",
            zero="it begins when the kernel first finds the limit exceeded",
        ),
        field(
            "dqb_itime",
            Int64ul,
            "When the time for the soft limit of inodes ends",
            "time",
            zero="it begins when the kernel first finds the limit exceeded",
        ),
    ),
    size=72,
    doc="Use and limits of one id in version 1 (v2r1_disk_dqblk); quotaio_v2.h.",
)

ENTRIES_PER_BLOCK = (QT_BLKSIZE - QUOTA_BLOCK_HEADER.size) // QUOTA_ENTRY.size
"""Of version 1."""


class QuotaTree(NamedTuple):
    """The blocks of a quota file of given IDs: header, levels of the tree from the top, entries."""

    levels: tuple[Sequence[int], ...]
    """For each level the upper bits of IDs that have a block there, ascending; the root has 0."""
    entry_blocks: int

    @classmethod
    def of(cls, ids: Sequence[int]) -> QuotaTree:
        """Return the tree of ``ids``, which ascend; their entries lie in this order."""
        levels: list[Sequence[int]] = []
        prefixes = ids
        for _ in range(QT_TREEDEPTH):
            # A dict keeps the order.
            prefixes = list(dict.fromkeys([prefix // QT_REFERENCES for prefix in prefixes])) or [0]
            levels.insert(0, prefixes)
        return cls(tuple(levels), ceil_div(len(ids), ENTRIES_PER_BLOCK))

    @property
    def blocks(self) -> int:
        """Blocks of ``QT_BLKSIZE`` bytes in the file."""
        return QT_TREEOFF + sum(map(len, self.levels)) + self.entry_blocks
