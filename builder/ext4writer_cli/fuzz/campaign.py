"""Many seeds, some oracles, and what is worth keeping."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, NamedTuple

from ext4writer.errors import Ext4WriterError
from ext4writer.fuzzing import Recipe, random_image

from .oracles import MEMORY, SECONDS, Oracle, Verdict

RESULTS = "results.jsonl"
AT_ONCE = 64
"""Tasks that wait in the executor."""


class Finding(NamedTuple):
    """One seed and what the oracles said."""

    seed: int
    recipe: str
    verdicts: tuple[Verdict, ...]
    reason: str
    """Why it is worth keeping; empty if it is not."""


def reason_to_keep(verdicts: Sequence[Verdict], oracles: Sequence[Oracle]) -> str:
    """Why these answers are worth a look: a crash, a hang, or two judges that differ."""
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
    """Make the image in a temporary folder and let each oracle look at it."""
    return ask_about(recipe.image(), oracles, seconds=seconds, memory=memory, folder=folder)


def ask_about(
    image: bytes,
    oracles: Sequence[Oracle],
    *,
    seconds: float = SECONDS,
    memory: int = MEMORY,
    folder: str | None = None,
) -> tuple[Verdict, ...]:
    """Put an image into a temporary folder and let each oracle look at it."""
    with TemporaryDirectory(prefix="ext4writer-fuzz-", dir=folder) as scratch:
        path = os.path.join(scratch, "image")
        with open(path, "wb") as file:
            file.write(image)
        return tuple(oracle.ask(path, seconds=seconds, memory=memory) for oracle in oracles)


def try_seed(
    seed: int, names: tuple[str, ...], seconds: float, memory: int, overrides: int
) -> Finding:
    """One task of a campaign, for any process."""
    oracles = [Oracle.parse(name) for name in names]
    recipe, image = random_image(seed, overrides=overrides)
    verdicts = ask_about(image, oracles, seconds=seconds, memory=memory)
    return Finding(seed, str(recipe), verdicts, reason_to_keep(verdicts, oracles))


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
    """Try ``seeds`` and yield what is worth keeping, as it comes.

    ``folder``, which is made if it is missing, gets a line for each seed in ``results.jsonl``, and
    ``SEED.recipe`` for what is kept. A seed that has a line is not tried again, so the same call
    goes on after an interruption, and results of several machines can be put together. Any executor
    of :mod:`concurrent.futures` will do. Raises :class:`ValueError` for an unknown oracle.
    """
    names = tuple(Oracle.parse(name).name for name in oracles)
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    results = os.path.join(folder, RESULTS)
    done = set(seeds_done(results))
    waiting = iter([seed for seed in seeds if seed not in done])
    running: set[Future[Finding]] = set()
    with open(results, "a+b") as file:
        if file.tell() and not _ends_a_line(file):
            file.write(b"\n")
        while True:
            for seed in waiting:
                running.add(executor.submit(try_seed, seed, names, seconds, memory, overrides))
                if len(running) >= AT_ONCE:
                    break
            if not running:
                return
            ready, running = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(ready, key=lambda each: each.result().seed):
                finding = future.result()
                if finding.reason:
                    path = os.path.join(folder, f"{finding.seed}.recipe")
                    with open(path, "w", encoding="utf-8") as kept:
                        kept.write(finding.recipe)
                file.write(json.dumps(_row(finding)).encode() + b"\n")
                file.flush()
                if finding.reason:
                    yield finding


def _ends_a_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "seed": finding.seed,
        "reason": finding.reason,
        "verdicts": {each.oracle: [each.answer, each.detail] for each in finding.verdicts},
    }


def seeds_done(results: str) -> Iterator[int]:
    """The seeds that have a line; one that was cut off by an interruption does not count."""
    with suppress(OSError), open(results, encoding="utf-8") as file:
        for line in file:
            with suppress(ValueError, KeyError, TypeError):
                yield int(json.loads(line)["seed"])


def shows(
    recipe: Recipe,
    oracles: Sequence[Oracle],
    *,
    seconds: float = SECONDS,
    memory: int = MEMORY,
) -> str:
    """Why a recipe is worth keeping; empty if it is not, or its image cannot be made."""
    try:
        verdicts = ask_all(recipe, oracles, seconds=seconds, memory=memory)
    except Ext4WriterError:
        return ""
    return reason_to_keep(verdicts, oracles)
