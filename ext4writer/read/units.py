"""Units: the stretches of metadata of an image, each of one kind and with one owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..ondisk.inode import EXT4_EXTENTS_FL
from ..ondisk.superblock import EXT4_RESIZE_INO, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE
from .directories import blocks
from .mapping import TreeBlock

if TYPE_CHECKING:
    from .image import Image
    from .inodes import Inode


class Unit(NamedTuple):
    """One stretch of metadata; ``offset`` and ``size`` are in bytes.

    ``kind`` is one of ``superblock``, ``group_descs``, ``reserved_gdt``, ``block_bitmap``,
    ``inode_bitmap``, ``inode_table``, ``mmp``, which a group owns, or ``extent_node``,
    ``map_block``, ``directory``, ``xattr_block``, which an inode owns. ``number`` counts the units
    of one kind and owner: the descriptor block, the level of a node, the block of a directory.
    """

    kind: str
    owner: int
    number: int
    offset: int
    size: int


def units(image: Image) -> Iterator[Unit]:
    """Yield the units of all groups, ascending by group, then those of all inodes.

    A block that several inodes share, as attribute blocks may be, comes once.
    """
    for group in range(image.groups):
        yield from group_units(image, group)
    shared: set[int] = set()
    for inode in image.inodes():
        if inode.links:
            yield from inode_units(inode, shared)


def group_units(image: Image, group: int) -> Iterator[Unit]:
    """Yield what lies at a fixed place, or what the descriptor of one group names."""
    fmt, size = image.format, image.block_size
    if fmt.has_super(group):
        first = fmt.super_block(group)
        offset = SUPERBLOCK_OFFSET if group == 0 else first * size
        yield Unit("superblock", group, 0, offset, SUPERBLOCK_SIZE)
    yield from _descriptor_units(image, group)
    numbers = image.descriptor(group)
    for kind, name in (("block_bitmap", "bg_block_bitmap"), ("inode_bitmap", "bg_inode_bitmap")):
        yield Unit(kind, group, 0, numbers[name] * size, size)
    table = fmt.inode_table_blocks(image.inodes_per_group) * size
    yield Unit("inode_table", group, 0, numbers["bg_inode_table"] * size, table)
    if group == 0 and fmt.mmp and image.has_blocks(image.number("s_mmp_block")):
        yield Unit("mmp", 0, 0, image.number("s_mmp_block") * size, size)


def _descriptor_units(image: Image, group: int) -> Iterator[Unit]:
    """The descriptor blocks, or copies of them, that lie in a group."""
    fmt, size = image.format, image.block_size
    gdt_blocks = fmt.gdt_blocks(image.groups)
    if fmt.has_super(group):
        first = fmt.super_block(group) + 1
        together = min(gdt_blocks, fmt.first_meta_bg) if fmt.meta_bg else gdt_blocks
        for number in range(together):
            yield Unit("group_descs", group, number, (first + number) * size, size)
        reserved = image.number("s_reserved_gdt_blocks") if fmt.resize_inode else 0
        for number in range(reserved):
            yield Unit("reserved_gdt", group, number, (first + together + number) * size, size)
    number = group // fmt.descs_per_block
    if fmt.in_meta_group(number):
        for block in fmt.desc_block_copies(number, image.groups):
            if fmt.group_of(block) == group:
                yield Unit("group_descs", group, number, block * size, size)


def inode_units(inode: Inode, shared: set[int]) -> Iterator[Unit]:
    """Yield the units of one inode; ``shared`` remembers the attribute blocks that came before."""
    if inode.ino == EXT4_RESIZE_INO:
        # Its map is made of the blocks that are reserved for descriptors.
        return
    size = inode.image.block_size
    kind = "extent_node" if inode.flags & EXT4_EXTENTS_FL else "map_block"
    for item in inode.mapping():
        if isinstance(item, TreeBlock):
            yield Unit(kind, inode.ino, item.level, item.block * size, size)
    if inode.is_directory and not inode.has_inline_data:
        for block in blocks(inode):
            yield Unit("directory", inode.ino, block.logical, block.offset, size)
    acl = inode.file_acl
    if acl and acl not in shared and inode.image.has_blocks(acl):
        shared.add(acl)
        yield Unit("xattr_block", inode.ino, 0, acl * size, size)
