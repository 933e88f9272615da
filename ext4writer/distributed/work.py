"""Shares the parts of an image out, tries again what failed, and joins them."""

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
    Made,
    RemoteFile,
    SharedFile,
    Target,
    target_at,
)

ATTEMPTS = 3
"""How often a part is tried."""
POLL_SECONDS = 0.5


class PartsError(Ext4WriterError):
    """Some parts could not be made; what was made is kept, and another call goes on from there.

    ``numbers`` are those of the missing parts, from 1.
    """

    def __init__(self, numbers: list[int], count: int, problem: str) -> None:
        self.numbers = numbers
        super().__init__(
            f"{len(numbers)} of {count} parts are missing, part {numbers[0]} among them: {problem}"
        )


class Result(NamedTuple):
    """What :func:`write_parts` did."""

    size: int
    """Bytes of the image."""
    digests: tuple[str, ...]
    """SHA-256 of each part, in their order."""
    made: int
    """Parts that were made; the others were there already."""


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
    """Write the image of a saved plan in ``parts`` ranges, each by one task of ``executor``.

    ``plan`` is the path of what :meth:`Layout.save` wrote; all workers must find it and its sources
    at the same paths. ``target`` is a path that all of them can write, or a URL for fsspec with its
    ``options``; to S3 the workers upload the parts of one multipart upload themselves. The image
    has its name when it is whole.

    A part that fails is tried ``attempts`` times, in another worker if one died. An executor that
    breaks when a worker dies, as ``ProcessPoolExecutor`` does, is replaced if ``executor`` is a
    function that makes one. What is made is noted in ``record``, by default ``target`` with
    ``.parts`` after it (for URLs the plan's path with that), so that the same call goes on after an
    interruption; a part that is there with its digest is not made again. The record is locked: of
    two calls for one image at a time, the second one is refused. To S3 there are as many parts as
    give it sizes that it takes, up to 128 MiB each where 10,000 of them are enough; if it has
    dropped the upload that was interrupted, another one is begun.

    Raises :class:`PartsError` for parts that could not be made, :class:`PlanError`,
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
        # It is removed in the end, and the image with it.
        raise OutputError(os.fsencode(record), "is the image; name another file for the record")
    noted = Record(os.fsencode(record), digest, parts, place.name)
    try:
        if isinstance(place, SharedFile):
            place.check(is_begun=noted.is_there)
        _begin(place, noted, layout.size_bytes)
        made = _Work(executor, path, place, parts, attempts, noted, cancel).run()
        place.finish([noted.parts[number] for number in range(1, parts + 1)])
        noted.remove()
    finally:
        noted.close()
    digests = tuple(noted.parts[number]["sha256"] for number in range(1, parts + 1))
    return Result(layout.size_bytes, digests, made)


def _begin(place: Target, noted: Record, size: int) -> None:
    """Go on with what the record says, or begin; the record says it before anything is made."""
    left: dict[int, Made] | None = None
    if noted.is_another:
        place.forget(noted.begun, noted.parts)
    elif noted.is_there:
        left = place.resume(size, noted.begun, noted.parts)
    noted.parts = left or {}
    try:
        noted.begin(None if left is None else noted.begun)
        if left is None:
            try:
                begun = place.begin(size)
            except BaseException:
                noted.remove()  # there is nothing to go on with
                raise
            noted.begin(begun)
    except OSError as error:
        raise output_error(noted.path, error, 0) from error


class _Work:
    """All tasks of one image."""

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
        self._executor = executor if isinstance(executor, Executor) else _made(executor)
        self._plan, self._target, self._count = plan, target, count
        self._left = dict.fromkeys(range(1, count + 1), attempts)
        """By number: how often a part may still be tried."""
        self._record = record
        self._cancel = cancel
        self._running: dict[Future[tuple[bool, Made]], int] = {}
        self._failures: dict[int, str] = {}

    def run(self) -> int:
        """Make all parts; return how many were made. Raises :class:`PartsError`."""
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
            # What runs cannot be stopped, and must not write into what another call makes.
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
                # That an earlier task has broken it is no attempt of this one.
                if is_fresh and not self._may_go_on(number, error):
                    return
                if self._make is not None:
                    self._executor, is_fresh = _made(self._make), True
            else:
                self._running[future] = number
                return

    def _may_go_on(self, number: int, error: Exception) -> bool:
        """Count an attempt; whether there is another one."""
        self._left[number] -= 1
        if self._left[number] and (self._make is not None or not isinstance(error, BrokenExecutor)):
            return True
        self._failures[number] = str(error) or type(error).__name__
        return False

    def _take(self, future: Future[tuple[bool, Made]]) -> int:
        """Note a part that is made, or try again; whether it was made."""
        number = self._running.pop(future)
        try:
            is_new, what = future.result()
        except SourceError:
            raise  # it will not be better next time
        except Exception as error:
            if self._may_go_on(number, error):
                self._submit(number)
            return 0
        try:
            self._record.add(number, what)
        except OSError as error:
            raise output_error(self._record.path, error, 0) from error
        return int(is_new)


def _made(make: Any) -> Executor:
    """What the function of a caller makes; raises :class:`SpecError` if that is no executor."""
    if not callable(make):  # a Client of Dask has a method submit, too
        problem = f"{make!r:.80} is no executor of concurrent.futures; Dask's get_executor() is one"
        raise SpecError("executor", problem)
    made = make()
    if not isinstance(made, Executor):
        raise SpecError("executor", f"{make!r:.80} returned {made!r:.80}, which is no executor")
    return made


@lru_cache(maxsize=1)
def _opened(plan: bytes, digest: str) -> Any:
    """The image of a plan, which a worker keeps for its next part."""
    layout = Layout.load(plan)
    if digest_of(plan) != digest:
        raise PlanError(plan, "is not what it was when the parts were begun; begin again")
    return layout.open()


def make_part(
    plan: tuple[bytes, str], target: Target, number: int, count: int, known: Made | None
) -> tuple[bool, Made]:
    """Make one part, in a worker; whether it was missing, and what is to be noted of it.

    ``plan`` is the path of the plan and the SHA-256 of its file.
    """
    part: Part = part_of_count(_opened(*plan), number, count)
    if known is not None and target.has(part, known):
        return False, known
    return True, target.put(part)
