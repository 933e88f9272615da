"""The journal: clean and empty, so that one block says all."""

from __future__ import annotations

from ..ondisk.journal import JBD2_MAGIC_NUMBER, JBD2_SUPERBLOCK_V2, JOURNAL_SUPERBLOCK
from ..plan.layout import Layout


def journal_superblock(layout: Layout) -> bytes:
    """The first 1,024 bytes of the journal (lib/ext2fs/mkjournal.c).

    Feature words and checksum stay zero: the kernel sets what it needs when it first mounts.
    """
    return JOURNAL_SUPERBLOCK.pack(
        {
            "h_magic": JBD2_MAGIC_NUMBER,
            "h_blocktype": JBD2_SUPERBLOCK_V2,
            "s_blocksize": layout.block_size,
            "s_maxlen": layout.demand.journal_blocks,
            "s_first": 1,
            "s_sequence": 1,
            "s_uuid": layout.uuid.bytes,
            "s_nr_users": 1,
        }
    )
