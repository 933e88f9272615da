"""Files, symbolic links and directories that are stored inside their inodes (inline_data).

The first 60 bytes of content are in ``i_block``, the others in the attribute ``system.data``, which
exists for shorter content, too. Rules: fs/ext4/inline.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress

from ..inode_flags import FS_VERITY_FL
from ..late_dataclasses import dataclass, field
from ..nodes import IS_REGULAR
from ..ondisk.format import Format
from ..ondisk.inode import EXT4_ENCRYPT_FL, EXT4_MIN_INLINE_DATA_SIZE, INLINE_DATA_NAME
from ..ondisk.xattr import entry_size, split_name, value_size
from ..tree import S_IFLNK
from .contents import FAST_SYMLINK_MAX
from .directories import InlineDirectory, plan_inline_directory
from .inodes import ROOT, InodeTable
from .policy import LayoutPolicy

_ENTRY = entry_size(len(split_name(INLINE_DATA_NAME)[1]))


@dataclass(slots=True, eq=False, repr=False)
class InlinePlan:
    """The nodes that are stored in their inodes."""

    most: int
    """Bytes of content that an inode holds."""
    attribute_sizes: dict[int, int] = field(default_factory=dict)
    """By node index: bytes that entry and value of ``system.data`` need."""
    directories: dict[int, InlineDirectory] = field(default_factory=dict)
    """By node index: the plans of the directories among them."""

    def __contains__(self, index: object) -> bool:
        return index in self.attribute_sizes

    def fill(self, index: int, left: int) -> None:
        """Extend the value of a directory, if it has one, by the ``left`` bytes of its inode.

        The kernel does the same (ext4_update_inline_dir), so that more names can follow.
        """
        planned = self.directories.get(index)
        if planned is not None and planned.value_bytes:
            value_bytes = self.attribute_sizes[index] - _ENTRY + left
            value_bytes = min(value_bytes, self.most - EXT4_MIN_INLINE_DATA_SIZE)
            self.directories[index] = planned._replace(value_bytes=value_bytes)

    def discard(self, index: int) -> None:
        """Store a node in blocks instead."""
        del self.attribute_sizes[index]
        self.directories.pop(index, None)


def plan_inline(table: InodeTable, fmt: Format, policy: LayoutPolicy) -> InlinePlan:
    """Find the nodes that fit into inodes with no other attributes; none without inline_data.

    The root and ``lost+found`` are left out, as in mke2fs (lib/ext2fs/mkdir.c:ext2fs_mkdir2).
    """
    most = fmt.inline_most
    plan = InlinePlan(most)
    if not most:
        return plan
    for index in _small(table, fmt):
        # fs/ext4/verity.c:ext4_begin_enable_verity: the tree is past the end of a file in blocks.
        is_verified = table.flags.get(index, 0) & FS_VERITY_FL
        if policy.inline(table.sizes[index]) and not is_verified:
            plan.attribute_sizes[index] = _attribute_size(table.sizes[index])
    value_most = most - EXT4_MIN_INLINE_DATA_SIZE
    end = 0
    for index, names in zip(table.directories, table.names, strict=True):
        start, end = end, end + len(names)
        if index in (ROOT, table.lost_and_found):
            continue
        if table.flags.get(index, 0) & EXT4_ENCRYPT_FL:
            continue  # fs/ext4/crypto.c:ext4_set_context converts it to blocks
        lengths = table.name_lengths[start:end]
        planned = plan_inline_directory(names, lengths, value_most, policy)
        if planned is not None:
            plan.directories[index] = planned
            plan.attribute_sizes[index] = _ENTRY + planned.value_bytes
    return plan


def _small(table: InodeTable, fmt: Format) -> Iterator[int]:
    """Yield files and links that fit; links of less than 60 bytes are in ``i_block`` anyway.

    With quota, links are left out: the kernel counts their inodes, but e2fsck does not
    (e2fsck/pass1.c:e2fsck_pass1, 1.47.4).
    """
    sizes, most = table.sizes, fmt.inline_most
    files = compress(range(len(sizes)), table.types.translate(IS_REGULAR))
    yield from (index for index in files if sizes[index] <= most)
    links = () if fmt.quota else table.indexes_of(S_IFLNK)
    yield from (index for index in links if FAST_SYMLINK_MAX < sizes[index] <= most)


def _attribute_size(size: int) -> int:
    return _ENTRY + value_size(max(0, size - EXT4_MIN_INLINE_DATA_SIZE))
