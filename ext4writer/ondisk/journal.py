"""The journal's superblock; the journal is big endian throughout.

Rules: Documentation/filesystems/ext4/journal.rst and include/linux/jbd2.h.
"""

from __future__ import annotations

from construct import Array, Bytes, Int8ub, Int32ub, Struct

from .record import Record

JBD2_MAGIC_NUMBER = 0xC03B3998
JBD2_MIN_JOURNAL_BLOCKS = 1024
JBD2_DEFAULT_FAST_COMMIT_BLOCKS = 256

# h_blocktype
JBD2_DESCRIPTOR_BLOCK = 1
JBD2_COMMIT_BLOCK = 2
JBD2_SUPERBLOCK_V1 = 3
JBD2_SUPERBLOCK_V2 = 4
JBD2_REVOKE_BLOCK = 5

# s_checksum_type
JBD2_CRC32C_CHKSUM = 4

# s_feature_compat, s_feature_incompat
JBD2_FEATURE_COMPAT_CHECKSUM = 0x00000001
JBD2_FEATURE_INCOMPAT_REVOKE = 0x00000001
JBD2_FEATURE_INCOMPAT_64BIT = 0x00000002
JBD2_FEATURE_INCOMPAT_ASYNC_COMMIT = 0x00000004
JBD2_FEATURE_INCOMPAT_CSUM_V2 = 0x00000008
JBD2_FEATURE_INCOMPAT_CSUM_V3 = 0x00000010
JBD2_FEATURE_INCOMPAT_FAST_COMMIT = 0x00000020

_HEADER = (
    "h_magic" / Int32ub,
    "h_blocktype" / Int32ub,
    "h_sequence" / Int32ub,
)

JOURNAL_HEADER = Record(
    "journal_header",
    Struct(*_HEADER),
    size=12,
    doc="Begins every block of the journal's own; journal.rst.",
)

JOURNAL_SUPERBLOCK = Record(
    "journal_superblock",
    Struct(
        *_HEADER,
        "s_blocksize" / Int32ub,
        "s_maxlen" / Int32ub,
        "s_first" / Int32ub,
        "s_sequence" / Int32ub,
        "s_start" / Int32ub,
        "s_errno" / Int32ub,
        # From here on only in a version-2 superblock.
        "s_feature_compat" / Int32ub,
        "s_feature_incompat" / Int32ub,
        "s_feature_ro_compat" / Int32ub,
        "s_uuid" / Bytes(16),
        "s_nr_users" / Int32ub,
        "s_dynsuper" / Int32ub,
        "s_max_transaction" / Int32ub,
        "s_max_trans_data" / Int32ub,
        "s_checksum_type" / Int8ub,
        "s_padding2" / Bytes(3),
        "s_num_fc_blks" / Int32ub,
        "s_head" / Int32ub,
        "s_padding" / Array(40, Int32ub),
        "s_checksum" / Int32ub,
        "s_users" / Bytes(16 * 48),
    ),
    size=1024,
    doc="The first 1024 bytes of the journal; journal.rst.",
)

JOURNAL_MIN_FS_BLOCKS = 2048
"""The smallest file system to which mke2fs gives a journal, in blocks."""

# e2fsprogs mkjournal.c:ext2fs_default_journal_size: below how many file system blocks, how many
# journal blocks. Both count blocks, whatever their size.
_DEFAULT_SIZES = (
    (JOURNAL_MIN_FS_BLOCKS, 0),
    (32768, 1024),
    (256 * 1024, 4096),
    (512 * 1024, 8192),
    (4096 * 1024, 16384),
    (8192 * 1024, 32768),
    (16384 * 1024, 65536),
    (32768 * 1024, 131072),
)
_LARGEST_DEFAULT = 262144

# e2fsprogs ext2fs.h:EXT2_JOURNAL_TO_FC_BLKS_RATIO
_JOURNAL_TO_FC_BLOCKS = 64


def default_journal_blocks(fs_blocks: int) -> int:
    """Return how many blocks mke2fs gives the journal; 0 where it refuses one as too small."""
    for limit, blocks in _DEFAULT_SIZES:
        if fs_blocks < limit:
            return blocks
    return _LARGEST_DEFAULT


def default_fast_commit_blocks(journal_blocks: int) -> int:
    """Return how many blocks fast_commit adds to a journal of ``journal_blocks``.

    mke2fs 1.47 does not set fast_commit by default, so a default journal has none of them.
    """
    # e2fsprogs mkjournal.c:ext2fs_get_journal_params
    return journal_blocks // _JOURNAL_TO_FC_BLOCKS
