"""A policy that draws every choice, including what an unclean shutdown left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..random_policy import RandomPolicy, SeededPolicy
from .journal import JournalRoom, JournalState
from .journal_policies import JOURNAL_POLICIES, FastCommitNames
from .mmp import MmpClean, MmpState
from .orphan_policies import ORPHAN_POLICIES

if TYPE_CHECKING:
    from .orphans import OrphanRoom, OrphanState


_OF_ALL_MOUNTS = tuple(policy for policy in JOURNAL_POLICIES if policy is not FastCommitNames)
"""Policies whose journals a read-only mount recovers, too."""


class RandomRecovery(RandomPolicy):
    """All choices of random, and what needs recovery: a journal, orphans, earlier hosts."""

    name = "random-recovery"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.name = f"random-recovery:{seed}"
        self._left = SeededPolicy(seed)

    def orphan_state(self, room: OrphanRoom) -> OrphanState | None:
        number = self._left.below(len(ORPHAN_POLICIES) + 1)
        if number == len(ORPHAN_POLICIES):
            return None
        return ORPHAN_POLICIES[number](self.seed).orphan_state(room)

    def mmp_state(self, epoch: int) -> MmpState | None:
        # Not MmpCrashed, which makes mounts wait.
        return MmpClean(self.seed).mmp_state(epoch) if self._left.below(2) else None

    def journal_state(self, room: JournalRoom) -> JournalState | None:
        number = self._left.below(len(_OF_ALL_MOUNTS) + 1)
        if number == len(_OF_ALL_MOUNTS):
            return None
        policy = _OF_ALL_MOUNTS[number]
        wanted = getattr(policy, "checksum", None)
        if wanted is not None and wanted not in room.checksums:
            return None
        return policy(self.seed).journal_state(room)
