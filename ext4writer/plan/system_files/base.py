"""What all files without a name have in common."""

from __future__ import annotations

from typing import NamedTuple

from ..mapping import FileMapping


class SystemFile(NamedTuple):
    """A file that no directory names, in a file system of known size. Counts are in blocks."""

    ino: int
    purpose: str
    """What a report calls its blocks."""
    size_bytes: int
    """i_size."""
    data_blocks: int
    """To be placed among the free blocks, in one piece where that is possible."""
    mapping: FileMapping
    fixed_blocks: int = 0
    """Those that belong to it, but lie in front of the groups whatever is placed."""
