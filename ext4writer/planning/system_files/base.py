"""The common part of files without a name."""

from __future__ import annotations

from typing import Literal

from ...late_dataclasses import NamedTuple
from ...nodes import S_IFREG
from ..mapping import FileMapping

QUOTA_PURPOSE = "quota"
XATTR_VALUE_PURPOSE = "xattr values"
ORPHANS_PURPOSE = "orphans"

NO_INODE = 0
"""In place of an inode number: blocks that the superblock alone names."""


class SystemFile(NamedTuple):
    """A file without a name, in a file system of known size. Counts are in blocks."""

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
    """Its blocks at the start of groups, whose places are fixed."""
    goal: int | Literal["middle"] | None = None
    """The block from which on its blocks are sought, where they are not placed with the others."""
    places: tuple[int, ...] = ()
    """Where its blocks lie, if that is not for the planner to choose; ascending."""
    mode: int = S_IFREG | 0o600
    """``i_mode``; an inode without one has no links, either."""
    inode_flags: int = 0
    """Bits of ``i_flags`` besides those of the mapping."""
