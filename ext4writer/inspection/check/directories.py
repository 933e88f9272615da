"""Checks all directories: their entries and indexes. Pass 2 of e2fsck."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ...bits import le32
from ...errors import DamageError
from ...nodes import (
    DT_DIR,
    DT_LNK,
    DT_REG,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    if_to_dt,
)
from ...ondisk.casefold import casefold
from ...ondisk.dirent import (
    DIR_ENTRY_2,
    DIR_ENTRY_HASH,
    DIR_ENTRY_TAIL,
    EXT4_FT_DIR_CSUM,
    decode_rec_len,
)
from ...ondisk.inode import EXT4_CASEFOLD_FL, EXT4_ENCRYPT_FL, EXT4_INDEX_FL
from ...ondisk.superblock import EXT4_BAD_INO, EXT4_ENC_STRICT_MODE_FL, EXT4_ROOT_INO
from ...read import Inode
from ...read.directories import Block, blocks, check_block, has_hash, inline_parts
from .index import Leaf, check_index
from .state import Check

_head = struct.Struct("<IHBB").unpack_from

_FILE_TYPES = {
    if_to_dt(S_IFREG): 1,
    if_to_dt(S_IFDIR): 2,
    if_to_dt(S_IFCHR): 3,
    if_to_dt(S_IFBLK): 4,
    if_to_dt(S_IFIFO): 5,
    if_to_dt(S_IFSOCK): 6,
    if_to_dt(S_IFLNK): 7,
}
"""File type in a mode (``DT_...``) -> ``file_type`` of an entry (fs/ext4/ext4.h:EXT4_FT_...)."""

_ENCRYPTED_KINDS = (DT_REG, DT_DIR, DT_LNK)

_CIPHER_BLOCK = 16
"""Bytes of the shortest encrypted name (lib/ext2fs/ext2_fs.h:EXT4_CRYPTO_BLOCK_SIZE)."""


class Parents:
    """The parent of each directory, by the entry that names it and by its own ``..``."""

    def __init__(self) -> None:
        self.named_in: dict[int, int] = {}
        """Directory -> the directory whose entry names it."""
        self.dotdot: dict[int, tuple[int, int]] = {}
        """Directory -> (inode of its ``..``, offset of that entry in bytes)."""


def check_directories(check: Check, parents: Parents) -> None:
    """Check all directories, count the entries for every inode, and fill ``parents``."""
    for ino in check.directories:
        check.check_cancelled()
        try:
            _Directory(check, check.image.inode(ino), parents).check()
        except DamageError as error:
            check.damage(error)
    if check.large_files and not check.format.large_file:
        text = f"lacks large_file, but inode {check.large_files} has 2 GiB or more"
        check.of_superblock("PR_2_FEATURE_LARGE_FILES", "s_feature_ro_compat", text)


class _Directory:
    def __init__(self, check: Check, inode: Inode, parents: Parents) -> None:
        self._check = check
        self._image = check.image
        self._inode = inode
        self._parents = parents
        self._names: set[bytes] = set()
        self._hash_bytes = DIR_ENTRY_HASH.size if has_hash(inode) else 0
        self._is_encrypted = bool(inode.flags & EXT4_ENCRYPT_FL)
        self._policy = check.policies.get(inode.ino)
        self._folds = bool(inode.flags & EXT4_CASEFOLD_FL) and not self._is_encrypted
        self._folded: dict[bytes, bytes] = {}
        self._last_at = 0
        """Offset of the last entry in the block; the end of the block if it is unknown."""

    def check(self) -> None:
        """Check all blocks and the index."""
        check, inode = self._check, self._inode
        if inode.has_inline_data:
            self._check_inline()
            return
        has_index = bool(inode.flags & EXT4_INDEX_FL) and check.format.dir_index
        with_sums = check.format.metadata_csum
        leaves: dict[int, Leaf] = {}
        indexed: dict[int, Block] = {}
        for block in blocks(inode):
            if with_sums:
                check_block(inode, block)
            names: list[bytes] = []
            is_index = self._entries(block, names, block.logical == 0)
            if with_sums and not (is_index or (has_index and block.logical == 0)):
                self._check_tail(block)
            if has_index:
                if is_index or block.logical == 0:
                    indexed[block.logical] = block
                if block.logical:
                    leaves[block.logical] = Leaf(block.offset, names)
        if has_index and indexed:
            check_index(check, inode, indexed, leaves)

    def _check_inline(self) -> None:
        """Check inline data: the parent's inode number, without ``.``, and then the entries."""
        inode, parents = self._inode, self._parents
        parent = le32(inode.block_bytes)
        parents.dotdot[inode.ino] = parent, inode.offset + 40
        self._count(inode.ino)
        self._count(parent)
        for part in inline_parts(inode):
            if part.data:
                self._entries(part, [], False)

    def _count(self, ino: int) -> int:
        inodes = self._check.inodes
        row = inodes.find(ino)
        if row >= 0:
            inodes.names[row] += 1
        return row

    def _wrong(self, code: str, at: int, field: str, text: str) -> None:
        self._check.of_record(code, DIR_ENTRY_2, field, at, text, self._inode.ino)

    def _entries(self, block: Block, names: list[bytes], is_first: bool) -> bool:
        """Check the entries of one block; return whether it looks like an index node."""
        check = self._check
        data, base, end = block.data, block.offset, len(block.data)
        large, block_size = check.block_size >= 65536, check.block_size
        known, inodes = self._names, check.inodes
        types, counts, find = inodes.types, inodes.names, inodes.find
        file_types = _FILE_TYPES if check.format.filetype else None
        at = number = self._last_at = 0
        while at < end:
            if at + 8 > end:
                text = "leaves too few bytes for an entry"
                self._wrong("PR_2_DIR_CORRUPTED", base + at, "rec_len", text)
                self._last_at = end
                return False
            ino, length, name_len, file_type = _head(data, at)
            if large:
                length = decode_rec_len(length, block_size)
            if length < 12 or length & 3 or at + length > end or name_len + 8 > length:
                text = f"is {length}, but {end - at} bytes are left and name_len is {name_len}"
                self._wrong("PR_2_DIR_CORRUPTED", base + at, "rec_len", text)
                self._last_at = end
                return False
            if is_first and number < 2:
                self._dots(number, ino, data[at + 8 : at + 8 + name_len], base + at)
                if data[at + 9 + number] and name_len == 1 + number:
                    # e2fsck/pass2.c:check_dot and check_dotdot; the kernel does not check this.
                    code = ("PR_2_DOT_NULL_TERM", "PR_2_DOT_DOT_NULL_TERM")[number]
                    text = "is of a name that is not followed by a zero"
                    self._wrong(code, base + at, "name_len", text)
                if ino:
                    self._type(find(ino), file_type, base + at, file_types)
            elif ino:
                name = data[at + 8 : at + 8 + name_len]
                row = find(ino)
                if row < 0 or not name or name in known or name in _DOTS or self._has_bad(name):
                    self._unusual(ino, row, name, known, base + at)
                elif ino == EXT4_ROOT_INO:
                    self._wrong("PR_2_LINK_ROOT", base + at, "inode", f"of {name!r} is the root")
                if row >= 0:
                    counts[row] += 1
                    if types[row] == DT_DIR:
                        self._named(ino, base + at)
                    if file_types is None or file_types.get(types[row]) != file_type:
                        self._type(row, file_type, base + at, file_types)
                known.add(name)
                names.append(name)
                if self._policy is not None:
                    self._check_encrypted(ino, row, name, base + at)
                if self._folds:
                    self._check_folded(name, base + at)
            elif number == 0 and length == end and not name_len:
                return True
            self._last_at = at
            at += length
            number += 1
        return False

    def _check_tail(self, block: Block) -> None:
        """Check that the checksum tail is the last entry.

        lib/ext2fs/csum.c:ext2fs_dirent_has_tail requires this. The kernel looks for the tail at its
        offset and accepts an entry that overlaps it.
        """
        tail = len(block.data) - DIR_ENTRY_TAIL.size
        is_there = _head(block.data, tail) == (0, DIR_ENTRY_TAIL.size, 0, EXT4_FT_DIR_CSUM)
        if is_there and self._last_at < tail:
            text = f"reaches byte {len(block.data)} of the block and overlaps the checksum tail"
            at = block.offset + self._last_at
            self._wrong("PR_2_LEAF_NODE_MISSING_CSUM", at, "rec_len", text)

    def _has_bad(self, name: bytes) -> bool:
        return (b"/" in name or b"\0" in name) and not self._is_encrypted

    def _check_encrypted(self, ino: int, row: int, name: bytes, at: int) -> None:
        """Check an entry of an encrypted directory (e2fsck/pass2.c:check_encrypted_dirent)."""
        if len(name) < _CIPHER_BLOCK:
            self._wrong("PR_2_BAD_ENCRYPTED_NAME", at, "name_len", f"is {len(name)}")
        policy = self._check.policies.get(ino)
        if policy == self._policy or row < 0:
            return
        if policy is not None:
            text = f"is {ino}, which is encrypted with another policy"
            self._wrong("PR_2_INCONSISTENT_ENCRYPTION_POLICY", at, "inode", text)
        elif self._check.inodes.types[row] in _ENCRYPTED_KINDS:
            self._wrong("PR_2_UNENCRYPTED_FILE", at, "inode", f"is {ino}, which is not encrypted")

    def _check_folded(self, name: bytes, at: int) -> None:
        """Check an entry of a casefolded directory; e2fsck reports only if encoding is strict."""
        image, folded = self._image, casefold(name)
        strict = bool(image.number("s_encoding_flags") & EXT4_ENC_STRICT_MODE_FL)
        if folded is None:
            if strict:
                text = f"is of {name!r}, which is not UTF-8"
                self._wrong("PR_2_BAD_ENCODED_NAME", at, "name_len", text)
            return
        other = self._folded.setdefault(folded, name)
        if other != name:
            self._check.of_record(
                "PR_2_NON_UNIQUE_FILE",
                DIR_ENTRY_2,
                "name_len",
                at,
                f"is of {name!r}, which differs from {other!r} only in case",
                self._inode.ino,
                warn=not strict,
            )

    def _unusual(self, ino: int, row: int, name: bytes, known: set[bytes], at: int) -> None:
        check = self._check
        first_ino = check.format.first_ino
        if ino > check.image.inodes_count or (ino < first_ino and ino != EXT4_ROOT_INO):
            code = "PR_2_BB_INODE" if ino == EXT4_BAD_INO else "PR_2_BAD_INO"
            self._wrong(code, at, "inode", f"of {name!r} is {ino}")
        elif row < 0:
            self._wrong("PR_2_UNUSED_INODE", at, "inode", f"of {name!r} is {ino}, not in use")
        if not name:
            self._wrong("PR_2_NULL_NAME", at, "name_len", "is 0")
        elif name in _DOTS:
            code = "PR_2_DUP_DOT" if name == b"." else "PR_2_DUP_DOT_DOT"
            self._wrong(code, at, "name_len", f"is of a second {name.decode()}")
        elif name in known:
            self._wrong("PR_2_NON_UNIQUE_FILE", at, "name_len", f"is of a second {name!r}")
        elif self._has_bad(name):
            text = f"is of {name!r}, which cannot be part of a path"
            self._wrong("PR_2_BAD_NAME", at, "name_len", text)

    def _named(self, ino: int, at: int) -> None:
        """Record which directory names ``ino``; a directory has only one name."""
        named_in, own = self._parents.named_in, self._inode.ino
        if ino == EXT4_ROOT_INO:
            return
        if ino in named_in:
            text = f"is {ino}, a directory that already has a name in inode {named_in[ino]}"
            self._wrong("PR_2_LINK_DIR", at, "inode", text)
            return
        if ino == own:
            self._wrong("PR_2_LINK_DOT", at, "inode", "is the directory itself")
            return
        named_in[ino] = own

    def _dots(self, number: int, ino: int, name: bytes, at: int) -> None:
        own = self._inode.ino
        if number == 0:
            if not ino or name != b".":
                code = "PR_2_MISSING_DOT" if not ino else "PR_2_1ST_NOT_DOT"
                self._wrong(code, at, "name_len", f"is of {name!r}, not of .")
            elif ino != own:
                self._wrong("PR_2_BAD_INODE_DOT", at, "inode", f"of . is {ino}, not {own}")
            self._count(ino)
            return
        if not ino or name != b"..":
            code = "PR_2_MISSING_DOT_DOT" if not ino else "PR_2_2ND_NOT_DOT_DOT"
            self._wrong(code, at, "name_len", f"is of {name!r}, not of ..")
            return
        self._parents.dotdot[own] = ino, at
        self._count(ino)

    def _type(self, row: int, file_type: int, at: int, file_types: dict[int, int] | None) -> None:
        if file_types is None:
            if file_type:
                text = f"is {file_type}, but the file system does not store types"
                self._wrong("PR_2_CLEAR_FILETYPE", at, "file_type", text)
            return
        if row < 0:
            return
        should_be = file_types.get(self._check.inodes.types[row], 0)
        if file_type != should_be:
            code = "PR_2_SET_FILETYPE" if not file_type else "PR_2_BAD_FILETYPE"
            self._wrong(code, at, "file_type", f"is {file_type} but should be {should_be}")


_DOTS = (b".", b"..")


def all_names(check: Check) -> Iterator[tuple[int, int]]:
    """Yield (inode, number of entries found) for every inode in use."""
    return zip(check.inodes.inos, check.inodes.names, strict=True)
