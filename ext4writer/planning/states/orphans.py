"""Orphans: inodes that were deleted while they were open, and files that were being truncated.

Rules: fs/ext4/orphan.c and Documentation/filesystems/ext4/orphan.rst. A read-write mount or e2fsck
deletes the former and truncates the latter.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...late_dataclasses import NamedTuple
from ..plain import bounded, plain_number

MOST_BYTES = 1 << 24
"""The most bytes of a deleted file."""
MOST_ORPHANS = 1 << 16
MOST_BLOCKS = 8
"""The most blocks that a truncation still has to free: few enough that a block map needs no further
level."""


class OrphanRoom(NamedTuple):
    """What a policy knows when it chooses orphans."""

    sizes: Sequence[int]
    """Bytes of each file of the tree that may be in the middle of a truncation."""
    block_size: int
    slots: int
    """Entries of the orphan file; 0 if the image has none."""


class DeletedFile(NamedTuple):
    """A file that was deleted while it was open. A mount frees its inode and its blocks."""

    size: int = 0
    """In bytes."""
    slot: int | None = None
    """Its entry in the orphan file; None puts it into the list that begins in the superblock."""


class TruncatedFile(NamedTuple):
    """A file of the tree with blocks past its end that a mount still has to free."""

    file: int
    """Its index in ``OrphanRoom.sizes``."""
    blocks: int = 1
    slot: int | None = None


class OrphanState(NamedTuple):
    """All orphans; those of the superblock's list are in its order."""

    orphans: tuple[DeletedFile | TruncatedFile, ...]


class OrphanPlan(NamedTuple):
    """All orphans by inode number."""

    chain: tuple[int, ...] = ()
    """The list that begins with ``s_last_orphan``."""
    slots: tuple[tuple[int, int], ...] = ()
    """(entry, inode) of the orphan file, ascending."""
    deleted: tuple[tuple[int, int], ...] = ()
    """(inode, bytes) of deleted files."""
    truncated: tuple[tuple[int, int], ...] = ()
    """(node index, blocks) of files that were being truncated."""

    def following(self) -> dict[int, int]:
        """Return ``i_dtime`` of each orphan in the list: the number of the next one."""
        return dict(zip(self.chain, (*self.chain[1:], 0), strict=False))

    def without_file(self) -> OrphanPlan:
        """Return a plan without an orphan file: all orphans are in the list."""
        inos = tuple(ino for _, ino in self.slots)
        return self._replace(chain=self.chain + inos, slots=())


def as_orphan_state(given: OrphanState) -> OrphanState:
    """Return ``given`` with plain values only; raise ``TypeError`` or ``ValueError``."""
    if not isinstance(given, OrphanState):
        raise TypeError("it has another type")
    return OrphanState(tuple(map(_plain, bounded(given.orphans, MOST_ORPHANS))))


def _plain(orphan: DeletedFile | TruncatedFile) -> DeletedFile | TruncatedFile:
    if not isinstance(orphan, DeletedFile | TruncatedFile):
        raise TypeError(f"{orphan!r:.80} is neither a DeletedFile nor a TruncatedFile")
    slot = None if orphan.slot is None else plain_number(orphan.slot)
    if isinstance(orphan, DeletedFile):
        return DeletedFile(plain_number(orphan.size), slot)
    return TruncatedFile(plain_number(orphan.file), plain_number(orphan.blocks), slot)
