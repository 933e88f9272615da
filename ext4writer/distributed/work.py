"""Distributes the parts of an image to workers, retries failed parts, and joins all parts."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from functools import lru_cache
from typing import Any

from ..checked import checked
from ..errors import Ext4WriterError, OutputError, PlanError, SourceError, SpecError
from ..inputs import check_output
from ..late_dataclasses import NamedTuple
from ..layout import Layout, plan_of
from ..output.opening import may_be_one_file
from ..output.sink import output_error
from ..progress import Cancel, check_cancelled
from ..virtual import Part
from ..virtual.parts import part_of_count
from .record import Record, digest_of
from .targets import (
    Facts,
    RemoteFile,
    SharedFile,
    Target,
    target_at,
)

ATTEMPTS = 3
"""How many times a part is tried."""
POLL_SECONDS = 0.5


class PartsError(Ext4WriterError):
    """Some parts could not be written; the others are kept, and another call resumes from there.

    ``numbers`` are those of the missing parts, starting at 1.
    """

    def __init__(self, numbers: list[int], count: int, problem: str) -> None:
        self.numbers = numbers
        super().__init__(
            f"{len(numbers)} of {count} parts are missing, including part {numbers[0]}: {problem}"
        )


class Result(NamedTuple):
    """The result of :func:`write_parts`."""

    size: int
    """The size of the image in bytes."""
    digests: tuple[str, ...]
    """The SHA-256 of each part, in their order, in hexadecimal digits."""
    made: int
    """The number of parts that were written; the others existed already."""


@checked()
def write_parts(
    plan: str | bytes | os.PathLike[Any],
    target: str | bytes | os.PathLike[Any],
    executor: Executor | Callable[[], Executor],
    *,
    parts: int = 16,
    attempts: int = ATTEMPTS,
    options: dict[str, Any] | None = None,
    record: str | bytes | os.PathLike[Any] | None = None,
    cancel: Cancel | None = None,
) -> Result:
    """Write the image of a saved plan in ``parts`` ranges; each is a task of ``executor``.

    ``plan`` is the path of a file written by :meth:`Layout.save`; all workers must find it and its
    sources at the same paths. ``target`` is a path that all workers can write, or a URL for fsspec
    with its ``options``. For S3, the workers upload the parts of one multipart upload. The image
    gets its name when it is complete.

    A part is tried up to ``attempts`` times, in another worker if one died. Some executors, such as
    ``ProcessPoolExecutor``, break when a worker dies; they are replaced if ``executor`` is a
    function that creates one.

    Complete parts are recorded in the file ``record``, by default ``target`` plus ``.parts``, and
    for URLs the path of the plan plus ``.parts``. After an interruption, the same call resumes:
    parts that exist with the right digest are not written again. The record is locked; a second
    simultaneous call for the same image is refused.

    For S3, the number of parts follows from the sizes that S3 accepts: up to 128 MiB each, if
    10,000 of them are enough. If S3 has dropped the interrupted upload, a new one is started.

    Raises :class:`PartsError` for parts that could not be written, :class:`PlanError`,
    :class:`SourceError` for a source that changed, :class:`OutputError`, and
    :class:`CancelledError`.
    """
    if parts < 1 or attempts < 1:
        raise SpecError("parts" if parts < 1 else "attempts", "must be 1 or more")
    path = os.path.join(os.getcwdb(), os.fsencode(plan))
    layout = Layout.load(path)
    digest = digest_of(path)
    place = target_at(target, options or {}, digest)
    if isinstance(place, SharedFile):
        check_output(plan_of(layout), target)
    parts = place.count(parts, layout.size_bytes)
    if record is None:
        beside = path if isinstance(place, RemoteFile) else os.fsencode(target)
        record = beside + b".parts"
    check_output(plan_of(layout), record)
    for each in (record, *([target] if isinstance(place, SharedFile) else [])):
        if may_be_one_file(path, each):
            raise OutputError(os.fsencode(each), "is the plan; name another file")
    if isinstance(place, SharedFile) and any(may_be_one_file(each, record) for each in place.names):
        # The record is removed at the end, which would remove the image.
        raise OutputError(os.fsencode(record), "is the image; name another file for the record")
    parts_record = Record(os.fsencode(record), digest, parts, place.name)
    try:
        if isinstance(place, SharedFile):
            place.check(is_begun=parts_record.was_interrupted)
        _begin(place, parts_record, layout.size_bytes)
        made = _Work(executor, path, place, parts, attempts, parts_record, cancel).run()
        place.finish([parts_record.parts[number] for number in range(1, parts + 1)])
        parts_record.remove()
    finally:
        parts_record.close()
    digests = tuple(parts_record.parts[number]["sha256"] for number in range(1, parts + 1))
    return Result(layout.size_bytes, digests, made)


def _begin(place: Target, parts_record: Record, size: int) -> None:
    """Resume from the record or begin; the record is written before anything else."""
    left: dict[int, Facts] | None = None
    if parts_record.is_other_image:
        place.forget(parts_record.target_state, parts_record.parts)
    elif parts_record.was_interrupted:
        left = place.resume(size, parts_record.target_state, parts_record.parts)
    parts_record.parts = left or {}
    try:
        parts_record.begin(None if left is None else parts_record.target_state)
        if left is None:
            try:
                target_state = place.begin(size)
            except BaseException:
                parts_record.remove()  # there is nothing to resume
                raise
            parts_record.begin(target_state)
    except OSError as error:
        raise output_error(parts_record.path, error, 0) from error


class _Work:
    """Runs all tasks of one image."""

    def __init__(
        self,
        executor: Executor | Callable[[], Executor],
        plan: bytes,
        target: Target,
        count: int,
        attempts: int,
        record: Record,
        cancel: Cancel | None,
    ) -> None:
        self._make = None if isinstance(executor, Executor) else executor
        self._executor = executor if isinstance(executor, Executor) else _created(executor)
        self._plan, self._target, self._count = plan, target, count
        self._left = dict.fromkeys(range(1, count + 1), attempts)
        """Number of a part -> how many times it may still be tried."""
        self._record = record
        self._cancel = cancel
        self._running: dict[Future[tuple[bool, Facts]], int] = {}
        self._failures: dict[int, str] = {}

    def run(self) -> int:
        """Write all parts; return the number written. Raises :class:`PartsError`."""
        made = 0
        try:
            for number in range(1, self._count + 1):
                self._submit(number)
            while self._running:
                check_cancelled(self._cancel)
                done, _ = wait(self._running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    made += self._take(future)
        finally:
            # Running tasks cannot be stopped, and must not write into the image of another call.
            wait([future for future in self._running if not future.cancel()])
            if self._make is not None:
                self._executor.shutdown(wait=True, cancel_futures=True)
        if self._failures:
            numbers = sorted(self._failures)
            raise PartsError(numbers, self._count, self._failures[numbers[0]])
        return made

    def _submit(self, number: int) -> None:
        known = self._record.parts.get(number)
        plan = self._plan, self._record.plan_digest
        task = (plan, self._target, number, self._count, known)
        is_fresh = self._make is None
        while True:
            try:
                future = self._executor.submit(make_part, *task)
            except BrokenExecutor as error:
                # An executor that an earlier task broke does not count as an attempt of this one.
                if is_fresh and not self._may_retry(number, error):
                    return
                if self._make is not None:
                    self._executor, is_fresh = _created(self._make), True
            else:
                self._running[future] = number
                return

    def _may_retry(self, number: int, error: Exception) -> bool:
        """Count a failed attempt; return whether another one is allowed."""
        self._left[number] -= 1
        if self._left[number] and (self._make is not None or not isinstance(error, BrokenExecutor)):
            return True
        self._failures[number] = str(error) or type(error).__name__
        return False

    def _take(self, future: Future[tuple[bool, Facts]]) -> int:
        """Record a complete part, or retry a failed one; return 1 for a part that was written."""
        number = self._running.pop(future)
        try:
            is_new, what = future.result()
        except SourceError:
            raise  # another attempt would fail, too
        except Exception as error:
            if self._may_retry(number, error):
                self._submit(number)
            return 0
        try:
            self._record.add(number, what)
        except OSError as error:
            raise output_error(self._record.path, error, 0) from error
        return int(is_new)


def _created(make: Any) -> Executor:
    """Return the executor that the caller's function creates; raise :class:`SpecError` for none."""
    if not callable(make):  # a Client of Dask has a method submit, but is not an executor
        problem = (
            f"{make!r:.80} is not an executor of concurrent.futures; Dask's get_executor() returns "
            "one"
        )
        raise SpecError("executor", problem)
    made = make()
    if not isinstance(made, Executor):
        raise SpecError("executor", f"{make!r:.80} returned {made!r:.80}, not an executor")
    return made


@lru_cache(maxsize=1)
def _opened(plan: bytes, digest: str) -> Any:
    """Return the image of a plan; a worker keeps it for its next part."""
    layout = Layout.load(plan)
    if digest_of(plan) != digest:
        raise PlanError(plan, "has changed since the first part was started; start again")
    return layout.open()


def make_part(
    plan: tuple[bytes, str], target: Target, number: int, count: int, known: Facts | None
) -> tuple[bool, Facts]:
    """Write one part in a worker; return (whether it was missing, its facts for the record).

    ``plan`` is the path of the plan and the SHA-256 of its file. ``known`` are the recorded facts
    of an earlier attempt.
    """
    part: Part = part_of_count(_opened(*plan), number, count)
    if known is not None and target.has(part, known):
        return False, known
    return True, target.put(part)
