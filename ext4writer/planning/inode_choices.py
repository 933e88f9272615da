"""Choices of a policy about inodes, besides their numbers, and about inode tables.

None of this is in the tree: generations, the size of the extra fields, what deleted files left
behind, and how much of a table counts as never used.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..late_dataclasses import NamedTuple, dataclass, field, replace
from ..ondisk.format import Format
from ..ondisk.inode import INODE, INODE_128, INODE_EXTRA_ISIZE, encode_time
from ..ondisk.superblock import EXT4_GOOD_OLD_FIRST_INO
from .geometry import Geometry
from .inodes import InodeTable
from .policy import LayoutPolicy

if TYPE_CHECKING:
    from .layout import GroupCounts, Times

WITH_CHECKSUM = 4
"""The smallest ``i_extra_isize`` above 0: itself and ``i_checksum_hi`` (e2fsck/pass1.c:
check_inode_extra_space)."""


def _end(name: str) -> int:
    """Return the ``i_extra_isize`` that the 32-bit field ``name`` needs."""
    return INODE.offset(name) + 4 - INODE_128.size


WITH_TIMES, WITH_PROJECT = _end("i_atime_extra"), _end("i_projid")
WITH_CRTIME = _end("i_crtime_extra")


class DeletedInode(NamedTuple):
    """What a deleted file left in its inode."""

    generation: int
    block: int
    """The first block that the file had."""


@dataclass(frozen=True, slots=True, eq=False)
class InodeChoices:
    """All choices; inodes and groups that are not listed have the usual values."""

    generations: Mapping[int, int] = field(default_factory=dict)
    """``i_generation`` by inode number."""
    extra_isizes: Mapping[int, int] = field(default_factory=dict)
    """``i_extra_isize`` by node index."""
    deleted: Mapping[int, DeletedInode] = field(default_factory=dict)
    """By inode number."""
    without: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By the name of a flag of ``bg_flags``: the groups that could have it and do not."""

    def generation(self, ino: int) -> int:
        """Return ``i_generation`` of an inode."""
        return self.generations.get(ino, 0)

    @property
    def least_extra_isize(self) -> int:
        """``s_min_extra_isize``: the smallest ``i_extra_isize`` of all inodes."""
        return min([INODE_EXTRA_ISIZE, *self.extra_isizes.values()])


def choose_for_inodes(
    table: InodeTable,
    fmt: Format,
    policy: LayoutPolicy,
    times: Times,
    with_area: Container[int],
    inline: Container[int],
) -> InodeChoices:
    """Ask ``policy`` about each node.

    The fields of nodes in ``with_area`` and ``inline`` keep their size, since attributes or content
    follow them.
    """
    found = ((ino, policy.generation()) for ino in table.inos)
    generations = {ino: generation for ino, generation in found if generation}
    extra_isizes: dict[int, int] = {}
    most = fmt.inode_size - INODE_128.size
    for index in range(len(table.nodes)) if fmt.has_extra_fields else ():
        if index in with_area or index in inline:
            continue
        least = _least_extra_isize(table, fmt, times, index)
        given = policy.extra_isize(least, most, INODE_EXTRA_ISIZE)
        size = max(least, given)
        if size != INODE_EXTRA_ISIZE:
            extra_isizes[index] = size
    return InodeChoices(generations, extra_isizes)


def _least_extra_isize(table: InodeTable, fmt: Format, times: Times, index: int) -> int:
    """Return the ``i_extra_isize`` that the nonzero fields of a node need."""
    if fmt.project:
        return WITH_PROJECT
    crtimes = table.other_times.get("crtime_ns")
    if crtimes is not None and crtimes[index] is not None:
        return WITH_CRTIME
    mtime = table.mtimes[index]
    columns = (column[index] for column in table.other_times.values())
    for time in (mtime, *(mtime if other is None else other for other in columns)):
        if encode_time(times.fit(time), True)[1]:
            return WITH_TIMES
    return 0


def choose_for_tables(
    choices: InodeChoices,
    groups: GroupCounts,
    geometry: Geometry,
    table: InodeTable,
    policy: LayoutPolicy,
    epoch: int,
) -> InodeChoices:
    """Ask ``policy`` about each group; store its counts of never used inodes in ``groups``.

    Files are deleted at ``epoch``, in seconds since 1970. If that could be mistaken for an inode
    number (e2fsck/pass1.c:e2fsck_pass1, low_dtime_check), there are no deleted files.
    """
    fmt, per_group = geometry.format, geometry.inodes_per_group
    unused = groups.itable_unused
    without: dict[str, tuple[int, ...]] = {}
    if fmt.has_uninit_groups:
        for group, count in enumerate(unused):
            # A table without any inode in use has INODE_UNINIT instead.
            unused[group] = policy.unused_inodes(count) if count < per_group else count
        without = {
            flag: tuple(group for group in range(geometry.groups) if not policy.uninit(flag))
            for flag in ("BLOCK_UNINIT", "INODE_UNINIT", "INODE_ZEROED")
        }
    deleted: dict[int, DeletedInode] = {}
    if geometry.inodes_count < epoch < 1 << 31:
        for ino in _free_inodes(geometry, table, unused):
            if policy.deleted_inode():
                block = geometry.inode_tables[0] + geometry.inode_table_blocks
                deleted[ino] = DeletedInode(policy.generation(), block + len(deleted))
    return replace(choices, deleted=deleted, without=without)


def _free_inodes(geometry: Geometry, table: InodeTable, unused: Sequence[int]) -> Iterator[int]:
    """Yield free inodes, ascending, that are not counted as never used."""
    per_group = geometry.inodes_per_group
    used = {*table.inos, *table.unnamed, *table.value_inos}
    for group, count in enumerate(unused):
        first = group * per_group + 1
        for ino in range(max(first, EXT4_GOOD_OLD_FIRST_INO), first + per_group - count):
            if ino not in used:
                yield ino
