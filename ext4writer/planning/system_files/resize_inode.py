"""The resize inode, which holds the blocks reserved for further descriptors.

Rules: lib/ext2fs/res_gdt.c:ext2fs_create_resize_inode and lib/ext2fs/initialize.c:
calc_reserved_gdt_blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from struct import pack
from typing import ClassVar

from ...errors import SpecError
from ...ondisk.format import MAX_32BIT_BLOCKS, Format
from ...ondisk.inode import EXT4_N_BLOCKS
from ...ondisk.superblock import EXT4_RESIZE_INO
from ...ondisk.units import Unit, UnitKind
from ..mapping import FileMapping, MappedRun
from ..mapping.base import BLOCK_NUMBER_BYTES
from .base import SystemFile

_DOUBLY_INDIRECT = 13
"""Index of the double indirect block in i_block (EXT2_DIND_BLOCK)."""


def resize_inode_bytes(block_size: int) -> int:
    """Return i_size in bytes: all that two levels of blocks can map."""
    per_block = block_size // BLOCK_NUMBER_BYTES
    return (per_block * per_block + per_block + 12) * block_size


def max_reserved_gdt_blocks(fmt: Format) -> int:
    """Return how many reserved blocks the double indirect block maps (EXT2_ADDR_PER_BLOCK)."""
    return fmt.block_size // BLOCK_NUMBER_BYTES


GROWTH_FACTOR = 1024
"""So many times as large can a file system become by default, as in mke2fs."""


def reserved_gdt_blocks(
    fmt: Format, blocks_count: int, grow_to_blocks: int | None, at_least: int = 0
) -> int:
    """Return the blocks reserved after the descriptors for growth (calc_reserved_gdt_blocks).

    Without ``grow_to_blocks``, they are enough for 1,024 times the size, up to 2^32 blocks, as in
    mke2fs, or for ``at_least`` blocks if that is more. Raises :class:`SpecError` if there is no
    space for the descriptors of ``grow_to_blocks``.
    """
    if not fmt.resize_inode:
        return 0
    present = fmt.gdt_blocks(fmt.groups_for(blocks_count))
    most = max_reserved_gdt_blocks(fmt)
    if grow_to_blocks is None:
        target = max(min(blocks_count * GROWTH_FACTOR, MAX_32BIT_BLOCKS), at_least)
        wanted = fmt.gdt_blocks(fmt.groups_for(target)) - present
        return max(0, min(wanted, most))
    wanted = fmt.gdt_blocks(fmt.groups_for(max(grow_to_blocks, blocks_count))) - present
    if wanted > most:
        groups = (present + most) * fmt.descs_per_block
        raise SpecError(
            "grow_to",
            f"the resize inode reserves descriptors for at most "
            f"{fmt.group_first_block(groups) * fmt.block_size} bytes "
            "with this block size; choose less, or larger blocks",
        )
    return wanted


def last_with_reserve(fmt: Format, blocks_count: int, grow_to_blocks: int | None) -> int:
    """Return the most blocks, in as many groups, for which as many are reserved.

    It may be more where the reserve is at one of its limits.
    """
    factor = GROWTH_FACTOR if grow_to_blocks is None else 1
    target = max(blocks_count * factor, grow_to_blocks or 0)
    groups = fmt.gdt_blocks(fmt.groups_for(target)) * fmt.descs_per_block
    return fmt.group_first_block(groups) // factor


def resize_inode_file(fmt: Format, groups: int, reserved_gdt_blocks: int) -> SystemFile | None:
    """Return the resize inode; None without the feature."""
    if not fmt.resize_inode:
        return None
    fmt = fmt.of_groups(groups)  # determines which groups have backups
    return SystemFile(
        ino=EXT4_RESIZE_INO,
        purpose="reserved for growth",
        size_bytes=resize_inode_bytes(fmt.block_size),
        data_blocks=0,
        mapping=ResizeMapping(fmt, groups, reserved_gdt_blocks),
        fixed_blocks=reserved_gdt_blocks * fmt.super_groups_count(groups),
    )


class ResizeMapping(FileMapping):
    """A block map whose data blocks are the reserved descriptor blocks of the backups.

    Its indirect blocks are the reserved blocks of group 0, each of which lists its copies. Only the
    double indirect block is allocated.
    """

    flags: ClassVar[int] = 0
    blocks_purpose: ClassVar[str | None] = None

    def __init__(self, fmt: Format, groups: int, reserved_gdt_blocks: int) -> None:
        super().__init__(fmt)
        self._groups = groups
        self._reserved = reserved_gdt_blocks

    def metadata_blocks(self, runs: Sequence[MappedRun]) -> int:  # noqa: ARG002 (it has no data)
        return 1

    def i_block(self, runs: Sequence[MappedRun], blocks: Sequence[int]) -> bytes:  # noqa: ARG002
        words = [0] * EXT4_N_BLOCKS
        [words[_DOUBLY_INDIRECT]] = blocks
        return _packed(words)

    def units(self, ino: int, runs: Sequence[MappedRun], blocks: Sequence[int]) -> Iterator[Unit]:  # noqa: ARG002
        fmt, size = self.format, self.format.block_size
        gdt_blocks = fmt.gdt_blocks(self._groups)
        first = fmt.super_block(0) + 1 + gdt_blocks
        # A block's index is the number of its descriptor block, modulo what fits.
        words = [0] * (size // BLOCK_NUMBER_BYTES)
        for number in range(self._reserved):
            words[(gdt_blocks + number) % len(words)] = first + number
        [top] = blocks
        yield Unit(UnitKind.INDIRECT_BLOCK, ino, 0, top * size, size, partial(_packed, words))
        backups = [group * fmt.blocks_per_group for group in fmt.super_groups(self._groups)[1:]]
        if not backups:
            return
        for number in range(self._reserved):
            block = first + number
            copies = [block + distance for distance in backups]
            copies += [0] * (len(words) - len(copies))
            make = partial(_packed, copies)
            yield Unit(UnitKind.INDIRECT_BLOCK, ino, number + 1, block * size, size, make)


def _packed(words: Sequence[int]) -> bytes:
    return pack(f"<{len(words)}I", *words)
