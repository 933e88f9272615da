"""Checks the journal superblock, the orphan file and multi-mount protection."""

from __future__ import annotations

import struct
from collections.abc import Callable

from ...bits import MASK_32
from ...errors import DamageError, ImageError, display_path
from ...ondisk.checksum import (
    set_journal_superblock_checksum,
    set_mmp_checksum,
    set_orphan_block_checksum,
)
from ...ondisk.inode import EXT4_ENCRYPT_FL
from ...ondisk.journal import (
    JBD2_CRC32C_CHKSUM,
    JBD2_DEFAULT_FAST_COMMIT_BLOCKS,
    JBD2_FEATURE_COMPAT_CHECKSUM,
    JBD2_FEATURE_INCOMPAT_CSUM_V2,
    JBD2_FEATURE_INCOMPAT_CSUM_V3,
    JBD2_FEATURE_INCOMPAT_FAST_COMMIT,
    JBD2_MIN_JOURNAL_BLOCKS,
    JBD2_SUPERBLOCK_V1,
    JOURNAL_INCOMPAT,
    JOURNAL_SUPERBLOCK,
    journal_device_start,
)
from ...ondisk.mmp import EXT4_MMP_SEQ_CLEAN, EXT4_MMP_SEQ_MAX, MMP
from ...ondisk.orphan import EXT4_ORPHAN_BLOCK_MAGIC, ORPHAN_BLOCK_TAIL, orphans_per_block
from ...read import Image, Inode
from .state import Check

_JBD2_MAGIC = 0xC03B3998
_SUPERBLOCK_TYPES = (3, 4)  # JBD2_SUPERBLOCK_V1 and V2
_MMP_MAGIC = 0x004D4D50
_JOURNAL_SUPERBLOCK_BYTES = 1024


def check_journal(check: Check, device: Image | None = None) -> None:
    """Check the superblock of the journal (e2fsck/journal.c:e2fsck_journal_load).

    ``device`` is the external journal, if there is one and the caller has it.
    """
    image, fmt = check.image, check.format
    if not fmt.has_journal:
        if fmt.needs_recovery:
            text = "has needs_recovery without has_journal"
            check.of_superblock("PR_0_JOURNAL_RECOVERY_CLEAR", "s_feature_incompat", text)
        if not image.number("s_journal_inum"):
            # e2fsck/journal.c:e2fsck_get_journal: a UUID alone refers to an external journal.
            if any(image.superblock["s_journal_uuid"]):  # type: ignore[arg-type]
                text = "refers to an external journal, but has_journal is not set"
                check.of_superblock("PR_0_CANT_FIND_JOURNAL", "s_journal_uuid", text)
            return
    ino = image.number("s_journal_inum")
    if not ino:
        if not image.number("s_journal_dev") and not any(image.superblock["s_journal_uuid"]):  # type: ignore[arg-type]
            text = "is 0, and there is no reference to an external journal"
            check.of_superblock("PR_0_JOURNAL_BAD_INODE", "s_journal_inum", text)
        elif device is not None:
            _check_journal_device(check, device)
        return
    if any(image.superblock["s_journal_uuid"]):  # type: ignore[arg-type]
        text = "refers to an external journal, but s_journal_inum to an internal one"
        check.of_superblock("PR_0_CANT_FIND_JOURNAL", "s_journal_uuid", text)
    try:
        inode = image.inode(ino)
        first = next(inode.runs(), None)
    except (DamageError, ImageError):
        first, inode = None, None
    if inode is None or first is None or first.logical or not inode.links or not inode.is_file:
        text = f"is {ino}, which is not a journal"
        check.of_superblock("PR_0_JOURNAL_BAD_INODE", "s_journal_inum", text)
        return
    if inode.flags & EXT4_ENCRYPT_FL:
        check.of_inode("PR_0_JOURNAL_BAD_INODE", inode, "i_flags", "has ENCRYPT on a journal")
    blocks = inode.size // check.block_size
    mapped = max(run.logical + run.length for run in inode.runs())
    if blocks < JBD2_MIN_JOURNAL_BLOCKS or mapped * check.block_size < inode.size:
        text = f"is {inode.size}, but {mapped} blocks of the journal are mapped"
        check.of_inode("PR_0_JOURNAL_BAD_INODE", inode, "i_size_lo", text)
    at = first.physical * check.block_size
    data = bytearray(image.read(at, _JOURNAL_SUPERBLOCK_BYTES))
    _check_journal_superblock(check, data, at, blocks, ino)


def _check_journal_device(check: Check, device: Image) -> None:
    """Check an external journal (e2fsck/journal.c:e2fsck_get_journal)."""
    if not device.format.journal_dev:
        text = f"refers to an external journal, but {display_path(device.name)} is none"
        check.of_superblock("PR_0_EXT_JOURNAL_BAD_SUPER", "s_journal_uuid", text)
        return
    if device.superblock["s_uuid"] != check.image.superblock["s_journal_uuid"]:
        text = f"is not the UUID of {display_path(device.name)}"
        check.of_superblock("PR_0_JOURNAL_BAD_UUID", "s_journal_uuid", text)
        return
    at = journal_device_start(device.block_size) * device.block_size
    data = bytearray(device.read(at, _JOURNAL_SUPERBLOCK_BYTES))
    _check_journal_superblock(
        check, data, at, device.blocks_count, None, f"of {display_path(device.name)} "
    )
    users = JOURNAL_SUPERBLOCK.number(data, 0, "s_nr_users")
    if not users:
        # fs/ext4/super.c:ext4_open_dev_journal accepts no other number than one.
        text = f"of {display_path(device.name)} is 0: no kernel accepts it"
        check.of_record("PR_0_JOURNAL_UNSUPP_MULTIFS", JOURNAL_SUPERBLOCK, "s_nr_users", at, text)


def _check_journal_superblock(
    check: Check, data: bytearray, at: int, blocks: int, ino: int | None, of: str = ""
) -> None:
    """Check the superblock of a journal with ``blocks`` blocks; problem texts begin with ``of``."""
    fmt, number = check.format, JOURNAL_SUPERBLOCK.number

    def wrong(code: str, field: str, text: str) -> None:
        check.of_record(code, JOURNAL_SUPERBLOCK, field, at, of + text, ino)

    if number(data, 0, "h_magic") != _JBD2_MAGIC:
        wrong("PR_0_JOURNAL_BAD_SUPER", "h_magic", f"is {number(data, 0, 'h_magic'):#x}")
        return
    if number(data, 0, "h_blocktype") not in _SUPERBLOCK_TYPES:
        wrong("PR_0_JOURNAL_UNSUPP_SUPER", "h_blocktype", f"is {number(data, 0, 'h_blocktype')}")
        return
    _check_journal_features(data, wrong)
    if number(data, 0, "s_blocksize") != check.block_size:
        wrong("PR_0_JOURNAL_BAD_SUPER", "s_blocksize", f"is {number(data, 0, 's_blocksize')}")
    maxlen = number(data, 0, "s_maxlen")
    if maxlen > blocks:
        wrong(
            "PR_0_JOURNAL_BAD_SUPER",
            "s_maxlen",
            f"is {maxlen}, but the journal has {blocks} blocks",
        )
    start, begin = number(data, 0, "s_start"), number(data, 0, "s_first")
    if start >= max(maxlen, 1):
        # Recovery finds no log there, but e2fsck -n does not recover.
        text = f"is {start}, but s_maxlen is {maxlen}: no log begins there"
        check.of_record(
            "JOURNAL_START", JOURNAL_SUPERBLOCK, "s_start", at, of + text, ino, warn=True
        )
    if not 0 < begin < max(maxlen, 1):
        # fs/jbd2/journal.c:journal_load_superblock refuses it; e2fsck only needs it for recovery.
        text = f"is {begin}, but s_maxlen is {maxlen}: the kernel does not mount this"
        is_idle = not start and not fmt.needs_recovery
        code = "JOURNAL_FIRST" if is_idle else "PR_0_JOURNAL_BAD_SUPER"
        check.of_record(code, JOURNAL_SUPERBLOCK, "s_first", at, of + text, ino, warn=is_idle)
    if number(data, 0, "s_errno") and not fmt.needs_recovery:
        # e2fsck clears it; e2fsck -n fails to do so (e2fsck/journal.c:e2fsck_journal_release).
        text = f"is {number(data, 0, 's_errno')}: the kernel found errors"
        wrong("JOURNAL_ERRNO", "s_errno", text)
    summed = JBD2_FEATURE_INCOMPAT_CSUM_V2 | JBD2_FEATURE_INCOMPAT_CSUM_V3
    if number(data, 0, "s_feature_incompat") & summed:
        stored = number(data, 0, "s_checksum")
        expected = set_journal_superblock_checksum(data, 0)
        if stored != expected:
            text = f"is {stored:#010x} but should be {expected:#010x}"
            wrong("PR_0_JOURNAL_BAD_SUPER", "s_checksum", text)
    if start and not fmt.needs_recovery:
        text = f"is {start}: there are transactions to recover, but needs_recovery is not set"
        wrong("PR_0_JOURNAL_RECOVER_SET", "s_start", text)
    elif (start or fmt.needs_recovery) and not check.image.is_replayed:
        check.of_record(
            "NEEDS_RECOVERY",
            JOURNAL_SUPERBLOCK,
            "s_start",
            at,
            f"{of}is {start}: the journal was not replayed, so the image may be out of date",
            ino,
            warn=True,
        )


def _check_journal_features(data: bytearray, wrong: Callable[[str, str, str], None]) -> None:
    """Check the features of the journal (e2fsck/journal.c:e2fsck_journal_load)."""
    number = JOURNAL_SUPERBLOCK.number
    fields = ("s_feature_compat", "s_feature_incompat", "s_feature_ro_compat", "s_nr_users")
    older, flags, limits, users = (number(data, 0, name) for name in fields)
    if number(data, 0, "h_blocktype") == JBD2_SUPERBLOCK_V1:
        if older or flags or limits or users:
            wrong("PR_0_CLEAR_V2_JOURNAL", "h_blocktype", "is 3, but fields of version 2 are set")
        return
    if users > 1:
        wrong("PR_0_JOURNAL_UNSUPP_MULTIFS", "s_nr_users", f"is {users}, but only 1 is possible")
    if flags & ~sum(JOURNAL_INCOMPAT):
        wrong("PR_0_JOURNAL_UNSUPP_INCOMPAT", "s_feature_incompat", f"is {flags:#x}")
    if limits:
        wrong("PR_0_JOURNAL_UNSUPP_ROCOMPAT", "s_feature_ro_compat", f"is {limits:#x}")
    summed = flags & (JBD2_FEATURE_INCOMPAT_CSUM_V2 | JBD2_FEATURE_INCOMPAT_CSUM_V3)
    if summed.bit_count() + (older & JBD2_FEATURE_COMPAT_CHECKSUM) > 1:
        wrong("PR_0_JOURNAL_BAD_SUPER", "s_feature_incompat", "has several kinds of checksums")
    if summed and number(data, 0, "s_checksum_type") != JBD2_CRC32C_CHKSUM:
        text = f"is {number(data, 0, 's_checksum_type')}, which is not crc32c"
        wrong("PR_0_JOURNAL_BAD_SUPER", "s_checksum_type", text)
    if flags & JBD2_FEATURE_INCOMPAT_FAST_COMMIT:
        fast = number(data, 0, "s_num_fc_blks") or JBD2_DEFAULT_FAST_COMMIT_BLOCKS
        left = (number(data, 0, "s_maxlen") - fast) & MASK_32  # wraps in e2fsck and the kernel
        if left < JBD2_MIN_JOURNAL_BLOCKS:
            text = f"is {fast}, which leaves too few blocks for the log"
            wrong("PR_0_JOURNAL_BAD_SUPER", "s_num_fc_blks", text)


def check_mmp(check: Check) -> None:
    """Check the block of multi-mount protection (lib/ext2fs/mmp.c:ext2fs_mmp_read)."""
    image, fmt = check.image, check.format
    if not fmt.mmp:
        return
    block = image.number("s_mmp_block")
    if not image.has_blocks(block):
        check.of_superblock("PR_0_MMP_INVALID_BLK", "s_mmp_block", f"is {block}")
        return
    at, data = block * check.block_size, bytearray(image.block(block))
    magic = MMP.number(data, 0, "mmp_magic")
    if magic != _MMP_MAGIC:
        text = f"is {magic:#x}"
        check.of_record("PR_0_MMP_INVALID_MAGIC", MMP, "mmp_magic", at, text)
        return
    seq = MMP.number(data, 0, "mmp_seq")
    if seq != EXT4_MMP_SEQ_CLEAN and seq > EXT4_MMP_SEQ_MAX:
        # lib/ext2fs/mmp.c:ext2fs_mmp_start
        text = f"is {seq:#x}: a check is running, or the value is invalid"
        check.of_record("MMP_SEQ", MMP, "mmp_seq", at, text)
    if fmt.metadata_csum:
        stored = MMP.number(data, 0, "mmp_checksum")
        expected = set_mmp_checksum(data, 0, fmt.checksum_seed)
        if stored != expected:
            text = f"is {stored:#010x} but should be {expected:#010x}"
            check.of_record("PR_0_MMP_CSUM_INVALID", MMP, "mmp_checksum", at, text)


def check_orphan_file(check: Check) -> None:
    """Check every block of the orphan file (e2fsck/super.c:process_orphan_file)."""
    image, fmt = check.image, check.format
    ino = image.number("s_orphan_file_inum")
    if not fmt.orphan_file:
        if fmt.orphan_present:
            text = "has orphan_present without orphan_file"
            check.of_superblock("PR_6_ORPHAN_PRESENT_NO_FILE", "s_feature_ro_compat", text)
        if check.inodes.find(ino) >= 0:
            text = f"is {ino}, an inode in use, but the feature orphan_file is not set"
            check.of_superblock("PR_1_ORPHAN_FILE_NOT_CLEAR", "s_orphan_file_inum", text)
        return
    if not fmt.has_journal:
        text = "has orphan_file without has_journal"
        check.of_superblock("PR_6_ORPHAN_FILE_WITHOUT_JOURNAL", "s_feature_compat", text)
    try:
        inode = image.inode(ino)
    except ImageError:
        check.of_superblock("PR_6_ORPHAN_FILE_CORRUPTED", "s_orphan_file_inum", f"is {ino}")
        return
    if inode.size % check.block_size:
        text = f"is {inode.size}, which is not a multiple of the block size"
        check.of_inode("PR_0_ORPHAN_FILE_WRONG_SIZE", inode, "i_size_lo", text)
    for run in inode.runs():
        for place in range(run.length):
            _check_orphan_block(check, inode, run.physical + place)
    has_orphans = check.counts["PR_6_ORPHAN_BLOCK_DIRTY"] or check.orphans
    if fmt.orphan_present and not has_orphans:
        text = "has orphan_present, but there are no orphans"
        check.of_superblock("PR_6_ORPHAN_PRESENT_CLEAN_FILE", "s_feature_ro_compat", text)


def _check_orphan_block(check: Check, inode: Inode, block: int) -> None:
    data, at = check.image.block(block), block * check.block_size
    tail = check.block_size - ORPHAN_BLOCK_TAIL.size

    def wrong(code: str, field: str, text: str) -> None:
        check.of_record(code, ORPHAN_BLOCK_TAIL, field, at + tail, text, inode.ino)

    magic = ORPHAN_BLOCK_TAIL.number(data, tail, "ob_magic")
    if magic != EXT4_ORPHAN_BLOCK_MAGIC:
        wrong("PR_0_ORPHAN_FILE_BAD_MAGIC", "ob_magic", f"is {magic:#x}")
        return
    count = orphans_per_block(check.block_size)
    if check.format.metadata_csum:
        stored = ORPHAN_BLOCK_TAIL.number(data, tail, "ob_checksum")
        expected = set_orphan_block_checksum(
            bytearray(data), 0, check.block_size, inode.seed, block
        )
        if stored != expected:
            text = f"is {stored:#010x} but should be {expected:#010x}"
            wrong("PR_0_ORPHAN_FILE_BAD_CHECKSUM", "ob_checksum", text)
    if any(struct.unpack_from(f"<{count}I", data)) and not check.image.is_replayed:
        wrong("PR_6_ORPHAN_BLOCK_DIRTY", "ob_magic", "is in a block with orphans")
