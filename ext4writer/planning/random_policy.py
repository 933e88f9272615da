"""Layouts that mkfs never creates, always the same for the same seed."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import TYPE_CHECKING

from ..arguments import count_of
from ..bits import MASK_64, splitmix64
from ..checked import checked_if_it_fails, converted_argument
from .policy import Item, LayoutPolicy

if TYPE_CHECKING:
    from ..ondisk.features import FeatureSet

_OTHERS = 0x5DEECE66D
_LATER = 0xB5026F5AA96619E9
"""Constants that give one seed further sequences of numbers."""


class SeededPolicy(LayoutPolicy):
    """Draws numbers from ``seed``, the same on every host."""

    needs = ""
    """A feature without which it cannot do what its name says; "" if it needs none."""

    def __init__(self, seed: int = 0) -> None:
        """Raises :class:`SpecError` for a seed that is not an integer."""
        self.seed = converted_argument("seed", seed, count_of)
        self._state = self.seed & MASK_64

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}:{self.seed}>"

    def fresh(self) -> LayoutPolicy:
        return type(self)(self.seed)

    def below(self, limit: int) -> int:
        """Return a number from 0 to ``limit`` - 1."""
        self._state, number = splitmix64(self._state)
        return number % limit

    def mix(self, items: MutableSequence[Item]) -> None:
        """Shuffle ``items`` in place."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]


class RandomPolicy(SeededPolicy):
    """Draws every free choice from ``seed``; the choices depend on nothing else."""

    sequential = False

    @checked_if_it_fails
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.name = f"random:{self.seed}"
        # A separate sequence, so that locations do not depend on the other choices.
        self._others = SeededPolicy(self._state ^ _OTHERS)
        self._habits = self._others.below(1 << 32)
        self.moves_metadata = self._has_habit(13)
        # A third sequence, so that choices that were added later do not change the earlier ones.
        self._later = SeededPolicy(self._state ^ _LATER)
        self.crosses_flex_groups = self._has_habit(14)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def _has_habit(self, number: int) -> bool:
        """Whether this seed has a habit; half of all seeds do, so no layout has all habits."""
        return bool(self._habits >> number & 1)

    def _now_and_then(self, habit: int, times: int) -> bool:
        return self._has_habit(habit) and self._others.below(times) == 0

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

    def metadata_order(self, items: MutableSequence[tuple[str, int]]) -> None:
        self._others.mix(items)

    def metadata_gap(self) -> int:
        return self._others.below(9) if self._now_and_then(12, 2) else 0

    def backup_numbers(self, count: int) -> Sequence[int] | None:
        if not self._has_habit(15):
            return None
        return [self._later.below(1 << 32) for _ in range(count)]

    def journal_extra(self) -> int:
        return self._later.below(300) if self._has_habit(16) else 0

    def journal_places(self, clusters: int, most: int) -> Sequence[tuple[int, int]] | None:
        if not self._has_habit(17):
            return None
        from .journal_choices import journal_pieces

        return journal_pieces(self._later, clusters, most, (1, 2, 9)[self._later.below(3)])

    def extent_entries(self, limit: int) -> int:
        # e2fsck does not offer to rebuild a tree with one free entry in each node.
        return limit - 1 if self._has_habit(18) else limit

    def xattr_value_apart(self, size: int) -> bool:  # noqa: ARG002
        return self._has_habit(19) and self._later.below(3) == 0

    def block_mapped(self, blocks: int) -> bool:  # noqa: ARG002
        return self._now_and_then(9, 4)

    def unwritten_blocks(self, hole: int) -> int:
        return 1 + self._others.below(min(hole, 200)) if self._now_and_then(10, 3) else 0

    def blocks_past_end(self, blocks: int) -> int:  # noqa: ARG002
        return 1 + self._others.below(20) if self._now_and_then(11, 4) else 0

    def index_entries(self, limit: int) -> int:
        return 2 + self._others.below(limit - 1) if self._now_and_then(0, 2) else limit

    def empty_blocks(self) -> int:
        return 1 + self._others.below(3) if self._now_and_then(1, 4) else 0

    def record_slack(self, room: int) -> int:
        return 4 * self._others.below(1 + min(room // 4, 20)) if self._now_and_then(2, 4) else 0

    def deleted_name(self, room: int) -> bytes:
        if not self._now_and_then(3, 3):
            return b""
        length = 1 + self._others.below(min(room - 8, 255))
        return bytes([97 + self._others.below(26)]) * length

    def generation(self) -> int:
        return self._others.below(1 << 32) if self._now_and_then(4, 2) else 0

    def extra_isize(self, least: int, most: int, usual: int) -> int:
        if not self._now_and_then(5, 2):
            return usual
        limit = (usual, most)[self._others.below(2)]
        return least + 4 * self._others.below((limit - least) // 4 + 1)

    def unused_inodes(self, count: int) -> int:
        return self._others.below(count + 1) if self._now_and_then(6, 2) else count

    def deleted_inode(self) -> bool:
        return self._now_and_then(7, 2)

    def uninit(self, flag: str) -> bool:  # noqa: ARG002
        return not self._now_and_then(8, 2)


class RandomFeatures(RandomPolicy):
    """Like :class:`RandomPolicy`, but draws features, too: each may be added or removed.

    The planner asks for them, and keeps features that the tree or other options need.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.name = f"random-features:{seed}"

    def feature_words(self, usual: FeatureSet) -> list[str]:
        """Return words such as ``quota`` and ``^extent`` that change ``usual``, always the same."""
        from .random_features import random_features  # imported late: most images have none

        return random_features(usual, SeededPolicy(~self.seed & MASK_64).below)
