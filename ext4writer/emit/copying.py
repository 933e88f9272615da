"""Writes metadata and content into an image: in any order with threads, or ascending."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from ..output.sink import Piece, Sink
from ..progress import Cancel, Progress, ProgressCallback, check_cancelled
from ..threads import helpers
from .batches import Batch, CopyJob, batches
from .copier import Copier


def write_anywhere(
    sink: Sink,
    pieces: Iterable[Piece],
    jobs: Iterable[CopyJob | Batch],
    *,
    cluster_size: int,
    workers: int = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
    entries_total: int = 0,
    bytes_total: int = 0,
) -> None:
    """Write metadata ``pieces`` and content to a sink that accepts writes in any order.

    ``workers`` threads copy content. The calling thread is one of them, and starts to copy when it
    has written the pieces. Only it iterates over ``pieces`` and calls ``progress``. All threads
    take batches made from ``jobs``. The totals, files and bytes, are only passed to ``progress``.

    An error stops all threads. Of several errors, the one of the earliest batch is raised: those
    of :meth:`Content.open` and of reading, :class:`SourceChangedError`, :class:`OutputError` and
    :class:`CancelledError`.
    """
    tally = Tally(progress, entries_total, bytes_total)
    pool = _Workers(sink, batches(jobs, cluster_size), cluster_size, tally, cancel)
    threads = helpers(pool.work, workers - 1)
    try:
        for offset, data in pieces:
            if pool.failures:
                break
            check_cancelled(cancel)
            sink.write_at(offset, data)
        pool.work()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
                tally.report()
    except BaseException as error:
        pool.failures.append((-1, error))
    for thread in threads:
        thread.join()
    if pool.failures:
        raise min(pool.failures, key=lambda failure: failure[0])[1]
    tally.report()


def write_ascending(
    sink: Sink,
    pieces: Iterable[Piece],
    jobs: Iterable[CopyJob | Batch],
    *,
    cluster_size: int,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
    entries_total: int = 0,
    bytes_total: int = 0,
) -> None:
    """Merge ``pieces`` and content by offset, and write them; both must ascend.

    Uses one thread. Otherwise like :func:`write_anywhere`.
    """
    steps = ascending_steps(
        sink,
        pieces,
        jobs,
        cluster_size=cluster_size,
        progress=progress,
        cancel=cancel,
        entries_total=entries_total,
        bytes_total=bytes_total,
    )
    for _ in steps:
        pass


def ascending_steps(
    sink: Sink,
    pieces: Iterable[Piece],
    jobs: Iterable[CopyJob | Batch],
    *,
    cluster_size: int,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
    entries_total: int = 0,
    bytes_total: int = 0,
) -> Iterator[None]:
    """Like :func:`write_ascending`, but yields after each write."""
    tally = Tally(progress, entries_total, bytes_total)
    copier = Copier(sink, cluster_size, tally.add, cancel)
    pending = iter(pieces)
    piece = next(pending, None)
    try:
        for batch in batches(jobs, cluster_size):
            while piece is not None and piece[0] < batch.offset:
                check_cancelled(cancel)
                sink.write_at(*piece)
                yield
                piece = next(pending, None)
            check_cancelled(cancel)
            yield from copier.steps(batch)
        while piece is not None:
            check_cancelled(cancel)
            sink.write_at(*piece)
            yield
            piece = next(pending, None)
        copier.finish()
    finally:
        copier.close()
    tally.report()


class Tally:
    """Counts what is written; only the thread that created it reports progress."""

    def __init__(self, progress: ProgressCallback | None, entries: int, total: int) -> None:
        self.owner = threading.get_ident()
        self._progress = progress
        self._entries_total, self._bytes_total = entries, total
        self._entries = self._bytes = self._unmoved = 0
        self._lock = threading.Lock()

    def add(self, entries: int, count: int, unmoved: int = 0) -> None:
        """Count ``count`` bytes, of which ``unmoved`` were neither read nor written."""
        with self._lock:
            self._entries += entries
            self._bytes += count
            self._unmoved += unmoved
        if threading.get_ident() == self.owner:
            self.report()

    def report(self) -> None:
        """Pass all counts to the progress callback, if there is one."""
        if self._progress is not None:
            self._progress(
                Progress(
                    "write",
                    self._entries,
                    self._entries_total,
                    self._bytes,
                    self._bytes_total,
                    self._unmoved,
                )
            )


class _Workers:
    """The state that the worker threads share."""

    def __init__(
        self,
        sink: Sink,
        batches: Iterator[Batch],
        cluster_size: int,
        tally: Tally,
        cancel: Cancel | None,
    ) -> None:
        self.failures: list[tuple[int, BaseException]] = []
        """(number of the batch, error)."""
        self._sink = sink
        self._batches = enumerate(batches)
        self._cluster_size = cluster_size
        self._tally = tally
        self._cancel = cancel
        self._lock = threading.Lock()

    def work(self) -> None:
        """Copy batches until none is left or a worker has failed; errors go to ``failures``."""
        number = -1
        try:
            copier = Copier(self._sink, self._cluster_size, self._tally.add, self._cancel)
            try:
                while not self.failures:
                    with self._lock:
                        numbered = next(self._batches, None)
                    if numbered is None:
                        break
                    number, batch = numbered
                    check_cancelled(self._cancel)
                    copier.copy(batch)
                copier.finish()
            finally:
                copier.close()
        except BaseException as error:
            self.failures.append((number, error))
