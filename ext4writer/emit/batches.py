"""Gathers copies of small neighbours and splits large ones, so that each is worth handing over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..content import Content, Parcel

CopyJob = tuple[int, Content, int, int]
"""Offset in the image (at a block), content, offset in it, bytes to copy without padding."""

SMALL_BYTES = 128 << 10
"""Whole files up to here share a buffer and a write; a longer one is copied by itself."""
BATCH_BYTES = 1 << 20
BATCH_FILES = 512
TASK_BYTES = 16 << 20
"""Larger jobs are shared out, if their content can be read anywhere."""


class Neighbours(NamedTuple):
    """The whole of some small files that lie one behind the other, each at a block."""

    offset: int
    """Of the first, in the image."""
    parcel: Parcel
    first_generation: int
    """The first one that can read all of them."""


class Part(NamedTuple):
    """A stretch of one file."""

    offset: int
    parcel: Parcel
    first_generation: int
    start: int
    """Offset in the content."""
    length: int
    begins: bool
    """Whether nothing of this file came before."""


Batch = Neighbours | Part
"""What one worker does in one go."""


def batches(jobs: Iterable[CopyJob], block_size: int) -> Iterator[Batch]:
    """Gather small neighbours, split what is large, and leave every other job as it is."""
    held: list[Content] = []
    first = expected = first_generation = 0
    last: Content | None = None
    for job in jobs:
        offset, content, start, length = job
        small = length <= SMALL_BYTES and not start and length == content.size
        if held and not (
            small
            and offset == expected
            and offset + length - first <= BATCH_BYTES
            and len(held) < BATCH_FILES
        ):
            yield Neighbours(first, Parcel(held), first_generation)
            held = []
        if small:
            if not held:
                first, first_generation = offset, 0
            held.append(content)
            if content.first_generation > first_generation:
                first_generation = content.first_generation
            expected = offset + -(-length // block_size) * block_size
            last = content
            continue
        begins = content is not last
        last = content
        step = TASK_BYTES if content.random_access else max(length, 1)
        for done in range(0, length, step):
            yield Part(
                offset + done,
                Parcel([content]),
                content.first_generation,
                start + done,
                min(step, length - done),
                begins,
            )
            begins = False
    if held:
        yield Neighbours(first, Parcel(held), first_generation)
