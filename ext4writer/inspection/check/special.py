"""The journal's superblock, the orphan file and multi-mount protection."""

from __future__ import annotations

import struct

from ...errors import DamageError, ImageError
from ...ondisk.checksum import (
    set_journal_superblock_checksum,
    set_mmp_checksum,
    set_orphan_block_checksum,
)
from ...ondisk.journal import (
    JBD2_FEATURE_INCOMPAT_CSUM_V2,
    JBD2_FEATURE_INCOMPAT_CSUM_V3,
    JOURNAL_SUPERBLOCK,
)
from ...ondisk.mmp import MMP
from ...ondisk.orphan import EXT4_ORPHAN_BLOCK_MAGIC, ORPHAN_BLOCK_TAIL, orphans_per_block
from ...read import Inode
from .state import Check

_JBD2_MAGIC = 0xC03B3998
_SUPERBLOCK_TYPES = (3, 4)  # JBD2_SUPERBLOCK_V1 and V2
_MMP_MAGIC = 0x004D4D50
_JOURNAL_SUPERBLOCK_BYTES = 1024


def check_journal(check: Check) -> None:
    """Check the journal's own superblock (e2fsck/journal.c:e2fsck_journal_load)."""
    image, fmt = check.image, check.format
    if not fmt.has_journal:
        if fmt.needs_recovery:
            text = "has needs_recovery without has_journal"
            check.of_superblock("PR_0_JOURNAL_RECOVERY_CLEAR", "s_feature_incompat", text)
        if not image.number("s_journal_inum"):
            return
    ino = image.number("s_journal_inum")
    if not ino:
        if not image.number("s_journal_dev") and not any(image.superblock["s_journal_uuid"]):  # type: ignore[arg-type]
            text = "is 0, and no journal elsewhere is named"
            check.of_superblock("PR_0_JOURNAL_BAD_INODE", "s_journal_inum", text)
        return
    try:
        inode = image.inode(ino)
        first = next(inode.runs(), None)
    except (DamageError, ImageError):
        first, inode = None, None
    if inode is None or first is None or first.logical or not inode.links or not inode.is_file:
        text = f"is {ino}, which is no journal"
        check.of_superblock("PR_0_JOURNAL_BAD_INODE", "s_journal_inum", text)
        return
    at = first.physical * check.block_size
    data = bytearray(image.read(at, _JOURNAL_SUPERBLOCK_BYTES))
    number = JOURNAL_SUPERBLOCK.number

    def wrong(code: str, field: str, text: str) -> None:
        check.of_record(code, JOURNAL_SUPERBLOCK, field, at, text, ino)

    if number(data, 0, "h_magic") != _JBD2_MAGIC:
        wrong("PR_0_JOURNAL_BAD_SUPER", "h_magic", f"is {number(data, 0, 'h_magic'):#x}")
        return
    if number(data, 0, "h_blocktype") not in _SUPERBLOCK_TYPES:
        wrong("PR_0_JOURNAL_UNSUPP_SUPER", "h_blocktype", f"is {number(data, 0, 'h_blocktype')}")
        return
    if number(data, 0, "s_blocksize") != check.block_size:
        wrong("PR_0_JOURNAL_BAD_SUPER", "s_blocksize", f"is {number(data, 0, 's_blocksize')}")
    blocks = inode.size // check.block_size
    maxlen = number(data, 0, "s_maxlen")
    if maxlen > blocks:
        wrong(
            "PR_0_JOURNAL_BAD_SUPER",
            "s_maxlen",
            f"is {maxlen}, and the journal has {blocks} blocks",
        )
    start = number(data, 0, "s_start")
    if start >= max(maxlen, 1) or number(data, 0, "s_first") >= max(maxlen, 1):
        wrong("PR_0_JOURNAL_BAD_SUPER", "s_start", f"is {start}, and s_maxlen {maxlen}")
    summed = JBD2_FEATURE_INCOMPAT_CSUM_V2 | JBD2_FEATURE_INCOMPAT_CSUM_V3
    if number(data, 0, "s_feature_incompat") & summed:
        stored = number(data, 0, "s_checksum")
        expected = set_journal_superblock_checksum(data, 0)
        if stored != expected:
            text = f"is {stored:#010x}, and should be {expected:#010x}"
            wrong("PR_0_JOURNAL_BAD_SUPER", "s_checksum", text)
    if start and not fmt.needs_recovery:
        text = f"is {start}: transactions wait, and needs_recovery is not set"
        wrong("PR_0_JOURNAL_RECOVER_SET", "s_start", text)
    elif start or fmt.needs_recovery:
        check.of_record(
            "NEEDS_RECOVERY",
            JOURNAL_SUPERBLOCK,
            "s_start",
            at,
            f"is {start}: the journal was not replayed, and what follows may be out of date",
            ino,
            warn=True,
        )


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
    elif fmt.metadata_csum:
        stored = MMP.number(data, 0, "mmp_checksum")
        expected = set_mmp_checksum(data, 0, fmt.checksum_seed)
        if stored != expected:
            text = f"is {stored:#010x}, and should be {expected:#010x}"
            check.of_record("PR_0_MMP_CSUM_INVALID", MMP, "mmp_checksum", at, text)


def check_orphan_file(check: Check) -> None:
    """Check every block of the orphan file (e2fsck/super.c:process_orphan_file)."""
    image, fmt = check.image, check.format
    if not fmt.orphan_file:
        return
    ino = image.number("s_orphan_file_inum")
    try:
        inode = image.inode(ino)
    except ImageError:
        check.of_superblock("PR_6_ORPHAN_FILE_CORRUPTED", "s_orphan_file_inum", f"is {ino}")
        return
    if inode.size % check.block_size:
        text = f"is {inode.size}, which is not in whole blocks"
        check.of_inode("PR_0_ORPHAN_FILE_WRONG_SIZE", inode, "i_size_lo", text)
    for run in inode.runs():
        for place in range(run.length):
            _check_orphan_block(check, inode, run.physical + place)


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
            text = f"is {stored:#010x}, and should be {expected:#010x}"
            wrong("PR_0_ORPHAN_FILE_BAD_CHECKSUM", "ob_checksum", text)
    if any(struct.unpack_from(f"<{count}I", data)) and not check.format.orphan_present:
        wrong(
            "PR_6_ORPHAN_BLOCK_DIRTY", "ob_magic", "ends a block with orphans, and none are noted"
        )
