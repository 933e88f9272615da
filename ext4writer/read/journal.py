"""Replays a journal that was not recovered, without writing anything.

Rules: fs/jbd2/recovery.c:do_one_pass. Three passes: find the last complete transaction, collect the
revoked blocks, collect the blocks to write. Fast commits are in :mod:`.fast_commits`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..bits import low_16, low_32
from ..errors import DamageError, ImageError
from ..late_dataclasses import NamedTuple
from ..ondisk.checksum import CRC_START, crc32c, set_journal_superblock_checksum
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
    JBD2_SUPERBLOCK_V1,
    JBD2_SUPERBLOCK_V2,
    JOURNAL_HEADER,
    JOURNAL_SUPERBLOCK,
    journal_device_start,
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
from ..ondisk.units import UnitKind
from .fast_commits import Tag
from .fast_commits import tags as fast_commit_tags

if TYPE_CHECKING:
    from .image import Image

_header = JOURNAL_HEADER.unpacker("h_magic", "h_blocktype", "h_sequence")
_MAGIC = struct.pack(">I", JBD2_MAGIC_NUMBER)


class BlockTag(NamedTuple):
    """One block of a transaction: its number in the file system, and how the journal stores it."""

    block: int
    flags: int
    checksum: int


class Transaction(NamedTuple):
    """A complete transaction. ``blocks`` pairs each tag with its block of the journal."""

    sequence: int
    blocks: list[tuple[BlockTag, int]]
    revoked: list[int]


class Scanned(NamedTuple):
    """The content of a log: complete transactions, and each block with its number in the journal.

    The blocks include those of a transaction that was never committed.
    """

    transactions: list[Transaction]
    blocks: list[tuple[int, UnitKind]]


class Journal:
    """The journal of an image: the one inside, or the external one on ``device``.

    ``image`` may itself be a journal device. Raises :class:`ImageError` if there is no journal or
    it is that of another file system, and :class:`DamageError`.
    """

    def __init__(self, image: Image, device: Image | None = None) -> None:
        self.image = image if device is None else device
        self._places: Sequence[int]
        if device is None and not image.format.journal_dev:
            self._places, at = _places_inside(image), 0
        else:
            if device is not None:
                _check_device(image, device)
            # On a journal device, blocks of the log are counted from the start of the device, as
            # in jbd2_journal_bmap. The journal's superblock follows that of ext4.
            self._places = _places_on_device(self.image)
            at = journal_device_start(self.image.block_size)
        self.offset = self._places[at] * self.image.block_size
        data = self.block(at)
        self.superblock = JOURNAL_SUPERBLOCK.parse(data)
        kind = self.number("h_blocktype")
        if self.number("h_magic") != JBD2_MAGIC_NUMBER or kind not in (
            JBD2_SUPERBLOCK_V1,
            JBD2_SUPERBLOCK_V2,
        ):
            raise self._error("h_magic", f"is {self.number('h_magic'):#010x}")
        if self.number("s_blocksize") != image.block_size:
            raise self._error("s_blocksize", f"is {self.number('s_blocksize')}")
        features = self.number("s_feature_incompat") if kind == JBD2_SUPERBLOCK_V2 else 0
        self.csum_v2 = bool(features & JBD2_FEATURE_INCOMPAT_CSUM_V2)
        self.csum_v3 = bool(features & JBD2_FEATURE_INCOMPAT_CSUM_V3)
        self.is_64bit = bool(features & JBD2_FEATURE_INCOMPAT_64BIT)
        self.has_checksums = self.csum_v2 or self.csum_v3
        if self.has_checksums:
            self._check_superblock(image, bytearray(data))
        older = self.number("s_feature_compat") if kind == JBD2_SUPERBLOCK_V2 else 0
        self.csum_v1 = bool(older & JBD2_FEATURE_COMPAT_CHECKSUM) and not self.has_checksums
        uuid = self.superblock["s_uuid"]
        assert isinstance(uuid, bytes)
        self.seed = crc32c(CRC_START, uuid)
        self.first, self.end = self.number("s_first"), self.number("s_maxlen")
        self.has_fast_commits = bool(features & JBD2_FEATURE_INCOMPAT_FAST_COMMIT)
        if self.has_fast_commits:
            self.end -= self.number("s_num_fc_blks") or JBD2_DEFAULT_FAST_COMMIT_BLOCKS
        if not 0 < self.first < self.end <= len(self._places):
            raise self._error("s_maxlen", f"is {self.end}, but the journal has {len(self._places)}")
        start = self.number("s_start")
        if start and not self.first <= start < self.end:
            raise self._error("s_start", f"is {start}")

    def _check_superblock(self, image: Image, data: bytearray) -> None:
        """Report a wrong checksum, which keeps the kernel from mounting the file system."""
        stored = self.number("s_checksum")
        expected = set_journal_superblock_checksum(data, 0)
        if stored != expected:
            text = f"is {stored:#010x} but should be {expected:#010x}"
            image.damage(self._error("s_checksum", text))

    def number(self, name: str) -> int:
        """Return one field of the journal's superblock."""
        value = self.superblock[name]
        assert isinstance(value, int)
        return value

    def _error(self, field: str, problem: str) -> DamageError:
        offset = self.offset + JOURNAL_SUPERBLOCK.offset(field)
        return DamageError(JOURNAL_SUPERBLOCK.name, field, offset, problem)

    def block(self, number: int) -> bytes:
        """Return one block of the journal."""
        return self.image.block(self._places[number])

    def place(self, number: int) -> int:
        """Return the block of the image that holds a block of the journal."""
        return self._places[number]

    def fast_commit_blocks(self) -> range:
        """Return the blocks of the journal that are reserved for fast commits."""
        # fs/jbd2/journal.c:jbd2_fc_init: the first block after the log stays unused
        if not self.has_fast_commits:
            return range(0)
        return range(self.end + 1, min(self.number("s_maxlen"), len(self._places)))

    def sequence_after(self, transactions: list[Transaction]) -> int:
        """Return the number of the transaction after those that are to be recovered."""
        if not transactions:
            return self.number("s_sequence")
        return low_32(transactions[-1].sequence + 1)

    def transactions(self) -> list[Transaction]:
        """Return the transactions to recover, oldest first; none if the journal is clean."""
        return self.scanned().transactions

    def scanned(self) -> Scanned:
        """Return the transactions to recover, and the blocks of the journal that hold them."""
        found: list[Transaction] = []
        used: list[tuple[int, UnitKind]] = []
        position, sequence = self.number("s_start"), self.number("s_sequence")
        if not position:
            return Scanned(found, used)
        blocks: list[tuple[BlockTag, int]] = []
        revoked: list[int] = []
        summed: list[int] = []
        left = self.end - self.first
        while left > 0:
            data = self.block(position)
            magic, kind, stored = _header(data, 0)
            if magic != JBD2_MAGIC_NUMBER or stored != sequence:
                break
            here = position
            position, left = self._next(position), left - 1
            if kind == JBD2_DESCRIPTOR_BLOCK:
                if self.has_checksums and not self._tail_is_right(data):
                    break
                used.append((here, UnitKind.JOURNAL_DESCRIPTOR))
                summed.append(here)
                for tag in self._tags(data):
                    if left <= 0:
                        break
                    blocks.append((tag, position))
                    used.append((position, UnitKind.JOURNAL_BLOCK))
                    summed.append(position)
                    position, left = self._next(position), left - 1
            elif kind == JBD2_REVOKE_BLOCK:
                if self.has_checksums and not self._tail_is_right(data):
                    break
                used.append((here, UnitKind.JOURNAL_REVOKE))
                revoked += self.revoked_by(data)
            elif kind == JBD2_COMMIT_BLOCK:
                if self.has_checksums and not self._commit_is_right(data):
                    break
                if self.csum_v1 and not self._v1_is_right(data, summed):
                    break
                used.append((here, UnitKind.JOURNAL_COMMIT))
                found.append(Transaction(sequence, blocks, revoked))
                blocks, revoked, summed = [], [], []
                sequence = low_32(sequence + 1)
            else:
                break
        return Scanned(found, used)

    def _next(self, position: int) -> int:
        return position + 1 if position + 1 < self.end else self.first

    def _tags(self, data: bytes) -> Iterator[BlockTag]:
        return (tag for _, tag in self._placed_tags(data))

    def tag_places(self, data: bytes) -> list[int]:
        """Return the byte of a descriptor block at which each tag begins."""
        return [at for at, _ in self._placed_tags(data)]

    def _placed_tags(self, data: bytes) -> Iterator[tuple[int, BlockTag]]:
        record = JOURNAL_BLOCK_TAG3 if self.csum_v3 else JOURNAL_BLOCK_TAG
        size = tag_size(csum_v2=self.csum_v2, csum_v3=self.csum_v3, is_64bit=self.is_64bit)
        end = len(data) - (JOURNAL_BLOCK_TAIL.size if self.has_checksums else 0)
        at = JOURNAL_HEADER.size
        while at + size <= end:
            # If a tag ends before its high half, the high half is zero.
            part = data[at : at + size].ljust(record.size, b"\0")
            if not self.is_64bit:
                high = record.offset("t_blocknr_high")
                part = part[:high] + bytes(4) + part[high + 4 :]
            flags = record.number(part, 0, "t_flags")
            yield (
                at,
                BlockTag(
                    record.number(part, 0, "t_blocknr"), flags, record.number(part, 0, "t_checksum")
                ),
            )
            if flags & JBD2_FLAG_LAST_TAG:
                return
            at += size + (0 if flags & JBD2_FLAG_SAME_UUID else UUID_SIZE)

    def revoked_by(self, data: bytes) -> list[int]:
        """Return the block numbers in a revoke block."""
        count = JOURNAL_REVOKE_HEADER.number(data, 0, "r_count")
        end = len(data) - (JOURNAL_BLOCK_TAIL.size if self.has_checksums else 0)
        width = 8 if self.is_64bit else 4
        start = JOURNAL_REVOKE_HEADER.size
        return [
            int.from_bytes(data[at : at + width], "big")
            for at in range(start, min(count, end) - width + 1, width)
        ]

    def _tail_is_right(self, data: bytes) -> bool:
        at = len(data) - JOURNAL_BLOCK_TAIL.size
        stored = JOURNAL_BLOCK_TAIL.number(data, at, "t_checksum")
        return crc32c(self.seed, data[:at] + bytes(JOURNAL_BLOCK_TAIL.size)) == stored

    def _commit_is_right(self, data: bytes) -> bool:
        at = JOURNAL_COMMIT_HEADER.offset("h_chksum")
        stored = int.from_bytes(data[at : at + 4], "big")
        return crc32c(self.seed, data[:at] + bytes(4) + data[at + 4 :]) == stored

    def _v1_is_right(self, data: bytes, summed: list[int]) -> bool:
        """Whether a commit's checksum is that of the transaction's descriptors and blocks."""
        # fs/jbd2/recovery.c:calc_chksums; all three fields are 0 if there is no checksum
        at = JOURNAL_COMMIT_HEADER.offset("h_chksum")
        stored = int.from_bytes(data[at : at + 4], "big")
        kind = JOURNAL_COMMIT_HEADER.number(data, 0, "h_chksum_type")
        size = JOURNAL_COMMIT_HEADER.number(data, 0, "h_chksum_size")
        if not kind and not size and not stored:
            return True
        if (kind, size) != (JBD2_CRC32_CHKSUM, JBD2_CRC32_CHKSUM_SIZE):
            return False
        from ..ondisk.crc32 import crc32_be  # late: hardly any journal has such checksums

        crc = CRC_START
        for number in summed:
            crc = crc32_be(crc, self.block(number))
        return crc == stored

    def tag_is_right(self, tag: BlockTag, sequence: int, data: bytes) -> bool:
        """Whether a block has the checksum in its tag; always true without checksums."""
        if not self.has_checksums:
            return True
        checksum = crc32c(crc32c(self.seed, struct.pack(">I", sequence)), data)
        return tag.checksum == (checksum if self.csum_v3 else low_16(checksum))


def _places_inside(image: Image) -> list[int]:
    """The blocks of the journal's inode."""
    ino = image.number("s_journal_inum")
    if not image.format.has_journal or not ino:
        raise ImageError(image.name, "has no journal inside")
    inode = image.inode(ino)
    places: list[int] = []
    for run in inode.runs():
        if run.logical != len(places):
            inode.wrong("i_block", f"maps no block {len(places)} of the journal")
            break
        places.extend(range(run.physical, run.physical + run.length))
    if not places:
        raise inode.error("i_block", "maps no journal")
    return places


def _check_device(image: Image, device: Image) -> None:
    """Refuse a device that does not hold the journal of ``image``."""
    # fs/ext4/super.c:ext4_get_dev_journal
    if not device.format.journal_dev:
        raise ImageError(device.name, "is no external journal")
    if device.format.uuid != image.superblock["s_journal_uuid"]:
        raise ImageError(device.name, "is the journal of another file system")


def _places_on_device(device: Image) -> Sequence[int]:
    """All blocks of a device."""
    count = min(device.blocks_count, device.store.size // device.block_size)
    if count <= journal_device_start(device.block_size):
        raise ImageError(device.name, "has no space for a journal")
    return range(count)


class Replayed(NamedTuple):
    """The work of recovery: blocks to write, and then the tags of fast commits to apply."""

    blocks: dict[int, bytes]
    tags: list[Tag]


def replayed(image: Image, device: Image | None = None) -> Replayed:
    """Return what recovery would change in a file system.

    ``device`` holds the journal of an image with an external journal. A block with a wrong checksum
    is reported and not written.
    """
    journal = Journal(image, device)
    if not image.format.needs_recovery or not journal.number("s_start"):
        # fs/ext4/super.c:ext4_load_journal, fs/jbd2/recovery.c:jbd2_journal_recover
        return Replayed({}, [])
    transactions = journal.transactions()
    tags = fast_commit_tags(journal, journal.sequence_after(transactions))
    return Replayed(_blocks_of(image, journal, transactions), tags)


def _blocks_of(image: Image, journal: Journal, transactions: list[Transaction]) -> dict[int, bytes]:
    """Number -> bytes of each block that complete transactions write."""
    # Sequence numbers wrap, so compare the positions of transactions in the log.
    revoked = {
        block: place
        for place, transaction in enumerate(transactions)
        for block in transaction.revoked
    }
    found: dict[int, bytes] = {}
    for place, transaction in enumerate(transactions):
        for tag, position in transaction.blocks:
            if revoked.get(tag.block, -1) >= place or tag.block >= image.blocks_count:
                continue
            data = journal.block(position)
            if not journal.tag_is_right(tag, transaction.sequence, data):
                offset = journal.place(position) * image.block_size
                text = f"is {tag.checksum:#x}, not that of the copy of block {tag.block}"
                image.damage(DamageError("journal_block_tag", "t_checksum", offset, text))
                continue
            if tag.flags & JBD2_FLAG_ESCAPE:
                data = _MAGIC + data[4:]
            found[tag.block] = data
    return found
