"""Moves file content into the image: small files in batches, large ones inside the kernel.

Small files that are neighbours in the image are read one behind the other into one buffer and
written at once: three system calls for each file and one for the batch. Of a large file the kernel
copies all it can, and a buffer the rest.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..content import Content, Reader
from ..errors import SourceChangedError
from ..progress import Cancel, Progress, ProgressCallback, check_cancelled
from .sinks import Buffer, Sink

CopyJob = tuple[int, Content, int, int]
"""Offset in the image (at a block), content, offset in it, bytes to copy without padding."""

Piece = tuple[int, Buffer]
"""Offset in the image, and the bytes that belong there."""

SMALL_BYTES = 128 << 10
"""Whole files up to here go through a buffer; above, the kernel is faster (measured on ext4)."""
BATCH_BYTES = 1 << 20
BATCH_FILES = 512
KERNEL_COPY_BYTES = 16 << 20
"""What one call to the kernel may copy, so that cancelling does not wait long."""
TASK_BYTES = 64 << 20
"""Larger jobs are shared out, if their content can be read anywhere."""

DISK_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Refusals that can only come from the image's side."""


class Batch(NamedTuple):
    """Jobs that one worker does in one go."""

    number: int
    files: int
    """How many contents begin here."""
    jobs: list[CopyJob]
    small: bool
    """Neighbours in the image, each the whole of a small file."""


def write_anywhere(
    sink: Sink,
    pieces: Iterable[Piece],
    jobs: Iterable[CopyJob],
    *,
    block_size: int,
    workers: int = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
    entries_total: int = 0,
    bytes_total: int = 0,
) -> None:
    """Write metadata ``pieces`` and content to a sink that takes any order.

    ``workers`` threads copy content; the calling one is among them, after it has written the
    pieces, and is the only one that calls ``progress`` (files begun, bytes of content) and takes
    from ``pieces``. ``jobs`` is asked from all of them, by one at a time. The totals are only
    passed on to ``progress``.

    An error stops all; of several the one of the first job is raised: what :meth:`Content.open`
    and reading raise, :class:`SourceChangedError`, :class:`OutputError`, :class:`CancelledError`.
    """
    tally = _Tally(progress, entries_total, bytes_total)
    crew = _Crew(sink, _batches(jobs, block_size), block_size, tally, cancel)
    threads = [threading.Thread(target=crew.work, daemon=True) for _ in range(workers - 1)]
    for thread in threads:
        thread.start()
    try:
        for offset, data in pieces:
            if crew.failures:
                break
            check_cancelled(cancel)
            sink.write_at(offset, data)
        crew.work()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
                tally.report()
    except BaseException as error:
        crew.failures.append((-1, error))
    for thread in threads:
        thread.join()
    if crew.failures:
        raise min(crew.failures, key=lambda failure: failure[0])[1]
    tally.report()


def write_ascending(
    sink: Sink,
    pieces: Iterable[Piece],
    jobs: Iterable[CopyJob],
    *,
    block_size: int,
    workers: int = 1,  # noqa: ARG001
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
    entries_total: int = 0,
    bytes_total: int = 0,
) -> None:
    """Write ``pieces`` and content merged, in ascending offsets; both must ascend themselves.

    One thread does it, whatever ``workers`` says. Otherwise like :func:`write_anywhere`.
    """
    tally = _Tally(progress, entries_total, bytes_total)
    copier = _Copier(sink, block_size, tally, cancel)
    pending = iter(pieces)
    piece = next(pending, None)
    try:
        for batch in _batches(jobs, block_size):
            while piece is not None and piece[0] < batch.jobs[0][0]:
                check_cancelled(cancel)
                sink.write_at(*piece)
                piece = next(pending, None)
            check_cancelled(cancel)
            copier.copy(batch)
        while piece is not None:
            check_cancelled(cancel)
            sink.write_at(*piece)
            piece = next(pending, None)
        copier.finish()
    finally:
        copier.close()
    tally.report()


class _Tally:
    """Counts what is written; the thread that made it reports."""

    def __init__(self, progress: ProgressCallback | None, entries: int, total: int) -> None:
        self.owner = threading.get_ident()
        self._progress = progress
        self._entries_total, self._bytes_total = entries, total
        self._entries = self._bytes = 0
        self._lock = threading.Lock()

    def add(self, entries: int, count: int) -> None:
        with self._lock:
            self._entries += entries
            self._bytes += count
        if threading.get_ident() == self.owner:
            self.report()

    def report(self) -> None:
        if self._progress is not None:
            self._progress(
                Progress(
                    "write", self._entries, self._entries_total, self._bytes, self._bytes_total
                )
            )


class _Crew:
    """What the workers share."""

    def __init__(
        self,
        sink: Sink,
        batches: Iterator[Batch],
        block_size: int,
        tally: _Tally,
        cancel: Cancel | None,
    ) -> None:
        self.failures: list[tuple[int, BaseException]] = []
        """(number of the batch, error)."""
        self._sink = sink
        self._batches = batches
        self._block_size = block_size
        self._tally = tally
        self._cancel = cancel
        self._lock = threading.Lock()

    def work(self) -> None:
        """Copy batch after batch until there are none or somebody failed; raises nothing."""
        number = -1
        try:
            copier = _Copier(self._sink, self._block_size, self._tally, self._cancel)
            try:
                while not self.failures:
                    with self._lock:
                        batch = next(self._batches, None)
                    if batch is None:
                        break
                    number = batch.number
                    check_cancelled(self._cancel)
                    copier.copy(batch)
                copier.finish()
            finally:
                copier.close()
        except BaseException as error:
            self.failures.append((number, error))


def _batches(jobs: Iterable[CopyJob], block_size: int) -> Iterator[Batch]:
    """Gather small neighbours, split what is large, and leave every other job as it is."""
    number = 0
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
            yield Batch(number, len(held), held, True)
            number += 1
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
            yield Batch(number, files, [part], False)
            number += 1
            files = 0
    if held:
        yield Batch(number, len(held), held, True)


class _Copier:
    """Copies batches, with a buffer of its own. Keeps the last large content open."""

    def __init__(self, sink: Sink, block_size: int, tally: _Tally, cancel: Cancel | None) -> None:
        self._sink = sink
        self._block_size = block_size
        self._tally = tally
        self._cancel = cancel
        self._buffer = memoryview(bytearray(BATCH_BYTES))
        self._padding = bytes(block_size)
        self._content: Content | None = None
        self._reader: Reader | None = None
        self._position = 0

    def copy(self, batch: Batch) -> None:
        """Copy all of ``batch`` and count it."""
        if batch.small:
            self._copy_small(batch)
        else:
            self._copy_large(batch)

    def finish(self) -> None:
        """Make sure that the content that is still open has not changed, and close it."""
        reader, self._reader, self._content = self._reader, None, None
        if reader is not None:
            try:
                reader.check_unchanged()
            finally:
                reader.close()

    def close(self) -> None:
        """Close what an error left open."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _copy_small(self, batch: Batch) -> None:
        buffer, padding = self._buffer, self._padding
        first = batch.jobs[0][0]
        end = total = 0
        for offset, content, _, length in batch.jobs:
            start = offset - first
            if start > end:
                buffer[end:start] = padding[: start - end]
            end = start + length
            content.read_whole(buffer[start:end])
            total += length
        # What lies between here and the next block is zeros already.
        self._sink.write_at(first, buffer[:end])
        self._tally.add(batch.files, total)

    def _copy_large(self, batch: Batch) -> None:
        [(offset, content, start, length)] = batch.jobs
        reader = self._open(content, start)
        self._tally.add(batch.files, 0)
        done = 0
        if reader.fd is not None and self._sink.fd is not None:
            done = self._copy_in_kernel(reader, offset, start, length)
        while done < length:
            check_cancelled(self._cancel)
            view = self._buffer[: length - done]
            count = reader.readinto(view, start + done)
            if count < len(view):
                reader.check_unchanged()
                raise SourceChangedError(reader.path, f"ends at byte {start + done + count}")
            self._sink.write_at(offset + done, view)
            done += count
            self._tally.add(0, count)
        self._position = start + length
        if self._position == content.size:
            self.finish()

    def _open(self, content: Content, start: int) -> Reader:
        """The reader that is open, where it serves; a new one otherwise."""
        if self._reader is not None:
            if content is self._content and (content.random_access or start >= self._position):
                return self._reader
            self.finish()
        reader = self._reader = content.open()
        self._content = content
        self._position = 0
        return reader

    def _copy_in_kernel(self, reader: Reader, offset: int, start: int, length: int) -> int:
        """Copy as many bytes as the kernel will and return their count; a buffer does the rest."""
        if not hasattr(os, "copy_file_range"):
            return 0
        assert reader.fd is not None and self._sink.fd is not None
        done = 0
        while done < length:
            check_cancelled(self._cancel)
            try:
                count = os.copy_file_range(
                    reader.fd,
                    self._sink.fd,
                    min(KERNEL_COPY_BYTES, length - done),
                    reader.fd_offset + start + done,
                    offset + done,
                )
            except OSError as error:
                if error.errno in DISK_FULL:
                    raise self._sink.failure(error) from error
                # Different file systems, an old kernel, a file that only pretends to be one.
                break
            if not count:
                break
            done += count
            self._tally.add(0, count)
        return done
