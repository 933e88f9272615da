"""Linear directory blocks: entries, file type codes, the checksum tail.

Rules: Documentation/filesystems/ext4/directory.rst.
"""

from __future__ import annotations

from ..arithmetic import round_up
from .declaration import Int8ul, Int16ul, Int32ul, Struct
from .record import Record, field

EXT4_NAME_LEN = 255
EXT4_DIR_PAD = 4

EXT4_FT_UNKNOWN = 0
EXT4_FT_REG_FILE = 1
EXT4_FT_DIR = 2
EXT4_FT_CHRDEV = 3
EXT4_FT_BLKDEV = 4
EXT4_FT_FIFO = 5
EXT4_FT_SOCK = 6
EXT4_FT_SYMLINK = 7
# The file type of the checksum tail; real entries never have it.
EXT4_FT_DIR_CSUM = 0xDE

FILE_TYPES = {
    EXT4_FT_UNKNOWN: "unknown",
    EXT4_FT_REG_FILE: "file",
    EXT4_FT_DIR: "directory",
    EXT4_FT_CHRDEV: "character device",
    EXT4_FT_BLKDEV: "block device",
    EXT4_FT_FIFO: "fifo",
    EXT4_FT_SOCK: "socket",
    EXT4_FT_SYMLINK: "symlink",
}
"""Each file_type of an entry -> its meaning."""

DIR_ENTRY_2 = Record(
    "dir_entry_2",
    Struct(
        field("inode", Int32ul, "Inode; 0 for an unused entry", "inode"),
        field(
            "rec_len",
            Int16ul,
            "Bytes up to the next entry, or the end of the block",
            "bytes",
            writes="the least possible, except in the last entry",
        ),
        field("name_len", Int8ul, "Bytes of the name", "bytes"),
        field(
            "file_type",
            Int8ul,
            "Type of the file; without the feature, the high byte of name_len",
            "code",
            when="filetype",
            names=FILE_TYPES,
        ),
    ),
    size=8,
    doc="The fixed part of a directory entry; the name follows. directory.rst.",
)

DIR_ENTRY_TAIL = Record(
    "dir_entry_tail",
    Struct(
        field(
            "det_reserved_zero1",
            Int32ul,
            "In the place of an inode, so that the tail looks like an unused entry",
            "reserved",
            when="metadata_csum",
            zero="reserved",
        ),
        field("det_rec_len", Int16ul, "12", "bytes", when="metadata_csum"),
        field(
            "det_reserved_zero2",
            Int8ul,
            "In the place of name_len",
            "reserved",
            when="metadata_csum",
            zero="reserved",
        ),
        field(
            "det_reserved_ft",
            Int8ul,
            "0xDE",
            "magic",
            when="metadata_csum",
            names={EXT4_FT_DIR_CSUM: "checksum"},
        ),
        field(
            "det_checksum",
            Int32ul,
            "crc32c of the block before the tail, seeded by the inode",
            "checksum",
            when="metadata_csum",
        ),
    ),
    size=12,
    doc="The last 12 bytes of a leaf block with metadata_csum; directory.rst.",
)

DIR_ENTRY_HASH = Record(
    "dir_entry_hash",
    Struct(
        field(
            "hash",
            Int32ul,
            "Hash of the name, which cannot be computed without the key",
            "hash",
            when="casefold",
        ),
        field("minor_hash", Int32ul, "Second half of the hash", "hash", when="casefold"),
    ),
    size=8,
    doc="Follows a name in an encrypted directory with casefold; fs/ext4/ext4.h.",
)


def rec_len(name_len: int) -> int:
    """Return the least length in bytes of an entry whose name has ``name_len`` bytes."""
    # fs/ext4/ext4.h:ext4_dir_rec_len
    return round_up(name_len + 8, EXT4_DIR_PAD)


def encode_rec_len(length: int, block_size: int) -> int:
    """Return the 16-bit form of a length in bytes; it differs only in blocks of 64 KiB and more."""
    # fs/ext4/ext4.h:ext4_rec_len_to_disk
    if length % 4 or not 0 < length <= block_size or block_size > 1 << 18:
        raise ValueError(f"an entry cannot have {length} bytes in a block of {block_size} bytes")
    if length < 65536:
        return length
    if length == block_size:
        return 65535 if block_size == 65536 else 0
    return (length & 65532) | (length >> 16 & 3)


def decode_rec_len(stored: int, block_size: int) -> int:
    """Return the length of an entry in bytes from its 16-bit form."""
    # e2fsprogs dir_iterate.c:ext2fs_get_rec_len; in a smaller block, 0 is damage and stays 0
    if block_size < 65536:
        return stored
    if stored in (65535, 0):
        return block_size
    return (stored & 65532) | (stored & 3) << 16
