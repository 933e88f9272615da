"""Files without a name, which belong to the file system itself: one module for each.

Common loops allocate the blocks of all of them (placement.py), count these (solution.py) and write
inodes, mappings and contents (emit/system_files.py).
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
