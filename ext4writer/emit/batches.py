"""Batches copies of adjacent small files and splits copies of large ones into tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter

from ..arithmetic import round_up
from ..content import Content, Parcel
from ..late_dataclasses import NamedTuple

CopyJob = tuple[int, Content, int, int]
"""Byte offset in the image (block-aligned), content, byte offset in the content, bytes to copy."""

PADDED_MOST = 16 << 10
"""With clusters of more bytes, padding small files costs more than writing each separately."""
PACKED_UNIT = 4096
"""With larger clusters, files start at multiples of this many bytes in a buffer."""

SMALL_BYTES = 128 << 10
"""Files of at most this many bytes share a buffer and a write."""
BATCH_BYTES = 1 << 20
BATCH_FILES = 512
TASK_BYTES = 16 << 20
"""Jobs of more bytes are split if their content allows random access."""


class Neighbours(NamedTuple):
    """Small, complete files that are adjacent in the image, each at the start of a cluster."""

    offset: int
    """Byte offset of the first file in the image."""
    parcel: Parcel
    first_generation: int
    """The first generation of processes that can read all of the files."""
    files: int
    size: int
    """Bytes of content."""

    @classmethod
    def of(cls, offset: int, contents: list[Content]) -> Neighbours:
        """Return ``contents`` as neighbours, the first at byte ``offset`` of the image."""
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
    """Whether this is the first part of the file."""


Batch = Neighbours | Part
"""A unit of work for one worker."""


def unit_in_buffer(cluster_size: int) -> int:
    """Return the alignment of small files in a buffer, in bytes."""
    return cluster_size if cluster_size <= PADDED_MOST else PACKED_UNIT


def batches(jobs: Iterable[CopyJob | Batch], cluster_size: int) -> Iterator[Batch]:
    """Batch adjacent small jobs, split large ones and pass existing batches on unchanged."""
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
