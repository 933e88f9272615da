"""Gathers copies of small neighbours and splits large ones, so that each is worth handing over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


class Batch(NamedTuple):
    """Jobs that one worker does in one go."""

    files: int
    """How many contents begin here."""
    jobs: list[CopyJob]
    small: bool
    """Neighbours in the image, each the whole of a small file."""


def batches(jobs: Iterable[CopyJob], block_size: int) -> Iterator[Batch]:
    """Gather small neighbours, split what is large, and leave every other job as it is."""
    held: list[CopyJob] = []
    first = expected = 0
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
            yield Batch(len(held), held, True)
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
            part = (offset + done, content, start + done, min(step, length - done))
            yield Batch(files, [part], False)
            files = 0
    if held:
        yield Batch(len(held), held, True)
