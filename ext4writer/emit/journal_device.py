"""An external journal device: a superblock without groups, and that of the journal."""

from __future__ import annotations

from collections.abc import Iterator

from ..bits import log2
from ..ondisk.features import FeatureSet
from ..ondisk.format import MAX_CLUSTERS_PER_GROUP
from ..ondisk.htree import DX_HASH_HALF_MD4
from ..ondisk.inode import INODE_EXTRA_ISIZE
from ..ondisk.journal import journal_device_start
from ..ondisk.superblock import (
    ERRORS,
    EXT4_CRC32C_CHKSUM,
    EXT4_DEFM_ACL,
    EXT4_DEFM_XATTR_USER,
    EXT4_DYNAMIC_REV,
    EXT4_ERRORS_CONTINUE,
    EXT4_GOOD_OLD_FIRST_INO,
    EXT4_LABEL_MAX,
    EXT4_MIN_BLOCK_LOG_SIZE,
    EXT4_MIN_BLOCK_SIZE,
    EXT4_SUPER_MAGIC,
    EXT4_VALID_FS,
    MAX_MOUNTS_UNLIMITED,
    SUPERBLOCK,
    SUPERBLOCK_OFFSET,
)
from ..ondisk.units import Unit, UnitKind, checksum_unit
from ..output.sink import Piece
from ..planning.layout import ImagePlan
from ..planning.spec import LAST_MOUNTED_MAX
from .journal import journal_superblock

_INODE_SIZE = 256


def journal_device_pieces(layout: ImagePlan, *, unused: bool = False) -> Iterator[Piece]:
    """Yield all nonzero bytes in ascending order, as mke2fs -O journal_dev and -J device do.

    With ``unused``, no file system uses the journal, as after -O journal_dev alone.
    """
    superblock = bytearray(_superblock(layout, alone=unused))
    if unused and layout.format.metadata_csum:
        place = Unit(UnitKind.SUPERBLOCK, 0, 0, SUPERBLOCK_OFFSET, len(superblock))
        checksum_unit(layout.format, place, superblock)
    yield SUPERBLOCK_OFFSET, superblock
    size = layout.block_size
    start = journal_device_start(size)
    journal = bytearray(
        journal_superblock(
            layout,
            layout.external_journal_blocks,
            first=start + 1,
            uuid=layout.journal_uuid,
            user=b"" if unused else layout.uuid.bytes,
            users=0 if unused else 1,
        )
    )
    unit = Unit(UnitKind.JOURNAL_SUPERBLOCK, 0, 0, start * size, len(journal))
    checksum_unit(layout.format, unit, journal)
    yield start * size, journal


def _superblock(layout: ImagePlan, *, alone: bool) -> bytes:
    """Build the superblock of the device (lib/ext2fs/initialize.c:ext2fs_initialize).

    With ``alone``, as from mke2fs -O journal_dev, the device has the label and other options, and
    a checksum if there is metadata_csum.
    """
    size, spec = layout.block_size, layout.spec
    log_size = log2(size) - EXT4_MIN_BLOCK_LOG_SIZE
    per_group = min(8 * size, MAX_CLUSTERS_PER_GROUP)
    values: dict[str, int | bytes | list[int]] = {
        "s_blocks_count": layout.external_journal_blocks,
        "s_first_data_block": int(size == EXT4_MIN_BLOCK_SIZE),
        "s_log_block_size": log_size,
        "s_log_cluster_size": log_size,
        "s_blocks_per_group": per_group,
        "s_clusters_per_group": per_group,
        "s_wtime": layout.epoch,
        "s_max_mnt_count": MAX_MOUNTS_UNLIMITED,
        "s_magic": EXT4_SUPER_MAGIC,
        "s_state": EXT4_VALID_FS,
        "s_errors": EXT4_ERRORS_CONTINUE,
        "s_lastcheck": layout.epoch,
        "s_rev_level": EXT4_DYNAMIC_REV,
        "s_first_ino": EXT4_GOOD_OLD_FIRST_INO,
        "s_inode_size": _INODE_SIZE,
        "s_feature_incompat": FeatureSet.of("journal_dev").incompat,
        "s_uuid": layout.journal_uuid,
        "s_hash_seed": list(layout.directory_rules.hash_seed),
        "s_def_hash_version": DX_HASH_HALF_MD4,
        "s_default_mount_opts": EXT4_DEFM_XATTR_USER | EXT4_DEFM_ACL,
        "s_mkfs_time": layout.epoch,
        "s_min_extra_isize": INODE_EXTRA_ISIZE,
        "s_want_extra_isize": INODE_EXTRA_ISIZE,
    }
    if alone:
        values |= {
            "s_volume_name": layout.label.ljust(EXT4_LABEL_MAX, b"\0"),
            "s_last_mounted": spec.last_mounted.ljust(LAST_MOUNTED_MAX, b"\0"),
            "s_errors": ERRORS[spec.errors],
            "s_raid_stride": spec.raid_stride,
            "s_raid_stripe_width": spec.raid_stripe_width,
        }
    if alone and layout.format.metadata_csum:
        values["s_feature_ro_compat"] = FeatureSet.of("metadata_csum").ro_compat
        values["s_checksum_type"] = EXT4_CRC32C_CHKSUM
    return SUPERBLOCK.pack(SUPERBLOCK.split(values))
