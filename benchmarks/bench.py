"""Runs the table: makes the sources, runs all contenders alternately, judges the images."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import measure, profiles, tools, trees
from .figures import GIB, Outcome, Record, Run, size
from .kinds import Contender, Facts, Scale, Setting, Source, Workload, command
from .measure import RunError, Runner

SPARE = 2 * GIB
"""Bytes to leave free on the host's disk."""
MOST_DISK = 25 * 10**9
ATTIC = "attic"
"""The folder for trees that are removed at the end."""


class SkippedError(Exception):
    """A workload cannot be run on this host, for the reason in the message."""


@dataclass
class Bench:
    """One run of the benchmarks."""

    scale: Scale
    work: Path
    """The folder for everything large; this run creates and removes it."""
    runner: Runner
    keep: bool
    profile_folder: Path | None
    results: dict[str, Outcome] = field(default_factory=dict)

    def run(self, workloads: Sequence[Workload]) -> None:
        """Run all workloads; if one fails, continue with the next."""
        for workload in workloads:
            outcome = Outcome(
                key=workload.key,
                title=workload.title,
                baseline=workload.baseline,
                chart=workload.chart,
                rounds=self.scale.rounds * workload.repeat,
            )
            self.results[workload.key] = outcome
            say(f"{workload.key}: {workload.title}")
            try:
                with workload_folder(self.work, workload) as folder:
                    self._run_workload(workload, outcome, folder)
            except SkippedError as reason:
                outcome.skipped = str(reason)
                say(f"  skipped: {reason}")
            except (RunError, OSError) as error:
                outcome.skipped = str(error)
                outcome.failed = True
                say(f"  FAILED: {error}")

    def _run_workload(self, workload: Workload, outcome: Outcome, folder: Path) -> None:
        made: dict[str, Path] = {}
        try:
            facts: dict[str, Facts] = {}
            surveys: dict[str, trees.Survey] = {}
            unmade: dict[str, str] = {}
            for source in workload.sources:
                try:
                    made[source.key] = self._source(workload, source, folder)
                except (SkippedError, trees.NotMadeError) as reason:
                    unmade[source.key] = str(reason)
                    outcome.about.append(f"{source.about}: {reason}")
                    continue
                surveys[source.key] = survey = trees.read_all(made[source.key])
                if workload.disk == "":
                    require_room(folder, workload.outputs * survey.disk_bytes)
                if any(each.sized and each.source == source.key for each in workload.contenders):
                    facts[source.key] = self._facts(made[source.key] / source.planned)
                outcome.about.append(
                    f"{source.about}: {survey.entries:,} entries, {size(survey.content_bytes)}"
                )
            contenders = []
            for contender in workload.contenders:
                record = Record(
                    key=contender.key,
                    label=contender.label,
                    ours=contender.ours,
                    makes=contender.makes,
                    note=contender.note,
                    charted=contender.charted,
                    beside=contender.beside,
                    entries=contender.entries,
                )
                outcome.records[contender.key] = record
                known = surveys.get(contender.source)
                if known is not None:
                    record.entries = known.entries
                    record.content_bytes = known.content_bytes
                record.problem = unmade.get(contender.source) or obstacle(contender, known)
                if not record.problem:
                    contenders.append(contender)
            largest = max((survey.disk_bytes for survey in surveys.values()), default=0)
            stage = _Stage(self, workload, outcome, folder, made, facts, largest)
            try:
                stage.run(contenders)
            finally:
                stage.clear(contenders)
        finally:
            if not self.keep:
                for source in workload.sources:
                    if source.make is not None and source.key in made:
                        say(f"  removing {source.about}")
                        trees.put_away(made[source.key], folder / ATTIC)

    def _source(self, workload: Workload, source: Source, folder: Path) -> Path:
        """The path of ``source``, which is created if necessary."""
        if source.make is None:
            assert source.path is not None
            if not source.path.is_dir():
                raise SkippedError(f"{source.path} does not exist")
            return source.path
        path = folder / f"{workload.key}-{source.key}"
        stamp = folder / f"{workload.key}-{source.key}.made"
        text = json.dumps([source.about, source.disk_bytes])
        if stamp.exists() and stamp.read_text() == text and path.is_dir():
            return path
        stamp.unlink(missing_ok=True)
        trees.remove(path)
        if workload.disk == "":
            require_room(folder, (1 + workload.outputs) * source.disk_bytes)
        say(f"  making {source.about}")
        try:
            source.make(path)
        except BaseException:
            trees.remove(path)
            raise
        os.sync()
        if self.keep and workload.disk == "":
            stamp.write_text(text)
        return path

    def _facts(self, path: Path) -> Facts:
        """Let ext4writer plan an image of ``path``, which determines the size for other tools."""
        argv = [command(), "plan", os.fspath(path), "--one-file-system", "--json"]
        report = json.loads(self.runner.run(argv, self.scale.timeout).output)
        return Facts(image_bytes=report["size"], inodes=report["inodes"])


@dataclass
class _Stage:
    """One workload whose sources exist."""

    bench: Bench
    workload: Workload
    outcome: Outcome
    folder: Path
    sources: dict[str, Path]
    facts: dict[str, Facts]
    largest: float
    """Size of the largest source in bytes."""

    def run(self, contenders: list[Contender]) -> None:
        """Run all rounds; each round starts with another contender.

        If an earlier revision cannot run a row, this revision does not run it either.
        """
        running = list(contenders)
        if self.workload.repeat > 1:
            for contender in running:
                self._attempt(contender, None)
        for number in range(self.outcome.rounds):
            for path in self.sources.values():
                trees.read_all(path)
            for contender in run_order(contenders, number):
                if contender not in running or number >= contender.most_runs:
                    continue
                if not self._attempt(contender, number):
                    running = [each for each in running if contender.beside != each.key]
                    running.remove(contender)
        folder = self.bench.profile_folder
        if folder is not None:
            for contender in running:
                if contender.ours:
                    say(f"  profiles of {contender.label}")
                    with self._setting(contender) as setting:
                        name = f"{self.workload.key}-{contender.key}"
                        profiles.write(contender.commands(setting), folder, name, self.bench.runner)

    def clear(self, contenders: list[Contender]) -> None:
        """Remove the files that contenders kept from one run to the next."""
        for contender in contenders:
            self._kept(contender).unlink(missing_ok=True)

    def _attempt(self, contender: Contender, number: int | None) -> bool:
        """Run once; return False if that fails. A run without a number is a warm-up."""
        record = self.outcome.records[contender.key]
        try:
            with self._setting(contender) as setting:
                run = self._run(contender, setting)
                if number is not None:
                    record.runs[number] = run
                    shown = f"{run.figures['wall']:10.3f} s"
                    say(f"  {number + 1}/{self.outcome.rounds} {shown}  {contender.label}")
                if not record.check and contender.makes == "image":
                    record.check = measure.check(Path(setting.image))
                    if record.check != "clean":
                        say(f"  e2fsck on {contender.label}: {record.check}")
        except RunError as error:
            record.problem = str(error)
            if contender.beside and error.last:
                record.problem = error.last  # the last line, without the traceback
            record.failed = True
            say(f"  {contender.label}: {record.problem}")
            return False
        return True

    def _run(self, contender: Contender, setting: Setting) -> Run:
        steps = contender.commands(setting)
        mounted = self.workload.disk != ""
        free = free_bytes(self.folder) if mounted else 0
        watched, timeout = self.workload.scratch, self.bench.scale.timeout
        with measure.ScratchDisk(setting.out) if watched else nullcontext() as scratch:
            usages = []
            for step in steps:
                usages.append(self.bench.runner.run(step.argv, timeout, step.cwd))
                if scratch is not None:
                    scratch.survey()
        os.sync()
        figures = {
            "wall": sum(usage.wall for usage in usages),
            "cpu": sum(usage.cpu for usage in usages),
            "memory": float(max(usage.memory for usage in usages)),
            "disk": float(trees.disk_bytes(setting.out)),
        }
        if mounted:
            figures["grown"] = float(free - free_bytes(self.folder))
        if scratch is not None:
            figures["scratch"] = float(scratch.most)
        if contender.ours or contender.beside:
            figures |= reported_figures(usages[-1].output)
        if contender.look is not None:
            figures |= contender.look(setting)
        named = zip(steps, usages, strict=True)
        return Run(figures, {step.name: usage.wall for step, usage in named})

    def _kept(self, contender: Contender) -> Path:
        return self.folder / f"{self.workload.key}-{contender.key}.kept"

    @contextmanager
    def _setting(self, contender: Contender) -> Iterator[Setting]:
        """Prepare one run: an empty folder, no pending writeback, and free memory."""
        out = self.folder / "out"
        trees.remove(out)
        out.mkdir()
        os.sync()
        self.bench.runner.touch_memory(1.25 * self.largest + self.bench.scale.spare_memory)
        try:
            yield Setting(
                self.sources.get(contender.source, Path()),
                out,
                self.facts.get(contender.source, Facts()),
                self._kept(contender),
            )
        finally:
            trees.put_away(out, self.folder / ATTIC)
            os.sync()


def run_order(contenders: Sequence[Contender], number: int) -> Iterator[Contender]:
    """Yield the contenders in the order of round ``number``, which starts with another each time.

    An earlier revision runs directly before this one in even rounds, counted from 0, and directly
    after it in odd ones.
    """
    groups = [
        [*(other for other in contenders if other.beside == one.key), one]
        for one in contenders
        if not one.beside
    ]
    first = number % max(1, len(groups))
    for group in groups[first:] + groups[:first]:
        yield from reversed(group) if number % 2 else group


def drop_removed_inodes() -> None:
    """Write out the inodes that earlier runs removed, and drop caches if permitted.

    ext4 does not treat an inode as recently deleted if its block is not cached
    (:func:`trees.put_away`).
    """
    os.sync()
    with suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("3")


def reported_figures(output: str) -> dict[str, float]:
    """The figures in the last line of ``output``, which may have none."""
    lines = output.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        return {}
    with suppress(ValueError):
        return {name: float(value) for name, value in json.loads(lines[-1]).items()}
    return {}


def obstacle(contender: Contender, survey: trees.Survey | None) -> str:
    """Why ``contender`` cannot run; empty if it can."""
    if survey is not None and survey.mount_points and not contender.one_file_system:
        return f"cannot leave out the {survey.mount_points} mount points in the tree"
    return tools.missing(contender.programs) or contender.obstacle()


@contextmanager
def workload_folder(work: Path, workload: Workload) -> Iterator[Path]:
    """Yield the directory for a workload, on a new file system if the workload needs one."""
    if workload.disk == "":
        require_room(work, workload.disk_bytes)
        yield work
        return
    if os.geteuid() != 0:
        raise SkippedError("only root can mount a file system")
    absent = tools.missing((f"mkfs.{workload.disk}", "mount", "umount"))
    if absent:
        raise SkippedError(absent)
    require_room(work, workload.disk_bytes)
    disk, point = work / f"{workload.disk}.disk", work / f"{workload.disk}.mounted"
    with open(disk, "wb") as file:
        file.truncate(workload.disk_bytes)
    point.mkdir(exist_ok=True)
    mounted = False
    try:
        answer = command_answer([f"mkfs.{workload.disk}", "-q", "-f", os.fspath(disk)])
        if answer:
            raise SkippedError(f"mkfs.{workload.disk}: {answer}")
        answer = command_answer(["mount", "-o", "loop", os.fspath(disk), os.fspath(point)])
        if answer:
            raise SkippedError(f"mount: {answer}")
        mounted = True
        yield point
    finally:
        if mounted:
            answer = command_answer(["umount", os.fspath(point)])
            if answer:
                say(f"  umount: {answer}")
        with suppress(OSError):
            point.rmdir()
        disk.unlink(missing_ok=True)


def command_answer(argv: list[str]) -> str:
    """The error message of a command; empty if it succeeds."""
    status, output = tools.status_and_output(argv)
    return measure.shortened(output) or f"status {status}" if status else ""


def require_room(folder: Path, wanted: float) -> None:
    """Raise :class:`SkippedError` unless ``folder`` has that many bytes free, and a reserve."""
    if wanted > MOST_DISK:
        raise SkippedError(f"would need {size(wanted)} of disk, more than {size(MOST_DISK)}")
    free = shutil.disk_usage(folder).free
    if free < wanted + SPARE:
        raise SkippedError(f"needs {size(wanted + SPARE)} of disk, {size(free)} are free")


def free_bytes(folder: Path) -> int:
    """Free bytes of the file system of ``folder``."""
    status = os.statvfs(folder)
    return status.f_bfree * status.f_frsize


def say(text: str) -> None:
    """Print progress on standard error."""
    print(text, file=sys.stderr, flush=True)
