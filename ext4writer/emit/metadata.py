"""All blocks of an image that are not file content, as (offset, bytes) in ascending order.

What stays zero is not yielded: unused inode tables, bitmaps that the kernel makes itself, the
journal behind its superblock, reserved descriptors of the backups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ..ondisk.checksum import (
    inode_seed,
    seal_extent_block,
    seal_xattr_block,
)
from ..ondisk.superblock import EXT4_JOURNAL_INO, SUPERBLOCK_OFFSET
from ..output.sink import Piece
from ..plan.contents import FAST_SYMLINK_MAX
from ..plan.layout import Layout
from ..plan.placement import JOURNAL
from ..plan.xattrs import pack_block
from ..tree import S_IFLNK, Symlink
from .bitmaps import BitmapEmitter
from .directories import DirectoryEmitter
from .extents import extent_tree
from .inodes import InodeEmitter
from .journal import journal_superblock
from .superblock import group_descriptors, superblock
from .workspace import PIECE_BYTES, Workspace

Segment = tuple[int, Callable[[], bytes | bytearray | memoryview]]
"""First block, and what makes its bytes when it is time to write them."""

LARGE_PIECE_BYTES = PIECE_BYTES // 4
"""From here on a piece is written as it is: its copy would cost more than one more write."""


def metadata_pieces(layout: Layout) -> Iterator[Piece]:
    """Yield all metadata of ``layout`` by ascending offset, made when it is asked for.

    Each piece is valid only until the next one is asked for: they share their memory.
    """
    return _Metadata(layout).pieces()


def coalesced(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Join small neighbours into pieces of up to a MiB, because a write costs more than a copy.

    What is taken and what is yielded is valid only until the next one is asked for.
    """
    buffer = memoryview(bytearray())
    start = held = 0
    for offset, data in pieces:
        size = len(data)
        is_large = size >= LARGE_PIECE_BYTES
        if held and (is_large or offset != start + held or held + size > PIECE_BYTES):
            yield start, buffer[:held]
            held = 0
        if is_large:
            yield offset, data
            continue
        if not held:
            start = offset
        if held + size > len(buffer):
            larger = memoryview(bytearray(min(max(held + size, 2 * len(buffer)), PIECE_BYTES)))
            larger[:held] = buffer[:held]
            buffer = larger
        buffer[held : held + size] = data
        held += size
    if held:
        yield start, buffer[:held]


class _Metadata:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._csum = layout.format.metadata_csum
        self._seed = layout.format.checksum_seed
        self._bitmaps = BitmapEmitter(layout)
        self._workspace = Workspace()

    def pieces(self) -> Iterator[Piece]:
        block_size = self._layout.block_size
        segments = [
            *self._group_heads(),
            *self._bitmap_segments(),
            *InodeEmitter(self._layout, self._seed, self._workspace).segments(),
            *self._journal_segments(),
            *DirectoryEmitter(self._layout, self._seed, self._workspace).segments(),
            *self._tree_segments(),
            *self._xattr_segments(),
            *self._symlink_segments(),
        ]
        segments.sort(key=lambda segment: segment[0])
        first_offset = 0 if block_size == 1024 else SUPERBLOCK_OFFSET
        for block, make in segments:
            # The first kilobyte of the image is left to boot loaders.
            yield (block * block_size or first_offset), make()

    def _group_heads(self) -> Iterator[Segment]:
        """Superblock and descriptors of each group that has them; the reserve of the first."""
        layout = self._layout
        geometry = layout.geometry
        descriptors = group_descriptors(layout, self._bitmaps)
        for group in geometry.super_groups:
            first = geometry.group_first_block(group)
            yield first, partial(superblock, layout, group)
            yield first + 1, lambda: descriptors
        if layout.format.resize_inode:
            yield from self._resize_segments()

    def _resize_segments(self) -> Iterator[Segment]:
        """lib/ext2fs/res_gdt.c: each reserved block of group 0 lists its copies in the backups."""
        layout = self._layout
        geometry = layout.geometry
        first = geometry.group_first_block(0) + 1 + geometry.gdt_blocks
        words = [0] * (layout.block_size // 4)
        for number in range(geometry.reserved_gdt_blocks):
            block = first + number
            words[(geometry.gdt_blocks + number) % len(words)] = block
            copies = [
                block + group * layout.format.blocks_per_group
                for group in geometry.super_groups[1:]
            ]
            if copies:
                yield block, partial(_pack_words, copies, layout.block_size)
        yield layout.placement.resize_block, partial(_pack_words, words, layout.block_size)

    def _bitmap_segments(self) -> Iterator[Segment]:
        geometry, bitmaps = self._layout.geometry, self._bitmaps
        for group in bitmaps.block_bitmap_groups():
            yield geometry.block_bitmaps[group], partial(bitmaps.block_bitmap, group)
        for group in bitmaps.inode_bitmap_groups():
            yield geometry.inode_bitmaps[group], partial(bitmaps.inode_bitmap, group)

    def _journal_segments(self) -> Iterator[Segment]:
        if self._layout.demand.journal_blocks:
            block = self._layout.journal_extents[0].physical
            yield block, partial(journal_superblock, self._layout)

    def _tree_segments(self) -> Iterator[Segment]:
        layout = self._layout
        for index, numbers in layout.placement.tree_blocks.items():
            if index == JOURNAL:
                extents, ino = layout.journal_extents, EXT4_JOURNAL_INO
            else:
                extents, ino = layout.extents_of(index), layout.table.inos[index]
            seed = inode_seed(self._seed, ino, 0)
            for number, data in extent_tree(extents, numbers, layout.block_size)[1]:
                yield number, partial(self._sealed_tree_block, data, seed)

    def _sealed_tree_block(self, data: bytes, seed: int) -> bytes | bytearray:
        if not self._csum:
            return data
        block = bytearray(data)
        seal_extent_block(block, 0, self._layout.block_size, seed)
        return block

    def _xattr_segments(self) -> Iterator[Segment]:
        for number, block in enumerate(self._layout.placement.xattr_blocks):
            yield block, partial(self._xattr_block, number, block)

    def _xattr_block(self, number: int, block: int) -> bytearray:
        xattrs, block_size = self._layout.xattrs, self._layout.block_size
        data = bytearray(pack_block(xattrs.blocks[number], xattrs.references[number], block_size))
        if self._csum:
            seal_xattr_block(data, 0, block_size, self._seed, block)
        return data

    def _symlink_segments(self) -> Iterator[Segment]:
        layout = self._layout
        block_size = layout.block_size
        for index in layout.table.indexes_of(S_IFLNK):
            node = layout.table.nodes[index]
            assert isinstance(node, Symlink)
            if len(node.target) > FAST_SYMLINK_MAX:
                block = layout.extents_of(index)[0].physical
                yield block, partial(node.target.ljust, block_size, b"\0")


def _pack_words(words: list[int], block_size: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words).ljust(block_size, b"\0")
