"""Orphans: inodes that were deleted while they were open, and files that were being truncated.

Rules: fs/ext4/orphan.c and Documentation/filesystems/ext4/orphan.rst. Who may write to the image
deletes the ones and cuts the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...late_dataclasses import NamedTuple

MOST_BYTES = 1 << 24
"""Of a deleted file."""
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
