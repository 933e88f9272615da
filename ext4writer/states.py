"""The state that an unclean shutdown leaves behind, for your own subclasses of ``LayoutPolicy``.

``journal_state`` returns a :class:`JournalState`, ``orphan_state`` an :class:`OrphanState`, and
``mmp_state`` a :class:`MmpState`; None stands for a clean shutdown. An illegal state raises
:class:`~ext4writer.SpecError`. docs/damage.md has an example.
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
