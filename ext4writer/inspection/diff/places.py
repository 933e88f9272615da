"""Compares blocks with the same number in both images, and counts those that differ by use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from ...arithmetic import round_down, round_up
from ...progress import Cancel, check_cancelled
from ...read import Image
from ...spans import Span
from ..usage import Use, usage
from .content import either
from .found import PLACE, Differences

_PIECE = 1 << 20
BYTES = "blocks of other bytes"
SIZE = "size of the file"
AFTER = "after the file system"


def compare_blocks(a: Image, b: Image, found: Differences, cancel: Cancel | None) -> None:
    """Count the blocks that differ, by their use in ``a``.

    Images with different block sizes have no blocks in common. Common holes are skipped. Files that
    contain only an image are compared to their ends: bytes after the file system make them
    different. In a partition, any bytes may follow.
    """
    if a.store.is_whole_file and b.store.is_whole_file and a.store.size != b.store.size:
        found.add(PLACE, SIZE, "in bytes", a.store.size, b.store.size)
    if a.block_size != b.block_size:
        return
    ranges = _differing(a, b, cancel)
    begin = next(ranges, None)
    if begin is None:
        return
    counts: dict[str, int] = {}
    first: dict[str, int] = {}
    for kind, block, count in _by_use(chain((begin,), ranges), usage(a).uses):
        counts[kind] = counts.get(kind, 0) + count
        first.setdefault(kind, block)
    for kind, count in counts.items():
        found.add(PLACE, BYTES, kind, {"blocks": count, "first": first[kind]}, None)


def _differing(a: Image, b: Image, cancel: Cancel | None) -> Iterator[Span]:
    """Yield the blocks that differ, ascending."""
    size = a.block_size
    end = min(a.store.size, b.store.size)
    are_files = a.store.is_whole_file and b.store.is_whole_file
    if not are_files or a.blocks_count != b.blocks_count:
        end = min(end, a.blocks_count * size, b.blocks_count * size)
    stored = [list(image.store.stored(0, end)) for image in (a, b)]
    start = stop = 0
    done = 0
    for low, high, _, _ in either(stored[0], stored[1]):
        low, high = max(round_down(low, size), done), min(round_up(high, size), end)
        for at in range(low, high, _PIECE):
            check_cancelled(cancel)
            count = min(_PIECE, high - at)
            one, other = a.store.read(at, count), b.store.read(at, count)
            if one == other:
                continue
            for place in range(0, count, size):
                if one[place : place + size] != other[place : place + size]:
                    block = (at + place) // size
                    if block != stop:
                        if stop > start:
                            yield Span(start, stop)
                        start = block
                    stop = block + 1
        done = max(done, high)
    if stop > start:
        yield Span(start, stop)


def _by_use(ranges: Iterable[Span], uses: list[Use]) -> Iterator[tuple[str, int, int]]:
    """Yield (kind, first block, count) of each range, cut where the use changes."""
    place = 0
    for start, end in ranges:
        while start < end:
            while place < len(uses) and uses[place].end <= start:
                place += 1
            if place == len(uses):
                yield AFTER, start, end - start
                break
            stop = min(end, uses[place].end)
            yield uses[place].kind, start, stop - start
            start = stop
