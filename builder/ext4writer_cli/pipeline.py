"""From sources to an image: scan, change, plan, write."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ext4writer import ProcessPool, plan, write_journal
from ext4writer.edit.rules_select import Selection
from ext4writer.errors import Ext4WriterError, display_path
from ext4writer.late_dataclasses import NamedTuple
from ext4writer.progress import Cancel, ProgressCallback

from .options import ScanOptions
from .output import Output, PathOutput
from .report import Report
from .signals import cancel_on_signals
from .source_arguments import SourceArgument
from .source_readers import Reading, SourceReport, read_sources
from .spool import Spool

if TYPE_CHECKING:
    from ext4writer import Layout, Loss, Override, Spec
    from ext4writer.edit.rules import Rule


class StrictError(Ext4WriterError):
    """Something would not be kept exactly, and ``--strict`` was given."""

    def __init__(self, losses: list[Loss]) -> None:
        self.losses = losses
        first = losses[0]
        others = f" and {len(losses) - 1:,} more" if len(losses) > 1 else ""
        super().__init__(f"--strict: {display_path(first.path)}: {first.what}{others}")


class Job(NamedTuple):
    """What one command is to do."""

    sources: Sequence[SourceArgument]
    """Later ones overlay earlier ones."""
    output: Output | None
    """None: plan the image and write nothing."""
    journal: PathOutput | None
    """The file or device for an external journal."""
    scan: ScanOptions
    selection: Selection
    """The entries to read from each source."""
    rules: Sequence[Rule]
    spec: Spec
    overrides: Sequence[Override]
    strict: bool
    workers: int
    plan: str | None = None
    """A saved plan, in place of sources and Spec."""
    save: str | None = None
    """Where to save the plan."""
    older: Sequence[Output] = ()
    """Outputs other than the image that overwrite files made by an earlier run."""
    base: str | None = None
    """An earlier image, or the saved plan of one, to differ from as little as possible."""
    compares: bool = True
    """Whether to compare the image with the base, which reads both."""

    @property
    def left_out(self) -> list[Output]:
        """Files that are left out of a source that contains them: the image, and ``older``."""
        return [*([] if self.output is None else [self.output]), *self.older]


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began


def run(
    job: Job, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
) -> Report:
    """Carry out ``job`` and return its report; raises the library's errors."""
    watch = Stopwatch()
    folder = job.output.spool_folder if job.output is not None else None

    with Spool(folder) as spool, ProcessPool(job.workers) as pool:
        layout, sources = _planned(job, watch, spool, pool, progress, cancel)
        if job.strict and layout.losses:
            raise StrictError(layout.losses)
        if job.save is not None:
            layout.save(job.save)

        facts: Mapping[str, Any] = {}
        compared = _compared(job, layout, watch, cancel)
        if job.output is not None:
            journal = _journal(job, layout)
            with watch.stage("write"):
                if journal is not None and not job.output.writes_journal:
                    write_journal(layout, journal)
                    journal = None
                stored = job.output.write(
                    layout,
                    overrides=job.overrides,
                    **({} if journal is None else {"journal": journal}),
                    processes=pool,
                    progress=progress,
                    cancel=cancel,
                )
            facts = stored.facts
        facts = {**facts, **compared}

    name = job.output.name if job.output is not None else None
    return Report.of(layout, name, watch.seconds, sources, facts)


def _compared(
    job: Job, layout: Layout, watch: Stopwatch, cancel: Cancel | None
) -> Mapping[str, Any]:
    """Compare the image with its base, before the output can replace the base."""
    if job.base is None or not job.compares:
        return {}
    from ext4writer.delta import difference

    with watch.stage("compare"):
        return {"base": difference(layout, job.base, cancel=cancel)._asdict()}


def _journal(job: Job, layout: Layout) -> str | None:
    """The path for an external journal; raises a usage error if the plan needs one."""
    if layout.journal_bytes and job.journal is None:
        raise click.UsageError("the plan has an external journal; name it with --journal-device")
    return job.journal.path if job.journal is not None else None


def _planned(
    job: Job,
    watch: Stopwatch,
    spool: Spool,
    pool: ProcessPool,
    progress: ProgressCallback | None,
    cancel: Cancel | None,
) -> tuple[Layout, Sequence[SourceReport]]:
    """Read the sources and plan an image of them, or load a plan."""
    if job.plan is not None:
        with watch.stage("plan"):
            from ext4writer import Layout

            return Layout.load(job.plan), ()
    # Reading a pipe may block forever, and leaves nothing to clean up.
    with watch.stage("scan"), cancel_on_signals(at_once=True):
        reading = Reading(job.scan, job.selection, job.left_out, spool, pool, progress, cancel)
        tree, sources = read_sources(job.sources, reading)
        if job.rules:
            from ext4writer.edit.rules import apply_rules

            apply_rules(tree, job.rules)
    with watch.stage("plan"):
        layout = plan(
            tree,
            job.spec,
            base=job.base,
            processes=pool,
            progress=progress,
            cancel=cancel,
        )
    return layout, sources
