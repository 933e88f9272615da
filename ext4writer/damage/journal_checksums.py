"""Sets the checksums of a journal: superblock, log, fast commits.

Rules: fs/jbd2/recovery.c:do_one_pass, fs/jbd2/commit.c, fs/ext4/fast_commit.c:ext4_fc_replay_scan.
Only the blocks that recovery would read are handled; older transactions in the log are left alone.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..bits import low_16, low_32
from ..ondisk.checksum import CRC_START, crc32c, set_journal_superblock_checksum
from ..ondisk.crc32 import crc32_be
from ..ondisk.fast_commit import (
    EXT4_FC_TAG_ADD_RANGE,
    EXT4_FC_TAG_HEAD,
    EXT4_FC_TAG_TAIL,
    FC_HEAD,
    FC_TAIL,
    FC_TL,
)
from ..ondisk.journal import (
    JBD2_COMMIT_BLOCK,
    JBD2_DEFAULT_FAST_COMMIT_BLOCKS,
    JBD2_DESCRIPTOR_BLOCK,
    JBD2_FEATURE_COMPAT_CHECKSUM,
    JBD2_FEATURE_INCOMPAT_64BIT,
    JBD2_FEATURE_INCOMPAT_CSUM_V2,
    JBD2_FEATURE_INCOMPAT_CSUM_V3,
    JBD2_FEATURE_INCOMPAT_FAST_COMMIT,
    JBD2_MAGIC_NUMBER,
    JBD2_REVOKE_BLOCK,
    JBD2_SUPERBLOCK_V2,
    JOURNAL_HEADER,
    JOURNAL_SUPERBLOCK,
)
from ..ondisk.journal_log import (
    JBD2_CRC32_CHKSUM,
    JBD2_CRC32_CHKSUM_SIZE,
    JBD2_FLAG_ESCAPE,
    JBD2_FLAG_LAST_TAG,
    JBD2_FLAG_SAME_UUID,
    JOURNAL_BLOCK_TAG,
    JOURNAL_BLOCK_TAG3,
    JOURNAL_BLOCK_TAIL,
    JOURNAL_COMMIT_HEADER,
    JOURNAL_REVOKE_HEADER,
    UUID_SIZE,
    tag_size,
)

_superblock = JOURNAL_SUPERBLOCK.unpacker(
    *("h_magic", "h_blocktype", "s_maxlen", "s_first", "s_sequence", "s_start"),
    *("s_feature_compat", "s_feature_incompat", "s_uuid", "s_num_fc_blks"),
)
_header = JOURNAL_HEADER.unpacker("h_magic", "h_blocktype", "h_sequence")
_commit = JOURNAL_COMMIT_HEADER.unpacker("h_chksum_type", "h_chksum_size")
_tl = FC_TL.unpacker("fc_tag", "fc_len")
_head = FC_HEAD.unpacker("fc_tid")
_tail = FC_TAIL.unpacker("fc_tid")
_FC_CRC = FC_TAIL.offset("fc_crc")
_FLAGS = JOURNAL_BLOCK_TAG.offset("t_flags")
_FLAGS3 = JOURNAL_BLOCK_TAG3.offset("t_flags")
_BLOCKNR_HIGH = JOURNAL_BLOCK_TAG.offset("t_blocknr_high")
_CHECKSUM = JOURNAL_BLOCK_TAG.offset("t_checksum")
_CHECKSUM3 = JOURNAL_BLOCK_TAG3.offset("t_checksum")
_TAIL_SIZE = JOURNAL_BLOCK_TAIL.size
_COMMIT_CHECKSUM = JOURNAL_COMMIT_HEADER.offset("h_chksum")
_big_word = struct.Struct(">I")
_big_half = struct.Struct(">H")
_word = struct.Struct("<I")


class _Log:
    """The superblock of a journal, and the locations of its blocks."""

    def __init__(self, view: memoryview, size: int, places: Sequence[int], at: int) -> None:
        self.view, self.size, self.places = view, size, places
        start = places[at] * size
        (
            self.magic, self.kind, maxlen, self.first, self.sequence, self.start,
            older, features, uuid, fast_blocks,
        ) = _superblock(view, start)  # fmt: skip
        if self.kind != JBD2_SUPERBLOCK_V2:
            older = features = 0
        self.v2 = bool(features & JBD2_FEATURE_INCOMPAT_CSUM_V2)
        self.v3 = bool(features & JBD2_FEATURE_INCOMPAT_CSUM_V3)
        self.is_64bit = bool(features & JBD2_FEATURE_INCOMPAT_64BIT)
        self.has_sums = self.v2 or self.v3
        self.v1 = bool(older & JBD2_FEATURE_COMPAT_CHECKSUM) and not self.has_sums
        self.seed = crc32c(CRC_START, uuid)
        self.end = self.last = min(maxlen, len(places))
        self.has_fast = bool(features & JBD2_FEATURE_INCOMPAT_FAST_COMMIT)
        if self.has_fast:
            self.end = self.last - (fast_blocks or JBD2_DEFAULT_FAST_COMMIT_BLOCKS)

    def after(self, position: int) -> int:
        """Return the block of the log after ``position``; the log is circular."""
        return position + 1 if position + 1 < self.end else self.first

    def target(self, tag: int) -> int:
        """Return the file system block in the tag at byte ``tag``."""
        target: int = _big_word.unpack_from(self.view, tag)[0]
        if self.is_64bit:
            target |= _big_word.unpack_from(self.view, tag + _BLOCKNR_HIGH)[0] << 32
        return target

    def flags(self, tag: int) -> int:
        """Return the flags of the tag at byte ``tag``."""
        # Unpacking the whole record fails at the end of a block: tags can be shorter than it.
        flags: int = (
            _big_word.unpack_from(self.view, tag + _FLAGS3)
            if self.v3
            else _big_half.unpack_from(self.view, tag + _FLAGS)
        )[0]
        return flags

    def escaped(self, tag: int) -> bool:
        """Return whether the first word of the block was replaced by zeros."""
        return bool(self.flags(tag) & JBD2_FLAG_ESCAPE)

    def revoked(self, start: int) -> list[int]:
        """Return the blocks listed in the revoke block at byte ``start``."""
        (count,) = _big_word.unpack_from(self.view, start + JOURNAL_HEADER.size)
        width = 8 if self.is_64bit else 4
        first = start + JOURNAL_REVOKE_HEADER.size
        end = start + min(count, self.size - (_TAIL_SIZE if self.has_sums else 0))
        return [
            int.from_bytes(self.view[at : at + width], "big")
            for at in range(first, end - width + 1, width)
        ]


def pending_blocks(
    view: memoryview, size: int, places: Sequence[int], at: int
) -> dict[int, tuple[int, bool]]:
    """Return block that replay would write -> (offset of its copy in bytes, is escaped).

    The arguments are those of :func:`set_log_checksums`.
    """
    log = _Log(view, size, places, at)
    found: dict[int, tuple[int, bool]] = {}
    if log.magic != JBD2_MAGIC_NUMBER or not 0 < log.first <= log.start < log.end:
        return found
    written: list[tuple[int, int, int, bool]] = []
    revoked: dict[int, int] = {}
    open_blocks: list[tuple[int, int, bool]] = []
    open_revokes: list[int] = []
    number, sequence, position = 0, log.sequence, log.start
    left = log.end - log.first
    while left > 0:
        here = places[position] * size
        if here + size > len(view):
            break
        magic, kind, stored = _header(view, here)
        if magic != JBD2_MAGIC_NUMBER or stored != sequence:
            break
        position, left = log.after(position), left - 1
        if kind == JBD2_DESCRIPTOR_BLOCK:
            for tag in _tags(log, here):
                if left <= 0:
                    break
                open_blocks.append((log.target(tag), places[position] * size, log.escaped(tag)))
                position, left = log.after(position), left - 1
        elif kind == JBD2_REVOKE_BLOCK:
            open_revokes += log.revoked(here)
        elif kind == JBD2_COMMIT_BLOCK:
            written += [(number, *block) for block in open_blocks]
            revoked.update(dict.fromkeys(open_revokes, number))
            open_blocks, open_revokes = [], []
            number, sequence = number + 1, low_32(sequence + 1)
        else:
            break
    for number, target, start, escaped in written:
        fits = start + size <= len(view) and (target + 1) * size <= len(view)
        if fits and revoked.get(target, -1) < number:
            found[target] = start, escaped
    return found


def set_log_checksums(view: memoryview, size: int, places: Sequence[int], at: int) -> None:
    """Set the checksums of a journal that is stored in the blocks ``places`` of ``view``.

    Blocks have ``size`` bytes. ``at`` is the index in ``places`` of the journal superblock.
    """
    log = _Log(view, size, places, at)
    if log.has_sums:
        set_journal_superblock_checksum(view, places[at] * size)
    if not log.start or not (log.has_sums or log.v1) or not 0 < log.first < log.end:
        return
    if log.first <= log.start < log.end:
        _set_transaction_checksums(log)


def _set_transaction_checksums(log: _Log) -> None:
    view, size, places = log.view, log.size, log.places
    position, sequence = log.start, log.sequence
    summed: list[int] = []
    left = log.end - log.first

    def step() -> int:
        nonlocal position, left
        here: int = places[position] * size
        position = log.after(position)
        left -= 1
        return here

    while left > 0:
        if places[position] * size + size > len(view):
            return
        magic, kind, stored = _header(view, places[position] * size)
        if magic != JBD2_MAGIC_NUMBER or stored != sequence:
            return
        here = step()
        if kind == JBD2_DESCRIPTOR_BLOCK:
            summed.append(here)
            for at in _tags(log, here):
                if left <= 0:
                    break
                block = step()
                if block + size > len(view):
                    return
                summed.append(block)
                if log.has_sums:
                    crc = crc32c(
                        crc32c(log.seed, _big_word.pack(sequence)), view[block : block + size]
                    )
                    if log.v3:
                        _big_word.pack_into(view, at + _CHECKSUM3, crc)
                    else:
                        _big_half.pack_into(view, at + _CHECKSUM, low_16(crc))
            if log.has_sums:
                _set_tail_checksum(log, here)
        elif kind == JBD2_REVOKE_BLOCK:
            if log.has_sums:
                _set_tail_checksum(log, here)
        elif kind == JBD2_COMMIT_BLOCK:
            at = here + _COMMIT_CHECKSUM
            if log.has_sums:
                _big_word.pack_into(view, at, 0)
                _big_word.pack_into(view, at, crc32c(log.seed, view[here : here + size]))
            elif _commit(view, here) == (JBD2_CRC32_CHKSUM, JBD2_CRC32_CHKSUM_SIZE):
                # fs/jbd2/recovery.c:calc_chksums; another kind or size means no checksum
                crc = CRC_START
                for block in summed:
                    crc = crc32_be(crc, view[block : block + size])
                _big_word.pack_into(view, at, crc)
            summed = []
            sequence = low_32(sequence + 1)
        else:
            return


def _tags(log: _Log, start: int) -> list[int]:
    """Return the offsets of the tags of the descriptor block at byte ``start``."""
    width = tag_size(csum_v2=log.v2, csum_v3=log.v3, is_64bit=log.is_64bit)
    end = start + log.size - (_TAIL_SIZE if log.has_sums else 0)
    at = start + JOURNAL_HEADER.size
    found = []
    while at + width <= end:
        found.append(at)
        flags = log.flags(at)
        if flags & JBD2_FLAG_LAST_TAG:
            break
        at += width + (0 if flags & JBD2_FLAG_SAME_UUID else UUID_SIZE)
    return found


def _set_tail_checksum(log: _Log, start: int) -> None:
    end = start + log.size
    _big_word.pack_into(log.view, end - _TAIL_SIZE, 0)
    _big_word.pack_into(log.view, end - _TAIL_SIZE, crc32c(log.seed, log.view[start:end]))


def set_fast_commit_checksums(view: memoryview, size: int, places: Sequence[int], at: int) -> None:
    """Set the checksums of the fast commits; the arguments are as in :func:`set_log_checksums`."""
    log = _Log(view, size, places, at)
    if not log.has_fast or not 0 < log.end < log.last - 1:
        return
    crc, tid = 0, None
    # fs/jbd2/journal.c:jbd2_fc_init: the first block after the log stays unused
    for position in range(log.end + 1, log.last):
        start = places[position] * size
        end = start + size
        if end > len(view):
            return
        where = start
        while where + FC_TL.size <= end:
            tag, length = _tl(view, where)
            following = where + FC_TL.size + length
            if not EXT4_FC_TAG_ADD_RANGE <= tag <= EXT4_FC_TAG_HEAD or following > end:
                return
            if tag == EXT4_FC_TAG_TAIL:
                if length < FC_TAIL.size or _tail(view, where + FC_TL.size)[0] != tid:
                    return
                until = where + FC_TL.size + _FC_CRC
                _word.pack_into(view, until, crc32c(crc, view[where:until]))
                crc = 0
                where = end  # the rest of the block is padding
                break
            if tag == EXT4_FC_TAG_HEAD and length >= FC_HEAD.size:
                (tid,) = _head(view, where + FC_TL.size)
            elif tid is None:
                return  # fast commits must begin with a head tag
            crc = crc32c(crc, view[where:following])
            where = following
