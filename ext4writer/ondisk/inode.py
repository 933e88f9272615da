"""The inode, its flags, and the encodings of times and device numbers.

Rules: Documentation/filesystems/ext4/inodes.rst and fs/ext4/ext4.h:struct ext4_inode.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from construct import Bytes, Int16ul, Int32ul, Struct

from .record import Record

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

_BASE = (
    "i_mode" / Int16ul,
    "i_uid" / Int16ul,
    "i_size_lo" / Int32ul,
    "i_atime" / Int32ul,
    "i_ctime" / Int32ul,
    "i_mtime" / Int32ul,
    "i_dtime" / Int32ul,
    "i_gid" / Int16ul,
    "i_links_count" / Int16ul,
    "i_blocks_lo" / Int32ul,
    "i_flags" / Int32ul,
    "l_i_version" / Int32ul,  # osd1.linux1
    "i_block" / Bytes(4 * EXT4_N_BLOCKS),
    "i_generation" / Int32ul,
    "i_file_acl_lo" / Int32ul,
    "i_size_high" / Int32ul,
    "i_obso_faddr" / Int32ul,
    "l_i_blocks_high" / Int16ul,  # osd2.linux2, six words
    "l_i_file_acl_high" / Int16ul,
    "l_i_uid_high" / Int16ul,
    "l_i_gid_high" / Int16ul,
    "l_i_checksum_lo" / Int16ul,
    "l_i_reserved" / Int16ul,
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
        "i_extra_isize" / Int16ul,
        "i_checksum_hi" / Int16ul,
        "i_ctime_extra" / Int32ul,
        "i_mtime_extra" / Int32ul,
        "i_atime_extra" / Int32ul,
        "i_crtime" / Int32ul,
        "i_crtime_extra" / Int32ul,
        "i_version_hi" / Int32ul,
        "i_projid" / Int32ul,
    ),
    size=160,
    doc="The fixed part of a larger inode; extended attributes may follow it. inodes.rst.",
)

# i_extra_isize that makes all fields of INODE present.
INODE_EXTRA_ISIZE = INODE.size - EXT4_GOOD_OLD_INODE_SIZE

# inodes.rst, "Inode Timestamps": 34 bits of seconds, signed low word, with the extra word.
_NS = 10**9
MIN_TIME_NS = -(2**31) * _NS
MAX_TIME_NS = (2**34 - 2**31) * _NS - 1
MIN_TIME_NS_NO_EXTRA = MIN_TIME_NS
MAX_TIME_NS_NO_EXTRA = 2**31 * _NS - 1

FEW_TIMES = 64
"""So many different times are encoded one by one, however many inodes have them."""


def encode_time(ns: int, extra: bool) -> tuple[int, int]:
    """Return (low word, extra word) of a time in nanoseconds since 1970.

    Without ``extra`` the inode keeps whole seconds only and the second word is 0. ValueError when
    the time cannot be stored.
    """
    # fs/ext4/ext4.h:ext4_encode_extra_time
    seconds, nanoseconds = divmod(ns, _NS)
    low = seconds & 0xFFFFFFFF
    if not extra:
        if not -(2**31) <= seconds < 2**31:
            raise ValueError(f"{seconds} s does not fit an inode without extra time fields")
        return low, 0
    epoch = (seconds + 2**31) >> 32
    if not 0 <= epoch <= 3:
        raise ValueError(f"{seconds} s is before 1901 or after 2446")
    return low, nanoseconds << 2 | epoch


def encode_times(times: Sequence[int], extra: bool) -> tuple[array[int], array[int]]:
    """Return the columns of low and of extra words of many times; ValueError as one would."""
    distinct = set(times)
    if len(distinct) <= FEW_TIMES:
        words = {time: encode_time(time, extra) for time in distinct}
        pairs = list(map(words.__getitem__, times))
        return array("I", [low for low, _ in pairs]), array("I", [high for _, high in pairs])
    encode_time(min(distinct), extra)
    encode_time(max(distinct), extra)
    seconds = [time // _NS for time in times]
    low = array("I", [second & 0xFFFFFFFF for second in seconds])
    if not extra:
        return low, array("I", bytes(4 * len(low)))
    both = zip(times, seconds, strict=True)
    high = [time - second * _NS << 2 | second + 2**31 >> 32 for time, second in both]
    return low, array("I", high)


def decode_time(low: int, extra: int = 0) -> int:
    """Return the time in nanoseconds since 1970; the inverse of ``encode_time``."""
    # fs/ext4/ext4.h:ext4_decode_extra_time
    seconds = (low ^ 0x80000000) - 0x80000000 + ((extra & 3) << 32)
    return seconds * _NS + (extra >> 2)


def encode_device(major: int, minor: int) -> tuple[int, int]:
    """Return the words (i_block[0], i_block[1]) of a device special file.

    ValueError when the number is larger than Linux' 12 and 20 bits.
    """
    # fs/ext4/inode.c:ext4_do_update_inode; include/linux/kdev_t.h:{old,new}_encode_dev
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise ValueError(f"device {major}:{minor} is out of range")
    if major < 256 and minor < 256:
        return major << 8 | minor, 0
    return 0, (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12


def decode_device(word0: int, word1: int) -> tuple[int, int]:
    """Return (major, minor) from i_block[0] and i_block[1]."""
    if word0:
        return word0 >> 8 & 0xFF, word0 & 0xFF
    return word1 >> 8 & 0xFFF, (word1 & 0xFF) | (word1 >> 12 & 0xFFF00)
