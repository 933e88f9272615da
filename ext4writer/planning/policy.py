"""Layout policies, which make the legal choices of a layout.

Whatever a policy answers, e2fsck accepts the image and the kernel can read it: the planner asks
only for choices that are free. :class:`LayoutPolicy` is the compact layout; random_policy.py has
layouts that mkfs never creates.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .states.journal import JournalRoom, JournalState
    from .states.mmp import MmpState
    from .states.orphans import OrphanRoom, OrphanState

Item = TypeVar("Item")


class LayoutPolicy:
    """The compact default; subclasses override the choices that they change."""

    name = "default"

    sequential = True
    """Whether files are placed in one piece and in order, and directory blocks are filled.

    Only if this is False does the planner call ``run_lengths``, ``shuffle``, ``gap``,
    ``leaf_bytes``, ``empty_blocks``, ``record_slack`` and ``deleted_name``, and ``entry_order`` for
    directories of one block.
    """

    moves_metadata = False
    """Whether the planner calls ``metadata_order`` and ``metadata_gap``."""

    crosses_flex_groups = False
    """With the feature flex_bg and ``moves_metadata``: whether ``metadata_order`` gets the items of
    all groups in one call. The first items then go to the first flex group, three for each of its
    groups, or after it if it is full; the next items to the next flex group, and so on."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def fresh(self) -> LayoutPolicy:
        """Return a policy that makes the same choices from the start, whatever was asked so far."""
        return self

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:  # noqa: ARG002
        """Return ``count`` different inode numbers from ``first`` up; None: consecutive ones."""
        return None

    def run_lengths(self, blocks: int) -> list[int]:
        """Cut a run of ``blocks`` blocks into pieces; the sum must be ``blocks``."""
        return [blocks]

    def shuffle(self, items: MutableSequence[Item]) -> None:
        """Reorder ``items``, pieces of files, into the order in which they are placed."""

    def gap(self) -> int:
        """Return how many blocks to leave free before the next piece, if there are any to spare."""
        return 0

    def entry_order(self, names: list[bytes]) -> list[bytes]:
        """Return ``names`` in their order in a directory without an index."""
        return names

    def indexed(self, blocks: int) -> bool:
        """Whether a directory that would need ``blocks`` blocks gets a hashed index."""
        return blocks > 1

    def leaf_bytes(self, capacity: int) -> int:
        """Return how many of the ``capacity`` bytes of a directory's next block to fill."""
        return capacity

    def empty_blocks(self) -> int:
        """Return how many empty blocks follow the next block of names of a directory."""
        return 0

    def record_slack(self, room: int) -> int:  # noqa: ARG002
        """Return how many of the ``room`` free bytes of a block follow its next entry.

        It is a multiple of 4. The remaining bytes follow the last entry of the block.
        """
        return 0

    def deleted_name(self, room: int) -> bytes:  # noqa: ARG002
        """Return the name of a deleted entry to leave in ``room`` free bytes, which are 12 or more.

        The entry needs 8 bytes more than the name. There is none if the name is empty or does not
        fit.
        """
        return b""

    def inline(self, size: int) -> bool:  # noqa: ARG002
        """Whether ``size`` bytes of content or entries that fit into an inode are stored there.

        Called only with the feature inline_data.
        """
        return True

    def index_entries(self, limit: int) -> int:
        """Return how many of the ``limit`` entries of a directory index node to fill: 2 or more.

        Nodes are fuller if the index would otherwise have more levels than are allowed.
        """
        return limit

    def extent_entries(self, limit: int) -> int:
        """Return how many of the ``limit`` entries of an extent tree node to fill: 2 or more.

        Nodes are fuller if the tree would otherwise have more than five levels. e2fsck offers to
        rebuild a tree that could be much narrower, unless ``-E no_optimize_extents`` is given.
        """
        return limit

    def xattrs_outside(self) -> bool:
        """Whether a set of attributes goes into a block even if it fits into the inode."""
        return False

    def xattrs_shared(self) -> bool:
        """Whether nodes with equal sets of attributes share a block."""
        return True

    def xattr_value_apart(self, size: int) -> bool:  # noqa: ARG002
        """Whether a value of ``size`` bytes gets its own inode although it fits elsewhere.

        Called only with the feature ea_inode, and not for symbolic links and inline files.
        """
        return False

    def xattr_values_shared(self) -> bool:
        """Whether an equal value that already has an inode is shared instead of stored again.

        A set of attributes with a value that is stored again does not share a block, either.
        """
        return True

    def metadata_order(self, items: MutableSequence[tuple[str, int]]) -> None:
        """Reorder ``items``, the bitmaps and inode tables of a flex group, as they are on disk.

        Each item is ``(kind, number)``, with the kind ``block_bitmap``, ``inode_bitmap`` or
        ``inode_table``, and the number of the group within the flex group, from 0.
        """

    def metadata_gap(self) -> int:
        """Return how many blocks to leave to files before the next item, if any are to spare."""
        return 0

    def backup_numbers(self, count: int) -> Sequence[int] | None:  # noqa: ARG002
        """Return ``count`` numbers, 0 or more, that select the groups with superblock backups.

        Number n selects the group 1 + n % (groups - 1), so one answer is valid for images of all
        sizes. Two numbers that select the same group are one backup. None means group 1 and the
        last group. Called only with the feature sparse_super2; without it the format determines the
        groups.
        """
        return None

    def journal_extra(self) -> int:
        """Return how many blocks, up to 65,536, to add to a journal of automatic size.

        An image of a given size gets them only if they are less than a sixteenth of its blocks.
        """
        return 0

    def journal_places(
        self,
        clusters: int,  # noqa: ARG002
        most: int,  # noqa: ARG002
    ) -> Sequence[tuple[int, int]] | None:
        """Return the pieces of a journal of ``clusters`` clusters: (first, length) of each.

        They are in the order of the journal. ``first`` counts the clusters without fixed metadata
        from the start of the image. All pieces end at ``most`` or before, and have ``clusters``
        clusters in total. None means one piece before all files. Not called with
        ``Spec.journal_location``.
        """
        return None

    def block_mapped(self, blocks: int) -> bool:  # noqa: ARG002
        """Whether a file or directory of ``blocks`` blocks has a block map instead of extents."""
        return False

    def unwritten_blocks(self, hole: int) -> int:  # noqa: ARG002
        """Return how many blocks at the start of a hole of ``hole`` blocks are unwritten blocks."""
        return 0

    def blocks_past_end(self, blocks: int) -> int:  # noqa: ARG002
        """Return how many unwritten blocks, up to 32,767, follow a file of ``blocks`` blocks.

        An image of a given size that has no space for unwritten blocks has none.
        """
        return 0

    def generation(self) -> int:
        """Return ``i_generation`` of the next inode, any number of 32 bits."""
        return 0

    def extra_isize(self, least: int, most: int, usual: int) -> int:  # noqa: ARG002
        """Return ``i_extra_isize`` of an inode without attributes: a multiple of 4, up to ``most``.

        Its times and its project need ``least`` bytes. With fewer than 24 it has no creation time,
        unless the tree has one for it.
        """
        return usual

    def unused_inodes(self, count: int) -> int:
        """Return how many of the last ``count`` inodes of a table ``bg_itable_unused`` counts."""
        return count

    def deleted_inode(self) -> bool:
        """Whether the next free inode that was used before holds what a deleted file left."""
        return False

    def uninit(self, flag: str) -> bool:  # noqa: ARG002
        """Whether a group that may have ``flag`` has it.

        ``flag`` is ``BLOCK_UNINIT``, ``INODE_UNINIT`` or ``INODE_ZEROED``.
        """
        return True

    def journal_state(self, room: JournalRoom) -> JournalState | None:  # noqa: ARG002
        """Return what a mount recovers from a journal inside the image; None means nothing.

        Called last, when all locations are known.
        """
        return None

    def orphan_state(self, room: OrphanRoom) -> OrphanState | None:  # noqa: ARG002
        """Return the inodes that a mount deletes or truncates; None means that there are none.

        Called before any file is placed, and not with the feature quota.
        """
        return None

    def mmp_state(self, epoch: int) -> MmpState | None:  # noqa: ARG002
        """Return what multi-mount protection records about earlier hosts; None: there were none.

        Called only with the feature mmp. ``epoch`` is the time of the file system itself, in
        seconds since 1970.
        """
        return None


DEFAULT_POLICY = LayoutPolicy()
