"""Inodes as bytes, sealed, and the inode table of each group."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from struct import Struct

from ..ondisk.checksum import crc32c
from ..ondisk.extent import EXT_INIT_MAX_LEN
from ..ondisk.inode import (
    EXT4_EXTENTS_FL,
    EXT4_GOOD_OLD_INODE_SIZE,
    EXT4_INDEX_FL,
    EXT4_N_BLOCKS,
    INODE,
    INODE_128,
    INODE_EXTRA_ISIZE,
    encode_device,
    encode_time,
)
from ..ondisk.superblock import EXT4_JOURNAL_INO, EXT4_RESIZE_INO
from ..plan.contents import FAST_SYMLINK_MAX
from ..plan.directories import IndexedDirectory
from ..plan.geometry import resize_inode_bytes
from ..plan.layout import NANOSECONDS, Layout
from ..plan.placement import JOURNAL
from ..tree import S_IFDIR, S_IFLNK, S_IFREG, Device, Node, RegularFile, Symlink
from .extents import EMPTY_ROOT, extent_tree, single_extent

EXT2_DIND_BLOCK = 13
SECTOR = 512

_INO_GENERATION = Struct("<II")
_SEED_BYTES = _INO_GENERATION.size
_DEVICE = Struct("<II")
_HALF = Struct("<H")
_CHECKSUM_LO = INODE.offset("l_i_checksum_lo")
_CHECKSUM_HI = INODE.offset("i_checksum_hi")
_NO_BLOCKS = bytes(4 * EXT4_N_BLOCKS)

_BASE_FIELDS = (
    "i_mode",
    "i_uid",
    "i_size_lo",
    "i_atime",
    "i_ctime",
    "i_mtime",
    "i_gid",
    "i_links_count",
    "i_blocks_lo",
    "i_flags",
    "i_block",
    "i_file_acl_lo",
    "i_size_high",
    "l_i_blocks_high",
    "l_i_file_acl_high",
    "l_i_uid_high",
    "l_i_gid_high",
)
_EXTRA_FIELDS = (
    "i_extra_isize",
    "i_ctime_extra",
    "i_mtime_extra",
    "i_atime_extra",
    "i_crtime",
    "i_crtime_extra",
)
_pack_128 = INODE_128.packer_into(*_BASE_FIELDS)
_pack_large = INODE.packer_into(*_BASE_FIELDS, *_EXTRA_FIELDS)


class InodeEmitter:
    """Makes the inodes of one layout."""

    def __init__(self, layout: Layout, seed: int) -> None:
        self._layout = layout
        self._seed = seed
        self._size = layout.spec.inode_size
        self._large = self._size > EXT4_GOOD_OLD_INODE_SIZE
        self._csum = layout.directory_rules.csum
        self._sectors = layout.block_size // SECTOR
        # Looked up for every inode.
        self._table = layout.table
        self._counts = layout.demand.counts
        self._starts = layout.placement.starts
        self._extents = layout.placement.extents
        self._tree_blocks = layout.placement.tree_blocks
        self._xattr_block_of = layout.xattrs.block_of
        self._xattrs_in_inode = layout.xattrs.in_inode
        self._last_time: tuple[int, tuple[int, int]] = (0, encode_time(0, self._large))
        # One inode at a time stands here, behind its number and generation: metadata checksums of
        # an inode begin with these two, so that one call does for both.
        self._scratch = bytearray(_SEED_BYTES + self._size)
        self._inode = memoryview(self._scratch)[_SEED_BYTES:]
        self._xattr_area = slice(_SEED_BYTES + INODE.size, None)
        self._no_xattrs = bytes(max(0, self._size - INODE.size))

    def groups_in_use(self) -> range:
        """The groups whose inode tables hold anything."""
        table, per_group = self._layout.table, self._layout.geometry.inodes_per_group
        return range(-(-table.last_ino // per_group))

    def table(self, group: int) -> bytearray:
        """The inode table of ``group``, up to the last inode in use."""
        layout, size = self._layout, self._size
        per_group = layout.geometry.inodes_per_group
        inos = layout.table.inos
        base = group * per_group
        table = bytearray((per_group - layout.groups.itable_unused[group]) * size)
        low = bisect_left(inos, base + 1)
        high = bisect_left(inos, base + per_group + 1)
        for index in range(low, high):
            offset = (inos[index] - base - 1) * size
            table[offset : offset + size] = self._inode_of(index)
        for ino, inode in self._special():
            if base < ino <= base + per_group:
                offset = (ino - base - 1) * size
                table[offset : offset + size] = inode
        return table

    def _inode_of(self, index: int) -> memoryview:
        """The sealed inode of the node at ``index``; the next one takes its place."""
        node = self._table.nodes[index]
        kind = node.file_type
        flags = 0
        i_block = _NO_BLOCKS
        blocks = self._counts[index]
        if kind == S_IFREG:
            assert isinstance(node, RegularFile)
            size = node.content.size
            flags = EXT4_EXTENTS_FL
            i_block = self._map(index, blocks)
        elif kind == S_IFDIR:
            size = blocks * self._layout.block_size
            flags = EXT4_EXTENTS_FL
            if isinstance(self._layout.directories.get(index), IndexedDirectory):
                flags |= EXT4_INDEX_FL
            i_block = self._map(index, blocks)
        elif kind == S_IFLNK:
            assert isinstance(node, Symlink)
            size = len(node.target)
            if size <= FAST_SYMLINK_MAX:
                i_block = node.target.ljust(len(_NO_BLOCKS), b"\0")
            else:
                flags = EXT4_EXTENTS_FL
                i_block = self._map(index, blocks)
        else:
            size = 0
            if isinstance(node, Device):
                words = encode_device(node.major, node.minor)
                i_block = _DEVICE.pack(*words).ljust(len(_NO_BLOCKS), b"\0")
        tree_blocks = self._tree_blocks.get(index)
        if tree_blocks:
            blocks += len(tree_blocks)
        file_acl = 0
        xattr_block = self._xattr_block_of.get(index)
        if xattr_block is not None:
            file_acl = self._layout.placement.xattr_blocks[xattr_block]
            blocks += 1
        return self._pack(
            self._table.inos[index],
            node,
            self._table.links[index],
            size,
            blocks,
            flags,
            i_block,
            file_acl,
            self._xattrs_in_inode.get(index),
        )

    def _map(self, index: int, count: int) -> bytes:
        if not count:
            return EMPTY_ROOT
        if index not in self._extents and count <= EXT_INIT_MAX_LEN:
            return single_extent(count, self._starts[index])
        return extent_tree(
            self._layout.extents_of(index),
            self._tree_blocks.get(index, ()),
            self._layout.block_size,
        )[0]

    def _pack(
        self,
        ino: int,
        node: Node,
        links: int,
        size: int,
        blocks: int,
        flags: int,
        i_block: bytes,
        file_acl: int,
        in_inode: bytes | None,
    ) -> memoryview:
        mtime = atime = ctime = crtime = self._time(node.mtime_ns)
        if node.atime_ns is not None:
            atime = self._time(node.atime_ns)
        if node.ctime_ns is not None:
            ctime = self._time(node.ctime_ns)
        if node.crtime_ns is not None:
            crtime = self._time(node.crtime_ns)
        sectors = blocks * self._sectors
        uid, gid = node.uid, node.gid
        scratch = self._scratch
        base = (
            scratch,
            _SEED_BYTES,
            node.file_type | node.mode,
            uid & 0xFFFF,
            size & 0xFFFFFFFF,
            atime[0],
            ctime[0],
            mtime[0],
            gid & 0xFFFF,
            links,
            sectors & 0xFFFFFFFF,
            flags,
            i_block,
            file_acl & 0xFFFFFFFF,
            size >> 32,
            sectors >> 32,
            file_acl >> 32,
            uid >> 16,
            gid >> 16,
        )
        if self._large:
            _pack_large(
                *base, INODE_EXTRA_ISIZE, ctime[1], mtime[1], atime[1], crtime[0], crtime[1]
            )
            scratch[self._xattr_area] = in_inode or self._no_xattrs
        else:
            _pack_128(*base)
        if self._csum:
            self._seal(ino)
        return self._inode

    def _seal(self, ino: int) -> None:
        """Like ``seal_inode``, but in one pass: number and generation are the seed's own bytes."""
        scratch = self._scratch
        _INO_GENERATION.pack_into(scratch, 0, ino, 0)
        crc = crc32c(self._seed, scratch)
        _HALF.pack_into(scratch, _SEED_BYTES + _CHECKSUM_LO, crc & 0xFFFF)
        if self._large:
            _HALF.pack_into(scratch, _SEED_BYTES + _CHECKSUM_HI, crc >> 16)

    def _time(self, time_ns: int) -> tuple[int, int]:
        known, encoded = self._last_time
        if time_ns != known:
            encoded = encode_time(self._layout.times.fit(time_ns), self._large)
            self._last_time = (time_ns, encoded)
        return encoded

    def _special(self) -> Iterator[tuple[int, memoryview]]:
        """The inodes that have no name: the resize inode and the journal."""
        layout = self._layout
        node = Node(0o600, mtime_ns=layout.epoch * NANOSECONDS)
        if layout.geometry.rules.resize_inode:
            yield EXT4_RESIZE_INO, self._resize_inode(node)
        extents = layout.journal_extents
        if extents:
            i_block = journal_i_block(layout)
            tree_blocks = layout.placement.tree_blocks.get(JOURNAL, ())
            count = layout.demand.journal_blocks
            yield (
                EXT4_JOURNAL_INO,
                self._pack_special(
                    EXT4_JOURNAL_INO,
                    node,
                    count * layout.block_size,
                    count + len(tree_blocks),
                    EXT4_EXTENTS_FL,
                    i_block,
                ),
            )

    def _resize_inode(self, node: Node) -> memoryview:
        """lib/ext2fs/res_gdt.c:ext2fs_create_resize_inode: block-mapped, two levels only."""
        layout = self._layout
        geometry = layout.geometry
        size = resize_inode_bytes(layout.block_size)
        words = [0] * EXT4_N_BLOCKS
        words[EXT2_DIND_BLOCK] = layout.placement.resize_block
        i_block = b"".join(word.to_bytes(4, "little") for word in words)
        blocks = 1 + geometry.reserved_gdt_blocks * len(geometry.super_groups)
        return self._pack_special(EXT4_RESIZE_INO, node, size, blocks, 0, i_block)

    def _pack_special(
        self, ino: int, node: Node, size: int, blocks: int, flags: int, i_block: bytes
    ) -> memoryview:
        file = RegularFile.__new__(RegularFile)
        Node.__init__(file, node.mode, mtime_ns=node.mtime_ns)
        return self._pack(ino, file, 1, size, blocks, flags, i_block, 0, None)


def journal_i_block(layout: Layout) -> bytes:
    """``i_block`` of the journal's inode; the superblock keeps a copy (s_jnl_blocks)."""
    return extent_tree(
        layout.journal_extents,
        layout.placement.tree_blocks.get(JOURNAL, ()),
        layout.block_size,
    )[0]
