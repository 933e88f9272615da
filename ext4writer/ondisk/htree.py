"""Hashed directories: the root block, inner nodes and their limits.

Rules: Documentation/filesystems/ext4/directory.rst, "Hash Tree Directories".
"""

from __future__ import annotations

from .declaration import Bytes, Int8ul, Int16ul, Int32ul, Struct
from .dirent import FILE_TYPES, rec_len
from .record import Record, field

# dx_root_info.hash_version; the superblock's s_def_hash_version holds 0, 1, 2 or 6 only.
DX_HASH_LEGACY = 0
DX_HASH_HALF_MD4 = 1
DX_HASH_TEA = 2
DX_HASH_LEGACY_UNSIGNED = 3
DX_HASH_HALF_MD4_UNSIGNED = 4
DX_HASH_TEA_UNSIGNED = 5
DX_HASH_SIPHASH = 6

DX_BLOCK_MASK = 0x0FFFFFFF
# The most levels including the root: 2, or 3 with large_dir. fs/ext4/ext4.h
EXT4_HTREE_LEVEL_COMPAT = 2
EXT4_HTREE_LEVEL = 3

# Offsets of dx_countlimit in a root block and in a node block.
DX_ROOT_COUNT_OFFSET = 32
DX_NODE_COUNT_OFFSET = 8

HASH_VERSIONS = {
    DX_HASH_LEGACY: "legacy",
    DX_HASH_HALF_MD4: "half_md4",
    DX_HASH_TEA: "tea",
    DX_HASH_LEGACY_UNSIGNED: "legacy_unsigned",
    DX_HASH_HALF_MD4_UNSIGNED: "half_md4_unsigned",
    DX_HASH_TEA_UNSIGNED: "tea_unsigned",
    DX_HASH_SIPHASH: "siphash",
}
"""Each hash_version -> its name."""

HASH_ALGS = {name: version for version, name in HASH_VERSIONS.items() if version != DX_HASH_SIPHASH}
"""The values of ``hash_alg`` in ``mke2fs.conf``, and the same with ``_unsigned`` -> the hash
version."""


def stored_hash_version(version: int) -> int:
    """The value of ``hash_version`` and ``s_def_hash_version``; ``s_flags`` has the signedness."""
    # fs/ext4/namei.c:dx_probe accepts only these numbers, and adds s_hash_unsigned to them.
    return version - DX_HASH_LEGACY_UNSIGNED if is_unsigned(version) else version


def is_unsigned(version: int) -> bool:
    """Whether characters of 0x80 and above are hashed as unsigned ones."""
    return DX_HASH_LEGACY_UNSIGNED <= version <= DX_HASH_TEA_UNSIGNED


_DX_ROOT_INFO = (
    field("reserved_zero", Int32ul, "Padding", "reserved", zero="reserved"),
    field(
        "hash_version",
        Int8ul,
        "How names are hashed",
        "code",
        writes="s_def_hash_version",
        names=HASH_VERSIONS,
    ),
    field("info_length", Int8ul, "8", "bytes", limits=(8, 8)),
    field(
        "indirect_levels",
        Int8ul,
        "Levels of nodes between root and leaves",
        "count",
        limits=(0, EXT4_HTREE_LEVEL - 1),
    ),
    field("unused_flags", Int8ul, "Unused flags", "reserved", zero="reserved"),
)

_DX_COUNT = (
    field("limit", Int16ul, "Entries for which there is space, including entry 0", "entries"),
    field("count", Int16ul, "Entries in use, including entry 0", "entries"),
)

DX_ROOT_INFO = Record(
    "dx_root_info",
    Struct(*_DX_ROOT_INFO),
    size=8,
    doc="The parameters of the tree, in the root block; directory.rst.",
)

DX_ENTRY = Record(
    "dx_entry",
    Struct(
        field(
            "hash",
            Int32ul,
            "Least hash in the block; bit 0 is set if the previous block also has this hash",
            "hash",
        ),
        field("block", Int32ul, "Block of the directory", "file block"),
    ),
    size=8,
    doc="A block and its least hash; directory.rst.",
)

DX_COUNTLIMIT = Record(
    "dx_countlimit",
    Struct(*_DX_COUNT),
    size=4,
    doc="Stored in the place of the hash of entry 0; directory.rst.",
)

DX_TAIL = Record(
    "dx_tail",
    Struct(
        field(
            "dt_reserved",
            Int32ul,
            "Padding, included in the checksum",
            "reserved",
            when="metadata_csum",
            zero="reserved",
        ),
        field(
            "dt_checksum",
            Int32ul,
            "crc32c of the entries in use and of this tail, seeded by the inode",
            "checksum",
            when="metadata_csum",
        ),
    ),
    size=8,
    doc="With metadata_csum, follows the space for ``limit`` entries; directory.rst.",
)

DX_ROOT = Record(
    "dx_root",
    Struct(
        field("dot_inode", Int32ul, "The directory itself", "inode"),
        field("dot_rec_len", Int16ul, "12", "bytes", limits=(12, 12)),
        field("dot_name_len", Int8ul, "1", "bytes", limits=(1, 1)),
        field("dot_file_type", Int8ul, "Directory", "code", when="filetype", names=FILE_TYPES),
        field("dot_name", Bytes(4), "`.`", "text"),
        field("dotdot_inode", Int32ul, "The parent directory", "inode"),
        field(
            "dotdot_rec_len",
            Int16ul,
            "The rest of the block, which makes everything after it look unused",
            "bytes",
        ),
        field("dotdot_name_len", Int8ul, "2", "bytes", limits=(2, 2)),
        field("dotdot_file_type", Int8ul, "Directory", "code", when="filetype", names=FILE_TYPES),
        field("dotdot_name", Bytes(4), "`..`", "text"),
        *_DX_ROOT_INFO,
        *_DX_COUNT,
        field("block", Int32ul, "Block of the directory that holds the least hashes", "file block"),
    ),
    size=40,
    doc="The first bytes of block 0 of a hashed directory, including entry 0; directory.rst.",
)

DX_NODE = Record(
    "dx_node",
    Struct(
        field("fake_inode", Int32ul, "0: the block looks like one unused entry", "inode"),
        field("fake_rec_len", Int16ul, "The size of the block", "bytes"),
        field("fake_name_len", Int8ul, "0", "bytes", limits=(0, 0)),
        field("fake_file_type", Int8ul, "0", "code", limits=(0, 0)),
        *_DX_COUNT,
        field("block", Int32ul, "Block of the directory that holds the least hashes", "file block"),
    ),
    size=16,
    doc="The first bytes of an inner node, including entry 0; directory.rst.",
)


def root_limit(block_size: int, csum: bool) -> int:
    """Return ``limit`` of a root block."""
    # fs/ext4/namei.c:dx_root_limit
    space = block_size - rec_len(1) - rec_len(2) - DX_ROOT_INFO.size
    return (space - (DX_TAIL.size if csum else 0)) // DX_ENTRY.size


def node_limit(block_size: int, csum: bool) -> int:
    """Return ``limit`` of an inner node."""
    # fs/ext4/namei.c:dx_node_limit
    space = block_size - rec_len(0)
    return (space - (DX_TAIL.size if csum else 0)) // DX_ENTRY.size
