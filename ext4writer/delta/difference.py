"""Counts the blocks by which an image differs from an earlier one, and how many are unavoidable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..arithmetic import round_down
from ..blake2 import blake2b
from ..checked import checked
from ..errors import SourceChangedError, SourceError
from ..late_dataclasses import NamedTuple
from ..layout import Layout
from ..progress import Cancel, check_cancelled
from ..read.stores import Store
from .base import Base, open_base

PIECE_BYTES = 1 << 20


class Difference(NamedTuple):
    """Numbers of blocks of the new image."""

    block_size: int
    """In bytes."""
    blocks: int
    """All blocks."""
    differing: int
    """Blocks that are not zeros, and differ from the block with the same number in the base."""
    new: int
    """Those of ``differing`` that are equal to no block of the base; no layout can avoid them."""
    cleared: int
    """Blocks that are zeros, but not in the base: mostly blocks of deleted files."""


@checked()
def difference(layout: Layout, base: Base, *, cancel: Cancel | None = None) -> Difference:
    """Compare the image that ``layout`` describes with an earlier one, block by block.

    Both images are read once, and the stored parts of the base a second time. If the base is a
    plan, its files may have changed since, often because they are the new ones; their old content
    then counts as different from everything in the new image. Otherwise raises the errors of
    reading, such as :class:`~ext4writer.SourceChangedError` for the new image, and
    :class:`~ext4writer.CancelledError`.
    """
    size = layout.block_size
    new: Counter[bytes] = Counter()
    cleared = 0
    with open_base(base) as earlier, layout.open() as image:
        store = earlier.store
        for low, high, is_zero in image.allocation():
            stored = store.stored(low, high) if is_zero else ((low, high),)
            for first, end in stored:
                for at in range(round_down(first, size), end, PIECE_BYTES):
                    check_cancelled(cancel)
                    count = min(PIECE_BYTES, end - at)
                    before = _blocks_at(store, at, count, size)
                    after = bytes(count) if is_zero else image.pread(at, count)
                    for block in _differing(before, after, size):
                        if block.count(0) == len(block):
                            cleared += 1
                        else:
                            new[_digest(block)] += 1
        differing = new.total()
        if new:
            for block in _stored_blocks(store, size, cancel):
                new.pop(_digest(block), None)
    return Difference(size, layout.blocks_count, differing, new.total(), cleared)


def _read(store: Store, offset: int, count: int) -> bytes:
    """Return bytes of the base, padded with zeros after its end."""
    there = max(0, min(count, store.size - offset))
    return store.read(offset, there) + bytes(count - there) if there else bytes(count)


def _blocks_at(store: Store, offset: int, count: int, size: int) -> bytes | list[bytes]:
    """Return bytes of the base; or, if some cannot be read, a list of blocks in which those are
    empty.
    """
    try:
        return _read(store, offset, count)
    except (SourceError, SourceChangedError):
        return [
            _known(store, at, min(size, offset + count - at))
            for at in range(offset, offset + count, size)
        ]


def _known(store: Store, offset: int, count: int) -> bytes:
    try:
        return _read(store, offset, count)
    except (SourceError, SourceChangedError):
        return b""


def _differing(before: bytes | list[bytes], after: bytes, size: int) -> Iterator[bytes]:
    if before == after:
        return
    for number, place in enumerate(range(0, len(after), size)):
        block = after[place : place + size]
        old = before[place : place + size] if isinstance(before, bytes) else before[number]
        if block != old:
            yield block


def _stored_blocks(store: Store, size: int, cancel: Cancel | None) -> Iterator[bytes]:
    """Yield all stored blocks of the base; those that cannot be read are empty."""
    for first, end in store.stored(0, store.size):
        for at in range(round_down(first, size), end, PIECE_BYTES):
            check_cancelled(cancel)
            count = min(PIECE_BYTES, end - at)
            data = _blocks_at(store, at, count, size)
            if isinstance(data, bytes):
                yield from (data[place : place + size] for place in range(0, count, size))
            else:
                yield from data


def _digest(block: bytes) -> bytes:
    return blake2b(block, digest_size=16).digest()
