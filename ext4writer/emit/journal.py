"""The superblock of the journal; all other blocks of an empty journal are zeros."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial

from ..ondisk.journal import (
    JBD2_CRC32C_CHKSUM,
    JBD2_FEATURE_INCOMPAT_FAST_COMMIT,
    JBD2_MAGIC_NUMBER,
    JBD2_SUPERBLOCK_V2,
    JOURNAL_SUPERBLOCK,
    has_checksums,
    journal_feature_words,
)
from ..ondisk.units import Unit, UnitKind
from ..planning.layout import ImagePlan
from ..planning.placement import PlacedFile
from ..planning.system_files import SystemFile
from ..planning.system_files.journal import fast_commit_blocks_in_journal


def journal_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    """Yield the superblock of the journal."""
    yield Unit(
        UnitKind.JOURNAL_SUPERBLOCK,
        file.ino,
        0,
        placed.runs[0].physical * layout.block_size,
        JOURNAL_SUPERBLOCK.size,
        partial(_superblock, layout, file.data_blocks),
    )


def _superblock(layout: ImagePlan, blocks: int) -> bytes:
    """Build the superblock of a journal inside the image."""
    uuid, state = layout.uuid.bytes, layout.journal_state
    if state is None:
        return journal_superblock(layout, blocks, first=1, uuid=uuid)
    from ..planning.states.room import features_of  # imported late: few journals have a log

    features = features_of(layout, state)
    data = bytearray(journal_superblock(layout, blocks, first=1, uuid=uuid, features=features))
    JOURNAL_SUPERBLOCK.set(data, 0, "s_sequence", state.sequence)
    JOURNAL_SUPERBLOCK.set(data, 0, "s_start", state.start)
    if layout.format.fast_commit:
        # The kernel sets it on mount. Without it, fast-commit blocks would be part of the log.
        _, incompat = journal_feature_words(features)
        incompat |= JBD2_FEATURE_INCOMPAT_FAST_COMMIT
        JOURNAL_SUPERBLOCK.set(data, 0, "s_feature_incompat", incompat)
    return bytes(data)


def journal_superblock(
    layout: ImagePlan,
    blocks: int,
    *,
    first: int,
    uuid: bytes,
    user: bytes = b"",
    users: int = 1,
    features: Collection[str] | None = None,
) -> bytes:
    """Build the first 1,024 bytes of a journal of ``blocks`` blocks (lib/ext2fs/mkjournal.c).

    ``first`` is the first block of the log. ``features`` defaults to those of the spec; if these
    are empty, the kernel sets the features it needs on the first mount.
    """
    if features is None:
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
        "s_num_fc_blks": fast_commit_blocks_in_journal(layout.spec, layout.format, blocks),
        "s_users": user.ljust(JOURNAL_SUPERBLOCK.fields["s_users"].size, b"\0"),
    }
    if features:
        values["s_feature_compat"], values["s_feature_incompat"] = journal_feature_words(features)
        if has_checksums(features):
            values["s_checksum_type"] = JBD2_CRC32C_CHKSUM
    return JOURNAL_SUPERBLOCK.pack(values)
