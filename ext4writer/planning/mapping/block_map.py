"""Block maps: twelve blocks in ``i_block``, the others under up to three levels of indirect blocks.

Rules: Documentation/filesystems/ext4/blockmap.rst and fs/ext4/indirect.c.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from struct import pack, pack_into
from typing import ClassVar

from ...arithmetic import ceil_div, round_down
from ...late_dataclasses import NamedTuple
from ...ondisk.extent import EXT_MAX_BLOCKS
from ...ondisk.format import Format
from ...ondisk.inode import EXT4_N_BLOCKS, EXT4_NDIR_BLOCKS
from ...ondisk.units import Make, Unit, UnitKind
from ...units import SECTOR
from .base import BLOCK_NUMBER_BYTES, I_BLOCK_BYTES, MAX_SECTORS, DataMapping, MappedRun

_LEVELS = EXT4_N_BLOCKS - EXT4_NDIR_BLOCKS
_I_BLOCK = f"<{EXT4_N_BLOCKS}I"
_MAX_SECTORS_HUGE = (1 << 48) - 1


class _Indirect(NamedTuple):
    """An indirect block: its level, and the first file block that it covers."""

    level: int
    """0 for a block that lists data blocks."""
    first: int


class BlockMapping(DataMapping):
    """The block map of ext2 and ext3. Its indirect blocks are numbered in depth-first order.

    No indirect block covers only holes. So the set of them depends on the logical blocks of the
    runs, and not on how the runs are split.
    """

    flags: ClassVar[int] = 0
    max_run: ClassVar[int] = EXT_MAX_BLOCKS
    max_plain_run: ClassVar[int] = EXT4_NDIR_BLOCKS
    blocks_purpose: ClassVar[str | None] = "indirect blocks"

    def __init__(self, fmt: Format) -> None:
        super().__init__(fmt)
        self._per_block = fmt.block_size // BLOCK_NUMBER_BYTES
        self.max_blocks = self._most_blocks()

    def _most_blocks(self) -> int:
        """Return the most blocks that three levels map and i_blocks counts, including the map."""
        # fs/ext4/super.c:ext4_max_bitmap_size
        per_block = self._per_block
        reached = EXT4_NDIR_BLOCKS + per_block + per_block**2 + per_block**3
        sectors = _MAX_SECTORS_HUGE if self.format.huge_file else MAX_SECTORS
        counted = sectors // (self.format.block_size // SECTOR)
        if reached + self._own_blocks(reached) > counted:
            reached = counted - self._own_blocks(counted)
        return min(reached, EXT_MAX_BLOCKS)

    def _own_blocks(self, blocks: int) -> int:
        """Return the number of indirect blocks of a file of ``blocks`` blocks without holes."""
        own, left = 0, blocks - EXT4_NDIR_BLOCKS
        for levels in range(1, _LEVELS + 1):
            if left <= 0:
                break
            held: int = min(left, self._per_block**levels)
            left -= held
            for _ in range(levels):
                held = ceil_div(held, self._per_block)
                own += held
        return own

    def metadata_blocks(self, runs: Sequence[MappedRun]) -> int:
        if not runs or runs[-1].logical + runs[-1].length <= EXT4_NDIR_BLOCKS:
            return 0
        return sum(1 for _ in self._indirect(runs))

    def _indirect(self, runs: Sequence[MappedRun]) -> Iterator[_Indirect]:
        """Yield the indirect blocks depth first, parents before children."""
        per_block = self._per_block
        # The first file block and the highest level of each tree.
        trees: list[tuple[int, int]] = []
        first = EXT4_NDIR_BLOCKS
        for level in range(_LEVELS):
            trees.append((first, level))
            first += per_block ** (level + 1)
        # By level: the first file block of the last indirect block so far.
        last: dict[int, int] = {}
        for run in runs:
            position, end = run.logical, run.logical + run.length
            position = max(position, EXT4_NDIR_BLOCKS)
            while position < end:
                start, top = next(tree for tree in reversed(trees) if tree[0] <= position)
                leaf = 0
                for level in range(top, -1, -1):
                    covers = per_block ** (level + 1)
                    leaf = start + round_down(position - start, covers)
                    if last.get(level, -1) < leaf:
                        last[level] = leaf
                        yield _Indirect(level, leaf)
                position = leaf + per_block

    def i_block(self, runs: Sequence[MappedRun], blocks: Sequence[int]) -> bytes:
        words = [0] * EXT4_N_BLOCKS
        words[:EXT4_NDIR_BLOCKS] = self._data_words(runs, 0, EXT4_NDIR_BLOCKS)
        first = EXT4_NDIR_BLOCKS
        if blocks:
            tops = {
                (each.level, each.first): block
                for each, block in zip(self._indirect(runs), blocks, strict=True)
            }
            for level in range(_LEVELS):
                words[EXT4_NDIR_BLOCKS + level] = tops.get((level, first), 0)
                first += self._per_block ** (level + 1)
        return _packed(words)

    def units(self, ino: int, runs: Sequence[MappedRun], blocks: Sequence[int]) -> Iterator[Unit]:
        if not blocks:
            return
        per_block = self._per_block
        indirect = list(self._indirect(runs))
        # By level: the first file blocks of its indirect blocks, ascending, and their numbers.
        levels: list[tuple[list[int], list[int]]] = [([], []) for _ in range(_LEVELS)]
        for each, block in zip(indirect, blocks, strict=True):
            levels[each.level][0].append(each.first)
            levels[each.level][1].append(block)
        for number, (each, block) in enumerate(zip(indirect, blocks, strict=True)):
            if each.level:
                firsts, below = levels[each.level - 1]
                covers = per_block**each.level
                low = bisect_left(firsts, each.first)
                high = bisect_left(firsts, each.first + covers * per_block)
                held = zip(firsts[low:high], below[low:high], strict=True)
                words = [0] * per_block
                for first, child in held:
                    words[(first - each.first) // covers] = child
                yield self._unit(ino, number, block, partial(_packed, words))
            else:
                yield self._unit(ino, number, block, partial(self._leaf, runs, each.first))

    def _unit(self, ino: int, number: int, block: int, make: Make) -> Unit:
        size = self.format.block_size
        return Unit(UnitKind.INDIRECT_BLOCK, ino, number, block * size, size, make)

    def _leaf(self, runs: Sequence[MappedRun], first: int) -> bytes:
        return _packed(self._data_words(runs, first, self._per_block))

    def _data_words(self, runs: Sequence[MappedRun], first: int, count: int) -> list[int]:
        """Return the numbers of ``count`` file blocks, starting at ``first``; 0 is a hole."""
        words = [0] * count
        at = bisect_left(runs, first + 1, key=lambda run: run.logical + run.length)
        for run in runs[at:]:
            low, high = max(run.logical, first), min(run.logical + run.length, first + count)
            if low >= high:
                break
            start = run.physical + low - run.logical
            words[low - first : high - first] = range(start, start + high - low)
        return words

    def plain_i_block(self) -> bytes:
        return bytes(I_BLOCK_BYTES)

    def write_plain_runs(
        self, view: memoryview, offset: int, stride: int, lengths: array[int], starts: array[int]
    ) -> None:
        zeros = (0,) * EXT4_N_BLOCKS
        for row, (length, start) in enumerate(zip(lengths, starts, strict=True)):
            if start and length <= EXT4_NDIR_BLOCKS:
                rest = zeros[length:]
                pack_into(
                    _I_BLOCK, view, offset + row * stride, *range(start, start + length), *rest
                )


def _packed(words: Sequence[int]) -> bytes:
    return pack(f"<{len(words)}I", *words)
