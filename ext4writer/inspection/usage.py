"""Who uses each block of an image: a group, an inode, or nobody."""

from __future__ import annotations

from collections.abc import Iterator

from ..arithmetic import ceil_div
from ..bits import ones
from ..errors import DamageError
from ..late_dataclasses import NamedTuple
from ..ondisk.group_desc import EXT4_BG_BLOCK_UNINIT
from ..ondisk.inode import EXT4_EA_INODE_FL, EXT4_EXTENTS_FL
from ..ondisk.journal import journal_device_start
from ..ondisk.superblock import (
    EXT4_BAD_INO,
    EXT4_GRP_QUOTA_INO,
    EXT4_RESIZE_INO,
    EXT4_USR_QUOTA_INO,
)
from ..ondisk.units import UnitKind
from ..read import Image, Inode, TreeBlock
from ..read.units import group_units

DATA = "data"
FREE = "free"
MISSING = "not in the image"
"""Past the end of a truncated image file; nothing is known about such blocks."""
LOST = "no owner"
"""In use according to the bitmap, but nothing refers to the block."""
REST = "rest of clusters"
"""The unused blocks of a cluster that is partly in use; only with bigalloc."""
JOURNAL = "journal"
DIRECTORY = "directory"
SYMLINK = "symlink"
RESERVED = "reserved descriptors"
BOOT = "boot block"

_OF_GROUPS = {
    UnitKind.SUPERBLOCK: "superblock",
    UnitKind.GROUP_DESC: "descriptors",
    UnitKind.BLOCK_BITMAP: "block bitmap",
    UnitKind.INODE_BITMAP: "inode bitmap",
    UnitKind.INODE: "inode table",
    UnitKind.MMP: "mmp",
}
TREE, XATTRS = "extent tree", "attributes"
KINDS = (
    BOOT,
    *_OF_GROUPS.values(),
    *(RESERVED, JOURNAL, DIRECTORY, TREE, XATTRS, SYMLINK, "quota", "orphan file", "bad blocks"),
    *(DATA, REST, LOST, MISSING, FREE),
)
"""Everything a block can be used for."""

_TIMES_MOST = 4
"""How many times the number of blocks may be mapped before the rest is left out; damage can map the
same blocks again and again."""


class Use(NamedTuple):
    """Contiguous blocks of one use. ``ino`` is 0 for blocks that belong to a group."""

    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count on purpose
    kind: str
    ino: int
    logical: int = 0
    """The logical block number of the first block in its file."""

    @property
    def end(self) -> int:
        """The block after the last."""
        return self.first + self.count


class Usage(NamedTuple):
    """All uses of an image, free blocks included, ascending; damage can make some overlap."""

    uses: list[Use]
    is_complete: bool
    """False if blocks were mapped so often that the rest was left out."""


def kind_of_inode(image: Image, inode: Inode) -> str:
    """Return the kind of use, of :data:`KINDS`, of the blocks of an inode."""
    ino = inode.ino
    if image.format.has_journal and ino == image.number("s_journal_inum"):
        return JOURNAL
    if ino == EXT4_RESIZE_INO:
        return RESERVED
    if ino == EXT4_BAD_INO:
        return "bad blocks"
    if ino in (EXT4_USR_QUOTA_INO, EXT4_GRP_QUOTA_INO, image.number("s_prj_quota_inum")):
        return "quota"
    if image.format.orphan_file and ino == image.number("s_orphan_file_inum"):
        return "orphan file"
    if inode.is_directory:
        return DIRECTORY
    if inode.is_symlink:
        return SYMLINK
    return XATTRS if inode.flags & EXT4_EA_INODE_FL else DATA


def usage(image: Image) -> Usage:
    """Return the uses of all blocks."""
    if image.format.journal_dev:
        return Usage(list(_of_journal_device(image)), True)
    uses = list(_of_groups(image))
    left = _TIMES_MOST * image.blocks_count
    shared: set[int] = set()
    may_repeat = image.format.shared_blocks
    named: set[tuple[int, int]] = set()
    for inode in image.inodes():
        if not inode.links and inode.ino >= image.format.first_ino:
            continue
        for use in _of_inode(image, inode, shared):
            if may_repeat:
                # With shared_blocks a file may map one block any number of times.
                if use[:2] in named:
                    continue
                named.add(use[:2])
            left -= 1 if may_repeat else use.count
            if left < 0:
                break
            uses.append(use)
    uses.sort()
    return Usage(list(_with_gaps(image, uses)), left >= 0)


def _of_journal_device(device: Image) -> Iterator[Use]:
    """On a journal device, the journal has all blocks after the journal superblock."""
    start = journal_device_start(device.block_size)
    stored = min(device.store.size // device.block_size, device.blocks_count)
    if start > 1:
        yield Use(0, 1, BOOT, 0)
    yield Use(start - 1, 1, "superblock", 0)
    if stored > start:
        yield Use(start, stored - start, JOURNAL, 0)
    if device.blocks_count > stored:
        yield Use(stored, device.blocks_count - stored, MISSING, 0)


def _of_groups(image: Image) -> Iterator[Use]:
    size = image.block_size
    for group in range(image.groups):
        try:
            runs = list(group_units(image, group))
        except DamageError as error:
            image.damage(error)
            continue
        for run in runs:
            first = run.offset // size
            end = ceil_div(run.offset + run.size * run.count, size)
            yield Use(first, end - first, _OF_GROUPS[run.kind], 0)


def _of_inode(image: Image, inode: Inode, shared: set[int]) -> Iterator[Use]:
    kind = kind_of_inode(image, inode)
    tree = TREE if inode.flags & EXT4_EXTENTS_FL or kind != RESERVED else RESERVED
    for item in inode.mapping():
        if isinstance(item, TreeBlock):
            yield Use(item.block, 1, tree, inode.ino)
        else:
            yield Use(item.physical, item.length, kind, inode.ino, item.logical)
    acl = inode.file_acl
    if acl and acl not in shared and image.has_blocks(acl):
        shared.add(acl)
        yield Use(acl, 1, XATTRS, inode.ino)


def _with_gaps(image: Image, uses: list[Use]) -> Iterator[Use]:
    """Yield the uses, and those of the blocks between them according to the bitmaps."""
    end = 0
    for use in uses:
        if use.first > end:
            yield from _gap(image, end, use.first)
        yield use
        end = max(end, use.end)
    if end < image.blocks_count:
        yield from _gap(image, end, image.blocks_count)


def _gap(image: Image, first: int, end: int) -> Iterator[Use]:
    fmt = image.format
    if first < fmt.first_data_block:
        # With 1 KiB blocks, block 0 is the boot block, which belongs to no group.
        yield Use(first, 1, BOOT, 0)
        first += 1
    per_group = fmt.clusters_per_group * fmt.blocks_per_cluster
    stored = image.store.size // image.block_size
    while first < end:
        group = fmt.group_of(first)
        if first >= stored or group >= image.groups:
            yield Use(first, end - first, MISSING, 0)
            return
        start = fmt.group_first_block(group)
        stop = min(end, start + per_group)
        # Blocks past the end of the file are missing; the bitmap has the others.
        over, stop = stop, min(stop, stored)
        data = None
        try:
            descriptor = image.descriptor(group)
            bitmap = descriptor["bg_block_bitmap"]
            uninit = fmt.has_uninit_groups and descriptor["bg_flags"] & EXT4_BG_BLOCK_UNINIT
            if not uninit and image.has_blocks(bitmap):
                data = image.block(bitmap)
        except DamageError as error:
            image.damage(error)
        if data is None:
            yield Use(first, stop - first, FREE, 0)
        else:
            bits = int.from_bytes(data, "little")
            yield from _by_bits(bits, first, stop, start, fmt.blocks_per_cluster)
        if over > stop:
            yield Use(stop, over - stop, MISSING, 0)
        first = over


def _by_bits(bits: int, first: int, stop: int, start: int, per_cluster: int) -> Iterator[Use]:
    """Yield uses from ``first`` to ``stop`` by the bits of the group that begins at ``start``."""
    low, high = (first - start) // per_cluster, ceil_div(stop - start, per_cluster)
    bits = bits >> low & ones(high - low)
    # A pass over digits takes linear time; shifting the number takes quadratic time.
    digits = f"{bits:0{high - low}b}"[::-1]
    place = 0
    while place < len(digits):
        digit = digits[place]
        other = digits.find("1" if digit == "0" else "0", place)
        other = len(digits) if other < 0 else other
        begin = max(first, start + (low + place) * per_cluster)
        end = min(stop, start + (low + other) * per_cluster)
        if digit == "0":
            yield Use(begin, end - begin, FREE, 0)
        else:
            yield from _in_use(begin, end, start, per_cluster)
        place = other


def _in_use(begin: int, end: int, start: int, per_cluster: int) -> Iterator[Use]:
    """Yield blocks in use without an owner; in part of a cluster, they belong to its owner."""
    low = begin + (start - begin) % per_cluster
    high = end - (end - start) % per_cluster
    if low >= high:
        low = high = end
    for first, last, kind in ((begin, low, REST), (low, high, LOST), (high, end, REST)):
        if first < last:
            yield Use(first, last - first, kind, 0)
