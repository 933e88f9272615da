"""Batches copies of adjacent small files and splits large ones, so that each is worth a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter

from ..arithmetic import round_up
from ..content import Content, Parcel
from ..late_dataclasses import NamedTuple

CopyJob = tuple[int, Content, int, int]
"""Byte offset in the image (block-aligned), content, offset in it, bytes to copy."""

PADDED_MOST = 16 << 10
"""In larger clusters the padding costs more than a write for each small file."""
PACKED_UNIT = 4096
"""Files of larger clusters lie at multiples of this many bytes in a buffer."""

SMALL_BYTES = 128 << 10
"""Whole files of up to this many bytes share a buffer and a write; a longer one does not."""
BATCH_BYTES = 1 << 20
BATCH_FILES = 512
TASK_BYTES = 16 << 20
"""Jobs of more bytes are split, if their content allows random access."""


class Neighbours(NamedTuple):
    """Some whole small files one after the other in the image, each at the start of a cluster."""

    offset: int
    """Byte offset of the first one in the image."""
    parcel: Parcel
    first_generation: int
    """The first generation that can read all of them."""
    files: int
    size: int
    """Bytes of content."""

    @classmethod
    def of(cls, offset: int, contents: list[Content]) -> Neighbours:
        """Such files, of which the first one goes to ``offset``."""
        generation = max(map(_first_generation, contents))
        return cls(offset, Parcel(contents), generation, len(contents), sum(map(_size, contents)))


_first_generation, _size = attrgetter("first_generation"), attrgetter("size")


class Part(NamedTuple):
    """A part of one file."""

    offset: int
    parcel: Parcel
    first_generation: int
    start: int
    """Byte offset in the content."""
    length: int
    begins: bool
    """Whether it is the first part of this file."""


Batch = Neighbours | Part
"""A unit of work for one worker."""


def unit_in_buffer(cluster_size: int) -> int:
    """Bytes of which small files begin at a multiple in a buffer, as they do in the image."""
    return cluster_size if cluster_size <= PADDED_MOST else PACKED_UNIT


def batches(jobs: Iterable[CopyJob | Batch], cluster_size: int) -> Iterator[Batch]:
    """Batch adjacent small jobs, split large ones, and leave all others as they are."""
    unit = unit_in_buffer(cluster_size)
    held: list[Content] = []
    first = expected = filled = 0
    last: Content | None = None
    for job in jobs:
        if isinstance(job, Neighbours | Part):
            if held:
                yield Neighbours.of(first, held)
                held = []
            last = None
            yield job
            continue
        offset, content, start, length = job
        small = length <= SMALL_BYTES and not start and length == content.size
        if held and not (
            small
            and offset == expected
            and filled + length <= BATCH_BYTES
            and len(held) < BATCH_FILES
        ):
            yield Neighbours.of(first, held)
            held = []
        if small:
            if not held:
                first, filled = offset, 0
            held.append(content)
            filled += round_up(length, unit)
            expected = offset + round_up(length, cluster_size)
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
        yield Neighbours.of(first, held)
