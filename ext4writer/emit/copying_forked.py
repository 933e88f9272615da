"""Writes metadata and content into an image with processes forked from this one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..forked import ProcessPool, Stage
from ..output.descriptor import SharedImage
from ..output.sink import Piece, Sink
from ..progress import WAIT_SECONDS, Cancel, ProgressCallback, check_cancelled
from .batches import Batch, CopyJob, batches
from .copier import Copier
from .copying import Tally

Copied = tuple[int, int, int]
"""Files begun, bytes of content, and bytes that were neither read nor written."""

BATCH_WEIGHT = 2
"""Lets a process queue few batches: enough to be busy while this one builds metadata, but not so
many that the last ones take long."""


def write_forked(
    sink: Sink,
    image: SharedImage,
    pieces: Iterable[Piece],
    jobs: Iterable[CopyJob | Batch],
    *,
    cluster_size: int,
    pool: ProcessPool,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
    entries_total: int = 0,
    bytes_total: int = 0,
) -> None:
    """Like :func:`write_anywhere`, for an ``image`` that the processes of ``pool`` can write.

    The other processes copy what they can read (:attr:`Content.first_generation`). This one writes
    the metadata and then copies, too. Also raises :class:`WorkerError`.
    """
    tally = Tally(progress, entries_total, bytes_total)
    copier = Copier(sink, cluster_size, tally.add, cancel, others=pool.can_share)
    stage: Stage[Batch, Copied]
    with Stage(pool, _CopyWorker(image, cluster_size)) as stage:
        work = _Work(stage, pool, batches(jobs, cluster_size))
        try:
            for offset, data in pieces:
                check_cancelled(cancel)
                own = work.share_out()
                if own is not None:
                    copier.copy(own)
                if stage.failed:
                    break
                sink.write_at(offset, data)
                for copied in stage.answers():
                    tally.add(*copied)
            while not stage.failed and (stage.busy or not work.is_over):
                check_cancelled(cancel)
                own = work.share_out() or work.own()
                if own is not None:
                    copier.copy(own)
                for copied in stage.answers(0 if own or not stage.busy else WAIT_SECONDS):
                    tally.add(*copied)
            copier.finish()
        finally:
            copier.close()
        stage.finish()
    tally.report()


class _Work:
    """Distributes the remaining batches among the processes."""

    def __init__(
        self, stage: Stage[Batch, Copied], pool: ProcessPool, left: Iterator[Batch]
    ) -> None:
        self._stage = stage
        self._pool = pool
        self._left = left
        self.is_over = False
        """Whether all batches are taken."""

    def share_out(self) -> Batch | None:
        """Fill the queues of the others; return a batch that only this process can copy, if any."""
        stage = self._stage
        while not (stage.failed or stage.full):
            batch = self.own()
            if batch is None:
                break
            if not self._pool.can_know(batch.first_generation):
                return batch
            stage.submit(batch, BATCH_WEIGHT)
        return None

    def own(self) -> Batch | None:
        """Take the next batch; None if none is left."""
        batch = next(self._left, None)
        self.is_over = batch is None
        return batch


class _CopyWorker:
    """Copies batches in a forked process."""

    def __init__(self, image: SharedImage, cluster_size: int) -> None:
        self._image = image
        self._cluster_size = cluster_size
        self._copier: Copier | None = None
        self._files = self._bytes = self._unmoved = 0

    def begin(self) -> None:
        """Open the image; raises :class:`OutputError`."""
        self._image.open()
        self._copier = Copier(self._image, self._cluster_size, self._count, None, others=True)

    def do(self, batch: Batch) -> Iterator[Copied]:
        """Copy a batch, and yield its counts."""
        assert self._copier is not None
        self._files = self._bytes = self._unmoved = 0
        self._copier.copy(batch)
        yield self._files, self._bytes, self._unmoved

    def finish(self) -> None:
        """Check that the last content has not changed."""
        assert self._copier is not None
        self._copier.finish()
        self._copier.close()
        self._image.close()

    def _count(self, files: int, count: int, unmoved: int = 0) -> None:
        self._files += files
        self._bytes += count
        self._unmoved += unmoved
