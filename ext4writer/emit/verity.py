"""fs-verity metadata, stored past the end of a file: Merkle trees and descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..arithmetic import ceil_div
from ..ondisk.units import UnitKind, UnitRun
from ..ondisk.verity import DESC_SIZE_BYTES
from ..planning.layout import ImagePlan
from ..planning.verity import VerityFile, descriptor_offset, read_exactly
from ..tree import RegularFile
from .workspace import PIECE_BYTES


def verity_runs(layout: ImagePlan) -> Iterator[UnitRun]:
    """Yield the blocks of all trees and descriptors, in pieces."""
    size = layout.block_size
    most = PIECE_BYTES // size
    for index, file in layout.verity.items():
        ino = layout.table.inos[index]
        for run in layout.runs_of(index):
            end = run.logical + run.length
            for logical in range(max(run.logical, file.first_block), end, most):
                numbers = range(logical, min(logical + most, end))
                yield UnitRun(
                    UnitKind.VERITY_BLOCK,
                    ino,
                    numbers,
                    (run.physical + logical - run.logical) * size,
                    size,
                    len(numbers),
                    partial(_stored, layout, index, file, numbers),
                )


def _stored(layout: ImagePlan, index: int, file: VerityFile, numbers: range) -> bytearray:
    """Build the logical blocks ``numbers`` of one file."""
    size = layout.block_size
    start = (numbers.start - file.first_block) * size
    data = bytearray(len(numbers) * size)
    _put(data, -start, file.upper)
    lowest_at = len(file.upper)
    if file.lowest is not None:
        _put(data, lowest_at - start, file.lowest)
    else:
        end = min(start + len(data), file.tree.tree_size(file.size))
        first = max(start, lowest_at)
        if first < end:
            made = _lowest_level(layout, index, file, first - lowest_at, end - lowest_at)
            _put(data, first - start, made)
    at = descriptor_offset(file.tree, file.size, size)
    descriptor = file.descriptor
    _put(data, at - start, descriptor)
    length = len(descriptor).to_bytes(DESC_SIZE_BYTES, "little")
    _put(data, file.blocks * size - DESC_SIZE_BYTES - start, length)
    return data


def _put(data: bytearray, at: int, piece: bytes | bytearray) -> None:
    """Copy ``piece`` to offset ``at`` of ``data``, clipped to it; ``at`` may be negative."""
    first, end = max(at, 0), min(at + len(piece), len(data))
    if first < end:
        data[first:end] = memoryview(piece)[first - at : end - at]


def _lowest_level(
    layout: ImagePlan, index: int, file: VerityFile, start: int, end: int
) -> bytearray:
    """Return the bytes ``start`` to ``end`` of the lowest level, hashed from the content again."""
    tree, node = file.tree, layout.table.nodes[index]
    assert isinstance(node, RegularFile)
    first, last = start // tree.block_size, ceil_div(end, tree.block_size)
    covered = tree.hashes_per_block * tree.block_size
    made = bytearray()
    reader = node.content.open()
    try:
        for block in range(first, last):
            offset = block * covered
            piece = read_exactly(reader, offset, min(covered, file.size - offset))
            made += b"".join(tree.hashes(piece)).ljust(tree.block_size, b"\0")
        reader.check_unchanged()
    finally:
        reader.close()
    skipped = first * tree.block_size
    return made[start - skipped : end - skipped]
