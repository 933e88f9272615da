"""Orphans: inodes that are to be deleted or truncated on the next writable mount.

Rules: fs/ext4/orphan.c:ext4_orphan_cleanup and Documentation/filesystems/ext4/orphan.rst.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ..errors import DamageError, ImageError
from ..ondisk.orphan import orphans_per_block

if TYPE_CHECKING:
    from .image import Image


def has_orphans(image: Image) -> bool:
    """Whether there are orphans, according to the superblock."""
    return bool(image.number("s_last_orphan")) or image.format.orphan_present


def orphans(image: Image) -> dict[int, int]:
    """Return the inodes in the list and in the orphan file: number -> ``i_dtime``.

    The value is 0 for those in the orphan file. The list ends at an invalid or a repeated number.
    """
    found: dict[int, int] = {}
    ino = image.number("s_last_orphan")
    while image.format.first_ino <= ino <= image.inodes_count and ino not in found:
        try:
            found[ino] = image.inode(ino).dtime
        except (DamageError, ImageError):
            break
        ino = found[ino]
    if image.format.orphan_file and image.format.orphan_present:
        for ino in _of_file(image):
            found.setdefault(ino, 0)
    return found


def _of_file(image: Image) -> list[int]:
    count, most = orphans_per_block(image.block_size), image.inodes_count
    found: list[int] = []
    try:
        for run in image.inode(image.number("s_orphan_file_inum")).runs():
            for block in range(run.physical, run.physical + run.length):
                entries = struct.unpack_from(f"<{count}I", image.block(block))
                found += (ino for ino in entries if image.format.first_ino <= ino <= most)
    except (DamageError, ImageError):
        pass
    return found
