"""Hashed directories: the root block, inner nodes and their limits.

Rules: Documentation/filesystems/ext4/directory.rst, "Hash Tree Directories".
"""

from __future__ import annotations

from construct import Bytes, Int8ul, Int16ul, Int32ul, Struct

from .dirent import rec_len
from .record import Record

# dx_root_info.hash_version; the superblock's s_def_hash_version holds 0, 1, 2 or 6 only.
DX_HASH_LEGACY = 0
DX_HASH_HALF_MD4 = 1
DX_HASH_TEA = 2
DX_HASH_LEGACY_UNSIGNED = 3
DX_HASH_HALF_MD4_UNSIGNED = 4
DX_HASH_TEA_UNSIGNED = 5
DX_HASH_SIPHASH = 6

DX_BLOCK_MASK = 0x0FFFFFFF
# Inner levels below the root: 2 at most in all, 3 with large_dir. fs/ext4/ext4.h
EXT4_HTREE_LEVEL_COMPAT = 2
EXT4_HTREE_LEVEL = 3

# Where dx_countlimit lies in a root block and in a node block.
DX_ROOT_COUNT_OFFSET = 32
DX_NODE_COUNT_OFFSET = 8

_DX_ROOT_INFO = (
    "reserved_zero" / Int32ul,
    "hash_version" / Int8ul,
    "info_length" / Int8ul,
    "indirect_levels" / Int8ul,
    "unused_flags" / Int8ul,
)

DX_ROOT_INFO = Record(
    "dx_root_info",
    Struct(*_DX_ROOT_INFO),
    size=8,
    doc="The parameters of the tree, in the root block; directory.rst.",
)

DX_ENTRY = Record(
    "dx_entry",
    Struct("hash" / Int32ul, "block" / Int32ul),
    size=8,
    doc="The least hash of a block and the block; directory.rst.",
)

DX_COUNTLIMIT = Record(
    "dx_countlimit",
    Struct("limit" / Int16ul, "count" / Int16ul),
    size=4,
    doc="Lies over the hash of entry 0; both count entry 0. directory.rst.",
)

DX_TAIL = Record(
    "dx_tail",
    Struct("dt_reserved" / Int32ul, "dt_checksum" / Int32ul),
    size=8,
    doc="Follows the room for ``limit`` entries with metadata_csum; directory.rst.",
)

DX_ROOT = Record(
    "dx_root",
    Struct(
        "dot_inode" / Int32ul,
        "dot_rec_len" / Int16ul,
        "dot_name_len" / Int8ul,
        "dot_file_type" / Int8ul,
        "dot_name" / Bytes(4),
        "dotdot_inode" / Int32ul,
        "dotdot_rec_len" / Int16ul,
        "dotdot_name_len" / Int8ul,
        "dotdot_file_type" / Int8ul,
        "dotdot_name" / Bytes(4),
        *_DX_ROOT_INFO,
        "limit" / Int16ul,
        "count" / Int16ul,
        "block" / Int32ul,
    ),
    size=40,
    doc="The first bytes of block 0 of a hashed directory, up to entry 0; directory.rst.",
)

DX_NODE = Record(
    "dx_node",
    Struct(
        "fake_inode" / Int32ul,
        "fake_rec_len" / Int16ul,
        "fake_name_len" / Int8ul,
        "fake_file_type" / Int8ul,
        "limit" / Int16ul,
        "count" / Int16ul,
        "block" / Int32ul,
    ),
    size=16,
    doc="The first bytes of an inner node, up to entry 0; directory.rst.",
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
