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
    """Files in pieces, with directories as they usually are."""

    sequential = False


class OneBlockRuns(_Pieces):
    """Each block of a file is an extent of its own, with a free block after it."""

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
    """Pieces of different files one after the other."""

    name = "interleaved"

    def shuffle(self, items: MutableSequence[Item]) -> None:
        self.mix(items)


class Backwards(_Pieces):
    """What comes last in a file lies first."""

    name = "backwards"

    def run_lengths(self, blocks: int) -> list[int]:
        return [2] * (blocks // 2) + [1] * (blocks % 2)

    def shuffle(self, items: MutableSequence[Item]) -> None:
        items.reverse()


class ScatteredFiles(_Pieces):
    """Whole files in any order."""

    name = "scattered-files"

    def shuffle(self, items: MutableSequence[Item]) -> None:
        self.mix(items)


class OtherGroups(_Pieces):
    """Files, and their inodes, in other groups than their directories, where there are some."""

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
    """Inodes in any order."""

    name = "inode-shuffle"

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:
        numbers = list(range(first, first + count))
        self.mix(numbers)
        return numbers


class InodesBackwards(SeededPolicy):
    """The first file has the last inode."""

    name = "inodes-backwards"

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:
        return range(first + count - 1, first - 1, -1)


class EntryShuffle(_Pieces):
    """Names in any order."""

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
    """Blocks of directories that are partly full, with long records at their ends."""

    name = "slack"

    def leaf_bytes(self, capacity: int) -> int:
        return self.below(capacity)


class OneEntryLeaves(_Pieces):
    """One name in each block of a directory."""

    name = "one-entry-leaves"

    def leaf_bytes(self, capacity: int) -> int:  # noqa: ARG002
        return 0


class RecordSlack(Slack):
    """Entries with longer records than they need, in all places of a block."""

    name = "record-slack"

    def record_slack(self, room: int) -> int:
        return 4 * self.below(1 + min(room // 4, 12))


class DeletedNames(RecordSlack):
    """Names of deleted files wherever a block of a directory has room for one."""

    name = "deleted-names"

    def deleted_name(self, room: int) -> bytes:
        return b"deleted-%d" % self.below(10**6) if room >= 24 else b"x"


class EmptyBlocks(OneEntryLeaves):
    """Blocks of directories without any name, with and without an index."""

    name = "empty-blocks"

    def empty_blocks(self) -> int:
        return self.below(3)


class EmptyTail(_Pieces):
    """Blocks without names at the ends of directories, as if they were meant to grow."""

    name = "empty-tail"

    def empty_blocks(self) -> int:
        return 4


class MetadataShuffle(SeededPolicy):
    """Bitmaps and inode tables of a flex group in any order."""

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
    """Inode tables before bitmaps, and those of the last group of a flex group first."""

    name = "metadata-backwards"
    moves_metadata = True

    def metadata_order(self, items: MutableSequence[tuple[str, int]]) -> None:
        items.reverse()


class MetadataAcross(MetadataShuffle):
    """Bitmaps and inode tables in any flex group, not only in that of their group."""

    name = "metadata-across"
    crosses_flex_groups = True


class BackupGroups(SeededPolicy):
    """Backups of the superblock in any two groups, with the feature sparse_super2."""

    name = "backup-groups"

    def backup_numbers(self, count: int) -> Sequence[int] | None:
        return [self.below(1 << 32) for _ in range(count)]


class JournalLast(SeededPolicy):
    """A journal after all files, with as many free blocks before it as there may be."""

    name = "journal-last"

    def journal_places(self, clusters: int, most: int) -> Sequence[tuple[int, int]] | None:
        return [(most - clusters, clusters)]


class JournalBetween(SeededPolicy):
    """A journal in one piece between the files."""

    name = "journal-between"

    def journal_places(self, clusters: int, most: int) -> Sequence[tuple[int, int]] | None:
        return [(self.below(most - clusters + 1), clusters)]


class JournalPieces(SeededPolicy):
    """A journal in pieces that lie in any order between the files."""

    name = "journal-pieces"

    def journal_places(self, clusters: int, most: int) -> Sequence[tuple[int, int]] | None:
        return journal_pieces(self, clusters, most, 2 + self.below(20))


class JournalLarger(SeededPolicy):
    """A journal that is up to 1,024 blocks larger than usual, where its size is automatic."""

    name = "journal-larger"

    def journal_extra(self) -> int:
        return 1 + self.below(1024)


class BlockMaps(SeededPolicy):
    """Block maps for half of the files and directories, and extents for the others."""

    name = "block-maps"

    def block_mapped(self, blocks: int) -> bool:  # noqa: ARG002
        return self.below(2) == 0


class UnwrittenHoles(SeededPolicy):
    """Unwritten blocks in holes, in all of a hole or from its start on."""

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
    """Two entries in each node of an index, so that a few names make all levels."""

    name = "deep-index"

    def index_entries(self, limit: int) -> int:  # noqa: ARG002
        return 2


class LooseExtents(OneBlockRuns):
    """One free entry in each node of an extent tree, as the kernel leaves behind a split."""

    name = "loose-extents"

    def extent_entries(self, limit: int) -> int:
        return limit - 1


class DeepExtents(OneBlockRuns):
    """Two entries in each node of an extent tree, so that 65 blocks make five levels.

    e2fsck offers to make such a tree narrower; ``e2fsck -E no_optimize_extents`` does not.
    """

    name = "deep-extents"

    def extent_entries(self, limit: int) -> int:  # noqa: ARG002
        return 2


class XattrBlocks(SeededPolicy):
    """Attributes in blocks of their own, shared where they are equal."""

    name = "xattr-blocks"

    def xattrs_outside(self) -> bool:
        return True


class XattrsUnshared(XattrBlocks):
    """A block of attributes for each file."""

    name = "xattrs-unshared"

    def xattrs_shared(self) -> bool:
        return False


class XattrInodes(SeededPolicy):
    """Values of attributes in inodes of their own, however short, with the feature ea_inode."""

    name = "xattr-inodes"

    def xattr_value_apart(self, size: int) -> bool:  # noqa: ARG002
        return True


class XattrInodesApart(XattrInodes):
    """The same with an inode for each value of each file, also where values are equal."""

    name = "xattr-inodes-apart"

    def xattr_values_shared(self) -> bool:
        return False


class NothingInline(SeededPolicy):
    """With inline_data, nothing but what the kernel would not move either."""

    name = "nothing-inline"

    def inline(self, size: int) -> bool:  # noqa: ARG002
        return False


class Generations(SeededPolicy):
    """Inodes whose numbers were used before, each a number of times of its own."""

    name = "generations"

    def generation(self) -> int:
        return self.below(1 << 32)


class ExtraSizes(SeededPolicy):
    """Extra fields of all sizes, from none at all to all of the inode."""

    name = "extra-sizes"

    def extra_isize(self, least: int, most: int, usual: int) -> int:
        limit = (usual, most)[self.below(2)]
        return least + 4 * self.below((limit - least) // 4 + 1)


class OldTimes(SeededPolicy):
    """No extra words of times, and no time of creation, where the tree does not need them."""

    name = "old-times"

    def extra_isize(self, least: int, most: int, usual: int) -> int:  # noqa: ARG002
        return max(least, 4)


class DeletedInodes(InodeGaps):
    """Free inodes that hold what deleted files left, between those in use and after them."""

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
    """All bitmaps are written, and no inode table is said to be zeroed."""

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
    """What each policy does, by name."""
    policies: dict[str, type[LayoutPolicy]] = {**NAMED}
    return {name: (kind.__doc__ or "").split("\n")[0] for name, kind in policies.items()}
