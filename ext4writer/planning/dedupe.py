"""Finds equal blocks of file content, so that an image stores each only once.

Of equal blocks, the first by inode and offset is stored. The search needs ``BYTES_PER_BLOCK`` bytes
of memory for each block of content.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator

from ..arithmetic import ceil_div
from ..blake2 import blake2b
from ..content import reading_buffer
from ..errors import SourceChangedError, SpecError
from ..late_dataclasses import NamedTuple
from ..progress import Cancel, check_cancelled
from ..spans import Run
from ..tree import S_IFREG, RegularFile
from .contents import DataBlocks
from .inodes import InodeTable
from .mapping import DataMapping, MappedRun

DIGEST_SIZE = 20
"""In bytes: enough that nobody can create two different blocks with the same digest."""
BYTES_PER_BLOCK = DIGEST_SIZE + 4 + 4 + 1
_PIECE_BYTES = 1 << 20
_BUCKETS = 256
_BLOCKS_MOST = 1 << 32


class SharedRun(NamedTuple):
    """Blocks of a file that are stored as other blocks, of another file or of the same one."""

    logical: int
    length: int
    owner: int
    """Index of the node that stores them."""
    owner_logical: int


class _Segment(NamedTuple):
    """Adjacent blocks of content; ``first`` is the number of the first among all blocks."""

    first: int
    node: int
    """Its index."""
    logical: int
    length: int


def share_blocks(
    table: InodeTable,
    data: DataBlocks,
    mapping: DataMapping,
    block_size: int,
    cancel: Cancel | None = None,
) -> dict[int, list[SharedRun]]:
    """Remove blocks that are stored elsewhere from ``data``; return them by node index.

    A file does not change if its longer mapping would need as many blocks as it saves. Reads every
    file. Raises errors of reading, :class:`SourceChangedError`, :class:`SpecError` and
    :class:`CancelledError`.
    """
    segments = list(_segments(table, data, block_size))
    if not segments:
        return {}
    total = segments[-1].first + segments[-1].length
    if total > _BLOCKS_MOST:
        raise SpecError("dedupe", f"{total} blocks are more than {_BLOCKS_MOST}; use larger ones")
    digests = _digests(table, segments, total, block_size, cancel)
    first_of, is_repeated = _repeated(digests, total)
    del digests
    starts = [segment.first for segment in segments]
    shared: dict[int, list[SharedRun]] = {}
    for segment in segments:
        for number, length in _repeats(segment, first_of, is_repeated):
            owner = segments[bisect_right(starts, first_of[number]) - 1]
            # Consecutive equal blocks may be in two segments.
            while length:
                place = first_of[number] - owner.first
                taken = min(length, owner.length - place)
                run = SharedRun(
                    segment.logical + number - segment.first,
                    taken,
                    owner.node,
                    owner.logical + place,
                )
                shared.setdefault(segment.node, []).append(run)
                number, length = number + taken, length - taken
                if length:
                    owner = segments[bisect_right(starts, first_of[number]) - 1]
    return {
        index: runs
        for index, runs in shared.items()
        if _leave_out(table, data, mapping, block_size, index, runs)
    }


def _segments(table: InodeTable, data: DataBlocks, block_size: int) -> Iterator[_Segment]:
    first = 0
    for index in table.indexes_of(S_IFREG):
        # Blocks after the content, such as a verity tree, are not read from the file.
        end = ceil_div(table.sizes[index], block_size)
        count = data.counts[index]
        for logical, blocks in data.ranges.get(index, [(0, count)] if count else []):
            length = min(blocks, end - logical)
            if length > 0:
                yield _Segment(first, index, logical, length)
                first += length


def _digests(
    table: InodeTable,
    segments: list[_Segment],
    total: int,
    block_size: int,
    cancel: Cancel | None,
) -> bytearray:
    """Return the digests of all blocks; the last block of a file is padded with zeros."""
    digests = bytearray(total * DIGEST_SIZE)
    buffer = reading_buffer(_PIECE_BYTES)
    at = position = 0
    while position < len(segments):
        index = segments[position].node
        node = table.nodes[index]
        assert isinstance(node, RegularFile)
        size = table.sizes[index]
        reader = node.content.open()
        try:
            while position < len(segments) and segments[position].node == index:
                _, _, logical, length = segments[position]
                position += 1
                stop = (logical + length) * block_size
                for offset in range(logical * block_size, stop, _PIECE_BYTES):
                    check_cancelled(cancel)
                    view = buffer[: min(_PIECE_BYTES, stop - offset)]
                    wanted = min(len(view), size - offset)
                    if reader.readinto(view[:wanted], offset) != wanted:
                        raise SourceChangedError(reader.path, f"ends before byte {size}")
                    view[wanted:] = bytes(len(view) - wanted)
                    for start in range(0, len(view), block_size):
                        block = view[start : start + block_size]
                        digest = blake2b(block, digest_size=DIGEST_SIZE).digest()
                        digests[at : at + DIGEST_SIZE] = digest
                        at += DIGEST_SIZE
            reader.check_unchanged()
        finally:
            reader.close()
    return digests


def _repeated(digests: bytearray, total: int) -> tuple[array[int], bytearray]:
    """Return for each block the first equal block, and whether that is a different one."""
    first_of = array("I", bytes(4 * total))
    is_repeated = bytearray(total)
    # One bucket at a time, because a dict needs far more memory than the digests.
    buckets = [array("I") for _ in range(_BUCKETS)]
    for number, byte in enumerate(digests[::DIGEST_SIZE]):
        buckets[byte].append(number)
    for bucket in buckets:
        firsts: dict[bytes, int] = {}
        for number in bucket:
            at = number * DIGEST_SIZE
            first = firsts.setdefault(bytes(digests[at : at + DIGEST_SIZE]), number)
            first_of[number] = first
            is_repeated[number] = first != number
    return first_of, is_repeated


def _repeats(segment: _Segment, first_of: array[int], is_repeated: bytearray) -> Iterator[Run]:
    """Yield runs of repeated blocks whose first occurrences are consecutive, too."""
    number, end = segment.first, segment.first + segment.length
    while True:
        number = is_repeated.find(1, number, end)
        if number < 0:
            return
        stop = number + 1
        while stop < end and is_repeated[stop] and first_of[stop] == first_of[stop - 1] + 1:
            stop += 1
        yield Run(number, stop - number)
        number = stop


def _leave_out(
    table: InodeTable,
    data: DataBlocks,
    mapping: DataMapping,
    block_size: int,
    index: int,
    runs: list[SharedRun],
) -> bool:
    """Remove ``runs`` from the blocks of a file; return False if that would save nothing."""
    count = data.counts[index]
    before = data.ranges.get(index, [(0, count)])
    own: list[Run] = []
    waiting = iter(runs)
    shared = next(waiting, None)
    for logical, length in before:
        end = logical + length
        while shared is not None and shared.logical < end:
            if shared.logical > logical:
                own.append(Run(logical, shared.logical - logical))
            logical = shared.logical + shared.length
            shared = next(waiting, None)
        if logical < end:
            own.append(Run(logical, end - logical))
    saved = sum(run.length for run in runs)
    pieces = sorted([*own, *((run.logical, run.length) for run in runs)])
    # All at physical block 0, so that no two are joined.
    after = [MappedRun(logical, length, 0) for logical, length in pieces]
    mapped = [MappedRun(logical, length, 0) for logical, length in before]
    if mapping.metadata_blocks(after) - mapping.metadata_blocks(mapped) >= saved:
        return False
    data.ranges[index] = own
    data.counts[index] = count - saved
    size = table.sizes[index]
    for run in runs:
        start = run.logical * block_size
        data.content_bytes -= min(run.length * block_size, size - start)
    return True
