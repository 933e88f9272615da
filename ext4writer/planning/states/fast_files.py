"""Files of a plan that fast commits may change, and their earlier names.

Rules: fs/ext4/fast_commit.c. The replay rebuilds names and mappings. So fast commits only change
what it rebuilds exactly: files of a few extents, and directories of one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ...ondisk.dirent import rec_len
from ...ondisk.extent import EXT_INIT_MAX_LEN, INLINE_ENTRIES
from ...ondisk.fast_commit import FC_HEAD, FC_INODE, FC_TAIL, FC_TL
from ...ondisk.inode import EXT4_GOOD_OLD_INODE_SIZE, INODE_EXTRA_ISIZE
from ...ondisk.superblock import EXT4_GOOD_OLD_FIRST_INO
from ...tree import S_IFREG
from ..directories import DOT_ENTRIES
from ..layout import ImagePlan
from .journal import FastFile

MOST_FILES = 256
_SPARE_NAMES = b"~_-0"
"""Last bytes for earlier names of files."""


def fast_files(plan: ImagePlan) -> list[FastFile]:
    """Return the files that fast commits may change, ascending; at most ``MOST_FILES``."""
    fmt = plan.format
    if not (fmt.fast_commit and fmt.extent) or fmt.bigalloc or fmt.quota or fmt.shared_blocks:
        return []
    if not fmt.has_uninit_groups:
        # When it recovers, e2fsck sets group flags that need uninit groups
        # (lib/ext2fs/initialize.c:ext2fs_calculate_summary_stats).
        return []
    tags = FC_HEAD.size + FC_TAIL.size + FC_INODE.size + 4 * FC_TL.size
    if inode_length(plan) + tags > plan.block_size:
        return []
    return list(islice(_eligible(plan), MOST_FILES))


def inode_length(plan: ImagePlan) -> int:
    """Return the bytes of an inode in a tag (fs/ext4/fast_commit.c:ext4_fc_write_inode)."""
    extra = INODE_EXTRA_ISIZE if plan.format.has_extra_fields else 0
    return EXT4_GOOD_OLD_INODE_SIZE + extra


def _eligible(plan: ImagePlan) -> Iterator[FastFile]:
    table, choices = plan.table, plan.inode_choices
    cut = {index for index, _ in plan.orphans.truncated} if plan.orphans is not None else set()
    for index in table.indexes_of(S_IFREG):
        if (
            table.links[index] != 1
            or table.flags.get(index, 0)
            or index in table.projects
            or index in plan.inline
            or index in plan.xattrs.block_of
            or index in plan.xattrs.values_of
            or index in plan.placement.map_blocks
            or index in plan.demand.block_mapped
            or index in plan.demand.unwritten
            or index in cut
            or choices.extra_isizes.get(index, INODE_EXTRA_ISIZE) != INODE_EXTRA_ISIZE
        ):
            continue
        runs = plan.runs_of(index)
        if len(runs) > INLINE_ENTRIES or any(run.length >= EXT_INIT_MAX_LEN for run in runs):
            continue
        parent = table.parents[index]
        yield FastFile(
            table.inos[index], table.inos[parent], bool(runs), earlier_name(plan, index) is not None
        )


def earlier_name(plan: ImagePlan, index: int) -> bytes | None:
    """Return a name of equal length that the node may have had in its directory, if any."""
    name = plan.table.name_of(index)
    names = _names_if_plain(plan, plan.table.parents[index])
    if names is None:
        return None
    room = plan.block_size - plan.format.dir_tail_size - DOT_ENTRIES
    # For a moment, the directory has both names.
    if sum(rec_len(len(each)) for each in names) + rec_len(len(name)) > room:
        return None
    spare = (name[:-1] + bytes((byte,)) for byte in _SPARE_NAMES)
    return next((other for other in spare if other not in names), None)


def _names_if_plain(plan: ImagePlan, directory: int) -> list[bytes] | None:
    """Return the names of a directory, if it is one block in plain order with nothing special."""
    choices = plan.inode_choices
    if (
        # The root is reserved, so replay cannot change it (fs/ext4/ialloc.c:ext4_mark_inode_used).
        plan.table.inos[directory] < EXT4_GOOD_OLD_FIRST_INO
        or directory in plan.directories
        or directory in plan.inline
        or directory in plan.demand.block_mapped
        or directory in plan.xattrs.block_of
        or directory in plan.xattrs.values_of
        or plan.table.flags.get(directory, 0)
        or directory in plan.table.projects
        or choices.extra_isizes.get(directory, INODE_EXTRA_ISIZE) != INODE_EXTRA_ISIZE
        or plan.demand.counts[directory] != 1
    ):
        return None
    return plan.table.names[plan.table.directories.index(directory)]
