"""What an image is: the facts that dumpe2fs -h and file(1) print."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ..bits import joined_32
from ..ondisk.inode import EXT4_N_BLOCKS
from ..ondisk.superblock import (
    EXT2_FLAGS_UNSIGNED_HASH,
    EXT4_ENC_STRICT_MODE_FL,
    EXT4_ERROR_FS,
    EXT4_ORPHAN_FS,
    EXT4_VALID_FS,
    SUPERBLOCK,
)
from ..read import Image
from .words import iso_time, text_of


def kind_of(image: Image) -> str:
    """Return ``ext2``, ``ext3`` or ``ext4`` as blkid does, or ``external journal``."""
    fmt = image.format
    if fmt.journal_dev:
        return "external journal"
    return fmt.features.driver()


def facts(image: Image) -> dict[str, Any]:
    """Return the facts of an image as JSON values; sizes are in bytes, times in ISO 8601."""
    fmt, number = image.format, image.number
    state = number("s_state")
    states = ["clean" if state & EXT4_VALID_FS else "not clean"]
    if state & EXT4_ERROR_FS:
        states.append("errors")
    if state & EXT4_ORPHAN_FS:
        states.append("orphans")
    block_size = image.block_size
    found: dict[str, Any] = {
        "kind": kind_of(image),
        "label": text_of(image.superblock["s_volume_name"]),
        "uuid": str(UUID(bytes=fmt.uuid)),
        "state": ", ".join(states),
        "needs_recovery": fmt.needs_recovery,
        "features": list(fmt.features.names()),
        "size": image.blocks_count * block_size,
        "block_size": block_size,
        "cluster_size": fmt.cluster_size,
        "blocks": image.blocks_count,
        "free_blocks": number("s_free_blocks_count"),
        "reserved_blocks": number("s_r_blocks_count"),
        "inodes": image.inodes_count,
        "free_inodes": number("s_free_inodes_count"),
        "inode_size": fmt.inode_size,
        "groups": image.counted_groups,
        "blocks_per_group": fmt.blocks_per_group,
        "inodes_per_group": image.inodes_per_group,
        "groups_per_flex": fmt.groups_per_flex,
        "first_inode": fmt.first_ino,
        "descriptor_size": fmt.desc_size,
        "checksums": "crc32c" if fmt.metadata_csum else fmt.group_desc_checksum.value,
        "hash": SUPERBLOCK.meanings["s_def_hash_version"].names.get(
            number("s_def_hash_version"), str(number("s_def_hash_version"))
        ),
        "hash_characters": "unsigned" if number("s_flags") & EXT2_FLAGS_UNSIGNED_HASH else "signed",
        "encoding": _encoding(image),
        "errors": SUPERBLOCK.meanings["s_errors"].names.get(number("s_errors"), "unknown"),
        "made": iso_time(number("s_mkfs_time")),
        "mounted": iso_time(number("s_mtime")),
        "written": iso_time(number("s_wtime")),
        "checked": iso_time(number("s_lastcheck")),
        "mounts": number("s_mnt_count"),
        "last_mounted": text_of(image.superblock["s_last_mounted"]),
        "lifetime_writes": number("s_kbytes_written") * 1024,
        "journal": _journal(image),
        "error_count": number("s_error_count"),
    }
    return found


def _encoding(image: Image) -> str | None:
    """Return the encoding by which names are folded, with its strictness."""
    if not image.format.casefold:
        return None
    number, flags = image.number("s_encoding"), image.number("s_encoding_flags")
    name = SUPERBLOCK.meanings["s_encoding"].names.get(number, str(number))
    return f"{name}, strict" if flags & EXT4_ENC_STRICT_MODE_FL else name


def _journal(image: Image) -> dict[str, Any] | None:
    fmt = image.format
    if not fmt.has_journal:
        return None
    ino = image.number("s_journal_inum")
    if not ino:
        uuid = image.superblock["s_journal_uuid"]
        assert isinstance(uuid, bytes)
        return {"inode": 0, "device_uuid": str(UUID(bytes=uuid)), "size": None}
    words = image.superblock["s_jnl_blocks"]
    assert isinstance(words, list)
    high, low = words[EXT4_N_BLOCKS], words[EXT4_N_BLOCKS + 1]
    size = joined_32(low, high)
    if not size and 1 <= ino <= image.inodes_count:
        size = image.inode(ino).size
    return {"inode": ino, "device_uuid": None, "size": size}
