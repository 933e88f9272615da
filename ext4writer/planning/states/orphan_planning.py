"""Plans the orphans that a policy leaves: their inodes and their blocks.

Rules: fs/ext4/orphan.c and e2fsck/super.c:release_orphan_inodes.
"""

from __future__ import annotations

from collections.abc import Collection

from ...arithmetic import ceil_div
from ...errors import SpecError
from ...nodes import S_IFREG
from ...ondisk.extent import INLINE_ENTRIES
from ...ondisk.format import Format, MappingKind
from ...ondisk.orphan import orphans_per_block
from ..contents import DataBlocks
from ..inodes import InodeTable
from ..mapping import mapping_of
from ..policy import LayoutPolicy
from ..spec import Spec
from ..system_files import SystemFile
from ..system_files.base import ORPHANS_PURPOSE
from ..system_files.orphan_file import orphan_file_blocks
from .orphans import (
    MOST_BLOCKS,
    MOST_BYTES,
    DeletedFile,
    OrphanPlan,
    OrphanRoom,
    OrphanState,
    TruncatedFile,
)

_DIRECT_BLOCKS = 12


def plan_orphans(
    policy: LayoutPolicy, spec: Spec, fmt: Format, table: InodeTable, whole: Collection[int]
) -> OrphanPlan:
    """Ask ``policy`` for orphans, and add the inode numbers of deleted files to ``table``.

    The nodes ``whole`` cannot be truncated: they have no blocks, or an attribute block, which
    e2fsck releases together with the blocks past the end (e2fsck/super.c:release_inode_blocks).
    Raises :class:`SpecError` for orphans that are not possible.
    """
    if fmt.quota:
        return OrphanPlan()  # quota counts orphans for their owners
    indexes: list[int] = []
    if policy.sequential and not (fmt.bigalloc or fmt.shared_blocks):
        # Recovery does not shrink the extent tree of a file in pieces.
        indexes = _may_be_truncated(spec, fmt, table, whole)
    slots = 0
    if fmt.orphan_file:
        blocks = orphan_file_blocks(fmt, 0, spec.orphan_file_size)
        slots = blocks * orphans_per_block(spec.block_size)
    room = OrphanRoom([table.sizes[index] for index in indexes], spec.block_size, slots)
    state = policy.orphan_state(room)
    if state is None:
        return OrphanPlan()
    orphans = _checked(state, room, policy.name)
    chain, entries, deleted, truncated = [], [], [], []
    following = table.last_ino + 1
    for orphan in orphans:
        if isinstance(orphan, DeletedFile):
            ino, following = following, following + 1
            deleted.append((ino, orphan.size))
        else:
            ino = table.inos[indexes[orphan.file]]
            truncated.append((indexes[orphan.file], orphan.blocks))
        if orphan.slot is None:
            chain.append(ino)
        else:
            entries.append((orphan.slot, ino))
    table.unnamed = (*table.unnamed, *(ino for ino, _ in deleted))
    return OrphanPlan(tuple(chain), tuple(sorted(entries)), tuple(deleted), tuple(truncated))


def _may_be_truncated(
    spec: Spec, fmt: Format, table: InodeTable, whole: Collection[int]
) -> list[int]:
    """Return the indexes of files that may still have blocks to truncate."""
    most = None
    if fmt.mapping is not MappingKind.EXTENTS:
        most = (_DIRECT_BLOCKS - MOST_BLOCKS) * spec.block_size
    return [
        index
        for index in table.indexes_of(S_IFREG)
        if index not in whole
        and not table.flags.get(index, 0)
        and (most is None or table.sizes[index] <= most)
    ]


def _checked(
    state: OrphanState, room: OrphanRoom, policy: str
) -> tuple[DeletedFile | TruncatedFile, ...]:
    def wrong(problem: str) -> SpecError:
        about = f"orphan_state of {policy!r:.80} returned an orphan"
        return SpecError("policy", f"{about} that {problem}")

    orphans = state.orphans
    files, slots = set(), set()
    for orphan in orphans:
        slot = orphan.slot
        if slot is not None and (not 0 <= slot < room.slots or slot in slots):
            raise wrong(f"has the entry {slot} of the orphan file, which has {room.slots}")
        slots.add(slot)
        if isinstance(orphan, DeletedFile):
            if not 0 <= orphan.size <= MOST_BYTES:
                raise wrong(f"has {orphan.size} bytes; the maximum is {MOST_BYTES}")
        elif not 0 <= orphan.file < len(room.sizes) or orphan.file in files:
            raise wrong(f"is file {orphan.file} of {len(room.sizes)}, or the same file again")
        elif not 1 <= orphan.blocks <= MOST_BLOCKS:
            raise wrong(f"has {orphan.blocks} blocks past its end; 1 to {MOST_BLOCKS} are possible")
        else:
            files.add(orphan.file)
    return orphans


def orphan_files(orphans: OrphanPlan, fmt: Format) -> list[SystemFile]:
    """Return the deleted files as system files, which common loops place and write."""
    return [
        SystemFile(
            ino=ino,
            purpose=ORPHANS_PURPOSE,
            size_bytes=size,
            data_blocks=ceil_div(size, fmt.block_size),
            mapping=mapping_of(fmt),
            mode=S_IFREG | 0o600,
        )
        for ino, size in orphans.deleted
    ]


def add_blocks(orphans: OrphanPlan, data: DataBlocks, table: InodeTable, block_size: int) -> None:
    """Add the blocks past the end of files that were being truncated."""
    for node, blocks in orphans.truncated:
        count = data.counts[node]
        runs = [*data.ranges.get(node, [(0, count)] if count else [])]
        if len(runs) >= INLINE_ENTRIES:
            continue  # no blocks are left to free, as if only the end of the truncation was lost
        first = ceil_div(table.sizes[node], block_size)
        if runs and sum(runs[-1]) == first:
            runs[-1] = runs[-1][0], runs[-1][1] + blocks
        else:
            runs.append((first, blocks))
        data.counts[node] += blocks
        if len(runs) > 1 or runs[0][0]:
            data.ranges[node] = runs
