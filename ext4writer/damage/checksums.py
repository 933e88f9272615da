"""Recomputes all checksums of an image after arbitrary changes of its bytes.

When a fuzzer changes bytes, the first wrong checksum stops every reader. :func:`set_checksums`
finds the metadata of an image as a mount would, and rewrites each checksum. Nothing is checked and
nothing else is repaired: parts that a wrong length or number makes unreachable stay unchanged. Each
block is handled once, for the first structure that claims it, so the time is limited by the size of
the image.

It uses compiled records instead of :mod:`ext4writer.read`, which creates objects and stops at
damage.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache

from ..arithmetic import round_up
from ..bits import high_16, joined_32, low_16
from ..errors import RecordError
from ..nodes import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from ..ondisk.checksum import (
    bitmap_checksum,
    crc32c,
    group_desc_checksum,
    group_desc_crc16,
    inode_seed,
    set_extent_block_checksum,
    set_inode_checksum,
    set_mmp_checksum,
    set_orphan_block_checksum,
    set_superblock_checksum,
    set_xattr_block_checksum,
)
from ..ondisk.dirent import DIR_ENTRY_TAIL, EXT4_FT_DIR_CSUM, decode_rec_len
from ..ondisk.extent import EXT4_MAX_EXTENT_DEPTH, EXT_INIT_MAX_LEN, EXTENT, EXTENT_HEADER
from ..ondisk.format import Checksum, Format
from ..ondisk.group_desc import (
    EXT4_BG_BLOCK_UNINIT,
    EXT4_BG_INODE_UNINIT,
    GROUP_DESC,
    GROUP_DESC_32,
)
from ..ondisk.htree import (
    DX_ENTRY,
    DX_NODE_COUNT_OFFSET,
    DX_ROOT_COUNT_OFFSET,
    DX_ROOT_INFO,
    DX_TAIL,
)
from ..ondisk.inode import (
    EXT4_EA_INODE_FL,
    EXT4_EXTENTS_FL,
    EXT4_GOOD_OLD_INODE_SIZE,
    EXT4_INLINE_DATA_FL,
    EXT4_N_BLOCKS,
    EXT4_NDIR_BLOCKS,
    INODE,
    INODE_128,
)
from ..ondisk.journal import JBD2_MAGIC_NUMBER
from ..ondisk.mmp import MMP
from ..ondisk.record import WriteBuffer
from ..ondisk.superblock import (
    EXT4_SUPER_MAGIC,
    SUPERBLOCK,
    SUPERBLOCK_OFFSET,
    SUPERBLOCK_SIZE,
)
from ..ondisk.xattr import (
    EXT4_XATTR_MAGIC,
    XATTR_ENTRY,
    XATTR_HEADER,
    XATTR_IBODY_HEADER,
    block_hash,
    entry_hash,
    entry_size,
    value_size,
)
from ..read.image import FLEX_MAX
from .crc_over_itself import crc_over_itself
from .journal_checksums import pending_blocks, set_fast_commit_checksums, set_log_checksums

_JOURNAL_MAGIC = JBD2_MAGIC_NUMBER.to_bytes(4, "big")
_EA_INODE_MAX = 1 << 20
"""Attribute values in inodes are hashed up to this size in bytes; the kernel allows 64 KiB."""

_inode = INODE_128.unpacker(
    *("i_mode", "i_size_lo", "i_links_count", "i_flags", "i_block", "i_generation"),
    *("i_file_acl_lo", "i_size_high", "l_i_file_acl_high"),
)
_super = SUPERBLOCK.unpacker("s_inodes_count", "s_blocks_count_lo")
_identity = SUPERBLOCK.unpacker("s_magic", "s_uuid")
_journal_inum = SUPERBLOCK.unpacker("s_journal_inum")
_orphan_inum = SUPERBLOCK.unpacker("s_orphan_file_inum")
_mmp_block = SUPERBLOCK.unpacker("s_mmp_block")
_desc = GROUP_DESC_32.unpacker(
    *("bg_block_bitmap_lo", "bg_inode_bitmap_lo", "bg_inode_table_lo", "bg_flags"),
    *("bg_block_bitmap_csum_lo", "bg_inode_bitmap_csum_lo", "bg_itable_unused_lo"),
)
_desc_high = GROUP_DESC.unpacker(
    *("bg_block_bitmap_hi", "bg_inode_bitmap_hi", "bg_inode_table_hi", "bg_itable_unused_hi"),
    *("bg_block_bitmap_csum_hi", "bg_inode_bitmap_csum_hi"),
)
_header = EXTENT_HEADER.unpacker("eh_magic", "eh_entries", "eh_max", "eh_depth")
_xattr = XATTR_ENTRY.unpacker(
    "e_name_len", "e_name_index", "e_value_offs", "e_value_inum", "e_value_size", "e_hash"
)
_triple = struct.Struct("<IHHI").unpack_from
_index = struct.Struct("<IIHH").unpack_from
_entry_head = struct.Struct("<IHBB").unpack_from
_pair = struct.Struct("<HH").unpack_from
_word = struct.Struct("<I")
_half = struct.Struct("<H")

_EXTRA_ISIZE = INODE.offset("i_extra_isize")
_I_ATIME = INODE.offset("i_atime")
_E_HASH = XATTR_ENTRY.offset("e_hash")
_H_HASH = XATTR_HEADER.offset("h_hash")
_BG_CHECKSUM = GROUP_DESC.offset("bg_checksum")
_BITMAP_CSUMS = (
    (GROUP_DESC.offset("bg_block_bitmap_csum_lo"), GROUP_DESC.offset("bg_block_bitmap_csum_hi")),
    (GROUP_DESC.offset("bg_inode_bitmap_csum_lo"), GROUP_DESC.offset("bg_inode_bitmap_csum_hi")),
)
_DET_CHECKSUM = DIR_ENTRY_TAIL.offset("det_checksum")
_DT_CHECKSUM = DX_TAIL.offset("dt_checksum")

_HARMLESS = frozenset(
    place
    for name in (
        *("s_free_blocks_count_lo", "s_free_inodes_count", "s_mtime", "s_wtime", "s_mnt_count"),
        *("s_max_mnt_count", "s_magic", "s_state", "s_errors", "s_lastcheck", "s_checkinterval"),
        *("s_volume_name", "s_last_mounted", "s_last_orphan", "s_default_mount_opts"),
        *("s_mkfs_time", "s_free_blocks_count_hi", "s_kbytes_written", "s_checksum"),
    )
    for place in range(
        SUPERBLOCK.offset(name), SUPERBLOCK.offset(name) + SUPERBLOCK.fields[name].size
    )
)
"""Offsets of superblock bytes that affect neither the value nor the location of other checksums."""


def set_checksums(buffer: WriteBuffer, changed: Iterable[int] | None = None) -> None:
    """Set all checksums in ``buffer``; see :func:`ext4writer.damage.reseal`."""
    with memoryview(buffer) as given, given.cast("B") as view:
        size = len(view)
        if size < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE:
            return
        dirty = None if changed is None else {at for at in changed if 0 <= at < size}
        superblock = bytes(view[SUPERBLOCK_OFFSET : SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE])
        fmt = _format(superblock)
        if fmt is None:
            # The superblock cannot be interpreted, perhaps because of its features.
            set_superblock_checksum(view, SUPERBLOCK_OFFSET)
            return
        if fmt.has_journal and fmt.needs_recovery and not fmt.journal_dev:
            checksums = _ChecksumPass(view, fmt, superblock, None)
            checksums.find_groups()
            places = checksums.journal_places()
            pending = pending_blocks(view, fmt.block_size, places, 0) if places else {}
            if pending:
                _set_replayed_checksums(view, fmt, places, pending)
                return
        if dirty is not None and any(
            SUPERBLOCK_OFFSET <= at < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE
            and at - SUPERBLOCK_OFFSET not in _HARMLESS
            for at in dirty
        ):
            dirty = None
        _ChecksumPass(view, fmt, superblock, dirty).run()


def _set_replayed_checksums(
    view: memoryview, fmt: Format, places: list[int], pending: dict[int, tuple[int, bool]]
) -> None:
    """Set the checksums for the state after a replay of the log, both in the log and outside of it.

    A mount reads the superblock, descriptors and inodes before the replay. The checksums of these
    are also set in the blocks that the replay will overwrite.
    """
    size = fmt.block_size
    after = bytearray(view)
    kept = {}
    for target, (start, escaped) in pending.items():
        place = target * size
        kept[target] = bytes(view[place : place + size])
        after[place : place + size] = view[start : start + size]
        if escaped:
            after[place : place + 4] = _JOURNAL_MAGIC
    superblock = bytes(after[SUPERBLOCK_OFFSET : SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE])
    with memoryview(after) as replayed:
        checksums = _ChecksumPass(replayed, _format(superblock) or fmt, superblock, None)
        checksums.with_journal = False
        checksums.run()
    view[:] = after
    for target, (start, escaped) in pending.items():
        place = target * size
        view[start : start + size] = after[place : place + size]
        if escaped:
            view[start : start + 4] = bytes(4)
        view[place : place + size] = kept[target]
    superblock = bytes(view[SUPERBLOCK_OFFSET : SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE])
    checksums = _ChecksumPass(view, fmt, superblock, None)
    checksums.run_on_tables()
    checksums.set_log_checksums(places, 0)


@lru_cache(maxsize=256)
def _format(superblock: bytes) -> Format | None:
    try:
        return Format.of_superblock(superblock)
    except RecordError:
        return None


class _ChecksumPass:
    """Sets the checksums of one image in one pass."""

    def __init__(
        self,
        view: memoryview,
        fmt: Format,
        superblock: bytes,
        dirty: set[int] | None,
    ) -> None:
        self.view = view
        self.format = fmt
        self.superblock = superblock
        self.dirty = dirty
        self.size = fmt.block_size
        self.blocks = len(view) // self.size
        self.seed = fmt.checksum_seed
        self.taken = bytearray(self.blocks + 1)
        """1 for each block that is already done or has a fixed purpose."""
        self.dirty_blocks = None if dirty is None else {at // self.size for at in dirty}
        self.with_journal = True
        self.all = True
        """Whether all blocks of the current inode are handled, changed or not."""
        self.descs: list[tuple[int, int, tuple[int, ...]]] = []
        """(group, offset of its descriptor in bytes, its numbers) for each group in the image."""

    def run(self) -> None:
        fmt = self.format
        if fmt.journal_dev:
            if fmt.metadata_csum:
                set_superblock_checksum(self.view, SUPERBLOCK_OFFSET)
            self._device_log()
            return
        supers = self.find_groups()
        if fmt.metadata_csum:
            self._mmp()
            if self.dirty is None:
                self._all_inodes()
            else:
                self._dirty_inodes()
            self._bitmaps()
        elif fmt.has_journal and self.with_journal:
            self._journal_inode()
        self._descriptors()
        if fmt.metadata_csum:
            for at in supers:
                set_superblock_checksum(self.view, at)

    def run_on_tables(self) -> None:
        """Set only the checksums of superblocks, descriptors and inodes."""
        supers = self.find_groups()
        if self.format.metadata_csum:
            size = self.format.inode_size
            for ino, at in self._inodes():
                generation = _inode(self.view, at)[5]
                set_inode_checksum(self.view, at, size, self.seed, ino, generation)
        self._descriptors()
        if self.format.metadata_csum:
            for at in supers:
                set_superblock_checksum(self.view, at)

    # -- fixed places ------------------------------------------------------------------------------

    def find_groups(self) -> list[int]:
        """Find the descriptors, and mark metadata as taken; return the offsets of superblocks."""
        fmt, view, size, blocks = self.format, self.view, self.size, self.blocks
        _, blocks_count = _super(self.superblock, 0)
        if fmt.is_64bit:
            blocks_count = SUPERBLOCK.number(self.superblock, 0, "s_blocks_count")
        groups = max(fmt.groups_for(blocks_count), 0)
        # A wrong count must not cause more work than the image has blocks. A flex group that has
        # begun counts fully, as all its metadata is at its beginning.
        here = max(fmt.groups_for(blocks), 0)
        flex = min(fmt.groups_per_flex, FLEX_MAX)
        groups = min(groups, len(view) // fmt.desc_size + 1, round_up(here + 1, flex))
        present = min(groups, here)
        supers = [SUPERBLOCK_OFFSET]
        uuid = fmt.uuid
        self.taken[: min(fmt.super_block(0) + 1, blocks)] = b"\1" * min(
            fmt.super_block(0) + 1, blocks
        )
        holders = [0]
        for group in range(1, present):
            if not fmt.has_super(group):
                continue
            at = fmt.super_offset(group)
            if at + SUPERBLOCK_SIZE > len(view):
                break
            magic, its_uuid = _identity(view, at)
            if magic == EXT4_SUPER_MAGIC or its_uuid == uuid:
                supers.append(at)
                holders.append(group)
                self.taken[at // size] = 1
        self._find_descriptors(groups, holders)
        high = fmt.desc_size >= GROUP_DESC.size
        table_blocks = fmt.inode_table_blocks(fmt.inodes_per_group)
        for group, at, numbers in self._primary_descs(groups, high):
            self.descs.append((group, at, numbers))
            for place, count in ((numbers[0], 1), (numbers[1], 1), (numbers[2], table_blocks)):
                end = min(place + count, blocks)
                if place < end:
                    self.taken[place:end] = b"\1" * (end - place)
        return supers

    def _find_descriptors(self, groups: int, holders: list[int]) -> None:
        """Find the blocks of all copies of the descriptors, the primary one first."""
        fmt, blocks = self.format, self.blocks
        per_block = fmt.descs_per_block
        self.desc_blocks: list[list[int]] = []
        for number in range(fmt.gdt_blocks(groups)):
            if fmt.in_meta_group(number):
                places = fmt.desc_block_copies(number, groups)
            else:
                places = [fmt.super_block(group) + 1 + number for group in holders]
            found = []
            for place in places:
                if place < blocks and (not self.taken[place] or number == 0):
                    self.taken[place] = 1
                    found.append(place)
            if not found or found[0] != places[0]:
                break
            self.desc_blocks.append(found)
        self.groups = min(groups, len(self.desc_blocks) * per_block)

    def _primary_descs(self, groups: int, high: bool) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        fmt, view = self.format, self.view
        per_block, desc_size = fmt.descs_per_block, fmt.desc_size
        for number, places in enumerate(self.desc_blocks):
            base = places[0] * self.size
            for place in range(min(per_block, groups - number * per_block)):
                at = base + place * desc_size
                numbers = _desc(view, at)
                if high:
                    hi = _desc_high(view, at)
                    numbers = (  # without calls, for each group
                        numbers[0] | hi[0] << 32,
                        numbers[1] | hi[1] << 32,
                        numbers[2] | hi[2] << 32,
                        numbers[3],
                        numbers[4] | hi[4] << 16,
                        numbers[5] | hi[5] << 16,
                        numbers[6] | hi[3] << 16,
                    )
                yield number * per_block + place, at, numbers

    def _bitmaps(self) -> None:
        fmt, view, size = self.format, self.view, self.size
        high = fmt.desc_size >= GROUP_DESC.size
        limit = self.blocks
        for group, _, numbers in self.descs:
            flags = numbers[3]
            for which, flag, bits in (
                (0, EXT4_BG_BLOCK_UNINIT, fmt.clusters_per_group),
                (1, EXT4_BG_INODE_UNINIT, fmt.inodes_per_group),
            ):
                block = numbers[which]
                if flags & flag or not 0 < block < limit:
                    continue
                if self.dirty_blocks is not None and block not in self.dirty_blocks:
                    continue
                start = block * size
                crc = bitmap_checksum(self.seed, view[start : start + bits // 8])
                old = numbers[4 + which]
                if not high:
                    crc = low_16(crc)
                if crc == old:
                    continue
                low_at, high_at = _BITMAP_CSUMS[which]
                # Copies that agreed with the primary descriptor must still agree.
                number, place = divmod(group, fmt.descs_per_block)
                inside = place * fmt.desc_size
                for copy in self.desc_blocks[number]:
                    there = copy * size + inside
                    (stored,) = _half.unpack_from(view, there + low_at)
                    if high:
                        stored |= _half.unpack_from(view, there + high_at)[0] << 16
                    if stored == old:
                        _half.pack_into(view, there + low_at, low_16(crc))
                        if high:
                            _half.pack_into(view, there + high_at, high_16(crc))
                        if self.dirty_blocks is not None:
                            self.dirty_blocks.add(copy)

    def _descriptors(self) -> None:
        kind = self.format.group_desc_checksum
        if kind is Checksum.NONE:
            return
        fmt, view, seed, uuid = self.format, self.view, self.seed, self.format.uuid
        per_block, size = fmt.descs_per_block, fmt.desc_size
        for number, places in enumerate(self.desc_blocks):
            first = number * per_block
            count = min(per_block, self.groups - first)
            for block in places:
                if self.dirty_blocks is not None and block not in self.dirty_blocks:
                    continue
                at = block * self.size
                for group in range(first, first + count):
                    desc = view[at : at + size]
                    if kind is Checksum.CRC32C:
                        crc = group_desc_checksum(seed, group, desc)
                    else:
                        crc = group_desc_crc16(uuid, group, desc)
                    _half.pack_into(view, at + _BG_CHECKSUM, crc)
                    at += size

    def _mmp(self) -> None:
        if not self.format.mmp:
            return
        (block,) = _mmp_block(self.superblock, 0)
        if 0 < block < self.blocks and self._claim(block):
            at = block * self.size
            if at + MMP.size <= len(self.view):
                set_mmp_checksum(self.view, at, self.seed)

    # -- inodes ------------------------------------------------------------------------------------

    def _claim(self, block: int) -> bool:
        """Return whether this block belongs to no other structure yet, and mark it as taken."""
        if not 0 < block < self.blocks or self.taken[block]:
            return False
        self.taken[block] = 1
        return True

    def _all_inodes(self) -> None:
        if self.format.ea_inode:
            for ino, at in self._inodes():
                self._value_inode(ino, at)
        for ino, at in self._inodes():
            self._inode(ino, at)

    def _dirty_inodes(self) -> None:
        """Set the checksums of changed inodes with their blocks, and of other changed blocks."""
        assert self.dirty is not None and self.dirty_blocks is not None
        loose = {block for block in self.dirty_blocks if block < self.blocks}
        loose = {block for block in loose if not self.taken[block]}
        if loose and self.format.ea_inode:
            # The hash of an attribute value is in its inode, and part of hashes elsewhere.
            self._all_inodes()
            return
        size = self.format.inode_size
        rows = {at // size for at in self.dirty}
        for ino, at in self._inodes():
            self.all = at // size in rows
            if self.all or loose:
                self._inode(ino, at)

    def _claims(self, block: int) -> bool:
        """Return whether this block must still be handled, and mark it as taken."""
        return self._claim(block) and self._is_dirty(block)

    def _is_dirty(self, block: int) -> bool:
        return self.all or block in (self.dirty_blocks or ())

    def _inodes(self) -> Iterator[tuple[int, int]]:
        """Yield (number, offset in bytes) of each non-zero inode in parts of tables in use."""
        fmt, view, size = self.format, self.view, self.format.inode_size
        per_group, limit = fmt.inodes_per_group, len(view)
        inodes_count, _ = _super(self.superblock, 0)
        nothing = bytes(size)
        uninit = fmt.has_uninit_groups
        seen: set[int] = set()
        for group, _, numbers in self.descs:
            count = min(per_group, inodes_count - group * per_group)
            if uninit:
                if numbers[3] & EXT4_BG_INODE_UNINIT:
                    continue
                if numbers[6] <= per_group:
                    count = min(count, per_group - numbers[6])
            table = numbers[2]
            if not 0 < table < self.blocks or table in seen:
                continue
            seen.add(table)
            at = table * self.size
            count = min(count, (limit - at) // size)
            first = group * per_group + 1
            for ino in range(first, first + count):
                if view[at : at + size] != nothing:
                    yield ino, at
                at += size

    def _inode(self, ino: int, at: int) -> None:
        """Set the checksums of the blocks of an inode, then its own."""
        fmt, view = self.format, self.view
        mode, _, links, flags, root, generation, acl, _, acl_hi = _inode(view, at)
        if links:
            kind = mode & S_IFMT
            seed = inode_seed(self.seed, ino, generation)
            if not (flags & EXT4_INLINE_DATA_FL and fmt.inline_data):
                self._blocks_of(ino, kind, flags, root, seed)
            if fmt.is_64bit:
                acl = joined_32(acl, acl_hi)
            if acl and self._claims(acl):
                self._xattr_block(acl)
        if not self.all:
            return
        if fmt.inode_size > EXT4_GOOD_OLD_INODE_SIZE:
            self._inner_xattrs(at)
        set_inode_checksum(view, at, fmt.inode_size, self.seed, ino, generation)

    def _blocks_of(self, ino: int, kind: int, flags: int, root: bytes, seed: int) -> None:
        fmt = self.format
        if fmt.has_journal and ino == _journal_inum(self.superblock, 0)[0]:
            self._journal(flags, root, seed)
        elif fmt.orphan_file and ino == _orphan_inum(self.superblock, 0)[0]:
            for block in self._data_blocks(flags, root, seed):
                if self._claims(block):
                    at = block * self.size
                    set_orphan_block_checksum(self.view, at, self.size, seed, block)
        elif kind == S_IFDIR:
            for block in self._data_blocks(flags, root, seed):
                if self._claims(block):
                    self._directory_block(block, seed)
        elif flags & EXT4_EXTENTS_FL and kind in (S_IFREG, S_IFLNK):
            self._extent_blocks(root, seed, None)

    def _data_blocks(self, flags: int, root: bytes, seed: int) -> list[int]:
        """Return the blocks of a file in logical order; set the checksums of its extent tree."""
        found: list[int] = []
        if flags & EXT4_EXTENTS_FL:
            self._extent_blocks(root, seed, found)
        else:
            self._mapped_blocks(root, found)
        return found

    def _extent_blocks(self, root: bytes, seed: int | None, found: list[int] | None) -> None:
        """Set the checksums of an extent tree; append the blocks that it maps to ``found``.

        With the seed None, no checksums are set.
        """
        _, entries, _, depth = _header(root, 0)
        if not depth and found is None:
            return
        size, view, blocks = self.size, self.view, self.blocks
        stack: list[tuple[memoryview | bytes, int, int]] = [(root, min(entries, 4), depth)]
        if depth > EXT4_MAX_EXTENT_DEPTH:
            return
        while stack:
            node, count, depth = stack.pop()
            if not depth:
                if found is None:
                    continue
                for at in range(12, 12 + 12 * count, 12):
                    _, length, high, low = _triple(node, at)
                    length -= EXT_INIT_MAX_LEN if length > EXT_INIT_MAX_LEN else 0
                    start = low | high << 32
                    if start < blocks and len(found) < blocks:
                        found.extend(range(start, min(start + length, blocks)))
                continue
            children = []
            for at in range(12, 12 + 12 * count, 12):
                _, low, high, _ = _index(node, at)
                block = low | high << 32
                if not self._claim(block):
                    continue
                start = block * size
                child = view[start : start + size]
                _, entries, most, _ = _header(child, 0)
                if depth > 1 or found is not None:
                    room = (size - EXTENT_HEADER.size) // EXTENT.size
                    children.append((child, min(entries, most, room), depth - 1))
                if seed is not None and 12 + 12 * most + 4 <= size and self._is_dirty(block):
                    set_extent_block_checksum(view, start, size, seed)
            stack += reversed(children)

    def _mapped_blocks(self, root: bytes, found: list[int]) -> None:
        words = struct.unpack(f"<{EXT4_N_BLOCKS}I", root)
        blocks, size, view = self.blocks, self.size, self.view
        unpack = struct.Struct(f"<{size // 4}I").unpack_from
        found += [word for word in words[:EXT4_NDIR_BLOCKS] if 0 < word < blocks]
        for level, word in enumerate(words[EXT4_NDIR_BLOCKS:], 1):
            stack = [(word, level)]
            while stack:
                block, depth = stack.pop()
                if not self._claim(block):
                    continue
                children = [word for word in unpack(view, block * size) if 0 < word < blocks]
                if depth == 1:
                    if len(found) < blocks:
                        found += children
                else:
                    stack += [(child, depth - 1) for child in reversed(children)]

    # -- directories -------------------------------------------------------------------------------

    def _directory_block(self, block: int, seed: int) -> None:
        """Set the checksum of a leaf or index node, whichever the block looks like."""
        # lib/ext2fs/csum.c:ext2fs_dir_block_csum_set, fs/ext4/namei.c:get_dx_countlimit. A root
        # may still contain the tail of the leaf that it replaced.
        view, size = self.view, self.size
        at = block * size
        count_at = 0
        _, length, name_len, _ = _entry_head(view, at)
        if decode_rec_len(length, size) == size and not name_len:
            count_at = DX_NODE_COUNT_OFFSET
        elif length == 12:
            _, second, _, _ = _entry_head(view, at + 12)
            if decode_rec_len(second, size) == size - 12 and view[at + 29] == DX_ROOT_INFO.size:
                count_at = DX_ROOT_COUNT_OFFSET
        if count_at:
            limit, count = _pair(view, at + count_at)
            end = count_at + DX_ENTRY.size * limit
            if end + DX_TAIL.size > size or count_at + DX_ENTRY.size * count > size:
                return
            reserved = bytes(view[at + end : at + end + _DT_CHECKSUM])
            place = at + end + _DT_CHECKSUM
            summed_end = at + count_at + DX_ENTRY.size * count
            if count > limit:
                crc = crc32c(seed, view[at:place])
                after = bytes(view[place + 4 : summed_end]) + reserved + bytes(4)
                own = crc_over_itself(crc, after)
            else:
                own = crc32c(crc32c(seed, view[at:summed_end]), reserved + bytes(4))
            if own is not None:
                _word.pack_into(view, place, own)
            return
        tail = at + size - DIR_ENTRY_TAIL.size
        if _entry_head(view, tail) == (0, DIR_ENTRY_TAIL.size, 0, EXT4_FT_DIR_CSUM):
            _word.pack_into(view, tail + _DET_CHECKSUM, crc32c(seed, view[at:tail]))

    # -- attributes --------------------------------------------------------------------------------

    def _xattr_block(self, block: int) -> None:
        view, size = self.view, self.size
        at = block * size
        (magic,) = _word.unpack_from(view, at)
        if magic == EXT4_XATTR_MAGIC:
            hashes, changed = self._entry_hashes(
                at + XATTR_HEADER.size, at, at + size, inside=False
            )
            if changed:
                _word.pack_into(view, at + _H_HASH, block_hash(hashes))
        set_xattr_block_checksum(view, at, size, self.seed, block)

    def _inner_xattrs(self, at: int) -> None:
        view, end = self.view, at + self.format.inode_size
        (extra,) = _half.unpack_from(view, at + _EXTRA_ISIZE)
        start = at + EXT4_GOOD_OLD_INODE_SIZE + extra
        if not extra or start + XATTR_IBODY_HEADER.size > end:
            return
        (magic,) = _word.unpack_from(view, start)
        if magic == EXT4_XATTR_MAGIC:
            first = start + XATTR_IBODY_HEADER.size
            self._entry_hashes(first, first, end, inside=True)

    def _entry_hashes(
        self, at: int, base: int, end: int, *, inside: bool
    ) -> tuple[list[int], bool]:
        """Set e_hash of each entry; return all hashes, and whether any has changed.

        In an inode, 0 is valid, too. Hashes computed with signed characters of names are valid
        everywhere.
        """
        view = self.view
        hashes, changed = [], False
        # Valid values do not overlap, so together they are not longer than the block.
        left = end - base
        while at + XATTR_ENTRY.size <= end:
            name_len, index, offset, value_ino, size, stored = _xattr(view, at)
            # Four zero bytes end the list; a value may follow immediately
            # (fs/ext4/xattr.h:IS_LAST_ENTRY).
            if not (name_len or index or offset):
                break
            following = at + entry_size(name_len)
            if following > end:
                break
            value = b""
            if value_ino:
                value = self._value_hash(value_ino)
            elif size:
                start = base + offset
                padded = value_size(size)
                if start < base or start + size > end or padded > left:
                    hashes.append(stored)
                    at = following
                    continue
                left -= padded
                value = bytes(view[start : start + size])
            if stored or not inside:
                name = bytes(view[at + XATTR_ENTRY.size : at + XATTR_ENTRY.size + name_len])
                unsigned, signed = _hashes(name, value)
                if stored not in (unsigned, signed):
                    _word.pack_into(view, at + _E_HASH, unsigned)
                    stored, changed = unsigned, True
            hashes.append(stored)
            at = following
        return hashes, changed

    def _value_hash(self, ino: int) -> bytes:
        """Return the four bytes of an inode that contain the hash of its attribute value."""
        at = self._inode_at(ino)
        return b"" if at is None else bytes(self.view[at + _I_ATIME : at + _I_ATIME + 4])

    def _inode_at(self, ino: int) -> int | None:
        group, place = divmod(ino - 1, self.format.inodes_per_group or 1)
        if not ino or group >= len(self.descs):
            return None
        table = self.descs[group][2][2]
        at = table * self.size + place * self.format.inode_size
        if not 0 < table < self.blocks or at + self.format.inode_size > len(self.view):
            return None
        return at

    def _value_inode(self, ino: int, at: int) -> None:
        """Set the hash of the attribute value in an inode (ext4_xattr_inode_set_hash)."""
        view = self.view
        _, size_lo, links, flags, root, generation, _, size_hi, _ = _inode(view, at)
        size = joined_32(size_lo, size_hi)
        if not flags & EXT4_EA_INODE_FL or not links or not 0 < size <= _EA_INODE_MAX:
            return
        if not flags & EXT4_EXTENTS_FL or _header(root, 0)[3]:
            return
        found: list[int] = []
        self._extent_blocks(root, inode_seed(self.seed, ino, generation), found)
        if len(found) * self.size < size:
            return
        crc, left = self.seed, size
        for block in found:
            start = block * self.size
            part = view[start : start + min(left, self.size)]
            crc = crc32c(crc, part)
            left -= len(part)
            if left <= 0:
                break
        _word.pack_into(view, at + _I_ATIME, crc)

    # -- the journal -------------------------------------------------------------------------------

    def journal_places(self) -> list[int]:
        """Return the blocks of the internal journal in logical order; change nothing."""
        at = self._inode_at(_journal_inum(self.superblock, 0)[0])
        if at is None:
            return []
        _, _, _, flags, root, _, _, _, _ = _inode(self.view, at)
        found: list[int] = []
        if flags & EXT4_EXTENTS_FL:
            self._extent_blocks(root, None, found)
        else:
            self._mapped_blocks(root, found)
        places = [block for block in found if 0 < block < self.blocks]
        return [] if not places or self.taken[places[0]] else places

    def _journal_inode(self) -> None:
        """Set the checksums of the journal in an image whose other metadata has none."""
        places = self.journal_places()
        if places:
            self.set_log_checksums(places, 0)

    def _journal(self, flags: int, root: bytes, seed: int) -> None:
        found: list[int] = []
        if flags & EXT4_EXTENTS_FL:
            self._extent_blocks(root, seed, found)
        else:
            self._mapped_blocks(root, found)
        places = [block for block in found if 0 < block < self.blocks]
        if not self.with_journal or not places or self.taken[places[0]]:
            return
        if self.dirty_blocks is not None and not self.all and self.dirty_blocks.isdisjoint(places):
            return
        self.set_log_checksums(places, 0)

    def _device_log(self) -> None:
        first = SUPERBLOCK_OFFSET // self.size + 1
        if first < self.blocks:
            self.set_log_checksums(range(self.blocks), first)

    def set_log_checksums(self, places: list[int] | range, at: int) -> None:
        start = places[at] * self.size
        if start + SUPERBLOCK_SIZE > len(self.view):
            return
        set_log_checksums(self.view, self.size, places, at)
        if self.format.fast_commit:
            set_fast_commit_checksums(self.view, self.size, places, at)


def _hashes(name: bytes, value: bytes) -> tuple[int, int]:
    """Return e_hash of a name and a value, with characters of the name unsigned and signed."""
    return entry_hash(name, value), entry_hash(name, value, signed=True)
