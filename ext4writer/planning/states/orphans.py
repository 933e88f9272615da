"""Orphans: inodes that were deleted while they were open, and files that were being truncated.

Rules: fs/ext4/orphan.c and Documentation/filesystems/ext4/orphan.rst. Who may write to the image
deletes the ones and cuts the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...late_dataclasses import NamedTuple
from ..plain import bounded, plain_number

MOST_BYTES = 1 << 24
"""Of a deleted file."""
MOST_ORPHANS = 1 << 16
MOST_BLOCKS = 8
"""That a truncation had still to free. With so few, a block map needs no further level."""


class OrphanRoom(NamedTuple):
    """What a policy knows before it leaves orphans."""

    sizes: Sequence[int]
    """Bytes of each file of the tree that may be in the middle of a truncation."""
    block_size: int
    slots: int
    """Entries of the orphan file; 0 where the image has none."""


class DeletedFile(NamedTuple):
    """A file without a name. Whoever mounts the image frees its inode and its blocks."""

    size: int = 0
    """Bytes."""
    slot: int | None = None
    """Its entry in the orphan file; None is the list that begins in the superblock."""


class TruncatedFile(NamedTuple):
    """A file of the tree with blocks after its end, which are still to be freed."""

    file: int
    """Its place in ``OrphanRoom.sizes``."""
    blocks: int = 1
    slot: int | None = None


class OrphanState(NamedTuple):
    """All orphans, those of the list in the order in which it names them."""

    orphans: tuple[DeletedFile | TruncatedFile, ...]


class OrphanPlan(NamedTuple):
    """The same by inode number."""

    chain: tuple[int, ...] = ()
    """The list from ``s_last_orphan`` on."""
    slots: tuple[tuple[int, int], ...] = ()
    """(entry, inode) of the orphan file, ascending."""
    deleted: tuple[tuple[int, int], ...] = ()
    """(inode, bytes) of those without a name."""
    truncated: tuple[tuple[int, int], ...] = ()
    """(node index, blocks) of the others."""

    def following(self) -> dict[int, int]:
        """``i_dtime`` of each orphan in the list: the next one."""
        return dict(zip(self.chain, (*self.chain[1:], 0), strict=False))

    def without_file(self) -> OrphanPlan:
        """The same without an orphan file: all are in the list."""
        inos = tuple(ino for _, ino in self.slots)
        return self._replace(chain=self.chain + inos, slots=())


def as_orphan_state(given: OrphanState) -> OrphanState:
    """The same, of plain values alone; ``TypeError`` or ``ValueError`` for something else."""
    if not isinstance(given, OrphanState):
        raise TypeError("its type is another one")
    return OrphanState(tuple(map(_plain, bounded(given.orphans, MOST_ORPHANS))))


def _plain(orphan: DeletedFile | TruncatedFile) -> DeletedFile | TruncatedFile:
    if not isinstance(orphan, DeletedFile | TruncatedFile):
        raise TypeError(f"{orphan!r:.80} is neither a DeletedFile nor a TruncatedFile")
    slot = None if orphan.slot is None else plain_number(orphan.slot)
    if isinstance(orphan, DeletedFile):
        return DeletedFile(plain_number(orphan.size), slot)
    return TruncatedFile(plain_number(orphan.file), plain_number(orphan.blocks), slot)
