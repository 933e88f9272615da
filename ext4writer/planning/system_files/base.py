"""The common type of system files."""

from __future__ import annotations

from typing import Literal

from ...late_dataclasses import NamedTuple
from ...nodes import S_IFREG
from ..mapping import FileMapping

QUOTA_PURPOSE = "quota"
XATTR_VALUE_PURPOSE = "xattr values"
ORPHANS_PURPOSE = "orphans"

NO_INODE = 0
"""Instead of an inode number: blocks that only the superblock refers to."""


class SystemFile(NamedTuple):
    """A file that no directory names, in a file system of known size. Counts are in blocks."""

    ino: int
    """Or ``NO_INODE``."""
    purpose: str
    """The name of its blocks in the report."""
    size_bytes: int
    """i_size."""
    data_blocks: int
    """Blocks to allocate from the free ones, in one piece if possible."""
    mapping: FileMapping
    fixed_blocks: int = 0
    """Its blocks at fixed locations at the start of groups."""
    goal: int | Literal["middle"] | None = None
    """The block where the search for free blocks starts; None places it in turn with the others."""
    places: tuple[int, ...] = ()
    """Its block numbers, ascending, if they are not for the planner to choose."""
    mode: int = S_IFREG | 0o600
    """``i_mode``; if it is 0, the inode has no links, either."""
    inode_flags: int = 0
    """Bits of ``i_flags`` besides those of the mapping."""
