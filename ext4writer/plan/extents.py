"""Extents, and how many blocks the tree above them needs.

Rules: Documentation/filesystems/ext4/ifork.rst, "Extent Tree".
"""

from __future__ import annotations

from typing import NamedTuple

from ..ondisk.extent import EXT_INIT_MAX_LEN, INLINE_ENTRIES


class Extent(NamedTuple):
    """``length`` blocks of a file from ``logical`` on that lie at block ``physical``."""

    logical: int
    length: int
    physical: int


def split_extent(logical: int, length: int, physical: int) -> list[Extent]:
    """Cut a run into extents of the greatest length the format has, 32,768 blocks."""
    return [
        Extent(logical + done, min(EXT_INIT_MAX_LEN, length - done), physical + done)
        for done in range(0, length, EXT_INIT_MAX_LEN)
    ]


def tree_levels(extents: int, entries_per_block: int) -> list[int]:
    """Blocks on each level of the tree below the inode, leaves last; empty if none are needed."""
    levels: list[int] = []
    below = extents
    while below > INLINE_ENTRIES:
        below = -(-below // entries_per_block)
        levels.insert(0, below)
    return levels
