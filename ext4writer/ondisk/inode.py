"""The inode, its flags, and the encodings of times and device numbers.

Rules: Documentation/filesystems/ext4/inodes.rst and fs/ext4/ext4.h:struct ext4_inode.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ..bits import MASK_32, high_32, low_32
from .declaration import Bytes, Int16ul, Int32ul, Struct
from .record import Record, field

EXT4_GOOD_OLD_INODE_SIZE = 128
EXT4_N_BLOCKS = 15

# i_flags: inodes.rst, "i_flags"
EXT4_SECRM_FL = 0x00000001
EXT4_UNRM_FL = 0x00000002
EXT4_COMPR_FL = 0x00000004
EXT4_SYNC_FL = 0x00000008
EXT4_IMMUTABLE_FL = 0x00000010
EXT4_APPEND_FL = 0x00000020
EXT4_NODUMP_FL = 0x00000040
EXT4_NOATIME_FL = 0x00000080
EXT4_DIRTY_FL = 0x00000100
EXT4_COMPRBLK_FL = 0x00000200
EXT4_NOCOMPR_FL = 0x00000400
EXT4_ENCRYPT_FL = 0x00000800
EXT4_INDEX_FL = 0x00001000
EXT4_IMAGIC_FL = 0x00002000
EXT4_JOURNAL_DATA_FL = 0x00004000
EXT4_NOTAIL_FL = 0x00008000
EXT4_DIRSYNC_FL = 0x00010000
EXT4_TOPDIR_FL = 0x00020000
EXT4_HUGE_FILE_FL = 0x00040000
EXT4_EXTENTS_FL = 0x00080000
EXT4_VERITY_FL = 0x00100000
EXT4_EA_INODE_FL = 0x00200000
EXT4_DAX_FL = 0x02000000
EXT4_INLINE_DATA_FL = 0x10000000
EXT4_PROJINHERIT_FL = 0x20000000
EXT4_CASEFOLD_FL = 0x40000000
EXT4_RESERVED_FL = 0x80000000

INODE_FLAGS = {
    EXT4_SECRM_FL: "SECRM",
    EXT4_UNRM_FL: "UNRM",
    EXT4_COMPR_FL: "COMPR",
    EXT4_SYNC_FL: "SYNC",
    EXT4_IMMUTABLE_FL: "IMMUTABLE",
    EXT4_APPEND_FL: "APPEND",
    EXT4_NODUMP_FL: "NODUMP",
    EXT4_NOATIME_FL: "NOATIME",
    EXT4_DIRTY_FL: "DIRTY",
    EXT4_COMPRBLK_FL: "COMPRBLK",
    EXT4_NOCOMPR_FL: "NOCOMPR",
    EXT4_ENCRYPT_FL: "ENCRYPT",
    EXT4_INDEX_FL: "INDEX",
    EXT4_IMAGIC_FL: "IMAGIC",
    EXT4_JOURNAL_DATA_FL: "JOURNAL_DATA",
    EXT4_NOTAIL_FL: "NOTAIL",
    EXT4_DIRSYNC_FL: "DIRSYNC",
    EXT4_TOPDIR_FL: "TOPDIR",
    EXT4_HUGE_FILE_FL: "HUGE_FILE",
    EXT4_EXTENTS_FL: "EXTENTS",
    EXT4_VERITY_FL: "VERITY",
    EXT4_EA_INODE_FL: "EA_INODE",
    EXT4_DAX_FL: "DAX",
    EXT4_INLINE_DATA_FL: "INLINE_DATA",
    EXT4_PROJINHERIT_FL: "PROJINHERIT",
    EXT4_CASEFOLD_FL: "CASEFOLD",
    EXT4_RESERVED_FL: "RESERVED",
}
"""Each flag of i_flags -> its name without EXT4_ and _FL."""

_BASE = (
    field("i_mode", Int16ul, "File type and permissions", "mode"),
    field("i_uid", Int16ul, "Owner", "user", high="l_i_uid_high"),
    field("i_size_lo", Int32ul, "Size", "bytes", high="i_size_high"),
    field("i_atime", Int32ul, "Last access, signed", "time"),
    field("i_ctime", Int32ul, "Last change of the inode, signed", "time"),
    field("i_mtime", Int32ul, "Last change of the content, signed", "time"),
    field(
        "i_dtime",
        Int32ul,
        "Time of deletion; in an orphan, the next inode in the list of orphans",
        "time",
        zero="nothing has been deleted",
    ),
    field("i_gid", Int16ul, "Group", "group id", high="l_i_gid_high"),
    field(
        "i_links_count",
        Int16ul,
        "Hard links to the inode",
        "count",
        writes="1 for directories of 65,000 links and more (dir_nlink)",
    ),
    field(
        "i_blocks_lo",
        Int32ul,
        "Space used by content, mapping and attribute block; in blocks with the flag HUGE_FILE",
        "sectors",
        whole="i_blocks",
        high="l_i_blocks_high",
    ),
    field(
        "i_flags",
        Int32ul,
        "How the file is stored, and what may be done with it",
        "flags",
        names=INODE_FLAGS,
    ),
    field(
        "l_i_version",
        Int32ul,
        "Version for NFS (osd1.linux1)",
        whole="i_version",
        high="i_version_hi",
        zero="no client has used the file",
    ),
    field(
        "i_block",
        Bytes(4 * EXT4_N_BLOCKS),
        "Root of the mapping; or target of a short link, device number, inline content",
        writes="extents, or a block map without the feature extent; the resize inode always has a "
        "block map, as with e2fsprogs",
    ),
    field(
        "i_generation",
        Int32ul,
        "Distinguishes files that have used the same inode number",
        "hash",
        zero="a new file system has no old NFS handles",
    ),
    field(
        "i_file_acl_lo",
        Int32ul,
        "Block of extended attributes",
        "block",
        whole="i_file_acl",
        high="l_i_file_acl_high",
    ),
    field("i_size_high", Int32ul, "High half of i_size_lo", "bytes"),
    field(
        "i_obso_faddr",
        Int32ul,
        "For fragments, which were never implemented",
        "reserved",
        zero="obsolete",
    ),
    field(
        "l_i_blocks_high",
        Int16ul,
        "High half of i_blocks_lo (osd2.linux2)",
        "sectors",
        when="huge_file",
    ),
    field("l_i_file_acl_high", Int16ul, "High half of i_file_acl_lo", "block", when="64bit"),
    field("l_i_uid_high", Int16ul, "High half of i_uid", "user"),
    field("l_i_gid_high", Int16ul, "High half of i_gid", "group id"),
    field(
        "l_i_checksum_lo",
        Int16ul,
        "crc32c of number, generation and inode",
        "checksum",
        whole="i_checksum",
        high="i_checksum_hi",
        when="metadata_csum",
    ),
    field("l_i_reserved", Int16ul, "Padding", "reserved", zero="reserved"),
)

INODE_128 = Record(
    "inode_128",
    Struct(*_BASE),
    size=EXT4_GOOD_OLD_INODE_SIZE,
    doc="The inode of a file system with 128-byte inodes; inodes.rst.",
)

INODE = Record(
    "inode",
    Struct(
        *_BASE,
        field(
            "i_extra_isize",
            Int16ul,
            "Bytes of fields, starting with this one",
            "bytes",
            when="inode size > 128",
            writes="32",
        ),
        field(
            "i_checksum_hi",
            Int16ul,
            "High half of l_i_checksum_lo",
            "checksum",
            when="metadata_csum",
        ),
        field(
            "i_ctime_extra",
            Int32ul,
            "Two bits of seconds and the nanoseconds of i_ctime",
            "time extra",
            when="inode size > 128",
        ),
        field(
            "i_mtime_extra",
            Int32ul,
            "Two bits of seconds and the nanoseconds of i_mtime",
            "time extra",
            when="inode size > 128",
        ),
        field(
            "i_atime_extra",
            Int32ul,
            "Two bits of seconds and the nanoseconds of i_atime",
            "time extra",
            when="inode size > 128",
        ),
        field(
            "i_crtime",
            Int32ul,
            "Creation (birth) time, signed",
            "time",
            when="inode size > 128",
            writes="i_mtime unless a birth time is given",
        ),
        field(
            "i_crtime_extra",
            Int32ul,
            "Two bits of seconds and the nanoseconds of i_crtime",
            "time extra",
            when="inode size > 128",
        ),
        field(
            "i_version_hi",
            Int32ul,
            "High half of l_i_version",
            when="inode size > 128",
            zero="no client has used the file",
        ),
        field("i_projid", Int32ul, "Project ID", "project", when="project"),
    ),
    size=160,
    doc="The fixed part of a larger inode; extended attributes may follow. inodes.rst.",
)

# The i_extra_isize of an inode that has all fields of INODE.
INODE_EXTRA_ISIZE = INODE.size - EXT4_GOOD_OLD_INODE_SIZE

# inline_data: the first bytes of content are in i_block, the others in the attribute
# "system.data". In a directory the first four bytes of i_block are the inode number of "..".
# fs/ext4/ext4.h:EXT4_MIN_INLINE_DATA_SIZE, fs/ext4/xattr.h:EXT4_INLINE_DOTDOT_SIZE
EXT4_MIN_INLINE_DATA_SIZE = 4 * EXT4_N_BLOCKS
EXT4_INLINE_DOTDOT_SIZE = 4
INLINE_DATA_NAME = b"system.data"
# fs/ext4/inline.c:ext4_read_inline_folio: it must fit a page, and the smallest page has 4 KiB.
INLINE_DATA_MOST = 4096

# Indexes of the single, double and triple indirect block in i_block; the first twelve are data.
EXT4_NDIR_BLOCKS = 12
EXT4_IND_BLOCK = 12
EXT4_DIND_BLOCK = 13
EXT4_TIND_BLOCK = 14

# inodes.rst, "Inode Timestamps": a signed 32-bit word of seconds, and two more bits of seconds in
# the extra word.
_NS = 10**9
MIN_TIME_NS = -(2**31) * _NS
MAX_TIME_NS = (2**34 - 2**31) * _NS - 1
MIN_TIME_NS_NO_EXTRA = MIN_TIME_NS
MAX_TIME_NS_NO_EXTRA = 2**31 * _NS - 1

FEW_TIMES = 64
"""Up to this many distinct times are encoded once each, however many inodes have them."""


def encode_time(ns: int, extra: bool) -> tuple[int, int]:
    """Return (low word, extra word) of a time in nanoseconds since 1970.

    Without ``extra`` the inode stores only whole seconds, and the second word is 0. Raises
    ``ValueError`` if the time cannot be stored.
    """
    # fs/ext4/ext4.h:ext4_encode_extra_time
    seconds, nanoseconds = divmod(ns, _NS)
    low = low_32(seconds)
    if not extra:
        if not -(2**31) <= seconds < 2**31:
            raise ValueError(f"{seconds} s does not fit an inode without extra time fields")
        return low, 0
    epoch = high_32(seconds + 2**31)
    if not 0 <= epoch <= 3:
        raise ValueError(f"{seconds} s is before 1901 or after 2446")
    return low, nanoseconds << 2 | epoch


def encode_times(times: Sequence[int], extra: bool) -> tuple[array[int], array[int]]:
    """Return the columns of low and extra words of many times; raises like ``encode_time``."""
    distinct = set(times)
    if len(distinct) <= FEW_TIMES:
        words = {time: encode_time(time, extra) for time in distinct}
        pairs = list(map(words.__getitem__, times))
        return array("I", [low for low, _ in pairs]), array("I", [high for _, high in pairs])
    encode_time(min(distinct), extra)
    encode_time(max(distinct), extra)
    seconds = [time // _NS for time in times]
    # encode_time, spelled out because this runs for every inode
    low = array("I", [second & MASK_32 for second in seconds])
    if not extra:
        return low, array("I", bytes(4 * len(low)))
    both = zip(times, seconds, strict=True)
    high = [time - second * _NS << 2 | second + 2**31 >> 32 for time, second in both]
    return low, array("I", high)


def decode_time(low: int, extra: int = 0) -> int:
    """Return the time in nanoseconds since 1970; the inverse of ``encode_time``."""
    # fs/ext4/ext4.h:ext4_decode_extra_time
    signed = (low ^ 1 << 31) - (1 << 31)  # the sign bit counts as -2**31 instead of 2**31
    seconds = signed + ((extra & 3) << 32)
    return seconds * _NS + (extra >> 2)


def encode_device(major: int, minor: int) -> tuple[int, int]:
    """Return the words (i_block[0], i_block[1]) of a device special file.

    Raises ``ValueError`` if a number does not fit Linux's 12 bits (major) or 20 bits (minor).
    """
    # fs/ext4/inode.c:ext4_do_update_inode; include/linux/kdev_t.h:{old,new}_encode_dev
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise ValueError(f"device {major}:{minor} is out of range")
    if major < 256 and minor < 256:
        return major << 8 | minor, 0
    return 0, new_encode_dev(major, minor)


def decode_device(word0: int, word1: int) -> tuple[int, int]:
    """Return (major, minor) from i_block[0] and i_block[1]."""
    return old_decode_dev(word0) if word0 else new_decode_dev(word1)


# include/linux/kdev_t.h: the old form has 8 bits each; the new one has the upper bits of the minor
# above the major.


def old_decode_dev(number: int) -> tuple[int, int]:
    """Return (major, minor) of a 16-bit device number."""
    return number >> 8 & 0xFF, number & 0xFF


def new_encode_dev(major: int, minor: int) -> int:
    """Return the 32-bit device number, which s_journal_dev also uses."""
    return (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12


def new_decode_dev(number: int) -> tuple[int, int]:
    """Return (major, minor) of a 32-bit device number."""
    return number >> 8 & 0xFFF, (number & 0xFF) | (number >> 12 & 0xFFF00)
