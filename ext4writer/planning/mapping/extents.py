"""Extents: a tree of runs with its root in ``i_block``.

Rules: Documentation/filesystems/ext4/ifork.rst, "Extent Tree".
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from typing import ClassVar

from ...arithmetic import ceil_div
from ...bits import high_32, low_32
from ...ondisk.extent import (
    EXT4_EXT_MAGIC,
    EXT4_MAX_EXTENT_DEPTH,
    EXT_INIT_MAX_LEN,
    EXT_MAX_BLOCKS,
    EXTENT,
    EXTENT_HEADER,
    EXTENT_IDX,
    INLINE_ENTRIES,
    entries_per_block,
)
from ...ondisk.format import Format
from ...ondisk.inode import EXT4_EXTENTS_FL
from ...ondisk.units import Unit, UnitKind
from ...units import SECTOR
from .base import I_BLOCK_BYTES, MAX_SECTORS, DataMapping, MappedRun, UnwrittenRun

_pack_header = EXTENT_HEADER.packer("eh_magic", "eh_entries", "eh_max", "eh_depth")
_pack_extent = EXTENT.packer("ee_block", "ee_len", "ee_start_hi", "ee_start_lo")
_pack_idx = EXTENT_IDX.packer("ei_block", "ei_leaf_lo", "ei_leaf_hi")


class ExtentMapping(DataMapping):
    """The extent tree. Its own blocks are numbered from the top down, level by level."""

    flags: ClassVar[int] = EXT4_EXTENTS_FL
    max_blocks: int = EXT_MAX_BLOCKS
    max_run: ClassVar[int] = EXT_INIT_MAX_LEN
    max_plain_run: ClassVar[int] = EXT_INIT_MAX_LEN
    blocks_purpose: ClassVar[str | None] = "extent blocks"

    def __init__(self, fmt: Format, node_entries: int = 0) -> None:
        """``node_entries`` is how many entries a node has; 0 means all that fit."""
        super().__init__(fmt)
        self._per_block = entries_per_block(fmt.block_size)
        self._filled = node_entries or self._per_block
        if not fmt.huge_file:
            # fs/ext4/super.c:ext4_max_size: i_blocks has 32 bits for sectors
            self.max_blocks = min(EXT_MAX_BLOCKS, MAX_SECTORS // (fmt.block_size // SECTOR))

    def metadata_blocks(self, runs: Sequence[MappedRun]) -> int:
        return sum(self._levels(len(runs)))

    def _levels(self, extents: int) -> list[int]:
        """Return the blocks on each level below the inode, leaves last; empty if none is needed."""
        filled = self._filled_for(extents)
        levels: list[int] = []
        below = extents
        while below > INLINE_ENTRIES:
            below = ceil_div(below, filled)
            levels.insert(0, below)
        return levels

    def _filled_for(self, extents: int) -> int:
        """Return the entries of each node: more than requested if the tree would be too deep."""
        filled = self._filled
        while filled < self._per_block and extents > INLINE_ENTRIES * filled**EXT4_MAX_EXTENT_DEPTH:
            filled = min(2 * filled, self._per_block)
        return filled

    def i_block(self, runs: Sequence[MappedRun], blocks: Sequence[int]) -> bytes:
        if not blocks:
            entries = b"".join(map(_leaf_entry, runs))
            return _node(entries, len(runs), INLINE_ENTRIES, 0, I_BLOCK_BYTES)
        levels = self._levels(len(runs))
        top = blocks[: levels[0]]
        # An index entry has the first logical block of everything below it.
        below = self._filled_for(len(runs)) ** len(levels)
        entries = b"".join(
            _index_entry(runs[number * below].logical, block) for number, block in enumerate(top)
        )
        return _node(entries, len(top), INLINE_ENTRIES, len(levels), I_BLOCK_BYTES)

    def units(self, ino: int, runs: Sequence[MappedRun], blocks: Sequence[int]) -> Iterator[Unit]:
        size, per_block = self.format.block_size, self._filled_for(len(runs))
        levels = self._levels(len(runs))
        first = 0
        for level, count in enumerate(levels):
            depth = len(levels) - 1 - level
            children = blocks[first + count : first + count + levels[level + 1]] if depth else ()
            for position in range(count):
                held = slice(position * per_block, (position + 1) * per_block)
                number = first + position
                make = (
                    partial(self._index_block, runs, children, held, depth)
                    if depth
                    else partial(self._leaf_block, runs, held)
                )
                offset = blocks[number] * size
                yield Unit(UnitKind.EXTENT_BLOCK, ino, number + 1, offset, size, make)
            first += count

    def _leaf_block(self, runs: Sequence[MappedRun], held: slice) -> bytes:
        entries = [_leaf_entry(run) for run in runs[held]]
        size = self.format.block_size
        return _node(b"".join(entries), len(entries), self._per_block, 0, size)

    def _index_block(
        self, runs: Sequence[MappedRun], children: Sequence[int], held: slice, depth: int
    ) -> bytes:
        below = self._filled_for(len(runs)) ** depth
        entries = [
            _index_entry(runs[number * below].logical, block)
            for number, block in enumerate(children[held], held.start)
        ]
        size = self.format.block_size
        return _node(b"".join(entries), len(entries), self._per_block, depth, size)

    def plain_i_block(self) -> bytes:
        return self.i_block([MappedRun(0, 0, 0)], ())

    def write_plain_runs(
        self, view: memoryview, offset: int, stride: int, lengths: array[int], starts: array[int]
    ) -> None:
        columns: dict[tuple[str, ...], array[int]] = {
            ("ee_len",): lengths,
            EXTENT.parts("ee_start"): starts,
        }
        for names, column in columns.items():
            EXTENT.write_column(view, offset + EXTENT_HEADER.size, stride, names, column)
        if 0 in lengths:
            used = array("H", map(bool, lengths))
            EXTENT_HEADER.write_column(view, offset, stride, ("eh_entries",), used)


def _node(entries: bytes, count: int, most: int, depth: int, size: int) -> bytes:
    """Build a node of the tree, ``size`` bytes without its checksum; ``most`` entries fit."""
    header = _pack_header(EXT4_EXT_MAGIC, count, most, depth)
    return (header + entries).ljust(size, b"\0")


def _leaf_entry(run: MappedRun) -> bytes:
    # fs/ext4/ext4_extents.h:ext4_ext_mark_unwritten
    length = run.length + EXT_INIT_MAX_LEN * isinstance(run, UnwrittenRun)
    return _pack_extent(run.logical, length, high_32(run.physical), low_32(run.physical))


def _index_entry(logical: int, block: int) -> bytes:
    return _pack_idx(logical, low_32(block), high_32(block))
