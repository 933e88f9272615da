"""The legal choices of a layout, and who makes them.

Whatever a policy answers, e2fsck accepts the image and the kernel reads it: the planner asks only
for choices that are free. :class:`LayoutPolicy` is the compact layout; :class:`RandomPolicy` makes
layouts that mkfs never makes, always the same for the same seed.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import TypeVar

Item = TypeVar("Item")


class LayoutPolicy:
    """The compact default; subclasses override the choices that they change."""

    name = "default"

    sequential = True
    """Files are placed whole, one after the other, and blocks of directories are filled.

    Only if the policy is not sequential, the planner calls ``run_lengths``, ``shuffle``, ``gap``
    and ``leaf_bytes``, and ``entry_order`` for directories of one block.
    """

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
        tree that could be much narrower, unless it is told ``-E no_optimize_extents``.
        """
        return limit

    def xattrs_outside(self) -> bool:
        """Whether a set of xattrs goes into a block even if it fits into the inode."""
        return False

    def xattrs_shared(self) -> bool:
        """Whether nodes with equal sets share a block."""
        return True


DEFAULT_POLICY = LayoutPolicy()


MASK_64 = (1 << 64) - 1


class SeededPolicy(LayoutPolicy):
    """Draws numbers from ``seed``, the same on every host."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._state = seed & MASK_64

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}:{self.seed}>"

    def fresh(self) -> LayoutPolicy:
        return type(self)(self.seed)

    def _next(self) -> int:
        """SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every Python."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & MASK_64
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK_64
        return z ^ (z >> 31)

    def below(self, limit: int) -> int:
        """A number from 0 up to ``limit``, which is not reached."""
        return self._next() % limit

    def mix(self, items: MutableSequence[Item]) -> None:
        """Put ``items`` into any order."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]


class RandomPolicy(SeededPolicy):
    """Draws every free choice from ``seed``; the choices depend on nothing else."""

    sequential = False

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.name = f"random:{seed}"

    def __repr__(self) -> str:
        return f"<RandomPolicy {self.name}>"

    def inode_numbers(self, count: int, first: int) -> Sequence[int] | None:
        numbers = []
        number = first
        for _ in range(count):
            number += self.below(4) if self.below(8) == 0 else 0
            numbers.append(number)
            number += 1
        self.shuffle(numbers)
        return numbers

    def run_lengths(self, blocks: int) -> list[int]:
        longest = (1, 1, 3, 17, 300, blocks)[self.below(6)]
        lengths = []
        while blocks:
            length = min(blocks, 1 + self.below(longest))
            lengths.append(length)
            blocks -= length
        return lengths

    def shuffle(self, items: MutableSequence[Item]) -> None:
        self.mix(items)

    def gap(self) -> int:
        return self.below(5) if self.below(4) == 0 else 0

    def entry_order(self, names: list[bytes]) -> list[bytes]:
        names = list(names)
        self.shuffle(names)
        return names

    def indexed(self, blocks: int) -> bool:
        return blocks > 1 and self.below(4) != 0

    def leaf_bytes(self, capacity: int) -> int:
        return self.below(capacity) if self.below(2) else capacity

    def inline(self, size: int) -> bool:  # noqa: ARG002
        return self.below(4) != 0

    def xattrs_outside(self) -> bool:
        return self.below(2) == 0

    def xattrs_shared(self) -> bool:
        return self.below(2) == 0
