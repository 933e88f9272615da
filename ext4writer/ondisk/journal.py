"""The journal's superblock; the journal is big-endian throughout.

Rules: Documentation/filesystems/ext4/journal.rst and include/linux/jbd2.h.
"""

from __future__ import annotations

from collections.abc import Iterable

from .declaration import Array, Bytes, Int8ub, Int32ub, Struct
from .record import Record, field
from .superblock import EXT4_MIN_BLOCK_SIZE

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

JOURNAL_FEATURES = {
    "journal_checksum": (JBD2_FEATURE_COMPAT_CHECKSUM, 0),
    "journal_incompat_revoke": (0, JBD2_FEATURE_INCOMPAT_REVOKE),
    "journal_64bit": (0, JBD2_FEATURE_INCOMPAT_64BIT),
    "journal_async_commit": (0, JBD2_FEATURE_INCOMPAT_ASYNC_COMMIT),
    "journal_checksum_v2": (0, JBD2_FEATURE_INCOMPAT_CSUM_V2),
    "journal_checksum_v3": (0, JBD2_FEATURE_INCOMPAT_CSUM_V3),
}
"""Name (e2fsprogs lib/e2p/feature.c:jrnl_feature_list) -> its compat and incompat bits."""


def journal_feature_words(names: Iterable[str]) -> tuple[int, int]:
    """Return s_feature_compat and s_feature_incompat of these features."""
    compat = incompat = 0
    for name in names:
        compat |= JOURNAL_FEATURES[name][0]
        incompat |= JOURNAL_FEATURES[name][1]
    return compat, incompat


def has_checksums(names: Iterable[str]) -> bool:
    """Whether the superblock and each block of the log have a checksum with these features."""
    checksums = JBD2_FEATURE_INCOMPAT_CSUM_V2 | JBD2_FEATURE_INCOMPAT_CSUM_V3
    return bool(journal_feature_words(names)[1] & checksums)


BLOCK_TYPES = {
    JBD2_DESCRIPTOR_BLOCK: "descriptor",
    JBD2_COMMIT_BLOCK: "commit",
    JBD2_SUPERBLOCK_V1: "superblock v1",
    JBD2_SUPERBLOCK_V2: "superblock v2",
    JBD2_REVOKE_BLOCK: "revoke",
}
"""Each h_blocktype -> its name."""

_HEADER = (
    field("h_magic", Int32ub, "0xC03B3998", "magic", names={JBD2_MAGIC_NUMBER: "jbd2"}),
    field("h_blocktype", Int32ub, "Type of the block", "code", names=BLOCK_TYPES),
    field("h_sequence", Int32ub, "Transaction to which the block belongs; 0 in the superblock"),
)

_COMPAT = {JBD2_FEATURE_COMPAT_CHECKSUM: "checksum"}
JOURNAL_INCOMPAT = {
    JBD2_FEATURE_INCOMPAT_REVOKE: "revoke",
    JBD2_FEATURE_INCOMPAT_64BIT: "64bit",
    JBD2_FEATURE_INCOMPAT_ASYNC_COMMIT: "async_commit",
    JBD2_FEATURE_INCOMPAT_CSUM_V2: "csum_v2",
    JBD2_FEATURE_INCOMPAT_CSUM_V3: "csum_v3",
    JBD2_FEATURE_INCOMPAT_FAST_COMMIT: "fast_commit",
}
"""Each incompatible feature of a journal -> its name."""
CHECKSUM_TYPES = {0: "none", 1: "crc32", 2: "md5", 3: "sha1", JBD2_CRC32C_CHKSUM: "crc32c"}
"""Each checksum type of the journal -> its name."""

JOURNAL_HEADER = Record(
    "journal_header",
    Struct(*_HEADER),
    size=12,
    doc="Begins every block of the journal that is not a copy of a file system block; journal.rst.",
)

JOURNAL_SUPERBLOCK = Record(
    "journal_superblock",
    Struct(
        *_HEADER,
        field("s_blocksize", Int32ub, "Size of a block", "bytes", writes="that of the file system"),
        field(
            "s_maxlen",
            Int32ub,
            "Blocks of the journal",
            "blocks",
            writes="mke2fs's size for the image as written, or the size that growing to "
            "`--grow-to` requires, if that is more",
        ),
        field(
            "s_first",
            Int32ub,
            "First block of the log",
            "file block",
            writes="the one after this superblock",
        ),
        field(
            "s_sequence",
            Int32ub,
            "First transaction to expect in the log",
            writes="1, unless a policy leaves transactions to be recovered",
        ),
        field(
            "s_start",
            Int32ub,
            "Block where the log begins; 0 if there is nothing to recover",
            "file block",
            writes="0, unless a policy leaves transactions to be recovered",
        ),
        field(
            "s_errno", Int32ub, "Error with which the journal was aborted", "code", zero="no errors"
        ),
        field(
            "s_feature_compat",
            Int32ub,
            "Features that may be ignored",
            "flags",
            when="journal superblock v2",
            writes="`--journal-features`; by default none, and the kernel sets what it needs",
            names=_COMPAT,
        ),
        field(
            "s_feature_incompat",
            Int32ub,
            "Features that a replay must support",
            "flags",
            when="journal superblock v2",
            writes="`--journal-features`; by default none, and the kernel sets what it needs",
            names=JOURNAL_INCOMPAT,
        ),
        field(
            "s_feature_ro_compat",
            Int32ub,
            "Features that a writer must support",
            "flags",
            when="journal superblock v2",
            zero="there are none",
        ),
        field(
            "s_uuid",
            Bytes(16),
            "UUID of the journal",
            "uuid",
            when="journal superblock v2",
            writes="that of the file system; on a journal device, that of the device",
        ),
        field(
            "s_nr_users",
            Int32ub,
            "File systems that share the journal",
            "count",
            when="journal superblock v2",
            writes="1",
        ),
        field(
            "s_dynsuper",
            Int32ub,
            "Block of a copy of the superblock",
            "file block",
            when="journal superblock v2",
            zero="used by no kernel",
        ),
        field(
            "s_max_transaction",
            Int32ub,
            "Most blocks of the journal in a transaction",
            "blocks",
            when="journal superblock v2",
            zero="no limit",
        ),
        field(
            "s_max_trans_data",
            Int32ub,
            "Most blocks of data in a transaction",
            "blocks",
            when="journal superblock v2",
            zero="no limit",
        ),
        field(
            "s_checksum_type",
            Int8ub,
            "Checksum algorithm of the log",
            "code",
            when="journal superblock v2",
            writes="crc32c with a feature that needs it, else none",
            names=CHECKSUM_TYPES,
        ),
        field(
            "s_padding2",
            Bytes(3),
            "Padding",
            "reserved",
            when="journal superblock v2",
            zero="reserved",
        ),
        field(
            "s_num_fc_blks",
            Int32ub,
            "Blocks at the end of the journal for fast commits; 0 means 256",
            "blocks",
            when="fast_commit",
            writes="`--fast-commit-size`; by default one for each 64 other blocks",
        ),
        field(
            "s_head",
            Int32ub,
            "Where the log ended at the last unmount",
            "file block",
            when="journal superblock v2",
            zero="the journal is empty",
        ),
        field(
            "s_padding",
            Array(40, Int32ub),
            "Padding",
            "reserved",
            when="journal superblock v2",
            zero="reserved",
        ),
        field(
            "s_checksum",
            Int32ub,
            "crc32c of the 1024 bytes, with zeros here",
            "checksum",
            when="journal superblock v2",
            writes="only with a feature that needs it",
        ),
        field(
            "s_users",
            Bytes(16 * 48),
            "UUIDs of the file systems that share an external journal",
            when="journal superblock v2",
            writes="on a journal device, that of the file system",
        ),
    ),
    size=1024,
    doc="The first 1024 bytes of the journal; journal.rst.",
)

JOURNAL_MIN_FS_BLOCKS = 2048
"""The size in blocks of the smallest file system to which mke2fs adds a journal."""

# e2fsprogs mkjournal.c:ext2fs_default_journal_size: pairs of a limit for the blocks of the file
# system and the blocks of the journal below that limit, whatever the block size.
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
    """Return the blocks of the journal that mke2fs creates; 0 if the file system is too small."""
    for limit, blocks in _DEFAULT_SIZES:
        if fs_blocks < limit:
            return blocks
    return _LARGEST_DEFAULT


def journal_device_start(block_size: int) -> int:
    """Return the block of the journal's superblock on a journal device."""
    # lib/ext2fs/mkjournal.c:ext2fs_journal_sb_start
    return 2 if block_size == EXT4_MIN_BLOCK_SIZE else 1


def default_fast_commit_blocks(journal_blocks: int) -> int:
    """Return how many blocks fast_commit adds to a journal of ``journal_blocks`` blocks.

    mke2fs 1.47 does not set fast_commit by default, so a default journal has no such blocks.
    """
    # e2fsprogs mkjournal.c:ext2fs_get_journal_params
    return journal_blocks // _JOURNAL_TO_FC_BLOCKS


def fast_commit_blocks_in(journal_blocks: int) -> int:
    """Return how many of ``journal_blocks`` blocks :func:`default_fast_commit_blocks` added."""
    return journal_blocks // (_JOURNAL_TO_FC_BLOCKS + 1)
