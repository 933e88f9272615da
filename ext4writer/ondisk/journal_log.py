"""The log of the journal: descriptor, commit and revoke blocks, big-endian.

Rules: Documentation/filesystems/ext4/journal.rst and include/linux/jbd2.h.
"""

from __future__ import annotations

from .declaration import Array, Bytes, Int8ub, Int16ub, Int32ub, Int64ub, Struct
from .journal import CHECKSUM_TYPES, JOURNAL_HEADER
from .record import Record, field

# t_flags
JBD2_FLAG_ESCAPE = 1
JBD2_FLAG_SAME_UUID = 2
JBD2_FLAG_DELETED = 4
JBD2_FLAG_LAST_TAG = 8

# h_chksum_type and h_chksum_size of a commit with checksum v1.
JBD2_CRC32_CHKSUM = 1
JBD2_CRC32_CHKSUM_SIZE = 4

# Follows a tag without JBD2_FLAG_SAME_UUID.
UUID_SIZE = 16

_TAG_FLAGS = {
    JBD2_FLAG_ESCAPE: "escape",
    JBD2_FLAG_SAME_UUID: "same_uuid",
    JBD2_FLAG_DELETED: "deleted",
    JBD2_FLAG_LAST_TAG: "last_tag",
}

JOURNAL_BLOCK_TAG = Record(
    "journal_block_tag",
    Struct(
        field(
            "t_blocknr",
            Int32ub,
            "Block of the file system that this one is a copy of",
            "block",
            high="t_blocknr_high",
        ),
        field(
            "t_checksum",
            Int16ub,
            "Low half of the crc32c of transaction and block",
            "checksum",
            when="journal csum_v2",
        ),
        field("t_flags", Int16ub, "How the block is stored", "flags", names=_TAG_FLAGS),
        field(
            "t_blocknr_high",
            Int32ub,
            "High half of t_blocknr; without 64bit the tag ends before it",
            "block",
            when="journal 64bit",
        ),
    ),
    size=12,
    doc="Describes one block after a descriptor block, without checksum v3; journal.rst.",
)

JOURNAL_BLOCK_TAG3 = Record(
    "journal_block_tag3",
    Struct(
        field(
            "t_blocknr",
            Int32ub,
            "Block of the file system that this one is a copy of",
            "block",
            high="t_blocknr_high",
        ),
        field("t_flags", Int32ub, "How the block is stored", "flags", names=_TAG_FLAGS),
        field("t_blocknr_high", Int32ub, "High half of t_blocknr", "block"),
        field("t_checksum", Int32ub, "crc32c of transaction and block", "checksum"),
    ),
    size=16,
    doc="Describes one block after a descriptor block, with checksum v3; journal.rst.",
)

JOURNAL_BLOCK_TAIL = Record(
    "journal_block_tail",
    Struct(
        field(
            "t_checksum",
            Int32ub,
            "crc32c of the block, with zeros here, seeded by the journal's UUID",
            "checksum",
            when="journal csum_v2|journal csum_v3",
        ),
    ),
    size=4,
    doc="The last bytes of a descriptor or revoke block with checksum v2 or v3; journal.rst.",
)

JOURNAL_REVOKE_HEADER = Record(
    "journal_revoke_header",
    Struct(
        *JOURNAL_HEADER.declared.subcons,
        field("r_count", Int32ub, "Bytes in use, including this header", "bytes"),
    ),
    size=16,
    doc="Begins a revoke block; the revoked block numbers follow. journal.rst.",
)

JOURNAL_COMMIT_HEADER = Record(
    "journal_commit_header",
    Struct(
        *JOURNAL_HEADER.declared.subcons,
        field(
            "h_chksum_type",
            Int8ub,
            "Algorithm of checksum v1",
            "code",
            names=CHECKSUM_TYPES,
        ),
        field("h_chksum_size", Int8ub, "Size of that checksum", "bytes"),
        field("h_padding", Bytes(2), "Padding", "reserved"),
        field(
            "h_chksum",
            Array(8, Int32ub),
            "Checksum v1 of the transaction, or crc32c of this block, with zeros here",
            "checksum",
        ),
        field("h_commit_sec", Int64ub, "Time of the commit", "time"),
        field("h_commit_nsec", Int32ub, "Nanoseconds of that time"),
    ),
    size=60,
    doc="Begins a commit block, which ends a transaction; journal.rst.",
)


def tag_size(*, csum_v2: bool, csum_v3: bool, is_64bit: bool) -> int:
    """Return the size of a tag in bytes, which depends on the features of the journal."""
    # include/linux/jbd2.h:journal_tag_bytes: checksum v2 leaves two bytes unused after each tag
    if csum_v3:
        return JOURNAL_BLOCK_TAG3.size
    return JOURNAL_BLOCK_TAG.size + (2 if csum_v2 else 0) - (0 if is_64bit else 4)
