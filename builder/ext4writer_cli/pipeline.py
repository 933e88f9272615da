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
    """Something would not be kept exactly, and the caller asked for ``--strict``."""

    def __init__(self, losses: list[Loss]) -> None:
        self.losses = losses
        first = losses[0]
        others = f" and {len(losses) - 1:,} more" if len(losses) > 1 else ""
        super().__init__(f"--strict: {display_path(first.path)}: {first.what}{others}")


class Job(NamedTuple):
    """The request of one command."""

    sources: Sequence[SourceArgument]
    """Later ones lie over earlier ones."""
    output: Output | None
    """None: plan the image and write nothing."""
    journal: PathOutput | None
    """For a journal in a device of its own."""
    scan: ScanOptions
    selection: Selection
    """The entries to take from each source."""
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
    """Those besides the image that write over what an earlier run made."""
    base: str | None = None
    """An earlier image, or the saved plan of one, to differ little from."""
    compares: bool = True
    """Whether it is compared with the base, for which both are read."""

    @property
    def left_out(self) -> list[Output]:
        """What is no part of a source that it lies in: the image, and what is older."""
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
    """Carry out ``job`` and report it; raises the library's errors."""
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
    """By how much the image differs from its base, which the output may be about to replace."""
    if job.base is None or not job.compares:
        return {}
    from ext4writer.delta import difference

    with watch.stage("compare"):
        return {"base": difference(layout, job.base, cancel=cancel)._asdict()}


def _journal(job: Job, layout: Layout) -> str | None:
    """The file for a journal in a device of its own; an error if a plan wants one."""
    if layout.journal_bytes and job.journal is None:
        raise click.UsageError("the plan has its journal in a file; name it: --journal-device")
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
    # Reading a pipe may block for ever, and leaves nothing that must be removed.
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
