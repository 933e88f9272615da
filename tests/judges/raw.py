"""The few fields of an image that the judges need, read with ``struct`` alone.

Nothing of the library is used: an error in its declarations would otherwise confirm itself.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SUPERBLOCK_AT = 1024
SUPERBLOCK_SIZE = 1024
MAGIC = 0xEF53

COMPAT_SPARSE_SUPER2 = 0x200
INCOMPAT_RECOVER = 0x4
INCOMPAT_JOURNAL_DEV = 0x8
INCOMPAT_META_BG = 0x10
INCOMPAT_64BIT = 0x80
RO_COMPAT_SPARSE_SUPER = 0x1
RO_COMPAT_METADATA_CSUM = 0x400
RO_COMPAT_ORPHAN_PRESENT = 0x10000

BG_INODE_UNINIT = 1
BG_BLOCK_UNINIT = 2


@dataclass(frozen=True)
class Superblock:
    """The superblock at one offset, and the positions that follow from it."""

    data: bytes

    def u16(self, offset: int) -> int:
        return int(struct.unpack_from("<H", self.data, offset)[0])

    def u32(self, offset: int) -> int:
        return int(struct.unpack_from("<I", self.data, offset)[0])

    @property
    def has_magic(self) -> bool:
        return self.u16(0x38) == MAGIC

    @property
    def block_size(self) -> int:
        return 1024 << self.u32(0x18)

    @property
    def blocks_count(self) -> int:
        high = self.u32(0x150) if self.feature_incompat & INCOMPAT_64BIT else 0
        return self.u32(0x4) | high << 32

    @property
    def first_data_block(self) -> int:
        return self.u32(0x14)

    @property
    def blocks_per_group(self) -> int:
        return self.u32(0x20)

    @property
    def feature_compat(self) -> int:
        return self.u32(0x5C)

    @property
    def feature_incompat(self) -> int:
        return self.u32(0x60)

    @property
    def feature_ro_compat(self) -> int:
        return self.u32(0x64)

    @property
    def descriptor_size(self) -> int:
        return self.u16(0xFE) if self.feature_incompat & INCOMPAT_64BIT else 32

    @property
    def group_count(self) -> int:
        blocks = self.blocks_count - self.first_data_block
        return -(-blocks // self.blocks_per_group)

    @property
    def descriptor_blocks(self) -> int:
        return -(-self.group_count * self.descriptor_size // self.block_size)

    def group_start(self, group: int) -> int:
        return self.first_data_block + group * self.blocks_per_group

    def _super_block(self, group: int) -> int:
        """The block of its superblock or backup, if it has one."""
        start = self.group_start(group)
        # With clusters, the boot block is part of group 0.
        return 1 if start == 0 and self.block_size == 1024 else start

    def has_backup(self, group: int) -> bool:
        """True where ``group`` starts with a superblock (group 0 too)."""
        if self.feature_compat & COMPAT_SPARSE_SUPER2:
            return group == 0 or group in (self.u32(0x24C), self.u32(0x250))
        if group <= 1 or not self.feature_ro_compat & RO_COMPAT_SPARSE_SUPER:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))

    def backup_groups(self) -> list[int]:
        """The groups, without 0, that start with a copy of the superblock."""
        count = self.group_count
        if self.feature_compat & COMPAT_SPARSE_SUPER2:
            chosen = {self.u32(0x24C), self.u32(0x250)} - {0}
            return sorted(group for group in chosen if group < count)
        if not self.feature_ro_compat & RO_COMPAT_SPARSE_SUPER:
            return list(range(1, count))
        groups = {1}
        for base in (3, 5, 7):
            group = base
            while group < count:
                groups.add(group)
                group *= base
        return sorted(group for group in groups if group < count)

    def describes_all(self, group: int) -> bool:
        """Whether the backup in this group is followed by all descriptors.

        In a metagroup it is not. e2fsck expects them there, so it cannot start from such a backup.
        """
        classic = self.u32(0x104) if self.feature_incompat & INCOMPAT_META_BG else 0
        return group < classic * (self.block_size // self.descriptor_size) or not classic

    def descriptor_copies(self) -> Iterator[tuple[int, int, list[int]]]:
        """Yield (first descriptor block, count, first blocks of the copies)."""
        meta = bool(self.feature_incompat & INCOMPAT_META_BG)
        classic = min(self.u32(0x104), self.descriptor_blocks) if meta else self.descriptor_blocks
        if classic:
            groups = [0, *self.backup_groups()]
            if meta:
                groups = [group for group in groups if self.describes_all(group)]
            yield 0, classic, [self._super_block(group) + 1 for group in groups]
        groups_per_block = self.block_size // self.descriptor_size
        for block in range(classic, self.descriptor_blocks):
            first = block * groups_per_block
            groups = sorted({first, first + 1, first + groups_per_block - 1})
            yield (
                block,
                1,
                [
                    self._super_block(group) + self.has_backup(group)
                    for group in groups
                    if group < self.group_count
                ],
            )


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1


def waits_for_recovery(image: Path) -> bool:
    """Whether an image has orphans or a journal that must be replayed first."""
    with open(image, "rb") as file:
        superblock = read_superblock(file)
    needs_recovery = superblock.feature_incompat & INCOMPAT_RECOVER
    return bool(needs_recovery or superblock.u32(0xE8)) or has_orphan_file_entries(image)


def has_orphan_file_entries(image: Path) -> bool:
    """Whether the superblock says that the orphan file has entries."""
    with open(image, "rb") as file:
        return bool(read_superblock(file).feature_ro_compat & RO_COMPAT_ORPHAN_PRESENT)


def read_superblock(image: BinaryIO, offset: int = SUPERBLOCK_AT) -> Superblock:
    """The superblock at ``offset`` of an open image."""
    image.seek(offset)
    return Superblock(image.read(SUPERBLOCK_SIZE))


def looks_like_ext4(path: Path) -> bool:
    """True if a file starts like an image of ext2, 3 or 4; False for an external journal."""
    superblock = _superblock_of(path)
    return superblock is not None and not superblock.feature_incompat & INCOMPAT_JOURNAL_DEV


def journal_beside(image: Path) -> Path | None:
    """The file in the same folder that is the external journal of an image, or None."""
    superblock = _superblock_of(image)
    uuid = superblock.data[0xD0:0xE0] if superblock is not None else bytes(16)
    if superblock is None or not any(uuid) or superblock.u32(0xE0):
        return None
    for path in sorted(image.parent.iterdir()):
        other = _superblock_of(path) if path.is_file() else None
        is_journal = other is not None and other.feature_incompat & INCOMPAT_JOURNAL_DEV
        if other is not None and is_journal and other.data[0x68:0x78] == uuid:
            return path
    return None


def _superblock_of(path: Path) -> Superblock | None:
    try:
        with open(path, "rb") as file:
            file.seek(SUPERBLOCK_AT)
            data = file.read(SUPERBLOCK_SIZE)
    except OSError:
        return None
    superblock = Superblock(data)
    if len(data) < SUPERBLOCK_SIZE or not superblock.has_magic or superblock.u32(0x18) > 6:
        return None
    return superblock


def read_descriptors(image: BinaryIO, superblock: Superblock) -> bytes:
    """All group descriptors, from their primary positions."""
    pieces = []
    for _, count, copies in superblock.descriptor_copies():
        image.seek(copies[0] * superblock.block_size)
        pieces.append(image.read(count * superblock.block_size))
    return b"".join(pieces)[: superblock.group_count * superblock.descriptor_size]


def group_flags(image: BinaryIO, superblock: Superblock) -> list[int]:
    """``bg_flags`` of each group."""
    data = read_descriptors(image, superblock)
    size = superblock.descriptor_size
    return [struct.unpack_from("<H", data, at + 0x12)[0] for at in range(0, len(data), size)]


def crc32c(data: bytes, crc: int = 0xFFFFFFFF) -> int:
    """CRC-32C without the final inversion, as in ext4's checksums."""
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


def _crc_row(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC_TABLE = [_crc_row(value) for value in range(256)]


def data_ranges(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """The (start, end) of each piece of ``file`` that is not a hole on the host."""
    position = 0
    while position < size:
        try:
            start = os.lseek(file.fileno(), position, os.SEEK_DATA)
        except OSError:
            return
        end = min(os.lseek(file.fileno(), start, os.SEEK_HOLE), size)
        yield start, end
        position = end


def differing_bytes(first: Path, second: Path, limit: int = 4096) -> list[int]:
    """The offsets at which two files of equal size differ, at most about ``limit`` of them.

    Ranges that are holes in both are not read.
    """
    found: list[int] = []
    size = first.stat().st_size
    if size != second.stat().st_size:
        return [min(size, second.stat().st_size)]
    with open(first, "rb") as one, open(second, "rb") as two:
        seen_to = 0
        ranges = sorted([*data_ranges(one, size), *data_ranges(two, size)])
        for range_start, end in ranges:
            start = max(range_start, seen_to)
            while start < end:
                count = min(end - start, 1 << 20)
                left = os.pread(one.fileno(), count, start)
                right = os.pread(two.fileno(), count, start)
                if left != right:
                    found += [
                        start + index
                        for index, (byte, other) in enumerate(zip(left, right, strict=True))
                        if byte != other
                    ]
                    if len(found) >= limit:
                        return found
                start += count
            seen_to = max(seen_to, end)
    return found
