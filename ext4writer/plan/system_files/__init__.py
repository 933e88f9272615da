"""Files without a name, which the file system keeps for itself: one module for each.

Whatever such a file is, one loop each gives it blocks (placement.py), counts them (solution.py) and
writes its inode, its mapping and its content (emit/system_files.py).
"""

from __future__ import annotations

from ...ondisk.format import Format
from .base import SystemFile
from .journal import journal_file
from .resize_inode import resize_inode_file

__all__ = ["SystemFile", "system_files"]


def system_files(
    fmt: Format, groups: int, *, journal_blocks: int, reserved_gdt_blocks: int
) -> tuple[SystemFile, ...]:
    """Return the files of an image of ``groups`` groups, in the order in which they are placed."""
    files = (
        resize_inode_file(fmt, groups, reserved_gdt_blocks),
        journal_file(fmt, journal_blocks),
    )
    return tuple(file for file in files if file is not None)
