"""Checks the index of a directory: its levels and limits, and the hashes in each leaf.

Rules: e2fsck/pass2.c:parse_int_node and check_dir_block, e2fsck/pass1.c:handle_htree.
"""

from __future__ import annotations

import struct

from ...late_dataclasses import dataclass
from ...ondisk.casefold import casefold
from ...ondisk.dirhash import hash_keys
from ...ondisk.htree import (
    DX_BLOCK_MASK,
    DX_COUNTLIMIT,
    DX_ENTRY,
    DX_HASH_SIPHASH,
    DX_HASH_TEA,
    DX_HASH_TEA_UNSIGNED,
    DX_NODE,
    DX_NODE_COUNT_OFFSET,
    DX_ROOT,
    DX_ROOT_COUNT_OFFSET,
    DX_ROOT_INFO,
    node_limit,
    root_limit,
)
from ...ondisk.inode import EXT4_CASEFOLD_FL, EXT4_ENCRYPT_FL
from ...ondisk.record import Record
from ...ondisk.superblock import EXT2_FLAGS_UNSIGNED_HASH
from ...read import Inode
from ...read.directories import UNSIGNED_STEP, Block
from .state import Check

_INCOMPATIBLE = 1
"""The flag of an unknown format (lib/ext2fs/ext2_fs.h:EXT2_HASH_FLAG_INCOMPAT)."""
_HASH_END = 0xFFFFFFFF


@dataclass
class Leaf:
    """A block of entries, and what the index contains about it."""

    offset: int
    names: list[bytes]
    least: int = 0
    end: int = 0
    """The least hash of the next leaf; bit 0 means that names of an equal hash continue there."""
    is_named: bool = False
    """Whether the index refers to this leaf."""


def check_index(
    check: Check, inode: Inode, indexed: dict[int, Block], leaves: dict[int, Leaf]
) -> None:
    """Check the index of ``inode``.

    ``indexed`` maps logical block numbers to blocks that can be nodes of the index, ``leaves`` maps
    them to blocks of entries.
    """
    _Index(check, inode, indexed, leaves).check()


class _Index:
    def __init__(
        self, check: Check, inode: Inode, indexed: dict[int, Block], leaves: dict[int, Leaf]
    ) -> None:
        self._check = check
        self._inode = inode
        self._indexed = indexed
        self._leaves = leaves

    def _wrong(self, code: str, record: Record, field: str, at: int, text: str) -> None:
        self._check.of_record(code, record, field, at, text, self._inode.ino)

    def check(self) -> None:
        """Check the nodes of the index, then the leaves."""
        check, root = self._check, self._indexed.get(0)
        fmt = check.format
        if root is None:
            return
        info_at = DX_ROOT.offset("reserved_zero")
        info = DX_ROOT_INFO.parse(root.data, info_at)
        at = root.offset + info_at
        version, levels = info["hash_version"], info["indirect_levels"]
        assert isinstance(version, int) and isinstance(levels, int)
        if info["info_length"] != DX_ROOT_INFO.size or info["reserved_zero"]:
            text = f"is {info['info_length']!r}, or reserved_zero is set"
            self._wrong("PR_1_HTREE_BADROOT", DX_ROOT_INFO, "info_length", at, text)
            return
        both = EXT4_ENCRYPT_FL | EXT4_CASEFOLD_FL
        needs_siphash = self._inode.flags & both == both
        if DX_HASH_TEA < version != DX_HASH_SIPHASH:
            self._wrong("PR_1_HTREE_HASHV", DX_ROOT_INFO, "hash_version", at, f"is {version}")
            return
        if needs_siphash is not (version == DX_HASH_SIPHASH):
            code = "PR_1_HTREE_NEEDS_SIPHASH" if needs_siphash else "PR_1_HTREE_CANNOT_SIPHASH"
            self._wrong(code, DX_ROOT_INFO, "hash_version", at, f"is {version}")
            return
        flags = info["unused_flags"]
        assert isinstance(flags, int)
        if flags & _INCOMPATIBLE:
            text = f"is {flags}"
            self._wrong("PR_1_HTREE_INCOMPAT", DX_ROOT_INFO, "unused_flags", at, text)
            return
        if levels >= max(fmt.htree_levels, 1):
            text = f"is {levels}, but at most {fmt.htree_levels - 1} is allowed"
            self._wrong("PR_1_HTREE_DEPTH", DX_ROOT_INFO, "indirect_levels", at, text)
            return
        if not self._walk(levels):
            return
        for logical, leaf in self._leaves.items():
            if not leaf.is_named and logical not in self._nodes:
                text = f"{logical} of the directory is not in its index"
                self._wrong("PR_2_HTREE_NOTREF", DX_ENTRY, "block", leaf.offset, text)
        self._check_hashes(version)

    def _walk(self, levels: int) -> bool:
        """Follow every entry of the index; return whether all of it could be read."""
        fmt = self._check.format
        self._nodes: set[int] = {0}
        stack = [(0, levels, 0, _HASH_END)]
        is_whole = True
        while stack:
            logical, level, least, end = stack.pop()
            block = self._indexed.get(logical)
            is_root = logical == 0
            record = DX_ROOT if is_root else DX_NODE
            if block is None:
                leaf = self._leaves[logical]
                text = f"is not that of an index node, which level {level} requires"
                self._wrong("PR_2_HTREE_BADBLK", DX_NODE, "fake_rec_len", leaf.offset, text)
                is_whole = False
                continue
            count_at = DX_ROOT_COUNT_OFFSET if is_root else DX_NODE_COUNT_OFFSET
            limit = DX_COUNTLIMIT.number(block.data, count_at, "limit")
            count = DX_COUNTLIMIT.number(block.data, count_at, "count")
            right = (root_limit if is_root else node_limit)(fmt.block_size, fmt.metadata_csum)
            if limit != right:
                text = f"is {limit} but should be {right}"
                self._wrong("PR_2_HTREE_BAD_LIMIT", record, "limit", block.offset, text)
                is_whole = False
                continue
            if not 0 < count <= limit:
                text = f"is {count}, but the limit is {limit}"
                self._wrong("PR_2_HTREE_BAD_COUNT", record, "count", block.offset, text)
                is_whole = False
                continue
            words = struct.unpack_from(f"<{2 * count}I", block.data, count_at)
            rows = list(zip((least, *words[2::2]), words[1::2], strict=True))
            for row, (hashed, number) in enumerate(rows):
                child = number & DX_BLOCK_MASK
                entry_at = block.offset + count_at + DX_ENTRY.size * row
                after = rows[row + 1][0] if row + 1 < count else end
                if row and hashed < rows[row - 1][0]:
                    text = f"is {hashed:#x}, after {rows[row - 1][0]:#x}"
                    self._wrong("PR_2_HTREE_HASH_ORDER", DX_ENTRY, "hash", entry_at, text)
                if child not in self._leaves:
                    text = f"is {child}, which is not a block of the directory"
                    self._wrong("PR_2_HTREE_BADBLK", DX_ENTRY, "block", entry_at, text)
                    is_whole = False
                    continue
                leaf = self._leaves[child]
                if leaf.is_named or child in self._nodes:
                    text = f"is {child}, to which the index already refers"
                    self._wrong("PR_2_HTREE_DUPREF", DX_ENTRY, "block", entry_at, text)
                    is_whole = False
                    continue
                if level:
                    self._nodes.add(child)
                    stack.append((child, level - 1, hashed, after))
                else:
                    leaf.is_named, leaf.least, leaf.end = True, hashed, after
        return is_whole

    def _check_hashes(self, version: int) -> None:
        image, inode = self._check.image, self._inode
        if version == DX_HASH_SIPHASH or inode.flags & EXT4_ENCRYPT_FL:
            return  # the hash needs the key or the decrypted names
        if version <= DX_HASH_TEA and image.number("s_flags") & EXT2_FLAGS_UNSIGNED_HASH:
            version += UNSIGNED_STEP
        if version > DX_HASH_TEA_UNSIGNED:
            return
        seed = image.superblock["s_hash_seed"]
        assert isinstance(seed, list)
        folds = bool(inode.flags & EXT4_CASEFOLD_FL)
        for leaf in self._leaves.values():
            if not leaf.is_named or not leaf.names:
                continue
            names = leaf.names
            if folds:
                names = [name if (folded := casefold(name)) is None else folded for name in names]
            keys = hash_keys(version, names, tuple(seed))  # type: ignore[arg-type]
            least, most = min(keys) >> 32, max(keys) >> 32
            if least < leaf.least & ~1:
                text = f"is {leaf.least:#x}, but a name in the block has {least:#x}"
                self._wrong("PR_2_HTREE_MIN_HASH", DX_ENTRY, "hash", leaf.offset, text)
            elif most > leaf.end | 1:
                text = f"is {leaf.end:#x} for the next block, but a name in this one has {most:#x}"
                self._wrong("PR_2_HTREE_MAX_HASH", DX_ENTRY, "hash", leaf.offset, text)
            elif most == leaf.end:
                # fs/ext4/namei.c:dx_probe looks for this hash in the next leaf; only bit 0 there
                # would indicate that it begins in this one. e2fsck accepts it.
                self._check.of_record(
                    "HASH_NOT_REACHED",
                    DX_ENTRY,
                    "hash",
                    leaf.offset,
                    f"is {leaf.end:#x} for the next block, and a name in this one has the same",
                    inode.ino,
                    warn=True,
                )
