"""Files without a name, which belong to the file system itself: one module for each.

Common loops allocate the blocks of all of them (placement.py), count these (solution.py) and write
inodes, mappings and contents (emit/system_files.py).
"""

from __future__ import annotations

from typing import NamedTuple

from ...ondisk.format import Format
from ..spec import Spec
from .base import SystemFile
from .journal import journal_blocks, journal_file
from .mmp import mmp_block
from .resize_inode import resize_inode_file

__all__ = ["SystemFile", "SystemSizes", "system_files", "system_sizes"]


class SystemSizes(NamedTuple):
    """What of these files depends on the size of the file system, in blocks."""

    reserved_gdt_blocks: int
    journal: int
    """With the blocks for fast commits."""


def system_sizes(
    spec: Spec, fmt: Format, blocks_count: int, reserved_gdt_blocks: int
) -> SystemSizes:
    """Return the sizes in a file system of ``blocks_count`` blocks.

    With the same reserve, none shrinks while ``blocks_count`` grows.
    """
    return SystemSizes(
        reserved_gdt_blocks, journal_blocks(spec, fmt, blocks_count, reserved_gdt_blocks)
    )


def system_files(fmt: Format, groups: int, sizes: SystemSizes) -> tuple[SystemFile, ...]:
    """Return the files of an image of ``groups`` groups, in the order in which they are placed."""
    files = (
        resize_inode_file(fmt, groups, sizes.reserved_gdt_blocks),
        journal_file(fmt, sizes.journal),
        mmp_block(fmt),
    )
    return tuple(file for file in files if file is not None)
