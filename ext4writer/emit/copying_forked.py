"""Writes metadata and content into an image with processes forked from this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from ..forked import Crew
from ..progress import Cancel, ProgressCallback, check_cancelled
from .batches import CopyJob, Place, batch_at, batches
from .copier import Copier
from .copying import Tally, write_anywhere
from .sinks import Piece, Sink

Part = Callable[[], Iterable[Piece]]
"""Makes some of the metadata, and needs no other part for it."""

Task = int | Place
"""The number of a part, or where a batch lies."""

Copied = tuple[int, int]
"""Files begun, bytes of content."""

WAIT_SECONDS = 0.2
"""How long a request to cancel may go unseen."""


def write_forked(
    sink: Sink,
    parts: Sequence[Part],
    jobs: Sequence[CopyJob],
    *,
    block_size: int,
    processes: int,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
    entries_total: int = 0,
    bytes_total: int = 0,
) -> None:
    """Like :func:`write_anywhere`, to a sink with a descriptor, with processes for threads.

    They make and write the metadata and copy what is :attr:`Content.forkable`; this one copies the
    rest. Where the system does not let it fork, threads do it. Raises also :class:`WorkerError`.
    """
    own: deque[Place] = deque()
    tasks: Iterator[Task] = chain(range(len(parts)), _forkable(jobs, block_size, own))
    try:
        crew = Crew(lambda: _Worker(sink, parts, jobs, block_size), tasks, processes)
    except OSError:
        write_anywhere(
            sink,
            chain.from_iterable(part() for part in parts),
            jobs,
            block_size=block_size,
            workers=processes,
            progress=progress,
            cancel=cancel,
            entries_total=entries_total,
            bytes_total=bytes_total,
        )
        return
    tally = Tally(progress, entries_total, bytes_total)
    copier = Copier(sink, block_size, tally.add, cancel)
    with crew:
        try:
            while crew.busy or (own and not crew.failed):
                check_cancelled(cancel)
                for files, count in crew.answers(0 if own else WAIT_SECONDS):
                    tally.add(files, count)
                if own and not crew.failed:
                    copier.copy(batch_at(jobs, own.popleft()))
            copier.finish()
        finally:
            copier.close()
        crew.finish()
    tally.report()


def _forkable(jobs: Sequence[CopyJob], block_size: int, own: deque[Place]) -> Iterator[Place]:
    """Yield the batches that a forked process can copy; put the others into ``own``."""
    for batch in batches(jobs, block_size):
        if all(content.forkable for _, content, _, _ in batch.jobs):
            yield batch.place
        else:
            own.append(batch.place)


class _Worker:
    """Does the work in a forked process."""

    def __init__(
        self, sink: Sink, parts: Sequence[Part], jobs: Sequence[CopyJob], block_size: int
    ) -> None:
        self._sink = sink
        self._parts = parts
        self._jobs = jobs
        self._copier = Copier(sink, block_size, self._count, None)
        self._files = self._bytes = 0

    def do(self, task: Task) -> Iterator[Copied]:
        """Write a part, or copy a batch."""
        self._files = self._bytes = 0
        if isinstance(task, int):
            for offset, data in self._parts[task]():
                self._sink.write_at(offset, data)
        else:
            self._copier.copy(batch_at(self._jobs, task))
        yield self._files, self._bytes

    def finish(self) -> None:
        """Make sure that the last content has not changed."""
        self._copier.finish()

    def _count(self, files: int, count: int) -> None:
        self._files += files
        self._bytes += count
