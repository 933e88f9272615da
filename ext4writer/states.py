"""What an unclean end left behind, for policies of your own: answers of ``LayoutPolicy``.

``journal_state`` answers with a :class:`JournalState`, ``orphan_state`` with an
:class:`OrphanState`, ``mmp_state`` with a :class:`MmpState`; None is a clean end. What is not
legal is a :class:`~ext4writer.SpecError`. docs/damage.md has an example.
"""

from __future__ import annotations

from .planning.states.journal import (
    FastChange,
    FastFile,
    JournalBlock,
    JournalRoom,
    JournalState,
    Transaction,
    Write,
)
from .planning.states.mmp import MmpState
from .planning.states.orphans import DeletedFile, OrphanRoom, OrphanState, TruncatedFile

__all__ = [
    "DeletedFile",
    "FastChange",
    "FastFile",
    "JournalBlock",
    "JournalRoom",
    "JournalState",
    "MmpState",
    "OrphanRoom",
    "OrphanState",
    "Transaction",
    "TruncatedFile",
    "Write",
]
