"""The journal: clean and empty, so only its superblock is written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..ondisk.journal import (
    JBD2_MAGIC_NUMBER,
    JBD2_SUPERBLOCK_V2,
    JOURNAL_SUPERBLOCK,
    fast_commit_blocks_in,
)
from ..ondisk.units import Unit, UnitKind
from ..planning.layout import ImagePlan
from ..planning.placement import PlacedFile
from ..planning.system_files import SystemFile


def journal_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    """Yield its superblock; all other blocks are zero."""
    yield Unit(
        UnitKind.JOURNAL_SUPERBLOCK,
        file.ino,
        0,
        placed.runs[0].physical * layout.block_size,
        JOURNAL_SUPERBLOCK.size,
        partial(_superblock, layout, file),
    )


def _superblock(layout: ImagePlan, file: SystemFile) -> bytes:
    """The first 1,024 bytes of the journal (lib/ext2fs/mkjournal.c).

    Feature words and checksum stay zero: the kernel sets what it needs when it first mounts.
    """
    blocks = file.data_blocks
    return JOURNAL_SUPERBLOCK.pack(
        {
            "h_magic": JBD2_MAGIC_NUMBER,
            "h_blocktype": JBD2_SUPERBLOCK_V2,
            "s_blocksize": layout.block_size,
            "s_maxlen": blocks,
            "s_first": 1,
            "s_sequence": 1,
            "s_uuid": layout.uuid.bytes,
            "s_nr_users": 1,
            "s_num_fc_blks": fast_commit_blocks_in(blocks) if layout.format.fast_commit else 0,
        }
    )
