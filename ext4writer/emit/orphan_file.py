"""The orphan file: no orphans, but a tail in each block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..ondisk.orphan import EXT4_ORPHAN_BLOCK_MAGIC, ORPHAN_BLOCK_TAIL
from ..ondisk.units import Unit, UnitKind
from ..planning.layout import ImagePlan
from ..planning.placement import PlacedFile
from ..planning.system_files import SystemFile


def orphan_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    """Yield each of its blocks (lib/ext2fs/orphan.c:ext2fs_create_orphan_file)."""
    size = layout.block_size
    tail = ORPHAN_BLOCK_TAIL.pack({"ob_magic": EXT4_ORPHAN_BLOCK_MAGIC})
    for run in placed.runs:
        for place in range(run.length):
            yield Unit(
                UnitKind.ORPHAN_BLOCK,
                file.ino,
                run.logical + place,
                (run.physical + place) * size,
                size,
                partial(tail.rjust, size, b"\0"),
            )
