"""Multi-mount protection: a block that records which host has the file system mounted, if any."""

from __future__ import annotations

from collections.abc import Iterator

from ..ondisk.mmp import EXT4_MMP_MAGIC, EXT4_MMP_SEQ_CLEAN, MMP
from ..ondisk.units import Unit, UnitKind
from ..planning.layout import ImagePlan
from ..planning.placement import PlacedFile
from ..planning.system_files import SystemFile

_NODE_SIZE, _DEVICE_SIZE = MMP.fields["mmp_nodename"].size, MMP.fields["mmp_bdevname"].size


def mmp_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    """Yield the one block."""
    size = layout.block_size
    offset = placed.runs[0].physical * size
    yield Unit(UnitKind.MMP, file.ino, 0, offset, size, lambda: _block(layout).ljust(size, b"\0"))


def _block(layout: ImagePlan) -> bytes:
    """Build what a clean unmount leaves (lib/ext2fs/mmp.c:ext2fs_mmp_reset), without a host's name.

    A policy may choose a state that some host left instead.
    """
    values: dict[str, int | bytes] = {
        "mmp_magic": EXT4_MMP_MAGIC,
        "mmp_seq": EXT4_MMP_SEQ_CLEAN,
        "mmp_check_interval": layout.spec.mmp_update_interval,
    }
    state = layout.mmp_state
    if state is not None:
        values["mmp_seq"] = state.sequence
        values["mmp_time"] = state.time
        values["mmp_nodename"] = state.node_name.ljust(_NODE_SIZE, b"\0")
        values["mmp_bdevname"] = state.device_name.ljust(_DEVICE_SIZE, b"\0")
        if state.check_interval is not None:
            values["mmp_check_interval"] = state.check_interval
    return MMP.pack(values)
