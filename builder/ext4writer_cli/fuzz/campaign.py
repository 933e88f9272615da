"""Runs oracles on the images of many seeds, and keeps the interesting ones."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from tempfile import TemporaryDirectory
from typing import BinaryIO

from ext4writer.errors import Ext4WriterError, OutputError, WorkerError
from ext4writer.fuzzing import Recipe, random_image
from ext4writer.late_dataclasses import NamedTuple

from ..signals import SIGNALS
from .oracles import Oracle, Verdict
from .programs import MEMORY, SECONDS, Limits

RESULTS = "results.jsonl"
AT_ONCE = 64
"""Most tasks to submit to the executor at a time."""


class Finding(NamedTuple):
    """One seed and the verdicts of the oracles."""

    seed: int
    overrides: int
    """Most fields that may be wrong; with another number the seed makes another image."""
    recipe: str
    verdicts: tuple[Verdict, ...]
    reason: str
    """Why the seed is worth keeping; empty if it is not."""

    def line(self) -> bytes:
        """The line for ``results.jsonl``."""
        row = {
            "seed": self.seed,
            "overrides": self.overrides,
            "reason": self.reason,
            "verdicts": {each.oracle: [each.answer, each.detail] for each in self.verdicts},
        }
        return json.dumps(row).encode() + b"\n"


class Row(NamedTuple):
    """A line of ``results.jsonl``."""

    seed: int
    overrides: int
    oracles: tuple[str, ...]
    """The oracles that answered; those that were missing are to be asked again."""
    reason: str
    line: bytes


def reason_to_keep(verdicts: Sequence[Verdict], oracles: Sequence[Oracle]) -> str:
    """Why these verdicts are worth keeping: a crash, a hang, or judges that disagree; or ``""``."""
    for verdict in verdicts:
        if verdict.is_bad:
            return f"{verdict.oracle}: {verdict.answer} ({verdict.detail})"
    judging = {oracle.name for oracle in oracles if oracle.judges}
    answers = {
        verdict.oracle: verdict.answer == "clean"
        for verdict in verdicts
        if verdict.oracle in judging and verdict.answer in ("clean", "problems", "error")
    }
    if len(set(answers.values())) > 1:
        clean = [name for name, is_clean in answers.items() if is_clean]
        others = [name for name, is_clean in answers.items() if not is_clean]
        return f"{', '.join(clean)} calls it clean, and {', '.join(others)} does not"
    return ""


def ask_all(
    recipe: Recipe,
    oracles: Sequence[Oracle],
    *,
    seconds: float = SECONDS,
    memory: int = MEMORY,
    folder: str | None = None,
) -> tuple[Verdict, ...]:
    """Make the image of ``recipe`` in a temporary folder and ask each oracle about it."""
    return ask_about(recipe.image(), oracles, seconds=seconds, memory=memory, folder=folder)


def ask_about(
    image: bytes,
    oracles: Sequence[Oracle],
    *,
    seconds: float = SECONDS,
    memory: int = MEMORY,
    folder: str | None = None,
) -> tuple[Verdict, ...]:
    """Put an image into a temporary folder and ask each oracle about it.

    ``seconds`` and ``memory``, in bytes, are for each oracle.
    """
    with TemporaryDirectory(prefix="ext4writer-fuzz-", dir=folder) as scratch:
        path = os.path.join(scratch, "image")
        with open(path, "wb") as file:
            file.write(image)
        return tuple(oracle.ask(path, Limits(seconds, memory)) for oracle in oracles)


class Stopped(BaseException):
    """A signal ended the work of this process."""


class _State:
    """The state of a worker, for its signal handler."""

    is_busy = False
    is_stopping = False


def prepare_worker() -> None:
    """Let signals end a worker of a process pool immediately, with all programs that it started.

    To the pool, an exception is only the result of a task, after which the next task starts.
    """

    def stop(*_: object) -> None:
        if _State.is_stopping:
            return  # do not interrupt the cleanup that the first signal started
        if not _State.is_busy:
            os._exit(0)
        _State.is_stopping = True
        raise Stopped

    for signum in SIGNALS:
        signal.signal(signum, stop)


def stop_workers() -> None:
    """End the workers that this process started; see :func:`prepare_worker`."""
    for worker in multiprocessing.active_children():
        worker.terminate()


def try_seed(
    seed: int, names: tuple[str, ...], seconds: float, memory: int, overrides: int
) -> Finding:
    """Run one task of a campaign, in any process."""
    if _State.is_stopping:
        raise Stopped
    _State.is_busy = True
    try:
        return _try_seed(seed, names, seconds, memory, overrides)
    finally:
        _State.is_busy = False


def _try_seed(
    seed: int, names: tuple[str, ...], seconds: float, memory: int, overrides: int
) -> Finding:
    oracles = [Oracle.parse(name) for name in names]
    try:
        recipe, image = random_image(seed, overrides=overrides)
        verdicts = ask_about(image, oracles, seconds=seconds, memory=memory)
    except Exception as error:  # a seed on which this library fails is a finding, too
        reason = f"ext4writer: crash ({type(error).__name__}: {error})"
        return Finding(seed, overrides, f"# random_recipe({seed}): {reason}\n", (), reason)
    reason = reason_to_keep(verdicts, oracles)
    return Finding(seed, overrides, str(recipe), verdicts, reason)


def run(
    seeds: Iterable[int],
    oracles: Sequence[str],
    folder: str | os.PathLike[str],
    executor: Executor,
    *,
    seconds: float = SECONDS,
    memory: int = MEMORY,
    overrides: int = 1,
) -> Iterator[Finding]:
    """Try ``seeds`` and yield each finding that is worth keeping as soon as it is known.

    ``folder``, which is created if missing, gets a line for each seed in ``results.jsonl``, and a
    file ``SEED.recipe`` for each seed that is kept. A seed that has a line from the same oracles is
    not tried again, so the same call continues after an interruption. ``seconds`` and ``memory``,
    in bytes, are for each oracle. Any executor of :mod:`concurrent.futures` will do.

    Raises :class:`ValueError` for an unknown oracle, :class:`OutputError` if the results in
    ``folder`` were made with another number of ``overrides``, and :class:`WorkerError` if a worker
    dies; all earlier results are then on disk.
    """
    names = tuple(Oracle.parse(name).name for name in oracles)
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    results = os.path.join(folder, RESULTS)
    done = set()
    for row in rows(results):
        if row.overrides != overrides:
            raise OutputError(
                results, f"was made with --overrides {row.overrides}; choose another folder"
            )
        if set(names) <= set(row.oracles):
            done.add(row.seed)
    waiting = iter([seed for seed in seeds if seed not in done])
    running: set[Future[Finding]] = set()
    with open(results, "a+b") as file:
        _end_line(file)
        try:
            while True:
                for seed in waiting:
                    running.add(executor.submit(try_seed, seed, names, seconds, memory, overrides))
                    if len(running) >= AT_ONCE:
                        break
                if not running:
                    return
                ready, running = wait(running, return_when=FIRST_COMPLETED)
                findings = [future.result() for future in ready if future.exception() is None]
                for finding in sorted(findings):
                    if finding.reason:
                        path = os.path.join(folder, f"{finding.seed}.recipe")
                        with open(path, "w", encoding="utf-8") as kept:
                            kept.write(finding.recipe)
                    file.write(finding.line())
                    file.flush()
                    if finding.reason:
                        yield finding
                for future in ready:
                    if (problem := future.exception()) is not None:
                        raise WorkerError(
                            f"a worker died ({type(problem).__name__}: {problem}); the results so "
                            f"far are in {folder}, and the same command continues"
                        ) from problem
        finally:
            for future in running:
                future.cancel()


def kept_before(seeds: range, oracles: Sequence[str], folder: str) -> set[int]:
    """The ``seeds`` that earlier runs with at least these oracles kept in ``folder``."""
    names = {Oracle.parse(name).name for name in oracles}
    return {
        row.seed
        for row in rows(os.path.join(folder, RESULTS))
        if row.reason and row.seed in seeds and names <= set(row.oracles)
    }


def _end_line(file: BinaryIO) -> None:
    """End the last line, which an interruption may have truncated."""
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def rows(results: str) -> Iterator[Row]:
    """Yield the lines of a file of results, without those that an interruption truncated."""
    if not os.path.isfile(results):
        return
    with open(results, "rb") as file:
        for line in file:
            try:
                row = json.loads(line)
                numbers = int(row["seed"]), int(row["overrides"])
                verdicts: dict[str, list[str]] = row["verdicts"]
                asked = tuple(name for name, (answer, _) in verdicts.items() if answer != "missing")
                yield Row(*numbers, asked, str(row["reason"]), line)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue


class Merged(NamedTuple):
    """How many seeds :func:`merge` found, and how many of them are kept."""

    seeds: int
    kept: int


def merge(folders: Sequence[str], into: str) -> Merged:
    """Combine the results of several folders in ``into``, sorted by seed.

    Duplicates are dropped; a seed tried with different oracles keeps a line for each set of them.
    Raises :class:`OutputError` if a folder has no results, or if the folders used different numbers
    of overrides.
    """
    found: dict[tuple[int, tuple[str, ...]], tuple[Row, str]] = {}
    overrides: set[int] = set()
    for folder in folders:
        results = os.path.join(folder, RESULTS)
        if not os.path.isfile(results):
            raise OutputError(folder, f"has no {RESULTS}")
        for row in rows(results):
            overrides.add(row.overrides)
            found.setdefault((row.seed, row.oracles), (row, folder))
    if len(overrides) > 1:
        raise OutputError(into, "the results were made with different numbers of overrides")
    kept = set()
    with open(os.path.join(into, RESULTS), "xb") as file:
        for _, (row, folder) in sorted(found.items()):
            file.write(row.line if row.line.endswith(b"\n") else row.line + b"\n")
            if row.reason and row.seed not in kept:
                kept.add(row.seed)
                name = f"{row.seed}.recipe"
                with (
                    open(os.path.join(folder, name), "rb") as source,
                    open(os.path.join(into, name), "xb") as target,
                ):
                    target.write(source.read())
    return Merged(len({row.seed for row, _ in found.values()}), len(kept))


def shows(
    recipe: Recipe,
    oracles: Sequence[Oracle],
    *,
    seconds: float = SECONDS,
    memory: int = MEMORY,
) -> str:
    """Why a recipe is worth keeping; empty if it is not, or if its image cannot be made."""
    try:
        verdicts = ask_all(recipe, oracles, seconds=seconds, memory=memory)
    except Ext4WriterError:
        return ""
    return reason_to_keep(verdicts, oracles)
