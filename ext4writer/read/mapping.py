"""Maps blocks of a file to blocks of the image: extent trees and block maps.

Nothing here can loop: levels decrease by one, and no block may be in a tree twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..bits import joined_32
from ..errors import DamageError, DamageKind
from ..late_dataclasses import NamedTuple
from ..ondisk.checksum import crc32c
from ..ondisk.extent import (
    EXT4_EXT_MAGIC,
    EXT4_MAX_EXTENT_DEPTH,
    EXT_INIT_MAX_LEN,
    EXT_MAX_BLOCKS,
    EXTENT,
    EXTENT_HEADER,
    EXTENT_IDX,
    EXTENT_TAIL,
    entries_per_block,
)
from ..ondisk.inode import EXT4_EXTENTS_FL, EXT4_N_BLOCKS, EXT4_NDIR_BLOCKS, INODE
from ..ondisk.record import Record
from ..ondisk.superblock import EXT4_BAD_INO

if TYPE_CHECKING:
    from .inodes import Inode

_header = EXTENT_HEADER.unpacker("eh_magic", "eh_entries", "eh_max", "eh_depth")
_extent = EXTENT.unpacker("ee_block", "ee_len", "ee_start_hi", "ee_start_lo")
_index = EXTENT_IDX.unpacker("ei_block", "ei_leaf_lo", "ei_leaf_hi")
_I_BLOCK = INODE.offset("i_block")
_IN_INODE = (4 * EXT4_N_BLOCKS - EXTENT_HEADER.size) // EXTENT.size


class FileExtent(NamedTuple):
    """Adjacent blocks of a file that are also adjacent in the image."""

    logical: int
    physical: int
    length: int
    unwritten: bool = False
    """Whether the blocks are allocated, but read as zeros."""


class TreeBlock(NamedTuple):
    """A block of an extent tree or block map."""

    block: int
    level: int
    """0 for a leaf, which points to data."""


def runs(inode: Inode) -> Iterator[FileExtent]:
    """Yield the runs of a file, ascending; blocks between them are holes."""
    return (item for item in mapping(inode) if isinstance(item, FileExtent))


def mapping(inode: Inode) -> Iterator[FileExtent | TreeBlock]:
    """Yield the runs of a file, and each block of its tree before the blocks it points to.

    Inline data, short links, devices and other special files have none. Damage is reported, and
    whatever can still be reached is yielded.
    """
    if inode.has_inline_data or inode.is_fast_symlink:
        return iter(())
    if inode.ino == EXT4_BAD_INO and not inode.mode:
        # The list of bad blocks is not a file, but mapped like one (lib/ext2fs/bb_inode.c).
        return block_map(inode)
    if not (inode.is_file or inode.is_directory or inode.is_symlink):
        return iter(())
    commits = inode.image.fast_commits
    replayed = None if commits is None else commits.runs(inode)
    if replayed is not None:
        return iter(replayed)
    if inode.flags & EXT4_EXTENTS_FL:
        return _extent_tree(inode)
    return block_map(inode)


class _Node(NamedTuple):
    """A node of an extent tree that is being read."""

    data: bytes
    offset: int
    depth: int
    entries: int


def _extent_tree(inode: Inode) -> Iterator[FileExtent | TreeBlock]:
    image = inode.image
    seen: set[int] = set()
    next_logical = 0
    root = _node(inode, inode.block_bytes, inode.offset + _I_BLOCK, None)
    stack = [(root, 0)] if root is not None else []
    while stack:
        node, position = stack.pop()
        if node.depth == 0:
            for place in range(node.entries):
                at = EXTENT_HEADER.size + place * EXTENT.size
                logical, stored, high, low = _extent(node.data, at)
                unwritten = stored > EXT_INIT_MAX_LEN
                length = stored - EXT_INIT_MAX_LEN if unwritten else stored
                physical = low | high << 32  # joined_32, without a call for each extent
                problem = None
                if not length:
                    problem = "ee_len", "is 0"
                elif logical < next_logical:
                    problem = (
                        "ee_block",
                        f"is {logical}, but earlier extents map blocks up to {next_logical}",
                    )
                elif logical + length - 1 > EXT_MAX_BLOCKS - 1:
                    problem = "ee_len", f"is {length}, past the last block that a file can have"
                elif not image.has_blocks(physical, length):
                    text = f"is {physical}, where a file cannot have {length} blocks"
                    problem = "ee_start_lo", text
                if problem is not None:
                    _wrong(inode, EXTENT, problem[0], node.offset + at, problem[1])
                    continue
                next_logical = logical + length
                yield FileExtent(logical, physical, length, unwritten)
            continue
        if position >= node.entries:
            continue
        stack.append((node, position + 1))
        at = EXTENT_HEADER.size + position * EXTENT_IDX.size
        _, low, high = _index(node.data, at)
        block = joined_32(low, high)
        if not image.has_blocks(block):
            problem_text = f"is {block}, where a tree cannot have a block"
            _wrong(inode, EXTENT_IDX, "ei_leaf_lo", node.offset + at, problem_text)
            continue
        if block in seen:
            problem_text = f"is {block}, which is already in the tree"
            _wrong(inode, EXTENT_IDX, "ei_leaf_lo", node.offset + at, problem_text)
            continue
        seen.add(block)
        yield TreeBlock(block, node.depth - 1)
        data = image.try_block(block)
        if data is None:
            continue
        child = _node(inode, data, block * image.block_size, node.depth - 1)
        if child is not None:
            stack.append((child, 0))


def _wrong(
    inode: Inode, record: Record, field: str, at: int, problem: str, kind: DamageKind = "value"
) -> None:
    offset = at + record.offset(field)
    error = DamageError(record.name, field, offset, problem, ino=inode.ino, kind=kind)
    inode.image.damage(error)


def _node(inode: Inode, data: bytes, offset: int, depth: int | None) -> _Node | None:
    """Read the header of a node; None if it is invalid. ``depth`` is None for the root."""
    # fs/ext4/extents.c:__ext4_ext_check
    magic, entries, most, found = _header(data, 0)
    room = _IN_INODE if depth is None else entries_per_block(inode.image.block_size)
    problem = None
    if magic != EXT4_EXT_MAGIC:
        problem = "eh_magic", f"is {magic:#06x}"
    elif depth is None and found > EXT4_MAX_EXTENT_DEPTH:
        problem = "eh_depth", f"is {found}"
    elif most > room or not most:
        problem = "eh_max", f"is {most}, but there is space for {room}"
    elif entries > most:
        problem = "eh_entries", f"is {entries}, but there is space for {most}"
    elif not entries and (found if depth is None else depth):
        problem = "eh_entries", "is 0 in an inner node"
    if problem is not None:
        _wrong(inode, EXTENT_HEADER, problem[0], offset, problem[1])
        return None
    if depth is not None and found != depth:
        # The kernel refuses the node. The root states the depth of the tree, so it can be read.
        text = f"is {found} but should be {depth}"
        _wrong(inode, EXTENT_HEADER, "eh_depth", offset, text, "depth")
        found = depth
    if depth is not None and inode.image.format.metadata_csum:
        tail = EXTENT_HEADER.size + EXTENT.size * most
        stored = EXTENT_TAIL.number(data, tail, "et_checksum")
        expected = crc32c(inode.seed, data[:tail])
        if stored != expected:
            text = f"is {stored:#010x} but should be {expected:#010x}"
            _wrong(inode, EXTENT_TAIL, "et_checksum", offset + tail, text)
    return _Node(data, offset, found, entries)


def block_map(inode: Inode) -> Iterator[FileExtent | TreeBlock]:
    """Yield the runs and blocks of the block map of an inode, whatever its flags are.

    Documentation/filesystems/ext4/ifork.rst, "Direct/Indirect Block Addressing".
    """
    start = physical = length = 0
    for item in _mapped_blocks(inode):
        if isinstance(item, TreeBlock):
            if length:
                yield FileExtent(start, physical, length)
                length = 0
            yield item
            continue
        logical, block = item
        if length and logical == start + length and block == physical + length:
            length += 1
            continue
        if length:
            yield FileExtent(start, physical, length)
        start, physical, length = logical, block, 1
    if length:
        yield FileExtent(start, physical, length)


def _mapped_blocks(inode: Inode) -> Iterator[tuple[int, int] | TreeBlock]:
    image = inode.image
    words = struct.unpack(f"<{EXT4_N_BLOCKS}I", inode.block_bytes)
    per_block = image.block_size // 4
    unpack = struct.Struct(f"<{per_block}I").unpack
    seen: set[int] = set()
    logical = 0
    # A stack of (block, level, byte of its number), the next one last.
    at = inode.offset + _I_BLOCK
    levels = [0] * EXT4_NDIR_BLOCKS + [1, 2, 3]
    stack = [(word, level, at + 4 * i) for i, (word, level) in enumerate(zip(words, levels))]  # noqa: B905
    stack.reverse()
    while stack:
        block, level, offset = stack.pop()
        if not block:
            logical += per_block**level
            continue
        if not image.has_blocks(block) or (level and block in seen):
            why = "is already in the map" if block in seen else "a file cannot have"
            image.damage(
                DamageError(
                    "inode", "i_block", offset, f"maps block {block}, which {why}", ino=inode.ino
                )
            )
            logical += per_block**level
            continue
        if not level:
            if logical < EXT_MAX_BLOCKS:
                yield logical, block
            logical += 1
            continue
        seen.add(block)
        yield TreeBlock(block, level - 1)
        data = image.try_block(block)
        if data is None:
            logical += per_block**level
            continue
        children = unpack(data)
        base = block * image.block_size
        if not any(children):
            logical += per_block**level
            continue
        stack += [
            (child, level - 1, base + 4 * place)
            for place, child in zip(range(per_block - 1, -1, -1), reversed(children), strict=True)
        ]
