"""The orphan file: where the kernel records inodes that are deleted while they are open."""

from __future__ import annotations

from ...arithmetic import ceil_div
from ...ondisk.format import Format
from ...ondisk.orphan import default_orphan_file_blocks
from ..mapping import mapping_of
from .base import SystemFile

ORPHAN_FILE_PURPOSE = "orphan file"


def orphan_file_blocks(fmt: Format, blocks_count: int, size: int | None = None) -> int:
    """Return the blocks of the orphan file in an image of ``blocks_count`` blocks.

    ``size``, in bytes, replaces the default size. Returns 0 without the feature.
    """
    if not fmt.orphan_file:
        return 0
    blocks = default_orphan_file_blocks(blocks_count)
    if size is not None:
        blocks = ceil_div(size, fmt.block_size)
    return fmt.clusters_for(blocks) * fmt.blocks_per_cluster


def orphan_file(fmt: Format, blocks: int, ino: int) -> SystemFile | None:
    """Return an orphan file of ``blocks`` blocks; None for 0."""
    if not blocks:
        return None
    return SystemFile(
        ino=ino,
        purpose=ORPHAN_FILE_PURPOSE,
        size_bytes=blocks * fmt.block_size,
        data_blocks=blocks,
        mapping=mapping_of(fmt),
    )
