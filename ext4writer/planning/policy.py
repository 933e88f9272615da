"""The legal choices of a layout, and who makes them.

Whatever a policy answers, e2fsck accepts the image and the kernel reads it: the planner asks only
for choices that are free. :class:`LayoutPolicy` is the compact layout; random_policy.py makes
layouts that mkfs never makes.
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
    """Files are placed whole, one after the other, and blocks of directories are filled.

    Only if the policy is not sequential, the planner calls ``run_lengths``, ``shuffle``, ``gap``,
    ``leaf_bytes``, ``empty_blocks``, ``record_slack`` and ``deleted_name``, and ``entry_order`` for
    directories of one block.
    """

    moves_metadata = False
    """Whether the planner calls ``metadata_order`` and ``metadata_gap``."""

    crosses_flex_groups = False
    """Whether, with the feature flex_bg and ``moves_metadata``, ``metadata_order`` gets the items
    of all groups at once. What comes first then lies in the first flex group, and so on, three
    items for each of its groups, or after it if it is full."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def fresh(self) -> LayoutPolicy:
        """A policy that makes the same choices from the start, whatever was asked of this one."""
        return self

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:  # noqa: ARG002
        """``count`` different numbers from ``first`` on; None: ``first``, ``first`` + 1, ..."""
        return None

    def run_lengths(self, blocks: int) -> list[int]:
        """Cut a run of ``blocks`` blocks into pieces; the sum must be ``blocks``."""
        return [blocks]

    def shuffle(self, items: MutableSequence[Item]) -> None:
        """Put pieces of files into the order in which they are placed."""

    def gap(self) -> int:
        """Blocks to leave free before the next piece, as long as there are any to spare."""
        return 0

    def entry_order(self, names: list[bytes]) -> list[bytes]:
        """The order of names in a directory without index."""
        return names

    def indexed(self, blocks: int) -> bool:
        """Whether a directory that would take ``blocks`` blocks gets a hashed index."""
        return blocks > 1

    def leaf_bytes(self, capacity: int) -> int:
        """How many of the ``capacity`` bytes of a directory's next block to fill."""
        return capacity

    def empty_blocks(self) -> int:
        """How many blocks without names follow the next block of names of a directory."""
        return 0

    def record_slack(self, room: int) -> int:  # noqa: ARG002
        """How many of the ``room`` free bytes of a block lie after the next entry, by fours.

        What is left lies after the last entry of the block.
        """
        return 0

    def deleted_name(self, room: int) -> bytes:  # noqa: ARG002
        """The name of a deleted entry to leave in ``room`` free bytes, which are at least 12.

        It takes 8 bytes more than its length; none is left if it is empty or does not fit.
        """
        return b""

    def inline(self, size: int) -> bool:  # noqa: ARG002
        """Whether ``size`` bytes of content, or of entries, that fit into an inode lie there.

        It is asked only with the feature inline_data.
        """
        return True

    def index_entries(self, limit: int) -> int:
        """How many of the ``limit`` entries of a node of a directory's index to fill: 2 or more.

        Nodes are fuller where the index would have more levels than are allowed.
        """
        return limit

    def extent_entries(self, limit: int) -> int:
        """How many of the ``limit`` entries of a node of an extent tree to fill: 2 or more.

        Nodes are fuller where the tree would have more than five levels. e2fsck offers to rebuild a
        tree that could be much narrower, unless it is given ``-E no_optimize_extents``.
        """
        return limit

    def xattrs_outside(self) -> bool:
        """Whether a set of xattrs goes into a block even if it fits into the inode."""
        return False

    def xattrs_shared(self) -> bool:
        """Whether nodes with equal sets share a block."""
        return True

    def xattr_value_apart(self, size: int) -> bool:  # noqa: ARG002
        """Whether a value of ``size`` bytes lies in an inode of its own, though it fits elsewhere.

        It is asked only with the feature ea_inode, and not for links and files inside their inode.
        """
        return False

    def xattr_values_shared(self) -> bool:
        """Whether an equal value that lies in an inode already is shared, and not stored again.

        A set of attributes of which a value is stored again shares no block either.
        """
        return True

    def metadata_order(self, items: MutableSequence[tuple[str, int]]) -> None:
        """Put bitmaps and inode tables of a flex group into the order in which they lie.

        Each is ``("block_bitmap", number)``, or ``inode_bitmap`` or ``inode_table``; groups are
        numbered from the first of the flex group on.
        """

    def metadata_gap(self) -> int:
        """Blocks to leave to files before the next of them, as long as there are any to spare."""
        return 0

    def backup_numbers(self, count: int) -> Sequence[int] | None:  # noqa: ARG002
        """Which groups hold the ``count`` backups of the superblock: one number from 0 up for each.

        Number n is the group 1 + n % (groups - 1), so that the same answer is right for images of
        all sizes; two that are the same group are one backup. None: group 1 and the last one. It is
        asked only with the feature sparse_super2, as without it the format says which groups.
        """
        return None

    def journal_extra(self) -> int:
        """How many blocks, up to 65,536, a journal of automatic size is larger than usual.

        An image of a given size has them only if they are less than a sixteenth of its blocks.
        """
        return 0

    def journal_places(
        self,
        clusters: int,  # noqa: ARG002
        most: int,  # noqa: ARG002
    ) -> Sequence[tuple[int, int]] | None:
        """Where a journal of ``clusters`` clusters lies: (first, length) of each of its pieces.

        They come in the order of the journal. ``first`` counts the clusters without fixed metadata
        from the beginning of the image on; all pieces end at ``most`` or before, and take
        ``clusters`` together. None: in one piece, before all files. It is not asked with
        ``Spec.journal_location``.
        """
        return None

    def block_mapped(self, blocks: int) -> bool:  # noqa: ARG002
        """Whether a file or directory of ``blocks`` blocks has a block map in place of extents."""
        return False

    def unwritten_blocks(self, hole: int) -> int:  # noqa: ARG002
        """How many of the ``hole`` blocks of a hole, from its start on, are unwritten blocks."""
        return 0

    def blocks_past_end(self, blocks: int) -> int:  # noqa: ARG002
        """How many unwritten blocks, up to 32,767, follow the end of a file of ``blocks`` blocks.

        Unwritten blocks are left out of an image of a given size that has no room for them.
        """
        return 0

    def generation(self) -> int:
        """``i_generation`` of the next inode: how often its number was used, or any 32 bits."""
        return 0

    def extra_isize(self, least: int, most: int, usual: int) -> int:  # noqa: ARG002
        """``i_extra_isize`` of an inode without attributes: 0, or from 4 to ``most`` by fours.

        ``least`` bytes are needed for its times and its project. With fewer than 24 it has no time
        of its creation, unless the tree gives it one.
        """
        return usual

    def unused_inodes(self, count: int) -> int:
        """How many of the last ``count`` inodes of a table ``bg_itable_unused`` counts."""
        return count

    def deleted_inode(self) -> bool:
        """Whether the next free inode that is not counted so holds what a deleted file left."""
        return False

    def uninit(self, flag: str) -> bool:  # noqa: ARG002
        """Whether a group that may have ``flag`` has it.

        It is ``BLOCK_UNINIT``, ``INODE_UNINIT`` or ``INODE_ZEROED``.
        """
        return True

    def journal_state(self, room: JournalRoom) -> JournalState | None:  # noqa: ARG002
        """What a journal inside the image holds that is not recovered yet; None is nothing.

        It is asked last, when all places are known. Whoever mounts the image recovers it.
        """
        return None

    def orphan_state(self, room: OrphanRoom) -> OrphanState | None:  # noqa: ARG002
        """Which inodes wait to be deleted or cut by whoever mounts the image; None: there are none.

        It is asked before any file has a place, and not with the feature quota.
        """
        return None

    def mmp_state(self, epoch: int) -> MmpState | None:  # noqa: ARG002
        """What multi-mount protection says of earlier hosts; None: there were none.

        It is asked with the feature mmp. ``epoch`` is the time of the file system itself, in
        seconds since 1970.
        """
        return None


DEFAULT_POLICY = LayoutPolicy()
