"""The orphan file: a tail in each block, and orphans where a policy leaves some."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import partial

from ..ondisk.orphan import EXT4_ORPHAN_BLOCK_MAGIC, ORPHAN_BLOCK_TAIL, orphans_per_block
from ..ondisk.record import HOST_IS_BIG_ENDIAN
from ..ondisk.units import Unit, UnitKind
from ..planning.layout import ImagePlan
from ..planning.placement import PlacedFile
from ..planning.system_files import SystemFile


def orphan_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    """Yield the blocks of the orphan file (lib/ext2fs/orphan.c:ext2fs_create_orphan_file)."""
    size = layout.block_size
    tail = ORPHAN_BLOCK_TAIL.pack({"ob_magic": EXT4_ORPHAN_BLOCK_MAGIC})
    for run in placed.runs:
        for place in range(run.length):
            number = run.logical + place
            yield Unit(
                UnitKind.ORPHAN_BLOCK,
                file.ino,
                number,
                (run.physical + place) * size,
                size,
                partial(_block, layout, number, tail),
            )


def _block(layout: ImagePlan, number: int, tail: bytes) -> bytes:
    """Build one block: an inode number in each entry that is in use, and the tail."""
    size = layout.block_size
    if layout.orphans is None or not layout.orphans.slots:
        return tail.rjust(size, b"\0")
    count = orphans_per_block(size)
    entries = array("I", bytes(4 * count))
    for slot, ino in layout.orphans.slots:
        if slot // count == number:
            entries[slot % count] = ino
    if HOST_IS_BIG_ENDIAN:
        entries.byteswap()
    return entries.tobytes() + tail
