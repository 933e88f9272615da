"""Checks all inodes: their fields, blocks and extended attributes. Pass 1 of e2fsck.

Most inodes are correct and of a few kinds. A few comparisons recognise them; only unusual or wrong
inodes are checked field by field, with the general readers.
"""

from __future__ import annotations

import struct

from ...bits import low_16
from ...errors import DamageError, ImageError
from ...nodes import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK
from ...ondisk.checksum import crc32c
from ...ondisk.encryption import policy_of
from ...ondisk.extent import (
    EXT4_EXT_MAGIC,
    EXT_INIT_MAX_LEN,
    EXT_MAX_BLOCKS,
    EXTENT,
    EXTENT_HEADER,
    EXTENT_IDX,
)
from ...ondisk.group_desc import EXT4_BG_INODE_UNINIT
from ...ondisk.inode import (
    EXT4_APPEND_FL,
    EXT4_CASEFOLD_FL,
    EXT4_EA_INODE_FL,
    EXT4_ENCRYPT_FL,
    EXT4_EXTENTS_FL,
    EXT4_IMAGIC_FL,
    EXT4_IMMUTABLE_FL,
    EXT4_INDEX_FL,
    EXT4_INLINE_DATA_FL,
    EXT4_NDIR_BLOCKS,
    EXT4_VERITY_FL,
    INODE,
    INODE_128,
)
from ...ondisk.superblock import (
    EXT4_BAD_INO,
    EXT4_BOOT_LOADER_INO,
    EXT4_JOURNAL_INO,
    EXT4_RESIZE_INO,
    EXT4_ROOT_INO,
)
from ...ondisk.xattr import EXT4_XATTR_MAGIC
from ...read import FileExtent, Inode, TreeBlock
from ...read.files import size_limit
from ...read.mapping import block_map
from ...read.xattr_entries import INLINE_DATA, in_inode, inline_value
from ...read.xattrs import encryption_context
from ...units import SECTOR
from .attributes import Charge, check_attribute_block, check_attributes
from .quota import count_usage
from .state import Check

_READ_BYTES = 256 << 10
_SPECIAL = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK}
_LARGE_FILE_BYTES = 1 << 31
_FAST_SYMLINK_BYTES = 60
_IN_INODE = 4
"""The number of extents that fit into an inode."""
_ROOM_LESS = 2
"""By how much eh_max may be too low (lib/ext2fs/extent.c:ext2fs_extent_header_verify)."""

_old = INODE_128.unpacker(
    *("i_mode", "i_size_lo", "i_dtime", "i_links_count", "i_blocks_lo", "i_flags", "i_block"),
    *("i_generation", "i_file_acl_lo", "i_size_high", "i_obso_faddr", "l_i_blocks_high"),
    *("l_i_file_acl_high", "l_i_checksum_lo"),
)
_extra = INODE.unpacker("i_extra_isize", "i_checksum_hi")
_header = EXTENT_HEADER.unpacker("eh_magic", "eh_entries", "eh_max", "eh_depth")
_extent = EXTENT.unpacker("ee_block", "ee_len", "ee_start_hi", "ee_start_lo")
_LO, _HI = map(INODE.offset, ("l_i_checksum_lo", "i_checksum_hi"))
_EXTRA_ISIZE = INODE.offset("i_extra_isize")
_MAGIC = struct.pack("<I", EXT4_XATTR_MAGIC)
_seed_bytes = struct.Struct("<II").pack


def check_inodes(check: Check) -> None:
    """Check all inodes that have ever been in use according to the group descriptors."""
    image, fmt = check.image, check.format
    size, per_group = fmt.inode_size, image.inodes_per_group
    nothing, rows = bytes(size), max(_READ_BYTES // size, 1)
    ordinary = _Ordinary(check)
    bad = check.bad_table_blocks = _bad_table_blocks(check)
    for group in range(image.groups):
        check.check_cancelled()
        first = group * per_group + 1
        used = min(per_group, image.inodes_count - group * per_group)
        if fmt.has_uninit_groups:
            numbers = image.descriptor(group)
            if numbers["bg_flags"] & EXT4_BG_INODE_UNINIT:
                continue
            used = min(used, max(per_group - numbers["bg_itable_unused"], 0))
        for row in range(0, used, rows):
            count = min(rows, used - row)
            try:
                start = image.inode_offset(first + row)
            except DamageError:
                break  # reported by the check of the group
            try:
                table = image.read(start, count * size)
            except DamageError as error:
                check.damage(error)
                check.is_partial = True
                break
            for place in range(count):
                raw = table[place * size : place * size + size]
                ino = first + row + place
                if bad and (start + place * size) // check.block_size in bad:
                    check.lost_inodes.append(ino)
                    continue
                if raw == nothing:
                    if ino == EXT4_ROOT_INO:
                        inode = Inode(image, ino, start + place * size, raw)
                        check.of_inode("PR_1_ROOT_NO_DIR", inode, "i_mode", "is 0")
                    continue
                if not ordinary.accepts(ino, raw):
                    try:
                        _check_inode(check, Inode(image, ino, start + place * size, raw))
                    except DamageError as error:
                        check.damage(error)


def _bad_table_blocks(check: Check) -> set[int]:
    """Return the bad blocks in inode tables; their inodes are not read and count as in use.

    lib/ext2fs/inode.c:check_for_inode_bad_blocks; fs/ext4 ignores the list of bad blocks.
    """
    image, found = check.image, set[int]()
    # Damage is reported when the list itself is checked.
    previous, image.on_damage = image.on_damage, lambda _: None
    try:
        bad = {
            block
            for item in block_map(image.inode(EXT4_BAD_INO))
            if isinstance(item, FileExtent)
            for block in range(item.physical, item.physical + item.length)
        }
        if bad:
            count = check.format.inode_table_blocks(image.inodes_per_group)
            for group in range(image.groups):
                table = image.descriptor(group)["bg_inode_table"]
                found |= bad.intersection(range(table, table + count))
    except DamageError:
        pass
    finally:
        image.on_damage = previous
    return found


class _Ordinary:
    """Recognises and records inodes in which nothing is unusual or wrong."""

    def __init__(self, check: Check) -> None:
        image, fmt = check.image, check.format
        self._check = check
        self._first_ino = fmt.first_ino
        self._sectors = check.block_size // SECTOR
        self._block_size = check.block_size
        self._largest = EXT_MAX_BLOCKS * check.block_size
        self._least, self._end = fmt.first_data_block + 1, image.blocks_count
        self._csum, self._seed = fmt.metadata_csum, fmt.checksum_seed
        self._room = fmt.inode_size - 128
        self._has_extra = fmt.has_extra_fields
        self._possible = not (fmt.bigalloc or fmt.quota) and fmt.extent
        self._special = check.special_inodes

    def accepts(self, ino: int, raw: bytes) -> bool:
        """Return whether the inode is ordinary; if so, record it and claim its blocks."""
        if ino < self._first_ino or not self._possible or ino in self._special:
            return False
        (
            mode, size, dtime, links, blocks, flags, i_block, generation, acl, size_high, faddr,
            blocks_high, acl_high, checksum,
        ) = _old(raw, 0)  # fmt: skip
        if not links or dtime or acl or faddr or blocks_high or acl_high:
            return False
        kind = mode & S_IFMT
        if self._has_extra:
            isize, checksum_hi = _extra(raw, 0)
            if isize != 32 or raw[160:164] == _MAGIC:
                return False
            checksum |= checksum_hi << 16
        if self._csum:
            body = b"%b\0\0%b\0\0%b" if self._has_extra else b"%b\0\0%b"
            parts = (raw[:_LO], raw[_LO + 2 : _HI], raw[_HI + 2 :])
            data = body % (parts if self._has_extra else (raw[:_LO], raw[_LO + 2 :]))
            found = crc32c(crc32c(self._seed, _seed_bytes(ino, generation)), data)
            if found != checksum and (self._has_extra or low_16(found) != checksum):
                return False
        check = self._check
        if kind == S_IFLNK and not flags:
            target = i_block[:size]
            if blocks or size_high or not 0 < size < _FAST_SYMLINK_BYTES or b"\0" in target:
                return False
            if i_block[size]:
                return False
            check.inodes.add(ino, mode, links)
            return True
        if kind == S_IFDIR:
            if flags & ~EXT4_INDEX_FL != EXT4_EXTENTS_FL or size_high:
                return False
        elif kind != S_IFREG or flags != EXT4_EXTENTS_FL:
            return False
        magic, entries, most, depth = _header(i_block, 0)
        if magic != EXT4_EXT_MAGIC or depth or most != _IN_INODE or entries > _IN_INODE:
            return False
        end = total = 0
        runs = []
        for at in range(12, 12 + 12 * entries, 12):
            logical, length, high, low = _extent(i_block, at)
            start = low | high << 32
            if not 0 < length <= EXT_INIT_MAX_LEN or logical < end:
                return False
            if start < self._least or start + length > self._end:
                return False
            end = logical + length
            total += length
            runs.append((start, length))
        size |= size_high << 32
        if blocks != total * self._sectors:
            return False
        if kind == S_IFDIR:
            if size != total * self._block_size or end != total or not total:
                return False
            check.directories.append(ino)
        else:
            if end and size < (end - 1) * self._block_size:
                return False
            if size > self._largest:
                return False
            if size >= _LARGE_FILE_BYTES and not check.large_files:
                check.large_files = ino
        for start, length in runs:
            check.claims.add(ino, start, length)
        check.inodes.add(ino, mode, links)
        return True


def _check_inode(check: Check, inode: Inode) -> None:
    """Check one inode field by field (e2fsck/pass1.c:e2fsck_pass1)."""
    fmt, ino = check.format, inode.ino
    special = check.special_inodes.get(ino)
    is_reserved = ino < fmt.first_ino
    inode.check()
    if ino in check.orphans and not (special or is_reserved):
        _check_orphan(check, inode)
        return
    if inode.dtime and _is_low(check, inode.dtime):
        # Such a number may be the next inode of the orphan list instead of a time.
        text = f"is {inode.dtime}, which may be an inode number"
        check.of_inode("PR_1_LOW_DTIME", inode, "i_dtime", text)
    elif inode.dtime and inode.links and not (special or (is_reserved and ino != EXT4_ROOT_INO)):
        code = "PR_1_ROOT_DTIME" if ino == EXT4_ROOT_INO else "PR_1_SET_DTIME"
        check.of_inode(code, inode, "i_dtime", f"is {inode.dtime}, but the inode is in use")
    _check_in_use(check, inode, special, is_reserved)


def _is_low(check: Check, dtime: int) -> bool:
    """Return whether ``dtime`` may be an inode number.

    Images whose own times are equally low are not checked (e2fsck/pass1.c: low_dtime_check).
    """
    count = check.image.inodes_count
    times = ("s_wtime", "s_mtime", "s_mkfs_time")
    is_checked = all(
        check.image.number(name) >= count or not check.image.number(name) for name in times
    )
    return is_checked and dtime < count


def _check_orphan(check: Check, inode: Inode) -> None:
    """Check an inode that recovery deletes or truncates."""
    check_attributes(check, inode)
    _check_blocks(check, inode)
    if inode.links:
        check.inodes.add(inode.ino, inode.mode, inode.links)
        if inode.is_directory:
            check.directories.append(inode.ino)


def _check_in_use(check: Check, inode: Inode, special: str | None, is_reserved: bool) -> None:
    ino, fmt = inode.ino, check.format
    if special or (is_reserved and ino != EXT4_ROOT_INO):
        _check_reserved(check, inode, special)
        return
    if not inode.links:
        if not inode.dtime and inode.mode:
            check.of_inode("PR_1_ZERO_DTIME", inode, "i_dtime", "is 0, but the inode has no links")
        return
    if ino == EXT4_ROOT_INO and not inode.is_directory:
        check.of_inode("PR_1_ROOT_NO_DIR", inode, "i_mode", f"is {inode.mode:#o}")
    check.inodes.add(ino, inode.mode, inode.links)
    if inode.is_directory:
        check.directories.append(ino)
    _check_flags(check, inode)
    _check_zeros(check, inode)
    charge = check_attributes(check, inode)
    _check_kind(check, inode)
    blocks = _check_blocks(check, inode) + charge.blocks
    _check_sizes(check, inode, blocks)
    is_mapped = (inode.is_file or inode.is_directory) and blocks > charge.blocks
    if fmt.bigalloc and is_mapped and not inode.flags & (EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL):
        text = "lacks EXTENTS, but a block map cannot refer to clusters"
        check.of_inode("PR_1_NO_BIGALLOC_BLOCKMAP_FILES", inode, "i_flags", text)
    count_usage(check, inode, blocks, 1 + charge.inodes)


def _check_reserved(check: Check, inode: Inode, special: str | None) -> None:
    ino, fmt = inode.ino, check.format
    if special == "quota" and not fmt.quota:
        _check_clear(check, inode, "PR_1_QUOTA_INODE_NOT_CLEAR")
        return
    is_used = special or ino not in (EXT4_BAD_INO, 3, 4, EXT4_JOURNAL_INO)
    if inode.flags & EXT4_INDEX_FL and is_used:
        text = "has INDEX, but the inode is not a directory"
        check.of_inode("PR_1_HTREE_NODIR", inode, "i_flags", text)
    if special:
        codes = {
            "journal": "PR_1_JOURNAL_BAD_MODE",
            "quota": "PR_1_QUOTA_BAD_MODE",
            "orphan file": "PR_1_ORPHAN_FILE_BAD_MODE",
        }
        if not inode.is_file:
            text = f"is {inode.mode:#o}, but the {special} must be a regular file"
            check.of_inode(codes[special], inode, "i_mode", text)
    elif ino == EXT4_BAD_INO:
        is_inline = inode.flags & EXT4_INLINE_DATA_FL
        if inode.mode or inode.uid or inode.gid or inode.links or inode.file_acl or is_inline:
            check.of_inode(
                "PR_1_INVALID_BAD_INODE", inode, "i_mode", "of the list of bad blocks is not clear"
            )
        for item in _block_list(inode):
            if isinstance(item, TreeBlock):
                check.claims.add(ino, item.block, 1)
            else:
                _claim_bad_blocks(check, item)
        return
    elif ino == EXT4_JOURNAL_INO or (ino in (3, 4)):
        name = "JOURNAL" if ino == EXT4_JOURNAL_INO else "QUOTA"
        _check_clear(check, inode, f"PR_1_{name}_INODE_NOT_CLEAR")
        return
    elif ino == EXT4_BOOT_LOADER_INO:
        if inode.is_directory:
            check.of_inode("PR_1_RESERVED_BAD_MODE", inode, "i_mode", f"is {inode.mode:#o}")
    elif ino == EXT4_RESIZE_INO:
        if inode.mode and not inode.is_file:
            check.of_inode("PR_1_RESERVED_BAD_MODE", inode, "i_mode", f"is {inode.mode:#o}")
        if fmt.resize_inode:
            _check_resize_inode(check, inode, _reserved_attributes(check, inode))
            return
        if any(inode.block_bytes):
            text = "refers to blocks without the feature resize_inode"
            check.of_inode("PR_0_CLEAR_RESIZE_INODE", inode, "i_block", text)
            block = _indirect_of_reserve(check, inode)
            if block:
                # e2fsck/pass1.c:process_block treats no other block of inode 7 as used.
                check.claims.add(ino, block, 1)
                return
    elif inode.mode:
        check.of_inode("PR_1_RESERVED_BAD_MODE", inode, "i_mode", f"is {inode.mode:#o}")
    blocks = _reserved_attributes(check, inode)
    if inode.is_file:
        _check_sizes(check, inode, _check_blocks(check, inode) + blocks)
    elif not inode.mode and not any(inode.block_bytes):
        _check_sizes(check, inode, blocks)


def _reserved_attributes(check: Check, inode: Inode) -> int:
    """Check the attribute block of a reserved inode; return the number of blocks charged for it.

    e2fsck only marks an invalid block number, and reports it if a directory refers to the inode.
    It does read the first data block, however (e2fsck/pass1.c:check_ext_attr).
    """
    block = inode.file_acl
    if not block or not check.format.ext_attr:
        return 0
    if block == check.format.first_data_block:
        text = "is the block of the superblock"
        check.of_inode("PR_1_BAD_EA_BLOCK", inode, "i_file_acl_lo", text)
        return check.format.blocks_per_cluster
    if not check.image.has_blocks(block):
        return 0
    return check_attribute_block(check, inode, Charge()).blocks


def _check_clear(check: Check, inode: Inode, code: str) -> None:
    """Check that an unused special inode is clear; e2fsck ignores the high half of i_blocks."""
    blocks = inode.record.get(inode.raw, 0, "i_blocks_lo")
    if inode.links or blocks or any(inode.block_bytes[:4]):
        check.of_inode(code, inode, "i_links_count", "or blocks are set, but the inode is unused")


def _claim_bad_blocks(check: Check, run: FileExtent) -> None:
    """Claim the blocks in the list of bad blocks, except those of inode tables."""
    tables = check.bad_table_blocks
    for block in range(run.physical, run.physical + run.length):
        if block not in tables:
            check.claims.add(EXT4_BAD_INO, block, 1)


def _block_list(inode: Inode) -> list[FileExtent | TreeBlock]:
    """Return what the block map contains, regardless of the mode and flags."""
    return list(block_map(inode))


def _check_resize_inode(check: Check, inode: Inode, attribute_blocks: int) -> None:
    """Check the double indirect map of reserved descriptor blocks.

    e2fsck/super.c:check_resize_inode compares a quarter of them; wrong numbers in the rest are
    warnings.
    """
    image, fmt = check.image, check.format
    reserved = image.number("s_reserved_gdt_blocks")
    block = _indirect_of_reserve(check, inode)
    if not block:
        text = "does not map reserved descriptors"
        check.of_inode("PR_0_RESIZE_INODE_INVALID", inode, "i_block", text)
        return
    check.claims.add(inode.ino, block, 1)
    named, last = _blocks_of_reserve(check, inode, block)
    _check_sizes(check, inode, named * fmt.blocks_per_cluster + attribute_blocks)
    if inode.size < last * check.block_size:
        text = f"is {inode.size}, but block {last} of the file is mapped"
        check.of_inode("PR_1_BAD_I_SIZE", inode, "i_size_lo", text)
    table = struct.unpack(f"<{check.block_size // 4}I", image.block(block))
    first = fmt.super_block(0) + 1 + fmt.gdt_blocks(image.counted_groups)
    copies = [group * fmt.blocks_per_group for group in fmt.super_groups(image.groups)[1:]]
    for number in range(reserved):
        place = (fmt.gdt_blocks(image.counted_groups) + number) % len(table)
        text = ""
        if table[place] != first + number:
            text = f"maps block {table[place]} instead of {first + number}"
        else:
            listed = struct.unpack(f"<{check.block_size // 4}I", image.block(first + number))
            if list(listed[: len(copies)]) != [first + number + copy for copy in copies]:
                text = f"maps block {first + number}, which does not list its backups"
        if text:
            is_compared = number < reserved // 4
            code = "PR_0_RESIZE_INODE_INVALID" if is_compared else "RESIZE_INODE"
            where = inode.offset, text, inode.ino
            check.of_record(code, INODE_128, "i_block", *where, warn=not is_compared)
            return


def _indirect_of_reserve(check: Check, inode: Inode) -> int:
    """Return the double indirect block of a valid resize inode; 0 for any other inode."""
    words = struct.unpack("<15I", inode.block_bytes)
    others = [word for place, word in enumerate(words) if place != 13 and word]
    is_one = check.image.has_blocks(words[13]) and inode.mode & S_IFREG and inode.links
    return words[13] if is_one and not others else 0


def _blocks_of_reserve(check: Check, inode: Inode, block: int) -> tuple[int, int]:
    """Return (blocks, last) of what a double indirect block maps.

    ``blocks`` includes the block itself, and repeated ones each time. ``last`` is the last logical
    block that is mapped, or 0.
    """
    image, words = check.image, check.block_size // 4

    def named_in(each: int) -> list[tuple[int, int]]:
        """Return (position, block) of the non-zero entries."""
        table = struct.unpack(f"<{words}I", image.block(each))
        found = [(place, word) for place, word in enumerate(table) if word]
        wrong = [word for _, word in found if not image.has_blocks(word)]
        if wrong:
            text = f"maps block {wrong[0]}, which is invalid"
            check.of_inode("PR_1_ILLEGAL_BLOCK_NUM", inode, "i_block", text)
        return found

    count, last = 1, 0
    for place, each in named_in(block):
        count += 1
        if image.has_blocks(each):
            below = named_in(each)
            count += len(below)
            if below:
                last = EXT4_NDIR_BLOCKS + words + place * words + below[-1][0]
    return count, last


def _check_flags(check: Check, inode: Inode) -> None:
    fmt, flags = check.format, inode.flags

    def wrong(code: str, text: str) -> None:
        check.of_inode(code, inode, "i_flags", text)

    if flags & EXT4_EXTENTS_FL and not fmt.extent:
        wrong("PR_1_EXTENT_FEATURE", "has EXTENTS without the feature extent")
    mapped = inode.is_file or inode.is_directory
    if mapped and not flags & (EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL) and fmt.extent:
        magic, entries, most, depth = _header(inode.block_bytes, 0)
        if magic == EXT4_EXT_MAGIC and entries <= most <= _IN_INODE and depth <= 5:
            wrong("PR_1_UNSET_EXTENT_FL", "lacks EXTENTS, but i_block looks like an extent tree")
    if flags & EXT4_INLINE_DATA_FL:
        if not fmt.inline_data:
            wrong("PR_1_INLINE_DATA_SET", "has INLINE_DATA without the feature")
        elif flags & EXT4_EXTENTS_FL:
            wrong("PR_1_CLEAR_INLINE_DATA_FOR_EXTENT", "has INLINE_DATA and EXTENTS")
        elif not any((each.name_index, each.name) == INLINE_DATA for each in in_inode(inode)):
            wrong("PR_1_INLINE_DATA_NO_ATTR", "has INLINE_DATA, but there is no system.data")
    if flags & EXT4_ENCRYPT_FL:
        context = encryption_context(inode)
        policy = policy_of(context) if context is not None else None
        if context is None:
            wrong("PR_1_MISSING_ENCRYPTION_XATTR", "has ENCRYPT without an encryption context")
        elif policy is None:
            wrong("PR_1_CORRUPT_ENCRYPTION_XATTR", f"has ENCRYPT, but the context is {context!r}")
        else:
            check.policies[inode.ino] = policy
    if flags & EXT4_CASEFOLD_FL:
        if not inode.is_directory:
            wrong("PR_1_CASEFOLD_NONDIR", "has CASEFOLD, but the inode is not a directory")
        elif not fmt.casefold:
            wrong("PR_1_CASEFOLD_FEATURE", "has CASEFOLD without the feature")
    if flags & EXT4_EA_INODE_FL and not inode.is_file:
        wrong("PR_1_EA_INODE_NONREG", "has EA_INODE, but the inode is not a regular file")
    if flags & EXT4_IMAGIC_FL and not fmt.imagic_inodes:
        wrong("PR_1_SET_IMAGIC", "has IMAGIC without the feature")
    if flags & EXT4_INDEX_FL:
        if not inode.is_directory:
            wrong("PR_1_HTREE_NODIR", "has INDEX, but the inode is not a directory")
        elif not fmt.dir_index:
            wrong("PR_1_HTREE_SET", "has INDEX without the feature dir_index")
        elif flags & EXT4_INLINE_DATA_FL:
            wrong("PR_1_HTREE_BADROOT", "has INDEX and INLINE_DATA")


def _check_zeros(check: Check, inode: Inode) -> None:
    """Check fields that must be 0 without a feature (e2fsck/pass2.c:e2fsck_process_bad_inode)."""
    fmt, raw = check.format, inode.raw

    def zero(code: str, field: str, text: str = "") -> None:
        value = INODE_128.get(raw, 0, field)
        if value:
            check.of_inode(code, inode, field, f"is {value!r}{text} but should be 0")

    zero("PR_2_FADDR_ZERO", "i_obso_faddr")
    if not fmt.is_64bit:
        zero("PR_2_I_FILE_ACL_HI_ZERO", "l_i_file_acl_high", " without 64bit")
    if not fmt.huge_file:
        zero("PR_2_BLOCKS_HI_ZERO", "l_i_blocks_high", " without huge_file")
    if inode.is_directory and not fmt.large_dir:
        zero("PR_2_DIR_SIZE_HIGH_ZERO", "i_size_high", " in a directory")


def _check_kind(check: Check, inode: Inode) -> None:
    if inode.file_type in _SPECIAL:
        if inode.flags & (EXT4_IMMUTABLE_FL | EXT4_APPEND_FL):
            check.of_inode("PR_1_SET_IMMUTABLE", inode, "i_flags", "has IMMUTABLE or APPEND")
        if inode.flags & (EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL):
            check.of_inode(
                "PR_1_SPECIAL_EXTENTS_IDATA", inode, "i_flags", "has EXTENTS or INLINE_DATA"
            )
        if inode.size:
            check.of_inode("PR_1_SET_NONZSIZE", inode, "i_size_lo", f"is {inode.size}")
        _check_device(check, inode)
    elif inode.is_symlink:
        _check_symlink(check, inode)
    elif not (inode.is_file or inode.is_directory):
        text = f"is {inode.mode:#o}, which has no valid file type"
        check.of_inode("PR_2_BAD_MODE", inode, "i_mode", text)


def _check_device(check: Check, inode: Inode) -> None:
    # e2fsck/pass1.c:e2fsck_pass1_check_device_inode
    codes = {
        S_IFCHR: "PR_2_BAD_CHAR_DEV",
        S_IFBLK: "PR_2_BAD_BLOCK_DEV",
        S_IFIFO: "PR_2_BAD_FIFO",
        S_IFSOCK: "PR_2_BAD_SOCKET",
    }
    words = struct.unpack("<15I", inode.block_bytes)
    rest = words[1:] if words[0] else words[2:]
    is_immutable = inode.flags & (EXT4_IMMUTABLE_FL | EXT4_APPEND_FL)
    if inode.flags & (EXT4_INDEX_FL | EXT4_EXTENTS_FL) or (is_immutable and any(words[4:])):
        text = "holds more than a device number"
        check.of_inode(codes[inode.file_type], inode, "i_block", text)
    elif any(rest):
        # e2fsck accepts this because old kernels did not clear the rest.
        text = "holds more than a device number"
        where = INODE_128, "i_block", inode.offset, text, inode.ino
        check.of_record("DEVICE_NUMBER", *where, warn=True)


def _check_symlink(check: Check, inode: Inode) -> None:
    # e2fsck/pass1.c:e2fsck_pass1_check_symlink
    wrong = ""
    if inode.flags & (EXT4_IMMUTABLE_FL | EXT4_APPEND_FL):
        wrong = "IMMUTABLE or APPEND"
    elif not inode.size or inode.flags & EXT4_INDEX_FL:
        wrong = "no target" if not inode.size else "an index"
    elif inode.has_inline_data:
        value, _ = inline_value(inode)
        if min(inode.size, _FAST_SYMLINK_BYTES) + len(value) < inode.size:
            wrong = f"a size of {inode.size} but less inline data"
    elif inode.is_fast_symlink:
        length = inode.block_bytes.find(b"\0")
        is_binary = bool(inode.flags & EXT4_ENCRYPT_FL)
        if inode.size >= _FAST_SYMLINK_BYTES or (length != inode.size and not is_binary):
            wrong = f"a size of {inode.size} but a target of {length} bytes"
        if inode.flags & EXT4_EXTENTS_FL:
            check.of_inode("PR_1_FAST_SYMLINK_EXTENT_FL", inode, "i_flags", "has EXTENTS")
    else:
        wrong = _long_target(check, inode)
    if wrong:
        text = f"belongs to a symlink with {wrong}"
        check.of_inode("PR_2_INVALID_SYMLINK", inode, "i_size_lo", text)


def _long_target(check: Check, inode: Inode) -> str:
    if inode.size >= check.block_size:
        return f"a size of {inode.size}"
    try:
        runs = list(inode.runs())
    except (DamageError, ImageError):
        return "blocks that cannot be read"
    if len(runs) != 1 or runs[0].logical or runs[0].length != 1 or runs[0].unwritten:
        return "more or less than one written block"
    data = check.image.block(runs[0].physical)
    length = data.find(b"\0")
    if length != inode.size and not inode.flags & EXT4_ENCRYPT_FL:  # binary
        return f"a size of {inode.size} but a target of {length} bytes"
    return ""


class _Mapped:
    """The results of a walk over one mapping, in blocks; -1 if no block is mapped."""

    def __init__(self) -> None:
        self.blocks = 0
        self.last = self.last_written = -1


def _check_blocks(check: Check, inode: Inode) -> int:
    """Claim the blocks of an inode; return their number, in full clusters."""
    mapped = _Mapped()
    clusters = check.format.blocks_per_cluster
    seen_cluster = -1
    for item in inode.mapping():
        if isinstance(item, TreeBlock):
            check.claims.add(inode.ino, item.block, 1)
            mapped.blocks += clusters
            continue
        check.claims.add(inode.ino, item.physical, item.length)
        if clusters == 1:
            mapped.blocks += item.length
        else:
            first = item.physical // clusters
            end = (item.physical + item.length - 1) // clusters
            mapped.blocks += (end - first + (first != seen_cluster)) * clusters
            seen_cluster = end
            if item.physical % clusters != item.logical % clusters:
                check.of_inode(
                    "PR_1_MISALIGNED_CLUSTER",
                    inode,
                    "i_block",
                    f"maps block {item.logical} to {item.physical}, at another place in its "
                    "cluster",
                )
        mapped.last = max(mapped.last, item.logical + item.length - 1)
        if not item.unwritten:
            mapped.last_written = max(mapped.last_written, item.logical + item.length - 1)
        elif inode.is_directory:
            check.of_inode("PR_1_UNINIT_DBLOCK", inode, "i_block", "has unwritten blocks")
    if inode.flags & EXT4_EXTENTS_FL and not inode.has_inline_data:
        _check_extent_bounds(check, inode)
    _check_size(check, inode, mapped)
    return mapped.blocks


def _check_extent_bounds(check: Check, inode: Inode) -> None:
    """Check that every node begins at the block in its index and ends before the next one."""
    magic, entries, most, depth = _header(inode.block_bytes, 0)
    if magic != EXT4_EXT_MAGIC or depth > 5 or entries > most:
        return
    if most < _IN_INODE - _ROOM_LESS:
        text = f"is {most}, but there is space for {_IN_INODE}"
        where = inode.offset + INODE.offset("i_block"), text, inode.ino
        check.of_record("PR_1_MISSING_EXTENT_HEADER", EXTENT_HEADER, "eh_max", *where)
    if not depth:
        return
    image = check.image
    # (bytes of the node, its offset in the image, depth, first logical block, end)
    least: int | None = None
    stack = [(inode.block_bytes, inode.offset + INODE.offset("i_block"), depth, least, 1 << 32)]
    seen: set[int] = set()
    while stack:
        data, offset, depth, least, end = stack.pop()
        magic, entries, most, found = _header(data, 0)
        room = (len(data) - EXTENT_HEADER.size) // EXTENT.size
        if magic == EXT4_EXT_MAGIC and most < room - _ROOM_LESS:
            text = f"is {most}, but there is space for {room}"
            code = "PR_1_EXTENT_HEADER_INVALID"
            check.of_record(code, EXTENT_HEADER, "eh_max", offset, text, inode.ino)
            continue
        if (
            magic != EXT4_EXT_MAGIC
            or found != depth
            or 12 + 12 * entries > len(data)
            or not entries
        ):
            continue
        firsts = [EXTENT_IDX.number(data, 12 + 12 * row, "ei_block") for row in range(entries)]
        if least is not None and firsts[0] != least:
            check.of_record(
                "PR_1_EXTENT_INDEX_START_INVALID",
                EXTENT,
                "ee_block",
                offset + 12,
                f"is {firsts[0]}, but {least} in the index",
                inode.ino,
            )
        if depth == 0:
            logical, length, _, _ = _extent(data, 12 * entries)
            length = length - EXT_INIT_MAX_LEN if length > EXT_INIT_MAX_LEN else length
            if logical + length > end:
                check.of_record(
                    "PR_1_EXTENT_END_OUT_OF_BOUNDS",
                    EXTENT,
                    "ee_len",
                    offset + 12 * entries,
                    f"reaches block {logical + length - 1}, but the next node begins at {end}",
                    inode.ino,
                )
            continue
        for row, first in enumerate(firsts):
            block = EXTENT_IDX.number(data, 12 + 12 * row, "ei_leaf")
            if image.has_blocks(block) and block not in seen:
                seen.add(block)
                after = firsts[row + 1] if row + 1 < entries else end
                place = block * check.block_size
                stack.append((image.block(block), place, depth - 1, first, after))


def _check_size(check: Check, inode: Inode, mapped: _Mapped) -> None:
    """Check whether i_size matches the blocks (e2fsck/pass1.c:check_blocks)."""
    size, block_size = inode.size, check.block_size
    if inode.is_symlink:
        return
    text = ""
    if inode.is_directory:
        if inode.has_inline_data:
            value, _ = inline_value(inode)
            if size not in (60, 60 + len(value)) or (value and size == 60):
                text = f"is {size}, but {60 + len(value)} bytes are inline"
        elif not mapped.blocks:
            check.of_inode(
                "PR_1_ZERO_LENGTH_DIR", inode, "i_size_lo", "is of a directory without blocks"
            )
        elif size % block_size:
            text = f"is {size}, which is not a multiple of the block size"
        elif size // block_size != mapped.last + 1:
            text = f"is {size}, but the last block is {mapped.last}"
    elif inode.is_file:
        is_past = mapped.last_written >= 0 and size < mapped.last_written * block_size
        if is_past and not inode.flags & EXT4_VERITY_FL:
            text = f"is {size}, but block {mapped.last_written} is written"
        elif size > size_limit(inode):
            text = f"is {size}, but at most {size_limit(inode)} is possible"
        if size >= _LARGE_FILE_BYTES and not check.large_files:
            check.large_files = inode.ino
    if text and inode.ino not in check.orphans:
        check.of_inode("PR_1_BAD_I_SIZE", inode, "i_size_lo", text)


def _check_sizes(check: Check, inode: Inode, blocks: int) -> None:
    expected = blocks * (check.block_size // SECTOR)
    if inode.blocks != expected:
        check.of_inode(
            "PR_1_BAD_I_BLOCKS",
            inode,
            "i_blocks_lo",
            f"is {inode.blocks} but should be {expected}",
        )
