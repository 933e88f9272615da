"""Which blocks of a planned image transactions may write."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ...ondisk.superblock import EXT4_GOOD_OLD_FIRST_INO
from ...tree import S_IFLNK, S_IFREG, RegularFile
from ..layout import ImagePlan
from ..system_files.journal import fast_commit_blocks_in_journal
from .fast_files import fast_files
from .journal import (
    CHECKSUM_FEATURES,
    JournalBlock,
    JournalRoom,
    JournalState,
    LogShape,
    Version,
    usual_checksums,
)

MOST_BLOCKS = 4096
"""The most metadata blocks offered to a policy, so that huge images do not take longer to plan."""
MOST_DATA_BLOCKS = 256
"""The most blocks of file content offered to a policy."""

_NEVER_BLANK: tuple[Version, ...] = ("right", "older")
_ANY: tuple[Version, ...] = ("right", "older", "blank", "other")
_NEW: tuple[Version, ...] = ("right", "blank", "other")


def shape_of(plan: ImagePlan, state: JournalState) -> LogShape:
    """Return the format of log blocks in a journal with this state."""
    fmt = plan.format
    usual = usual_checksums(plan.spec.journal_features, metadata_csum=fmt.metadata_csum)
    return LogShape(plan.block_size, state.checksum or usual[0], fmt.is_64bit)


def features_of(plan: ImagePlan, state: JournalState) -> tuple[str, ...]:
    """Return the features of a journal with this state, as ``Spec.journal_features`` names them."""
    shape = shape_of(plan, state)
    found = [*plan.spec.journal_features]
    if shape.is_64bit:
        found.append("journal_64bit")
    if any(each.revokes for each in (*state.transactions, state.uncommitted) if each is not None):
        found.append("journal_incompat_revoke")
    if shape.checksum != "none":
        found.append(CHECKSUM_FEATURES[shape.checksum])
    return tuple(dict.fromkeys(found))


def log_length(plan: ImagePlan) -> int:
    """Return the log blocks of an internal journal, without its superblock and fast commits."""
    total = plan.demand.journal_blocks
    return total - fast_commit_blocks_in_journal(plan.spec, plan.format, total) - 1


def journal_room(plan: ImagePlan) -> JournalRoom | None:
    """Return what a policy knows about the internal journal; None if there is none."""
    if not plan.demand.journal_blocks:
        return None
    metadata = islice(_metadata(plan), MOST_BLOCKS)
    data = islice(_data(plan), MOST_DATA_BLOCKS)
    return JournalRoom(
        blocks=sorted([*metadata, *data]),
        log_blocks=log_length(plan),
        may_wrap=not plan.format.fast_commit,
        files=fast_files(plan),
        fast_commit_blocks=fast_commit_blocks_in_journal(
            plan.spec, plan.format, plan.demand.journal_blocks
        ),
        block_size=plan.block_size,
        checksums=usual_checksums(
            plan.spec.journal_features, metadata_csum=plan.format.metadata_csum
        ),
    )


def _metadata(plan: ImagePlan) -> Iterator[JournalBlock]:
    fmt, geometry, placement = plan.format, plan.geometry, plan.placement
    # fs/ext4/super.c:ext4_fill_super reads superblock and descriptors before the journal.
    yield JournalBlock(fmt.super_offset(0) // fmt.block_size, "superblock", _NEVER_BLANK)
    for number in range(fmt.gdt_blocks(geometry.groups)):
        block = fmt.first_desc_block(number, geometry.groups)
        yield JournalBlock(block, "group_desc", _NEVER_BLANK)
    per_group = fmt.inodes_per_group
    for group in range(geometry.groups):
        yield JournalBlock(geometry.block_bitmaps[group], "bitmap", _ANY)
        yield JournalBlock(geometry.inode_bitmaps[group], "bitmap", _ANY)
        used = per_group - plan.groups.itable_unused[group]
        for place in range(fmt.inode_table_blocks(used)):
            last = group * per_group + (place + 1) * fmt.inodes_per_block
            # The reserved inodes include the journal's own.
            first = last - fmt.inodes_per_block + 1
            is_reserved = first < EXT4_GOOD_OLD_FIRST_INO
            versions: tuple[Version, ...] = ("right",) if is_reserved else _ANY
            yield JournalBlock(geometry.inode_tables[group] + place, "inode_table", versions)
    for index in plan.table.directories:
        if index not in plan.inline:
            for run in plan.runs_of(index):
                for place in range(run.length):
                    yield JournalBlock(run.physical + place, "directory", _ANY)
    for blocks in placement.map_blocks.values():
        yield from (JournalBlock(block, "metadata", _NEW) for block in blocks)
    yield from (JournalBlock(block, "metadata", _NEW) for block in placement.xattr_blocks)
    for index in plan.table.indexes_of(S_IFLNK):
        if plan.demand.counts[index] and index not in plan.inline:
            for run in plan.runs_of(index):
                yield JournalBlock(run.physical, "metadata", _NEW)


def _data(plan: ImagePlan) -> Iterator[JournalBlock]:
    """Yield blocks of file content, which is copied and so always right before recovery."""
    size, shared = plan.block_size, plan.demand.shared
    for index in plan.table.indexes_of(S_IFREG):
        if index in plan.inline or index in shared or index in plan.verity:
            continue
        node = plan.table.nodes[index]
        if not isinstance(node, RegularFile) or not node.content.random_access:
            continue  # content that can be read only once is read by the copier
        for run in plan.runs_of(index):
            for place in range(run.length):
                if (run.logical + place) * size < plan.table.sizes[index]:
                    yield JournalBlock(run.physical + place, "data", ("right",))
