"""All metadata of an image as units: the same list that a writer has for its plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ..errors import DamageError, ImageError
from ..ondisk.inode import EXT4_EA_INODE_FL, EXT4_EXTENTS_FL, EXT4_VERITY_FL
from ..ondisk.journal import JOURNAL_SUPERBLOCK, journal_device_start
from ..ondisk.superblock import (
    EXT4_BAD_INO,
    EXT4_JOURNAL_INO,
    SUPERBLOCK_OFFSET,
    SUPERBLOCK_SIZE,
)
from ..ondisk.units import Unit, UnitKind, UnitRun
from ..ondisk.verity import verity_start
from .directories import block_kind, blocks
from .mapping import TreeBlock

if TYPE_CHECKING:
    from .image import Image
    from .inodes import Inode


def unit_runs(image: Image) -> Iterator[UnitRun]:
    """Yield the units of all groups, ascending by group, then those of all inodes in use.

    Their ``make`` is None, since their bytes are read from the image. A block that several inodes
    share, such as an attribute block, is yielded once. The units of a journal device are its
    superblock, that of the journal, and the log.
    """
    if image.format.journal_dev:
        yield from _journal_device_units(image)
        return
    for group in range(image.groups):
        try:
            yield from group_units(image, group)
        except DamageError as error:
            image.damage(error)
    shared: set[int] = set()
    for inode in image.inodes():
        if inode.links or inode.ino == EXT4_BAD_INO:
            yield from inode_units(inode, shared)


def _journal_device_units(device: Image) -> Iterator[UnitRun]:
    """Yield the units of a journal device, which no inode owns."""
    yield UnitRun(UnitKind.SUPERBLOCK, 0, 0, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE)
    start = journal_device_start(device.block_size) * device.block_size
    if start + JOURNAL_SUPERBLOCK.size <= device.store.size:
        yield UnitRun(UnitKind.JOURNAL_SUPERBLOCK, 0, 0, start, JOURNAL_SUPERBLOCK.size)
        yield from _log_units(device, 0)


def group_units(image: Image, group: int) -> Iterator[UnitRun]:
    """Yield the units at fixed places in a group, and those that its descriptor refers to."""
    fmt, size = image.format, image.block_size
    if fmt.has_super(group):
        offset = fmt.super_offset(group)
        yield UnitRun(UnitKind.SUPERBLOCK, group, 0, offset, SUPERBLOCK_SIZE)
    yield from _descriptors(image, group)
    numbers = image.descriptor(group)
    for kind, name in (
        (UnitKind.BLOCK_BITMAP, "bg_block_bitmap"),
        (UnitKind.INODE_BITMAP, "bg_inode_bitmap"),
    ):
        if image.has_blocks(numbers[name]):
            yield UnitRun(kind, group, 0, numbers[name] * size, size)
    per_group = image.inodes_per_group
    first = group * per_group + 1
    count = min(per_group, image.inodes_count + 1 - first)
    if count > 0 and image.has_blocks(numbers["bg_inode_table"], fmt.inode_table_blocks(per_group)):
        inos = range(first, first + count)
        table = numbers["bg_inode_table"] * size
        yield UnitRun(UnitKind.INODE, inos, 0, table, fmt.inode_size, count)
    if group == 0 and fmt.mmp and image.has_blocks(image.number("s_mmp_block")):
        yield UnitRun(UnitKind.MMP, 0, 0, image.number("s_mmp_block") * size, size)


def _descriptors(image: Image, group: int) -> Iterator[UnitRun]:
    """Yield the descriptors that are stored in a group, including copies."""
    fmt, size = image.format, image.block_size
    per_block, groups = fmt.descs_per_block, image.counted_groups
    offset = (fmt.super_block(group) + 1) * size
    # A damaged count of groups must not create more units than the image has bytes for.
    here = max(0, image.store.size - offset) // fmt.desc_size
    count = min(fmt.desc_blocks_together(group, groups) * per_block, groups, here)
    if count:
        yield UnitRun(UnitKind.GROUP_DESC, group, range(count), offset, fmt.desc_size, count)
    number = group // per_block
    if fmt.in_meta_group(number):
        first = number * per_block
        count = min(per_block, groups - first)
        for block in fmt.desc_block_copies(number, groups):
            if fmt.group_of(block) == group:
                described = range(first, first + count)
                yield UnitRun(
                    UnitKind.GROUP_DESC, group, described, block * size, fmt.desc_size, count
                )


def _quota_inodes(image: Image) -> Collection[int]:
    from .quota import quota_inodes

    return quota_inodes(image)


def inode_units(inode: Inode, shared: set[int]) -> Iterator[UnitRun]:
    """Yield the units of one inode; ``shared`` collects the attribute blocks already yielded."""
    image = inode.image
    size = image.block_size
    tree = [item for item in inode.mapping() if isinstance(item, TreeBlock)]
    kind, first = UnitKind.INDIRECT_BLOCK, 0
    if inode.flags & EXT4_EXTENTS_FL:
        # Nodes are numbered by level, from the root down; the sort keeps the order in each level.
        tree.sort(key=lambda item: -item.level)
        kind, first = UnitKind.EXTENT_BLOCK, 1
    for number, item in enumerate(tree, first):
        yield UnitRun(kind, inode.ino, number, item.block * size, size)
    if inode.is_directory and not inode.has_inline_data:
        for block in blocks(inode):
            dir_kind = block_kind(inode, block)
            yield UnitRun(dir_kind, inode.ino, block.logical, block.offset, size)
    elif inode.is_symlink and not inode.is_fast_symlink:
        for run in inode.runs():
            yield UnitRun(UnitKind.SYMLINK_BLOCK, inode.ino, 0, run.physical * size, size)
    elif inode.flags & EXT4_VERITY_FL and inode.is_file:
        start = verity_start(inode.size) // size
        for run in inode.runs():
            first = max(run.logical, start)
            count = run.logical + run.length - first
            if count > 0:
                numbers = range(first, first + count)
                offset = (run.physical + first - run.logical) * size
                yield UnitRun(UnitKind.VERITY_BLOCK, inode.ino, numbers, offset, size, count)
    elif image.format.orphan_file and inode.ino == image.number("s_orphan_file_inum"):
        for run in inode.runs():
            numbers = range(run.logical, run.logical + run.length)
            yield UnitRun(
                UnitKind.ORPHAN_BLOCK, inode.ino, numbers, run.physical * size, size, run.length
            )
    elif image.format.quota and inode.ino in _quota_inodes(image):
        for run in inode.runs():
            numbers = range(run.logical, run.logical + run.length)
            yield UnitRun(
                UnitKind.QUOTA_BLOCK, inode.ino, numbers, run.physical * size, size, run.length
            )
    elif inode.is_file and inode.flags & EXT4_EA_INODE_FL and image.format.ea_inode:
        for run in inode.runs():
            numbers = range(run.logical, run.logical + run.length)
            yield UnitRun(
                UnitKind.XATTR_VALUE, inode.ino, numbers, run.physical * size, size, run.length
            )
    elif image.format.has_journal and inode.ino == EXT4_JOURNAL_INO:
        for run in inode.runs():
            if run.logical == 0:
                offset = run.physical * size
                kind = UnitKind.JOURNAL_SUPERBLOCK
                yield UnitRun(kind, inode.ino, 0, offset, JOURNAL_SUPERBLOCK.size)
        if image.format.needs_recovery:
            yield from _log_units(image, inode.ino)
    acl = inode.file_acl
    if acl and acl not in shared and image.has_blocks(acl):
        shared.add(acl)
        yield UnitRun(UnitKind.XATTR_BLOCK, inode.ino, 0, acl * size, size)


def _log_units(image: Image, ino: int) -> Iterator[UnitRun]:
    """Yield the blocks of the log that recovery would read, owned by ``ino``, the journal's."""
    from .fast_commits import tags
    from .journal import Journal

    try:
        journal = Journal(image)
        scanned = journal.scanned()
        expected = journal.sequence_after(scanned.transactions)
        last = max((tag.offset for tag in tags(journal, expected)), default=-1)
    except (DamageError, ImageError):
        return  # replaying the journal reports the damage
    size = image.block_size
    for number, kind in scanned.blocks:
        yield UnitRun(kind, ino, number, journal.place(number) * size, size)
    for number in journal.fast_commit_blocks() if last >= 0 else ():
        offset = journal.place(number) * size
        yield UnitRun(UnitKind.FAST_COMMIT, ino, number, offset, size)
        if offset <= last < offset + size:
            return


def units(image: Image) -> Iterator[Unit]:
    """Yield each unit separately, with the generation of the inode that owns it."""
    generations: dict[int, int] = {}
    for run in unit_runs(image):
        of_inode = run.kind in _OF_INODES
        for unit in run.units():
            if not of_inode:
                yield unit
                continue
            generation = generations.get(unit.owner)
            if generation is None:
                generations = {unit.owner: image.inode(unit.owner).generation}
                generation = generations[unit.owner]
            yield unit._replace(generation=generation)


_OF_INODES = {
    UnitKind.EXTENT_BLOCK,
    UnitKind.DIR_BLOCK,
    UnitKind.DX_ROOT,
    UnitKind.DX_NODE,
    UnitKind.ORPHAN_BLOCK,
}
"""Kinds whose checksum seed includes the inode's number and generation."""
