"""System files, which belong to the file system itself and have no name: one module for each.

Common loops allocate their blocks (placement.py), count these (solution.py) and write their inodes,
mappings and contents (emit/system_files.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...late_dataclasses import NamedTuple
from ...ondisk.format import Format
from ...ondisk.superblock import EXT4_GOOD_OLD_FIRST_INO
from ..inodes import InodeTable
from ..spec import JournalLocation, Spec
from ..xattrs import XattrPlan
from .base import QUOTA_PURPOSE, SystemFile
from .journal import journal_blocks, journal_file
from .mmp import mmp_block
from .orphan_file import ORPHAN_FILE_PURPOSE, orphan_file, orphan_file_blocks
from .resize_inode import resize_inode_file

if TYPE_CHECKING:
    from .bad_blocks import BadBlocks

__all__ = [
    "SystemFile",
    "SystemSizes",
    "system_files",
    "system_files_of_tree",
    "system_sizes",
    "unnamed_inodes",
]


class SystemSizes(NamedTuple):
    """The sizes of system files that depend on the size of the file system, in blocks."""

    reserved_gdt_blocks: int
    journal: int
    """Blocks of an internal journal, including those for fast commits."""
    orphan_file: int
    orphan_file_ino: int
    journal_location: JournalLocation = None
    """In bytes."""
    bad_blocks: BadBlocks | None = None
    """The bad blocks in the file system."""


def system_sizes(
    spec: Spec, fmt: Format, blocks_count: int, reserved_gdt_blocks: int
) -> SystemSizes:
    """Return the sizes in a file system of ``blocks_count`` blocks.

    With the same reserve, no size shrinks as ``blocks_count`` grows.
    """
    journal = journal_blocks(spec, fmt, blocks_count, reserved_gdt_blocks)
    bad = None
    if spec.bad_blocks:
        from .bad_blocks import BadBlocks

        bad = BadBlocks.of(spec, fmt, blocks_count)
    # mke2fs creates no orphan file without a journal, either (misc/mke2fs.c:main).
    has_journal = bool(journal) or spec.journal_device
    orphan_blocks = (
        orphan_file_blocks(fmt, blocks_count, spec.orphan_file_size) if has_journal else 0
    )
    if spec.journal_device:
        journal = 0
    return SystemSizes(
        reserved_gdt_blocks,
        journal,
        orphan_blocks,
        _orphan_ino(spec, fmt),
        spec.journal_location,
        bad,
    )


def unnamed_inodes(spec: Spec, fmt: Format) -> dict[str, int]:
    """Return the inode numbers of system files beyond the reserved ones, by purpose.

    They follow ``lost+found`` in the order of mke2fs (misc/mke2fs.c:main). The orphan file is the
    last, because it may be left out together with the journal.
    """
    purposes = [QUOTA_PURPOSE] * (fmt.quota and fmt.project)
    purposes += [ORPHAN_FILE_PURPOSE] * fmt.orphan_file
    first = EXT4_GOOD_OLD_FIRST_INO + spec.lost_and_found
    return {purpose: first + place for place, purpose in enumerate(purposes)}


def _orphan_ino(spec: Spec, fmt: Format) -> int:
    return unnamed_inodes(spec, fmt)[ORPHAN_FILE_PURPOSE] if fmt.orphan_file else 0


def system_files_of_tree(
    spec: Spec, fmt: Format, table: InodeTable, xattrs: XattrPlan
) -> tuple[SystemFile, ...]:
    """Return the files whose sizes depend only on the tree."""
    files: list[SystemFile] = []
    if fmt.quota:
        from .quota import quota_files

        project_ino = unnamed_inodes(spec, fmt).get(QUOTA_PURPOSE, 0)
        files += quota_files(spec, fmt, table, project_ino)
    if xattrs.values:
        from .xattr_values import xattr_values

        files += xattr_values(fmt, table.value_inos, xattrs)
    return tuple(files)


def system_files(fmt: Format, groups: int, sizes: SystemSizes) -> tuple[SystemFile, ...]:
    """Return the files of an image of ``groups`` groups, in the order in which they are placed."""
    bad = None
    if sizes.bad_blocks:
        from .bad_blocks import bad_blocks_file

        bad = bad_blocks_file(fmt, sizes.bad_blocks)
    files = (
        bad,
        resize_inode_file(fmt, groups, sizes.reserved_gdt_blocks),
        journal_file(fmt, sizes.journal, sizes.journal_location),
        mmp_block(fmt),
        orphan_file(fmt, sizes.orphan_file, sizes.orphan_file_ino),
    )
    return tuple(file for file in files if file is not None)
