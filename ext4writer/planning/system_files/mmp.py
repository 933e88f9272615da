"""Multi-mount protection: one block, which belongs to no inode."""

from __future__ import annotations

from ...ondisk.format import Format
from ..mapping import mapping_of
from .base import NO_INODE, SystemFile

MMP_PURPOSE = "mmp"


def mmp_block(fmt: Format) -> SystemFile | None:
    """Return the block; None without the feature."""
    if not fmt.mmp:
        return None
    return SystemFile(
        ino=NO_INODE,
        purpose=MMP_PURPOSE,
        size_bytes=fmt.block_size,
        data_blocks=1,
        mapping=mapping_of(fmt),
    )
