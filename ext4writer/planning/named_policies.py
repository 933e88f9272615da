"""Policies that make one kind of unusual choice each; all of them are legal."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

from .journal_choices import journal_pieces
from .policy import Item, LayoutPolicy
from .random_policy import SeededPolicy
from .states.journal_policies import JOURNAL_POLICIES
from .states.mmp import MMP_POLICIES
from .states.orphan_policies import ORPHAN_POLICIES
from .states.random_recovery import RandomRecovery


class _Pieces(SeededPolicy):
    """Files in pieces, and directories as usual."""

    sequential = False


class OneBlockRuns(_Pieces):
    """Each block of a file is a separate extent, with a free block after it."""

    name = "one-block-runs"

    def run_lengths(self, blocks: int) -> list[int]:
        return [1] * blocks

    def gap(self) -> int:
        return 1


class ShortRuns(_Pieces):
    """Extents of one to eight blocks."""

    name = "short-runs"

    def run_lengths(self, blocks: int) -> list[int]:
        lengths = []
        while blocks:
            lengths.append(min(blocks, 1 + self.below(8)))
            blocks -= lengths[-1]
        return lengths

    def gap(self) -> int:
        return self.below(2)


class Gaps(_Pieces):
    """Free blocks after each file."""

    name = "gaps"

    def gap(self) -> int:
        return 1 + self.below(4)


class Interleaved(ShortRuns):
    """Pieces of different files, interleaved."""

    name = "interleaved"

    def shuffle(self, items: MutableSequence[Item]) -> None:
        self.mix(items)


class Backwards(_Pieces):
    """Pieces of files in reverse order."""

    name = "backwards"

    def run_lengths(self, blocks: int) -> list[int]:
        return [2] * (blocks // 2) + [1] * (blocks % 2)

    def shuffle(self, items: MutableSequence[Item]) -> None:
        items.reverse()


class ScatteredFiles(_Pieces):
    """Files in one piece, in random order."""

    name = "scattered-files"

    def shuffle(self, items: MutableSequence[Item]) -> None:
        self.mix(items)


class OtherGroups(_Pieces):
    """Files and their inodes in other groups than their directories, if there are others."""

    name = "other-groups"

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:
        numbers = [first + 5 * number + self.below(5) for number in range(count)]
        self.mix(numbers)
        return numbers

    def shuffle(self, items: MutableSequence[Item]) -> None:
        self.mix(items)

    def gap(self) -> int:
        return self.below(100)


class InodeGaps(SeededPolicy):
    """Free inodes between those in use."""

    name = "inode-gaps"

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:
        numbers = []
        for _ in range(count):
            first += self.below(4)
            numbers.append(first)
            first += 1
        return numbers


class InodeShuffle(SeededPolicy):
    """Inodes in random order."""

    name = "inode-shuffle"

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:
        numbers = list(range(first, first + count))
        self.mix(numbers)
        return numbers


class InodesBackwards(SeededPolicy):
    """Inodes in reverse order."""

    name = "inodes-backwards"

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:
        return range(first + count - 1, first - 1, -1)


class EntryShuffle(_Pieces):
    """Names in random order."""

    name = "entry-shuffle"

    def entry_order(self, names: list[bytes]) -> list[bytes]:
        mixed = list(names)
        self.mix(mixed)
        return mixed


class EntriesBackwards(_Pieces):
    """Names in reverse order."""

    name = "entries-backwards"

    def entry_order(self, names: list[bytes]) -> list[bytes]:
        return names[::-1]


class Slack(_Pieces):
    """Directory blocks that are partly full, with long records at their ends."""

    name = "slack"

    def leaf_bytes(self, capacity: int) -> int:
        return self.below(capacity)


class OneEntryLeaves(_Pieces):
    """One name in each directory block."""

    name = "one-entry-leaves"

    def leaf_bytes(self, capacity: int) -> int:  # noqa: ARG002
        return 0


class RecordSlack(Slack):
    """Entries with longer records than they need, anywhere in a block."""

    name = "record-slack"

    def record_slack(self, room: int) -> int:
        return 4 * self.below(1 + min(room // 4, 12))


class DeletedNames(RecordSlack):
    """Names of deleted files wherever a directory block has space for one."""

    name = "deleted-names"

    def deleted_name(self, room: int) -> bytes:
        return b"deleted-%d" % self.below(10**6) if room >= 24 else b"x"


class EmptyBlocks(OneEntryLeaves):
    """Empty directory blocks, with and without an index."""

    name = "empty-blocks"

    def empty_blocks(self) -> int:
        return self.below(3)


class EmptyTail(_Pieces):
    """Empty blocks at the ends of directories, as if reserved for growth."""

    name = "empty-tail"

    def empty_blocks(self) -> int:
        return 4


class MetadataShuffle(SeededPolicy):
    """Bitmaps and inode tables of a flex group in random order."""

    name = "metadata-shuffle"
    moves_metadata = True

    def metadata_order(self, items: MutableSequence[tuple[str, int]]) -> None:
        self.mix(items)


class MetadataGaps(SeededPolicy):
    """Blocks of files between bitmaps and inode tables."""

    name = "metadata-gaps"
    moves_metadata = True

    def metadata_gap(self) -> int:
        return self.below(12)


class MetadataBackwards(SeededPolicy):
    """Inode tables before bitmaps, and the last group of a flex group first."""

    name = "metadata-backwards"
    moves_metadata = True

    def metadata_order(self, items: MutableSequence[tuple[str, int]]) -> None:
        items.reverse()


class MetadataAcross(MetadataShuffle):
    """Bitmaps and inode tables in any flex group, not only that of their group."""

    name = "metadata-across"
    crosses_flex_groups = True


class BackupGroups(SeededPolicy):
    """Superblock backups in any two groups, with the feature sparse_super2."""

    name = "backup-groups"

    def backup_numbers(self, count: int) -> Sequence[int] | None:
        return [self.below(1 << 32) for _ in range(count)]


class JournalLast(SeededPolicy):
    """A journal after all files, as late in the image as possible."""

    name = "journal-last"

    def journal_places(self, clusters: int, most: int) -> Sequence[tuple[int, int]] | None:
        return [(most - clusters, clusters)]


class JournalBetween(SeededPolicy):
    """A journal in one piece between the files."""

    name = "journal-between"

    def journal_places(self, clusters: int, most: int) -> Sequence[tuple[int, int]] | None:
        return [(self.below(most - clusters + 1), clusters)]


class JournalPieces(SeededPolicy):
    """A journal in pieces, in random order between the files."""

    name = "journal-pieces"

    def journal_places(self, clusters: int, most: int) -> Sequence[tuple[int, int]] | None:
        return journal_pieces(self, clusters, most, 2 + self.below(20))


class JournalLarger(SeededPolicy):
    """A journal up to 1,024 blocks larger than usual, if its size is automatic."""

    name = "journal-larger"

    def journal_extra(self) -> int:
        return 1 + self.below(1024)


class BlockMaps(SeededPolicy):
    """Block maps for half of the files and directories, and extents for the others."""

    name = "block-maps"

    def block_mapped(self, blocks: int) -> bool:  # noqa: ARG002
        return self.below(2) == 0


class UnwrittenHoles(SeededPolicy):
    """Unwritten blocks from the start of a hole, up to all of it."""

    name = "unwritten-holes"

    def unwritten_blocks(self, hole: int) -> int:
        return self.below(hole) + 1


class PastEnd(SeededPolicy):
    """Unwritten blocks past the ends of files, as fallocate leaves them."""

    name = "past-end"

    def blocks_past_end(self, blocks: int) -> int:
        return 1 + self.below(2 * min(blocks, 64) + 8)


class Linear(SeededPolicy):
    """No directory has an index."""

    name = "linear"

    def indexed(self, blocks: int) -> bool:  # noqa: ARG002
        return False


class DeepIndex(OneEntryLeaves):
    """Two entries in each node of an index, so that a few names fill all levels."""

    name = "deep-index"

    def index_entries(self, limit: int) -> int:  # noqa: ARG002
        return 2


class LooseExtents(OneBlockRuns):
    """One free entry in each node of an extent tree, as the kernel leaves after a split."""

    name = "loose-extents"

    def extent_entries(self, limit: int) -> int:
        return limit - 1


class DeepExtents(OneBlockRuns):
    """Two entries in each node of an extent tree, so that 65 blocks need five levels.

    e2fsck offers to optimize such a tree; ``e2fsck -E no_optimize_extents`` does not.
    """

    name = "deep-extents"

    def extent_entries(self, limit: int) -> int:  # noqa: ARG002
        return 2


class XattrBlocks(SeededPolicy):
    """Attributes in separate blocks, shared if they are equal."""

    name = "xattr-blocks"

    def xattrs_outside(self) -> bool:
        return True


class XattrsUnshared(XattrBlocks):
    """A separate attribute block for each file."""

    name = "xattrs-unshared"

    def xattrs_shared(self) -> bool:
        return False


class XattrInodes(SeededPolicy):
    """Attribute values in their own inodes, however short, with the feature ea_inode."""

    name = "xattr-inodes"

    def xattr_value_apart(self, size: int) -> bool:  # noqa: ARG002
        return True


class XattrInodesApart(XattrInodes):
    """The same with an inode for each value of each file, even if values are equal."""

    name = "xattr-inodes-apart"

    def xattr_values_shared(self) -> bool:
        return False


class NothingInline(SeededPolicy):
    """With inline_data, only short symbolic links inside their inodes."""

    name = "nothing-inline"

    def inline(self, size: int) -> bool:  # noqa: ARG002
        return False


class Generations(SeededPolicy):
    """Inodes with random generations, as if their numbers had been used before."""

    name = "generations"

    def generation(self) -> int:
        return self.below(1 << 32)


class ExtraSizes(SeededPolicy):
    """Extra fields of all sizes, from none to the entire inode."""

    name = "extra-sizes"

    def extra_isize(self, least: int, most: int, usual: int) -> int:
        limit = (usual, most)[self.below(2)]
        return least + 4 * self.below((limit - least) // 4 + 1)


class OldTimes(SeededPolicy):
    """No extra time fields and no creation time, unless the tree needs them."""

    name = "old-times"

    def extra_isize(self, least: int, most: int, usual: int) -> int:  # noqa: ARG002
        return max(least, 4)


class DeletedInodes(InodeGaps):
    """Free inodes with remains of deleted files, between those in use and after them."""

    name = "deleted-inodes"

    def unused_inodes(self, count: int) -> int:
        return self.below(count + 1)

    def deleted_inode(self) -> bool:
        return True

    def generation(self) -> int:
        return self.below(1 << 16)


class UnusedInodes(SeededPolicy):
    """Inode tables in which some or all of the free inodes count as used before."""

    name = "unused-inodes"

    def unused_inodes(self, count: int) -> int:
        return self.below(count + 1)


class Initialized(SeededPolicy):
    """All bitmaps are written, and no inode table is marked as zeroed."""

    name = "initialized"

    def uninit(self, flag: str) -> bool:  # noqa: ARG002
        return False


_KINDS: tuple[type[SeededPolicy], ...] = (
    *(OneBlockRuns, ShortRuns, Gaps, Interleaved, Backwards, ScatteredFiles, OtherGroups),
    *(InodeGaps, InodeShuffle, InodesBackwards),
    *(EntryShuffle, EntriesBackwards, Slack, OneEntryLeaves, Linear, DeepIndex),
    *(DeepExtents, LooseExtents),
    *(RecordSlack, DeletedNames, EmptyBlocks, EmptyTail),
    *(MetadataShuffle, MetadataGaps, MetadataBackwards, MetadataAcross, BackupGroups),
    *(JournalLast, JournalBetween, JournalPieces, JournalLarger),
    *(BlockMaps, UnwrittenHoles, PastEnd),
    *(XattrBlocks, XattrsUnshared, XattrInodes, XattrInodesApart, NothingInline),
    *(Generations, ExtraSizes, OldTimes, DeletedInodes, UnusedInodes, Initialized),
    *(*JOURNAL_POLICIES, *ORPHAN_POLICIES, *MMP_POLICIES, RandomRecovery),
)
NAMED: dict[str, type[SeededPolicy]] = {kind.name: kind for kind in _KINDS}


def described() -> dict[str, str]:
    """Return what each policy does, by name."""
    policies: dict[str, type[LayoutPolicy]] = {**NAMED}
    return {name: (kind.__doc__ or "").split("\n")[0] for name, kind in policies.items()}
