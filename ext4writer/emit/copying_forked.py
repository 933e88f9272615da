"""Writes metadata and content into an image with processes forked from this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from ..forked import Crew
from ..progress import Cancel, ProgressCallback, check_cancelled
from .batches import Batch, CopyJob, batches
from .copier import Copier
from .copying import Tally, write_anywhere
from .sinks import Piece, Sink

Copied = tuple[int, int]
"""Files begun, bytes of content."""

LONG_BYTES = 1 << 20
"""Writes to one file take turns in the kernel (``i_rwsem``), and two processes that copy long parts
spend twice the time, mostly on waiting for each other: from here on one does them all."""
LONG_WEIGHT = 8
"""A long part takes so much longer than a batch of small files that two are enough to have."""
LONG_HELD = 256
"""Long parts that may wait while small files behind them are copied."""
WAIT_SECONDS = 0.2
"""How long a request to cancel may go unseen."""


def write_forked(
    sink: Sink,
    pieces: Iterable[Piece],
    jobs: Iterable[CopyJob],
    *,
    block_size: int,
    processes: int,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
    entries_total: int = 0,
    bytes_total: int = 0,
) -> None:
    """Like :func:`write_anywhere`, to a sink with a descriptor, with processes for threads.

    They copy what is :attr:`Content.forkable`; this one writes the metadata and copies the rest.
    Where the system does not let it fork, threads do it. Raises also :class:`WorkerError`.
    """
    crew: Crew[Batch, Copied]
    try:
        crew = Crew(lambda: _CopyWorker(sink, block_size), processes)
    except OSError:
        write_anywhere(
            sink,
            pieces,
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
    left = batches(jobs, block_size)
    exhausted = False
    long: deque[Batch] = deque()
    copier = Copier(sink, block_size, tally.add, cancel)

    def go_on(timeout: float = 0.0) -> None:
        """Give everybody something to do, and count what is done."""
        nonlocal exhausted
        while not crew.failed:
            check_cancelled(cancel)
            if long and not crew.first_full:
                crew.submit(long.popleft(), LONG_WEIGHT, to_first=True)
                continue
            if exhausted or crew.full or len(long) >= LONG_HELD:
                break
            batch = next(left, None)
            if batch is None:
                exhausted = True
            elif not all(content.forkable for _, content, _, _ in batch.jobs):
                copier.copy(batch)
            elif not batch.small and batch.jobs[0][-1] >= LONG_BYTES:
                long.append(batch)
            else:
                crew.submit(batch)
        check_cancelled(cancel)
        for files, count in crew.answers(timeout):
            tally.add(files, count)

    with crew:
        try:
            for offset, data in pieces:
                go_on()
                if crew.failed:
                    break
                sink.write_at(offset, data)
            while crew.busy or not (crew.failed or (exhausted and not long)):
                go_on(WAIT_SECONDS if crew.busy else 0)
            copier.finish()
        finally:
            copier.close()
        crew.finish()
    tally.report()


class _CopyWorker:
    """Copies batches in a forked process."""

    def __init__(self, sink: Sink, block_size: int) -> None:
        self._copier = Copier(sink, block_size, self._count, None)
        self._files = self._bytes = 0

    def do(self, batch: Batch) -> Iterator[Copied]:
        """Copy a batch."""
        self._files = self._bytes = 0
        self._copier.copy(batch)
        yield self._files, self._bytes

    def finish(self) -> None:
        """Make sure that the last content has not changed."""
        self._copier.finish()

    def _count(self, files: int, count: int) -> None:
        self._files += files
        self._bytes += count
