"""Gathers copies of small neighbours and splits large ones, so that each is worth handing over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..content import Content

CopyJob = tuple[int, Content, int, int]
"""Offset in the image (at a block), content, offset in it, bytes to copy without padding."""

SMALL_BYTES = 128 << 10
"""Whole files up to here go through a buffer; above, the kernel is faster (measured on ext4)."""
BATCH_BYTES = 1 << 20
BATCH_FILES = 512
TASK_BYTES = 64 << 20
"""Larger jobs are shared out, if their content can be read anywhere."""


class Place(NamedTuple):
    """Where a batch lies among the jobs; numbers only, so that it is sent as a few bytes."""

    first: int
    """Index of the first job."""
    jobs: int
    start: int
    """Byte of the job's stretch where a part of it begins; 0 for a batch of whole jobs."""
    length: int
    """Bytes of that part."""
    files: int


class Batch(NamedTuple):
    """Jobs that one worker does in one go."""

    files: int
    """How many contents begin here."""
    jobs: Sequence[CopyJob]
    small: bool
    """Neighbours in the image, each the whole of a small file."""
    place: Place


def batches(jobs: Iterable[CopyJob], block_size: int) -> Iterator[Batch]:
    """Gather small neighbours, split what is large, and leave every other job as it is."""
    held: list[CopyJob] = []
    first = expected = 0
    last: Content | None = None
    for index, job in enumerate(jobs):
        offset, content, start, length = job
        small = length <= SMALL_BYTES and not start and length == content.size
        if held and not (
            small
            and offset == expected
            and offset + length - first <= BATCH_BYTES
            and len(held) < BATCH_FILES
        ):
            yield _small(held, index)
            held = []
        if small:
            if not held:
                first = offset
            held.append(job)
            expected = offset + -(-length // block_size) * block_size
            last = content
            continue
        files = int(content is not last)
        last = content
        step = TASK_BYTES if content.random_access else max(length, 1)
        for done in range(0, length, step):
            yield _part(job, Place(index, 1, done, min(step, length - done), files))
            files = 0
    if held:
        yield _small(held, index + 1)


def batch_at(jobs: Sequence[CopyJob], place: Place) -> Batch:
    """The batch that :func:`batches` put there."""
    if place.length:
        return _part(jobs[place.first], place)
    return Batch(place.files, jobs[place.first : place.first + place.jobs], True, place)


def _small(jobs: list[CopyJob], behind: int) -> Batch:
    count = len(jobs)
    return Batch(count, jobs, True, Place(behind - count, count, 0, 0, count))


def _part(job: CopyJob, place: Place) -> Batch:
    offset, content, start, _ = job
    part = (offset + place.start, content, start + place.start, place.length)
    return Batch(place.files, [part], False, place)
