"""Multi-mount protection: a block that says that no host has mounted."""

from __future__ import annotations

from collections.abc import Iterator

from ..ondisk.mmp import EXT4_MMP_MAGIC, EXT4_MMP_SEQ_CLEAN, MMP
from ..ondisk.units import Unit, UnitKind
from ..planning.layout import ImagePlan
from ..planning.placement import PlacedFile
from ..planning.system_files import SystemFile


def mmp_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    """Yield the one block."""
    size, interval = layout.block_size, layout.spec.mmp_update_interval
    offset = placed.runs[0].physical * size
    yield Unit(UnitKind.MMP, file.ino, 0, offset, size, lambda: _clean(interval).ljust(size, b"\0"))


def _clean(interval: int) -> bytes:
    """What a clean unmount leaves (lib/ext2fs/mmp.c:ext2fs_mmp_reset), but no host or device."""
    return MMP.pack(
        {
            "mmp_magic": EXT4_MMP_MAGIC,
            "mmp_seq": EXT4_MMP_SEQ_CLEAN,
            "mmp_check_interval": interval,
        }
    )
