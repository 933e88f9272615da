"""The journal: clean and empty, so only its superblock is written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..arithmetic import ceil_div
from ..ondisk.journal import (
    JBD2_CRC32C_CHKSUM,
    JBD2_MAGIC_NUMBER,
    JBD2_SUPERBLOCK_V2,
    JOURNAL_SUPERBLOCK,
    fast_commit_blocks_in,
    has_checksums,
    journal_feature_words,
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
        partial(journal_superblock, layout, file.data_blocks, first=1, uuid=layout.uuid.bytes),
    )


def journal_superblock(
    layout: ImagePlan, blocks: int, *, first: int, uuid: bytes, user: bytes = b"", users: int = 1
) -> bytes:
    """The first 1,024 bytes of a journal of ``blocks`` blocks (lib/ext2fs/mkjournal.c).

    Without features that are asked for the kernel sets what it needs when it first mounts.
    """
    features = layout.spec.journal_features
    values: dict[str, int | bytes] = {
        "h_magic": JBD2_MAGIC_NUMBER,
        "h_blocktype": JBD2_SUPERBLOCK_V2,
        "s_blocksize": layout.block_size,
        "s_maxlen": blocks,
        "s_first": first,
        "s_sequence": 1,
        "s_uuid": uuid,
        "s_nr_users": users,
        "s_num_fc_blks": _fast_commit_blocks(layout, blocks),
        "s_users": user.ljust(JOURNAL_SUPERBLOCK.fields["s_users"].size, b"\0"),
    }
    if features:
        values["s_feature_compat"], values["s_feature_incompat"] = journal_feature_words(features)
        if has_checksums(features):
            values["s_checksum_type"] = JBD2_CRC32C_CHKSUM
    return JOURNAL_SUPERBLOCK.pack(values)


def _fast_commit_blocks(layout: ImagePlan, blocks: int) -> int:
    """How many of all ``blocks`` are for fast commits."""
    if not layout.format.fast_commit:
        return 0
    size = layout.spec.fast_commit_size
    return fast_commit_blocks_in(blocks) if size is None else ceil_div(size, layout.block_size)
