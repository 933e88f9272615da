"""The report, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .figures import Outcome, Record, Results, Run, Spread, ratio, seconds, size, times
from .goals import GOALS, Goal, bytes_per_entry, us_per_entry
from .kinds import Workload

COLUMNS = ("tool", "time", "time against {baseline}", "CPU", "peak memory", "on disk", "e2fsck -fn")
MORE = {
    "us_per_entry": ("plan", us_per_entry),
    "tree_bytes_per_entry": ("memory of the tree", bytes_per_entry),
    "bytes_per_entry": ("memory of tree and plan", bytes_per_entry),
    "grown": ("growth of disk usage", size),
    "scratch": ("peak disk usage", size),
    "output": ("output", size),
    "image": ("file system", size),
    "free": ("free space", size),
    "free_inodes": ("free inodes", "{:,.0f}".format),
    "differing": ("bytes that differ from the first run", "{:,.0f}".format),
}
"""Figures that only some rows have -> (title, function that formats them)."""


@dataclass(frozen=True)
class Report:
    """All results of one run of the benchmarks."""

    results: Results
    quick: bool
    version: str
    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    least_memory: int
    busy: bool
    against: str = ""
    """The short hash of the earlier revision to compare with; empty for none."""

    @property
    def faults(self) -> list[str]:
        """Failures of ext4writer, and images of ext4writer that are not clean."""
        found = []
        for outcome in self.results.values():
            if outcome.failed:
                found.append(f"{outcome.key}: {outcome.skipped}")
            for record in outcome.records.values():
                where = f"{outcome.key}, {record.label}"
                if record.ours and record.failed:
                    found.append(f"{where}: {record.problem}")
                if record.ours and record.check not in ("", "clean"):
                    found.append(f"{where}: e2fsck: {record.check}")
        return found

    def markdown(self) -> str:
        """The full report as Markdown."""
        middle = self._beside() if self.against else self._goals()
        return "\n".join([*self._head(), "", *middle, *self._workloads()])

    def summary(self) -> str:
        """The goals, or the ratios to an earlier revision, as plain lines."""
        if self.against:
            return self._ratios()
        rows = list(self._judged())
        width = max((len(goal.about) for goal, _ in rows), default=0)
        lines = [
            f"{verdict(goal, measured):12}  {goal.about:{width}}  "
            f"{measured.text(goal.unit) if measured else '-'}, goal: {goal.bound_text}"
            for goal, measured in rows
        ]
        if self.quick:
            lines.insert(0, QUICK_NOTE)
        return "\n".join(lines)

    def as_json(self) -> str:
        """The full report as JSON, including each run."""
        return json.dumps(
            {
                "program": "ext4writer",
                "version": self.version,
                "date": self.date,
                "quick": self.quick,
                "against": self.against,
                "busy": self.busy,
                "machine": dict(self.machine),
                "versions": dict(self.versions),
                "least_memory": self.least_memory,
                "goals": [
                    {
                        "about": goal.about,
                        "bound": goal.bound,
                        "limit": goal.limit,
                        "measured": vars(measured) if measured else None,
                        "verdict": verdict(goal, measured),
                    }
                    for goal, measured in self._judged()
                ],
                "workloads": [_outcome(outcome) for outcome in self.results.values()],
                "faults": self.faults,
            },
            indent=2,
        )

    def _head(self) -> Iterator[str]:
        what = "A quick run" if self.quick else "A run"
        turns = f", alternating with its revision {self.against}" if self.against else ""
        yield f"{what} of ext4writer {self.version} on {self.date}{turns}."
        yield ""
        yield from _table(("machine", ""), self.machine.items())
        if not self.against:
            yield ""
            yield from _table(("tool", "version"), self.versions.items())
        yield ""
        yield (
            "Every figure is the median of its runs, with minimum and maximum in brackets. "
            "Every ratio is the median of the ratios of two runs of the same round. Time is "
            "wall time. A memory peak below "
            f"{size(self.least_memory)} cannot be measured."
        )
        if self.busy:
            yield ""
            yield "**Other work was running at the start; the figures are unreliable.**"
        if self.quick:
            yield ""
            yield f"**{QUICK_NOTE}**"
        for fault in self.faults:
            yield ""
            yield f"**Fault: {fault}**"

    def _judged(self) -> Iterator[tuple[Goal, Spread | None]]:
        for goal in GOALS:
            if goal.figure.workload in self.results:
                yield goal, goal.figure.measure(self.results)

    def _goals(self) -> Iterator[str]:
        yield "## Figures to reach"
        yield ""
        yield from _table(
            ("figure", "goal", "measured", ""),
            (
                (
                    goal.about,
                    goal.bound_text,
                    measured.text(goal.unit) if measured else "",
                    verdict(goal, measured),
                )
                for goal, measured in self._judged()
            ),
        )

    def _compared(self, *, done: bool) -> Iterator[tuple[Outcome, Record, Record]]:
        """Yield (workload, row of this revision, row of the earlier one).

        ``done`` chooses the rows that both revisions have run; otherwise the others.
        """
        for outcome in self.results.values():
            for before in outcome.records.values():
                if before.beside:
                    now = outcome.records[before.beside]
                    if bool(now.runs.keys() & before.runs.keys()) == done:
                        yield outcome, now, before

    def _beside(self) -> Iterator[str]:
        """The table of all rows that both revisions have run, and the reasons for missing rows."""
        yield f"## Compared with {self.against}"
        yield ""
        heads = (
            word
            for name, _, _ in BESIDE
            for word in (f"{name}, {self.against}", f"{name}, now", "ratio")
        )
        yield from _table(
            ("workload", "row", *heads),
            (
                (outcome.title, now.label, *_side_by_side(now, before))
                for outcome, now, before in self._compared(done=True)
            ),
        )
        others = list(self._compared(done=False))
        if others:
            yield ""
        for outcome, now, before in others:
            who = f"{self.against}: " if before.problem else ""
            reason = before.problem or now.problem or outcome.skipped
            yield f"- {outcome.title}, {now.label}: not compared: {who}{reason.rstrip('.')}."

    def _ratios(self) -> str:
        """Only the ratios of :meth:`_beside`, as plain lines."""
        lines = [f"This revision over {self.against}: {', '.join(name for name, _, _ in BESIDE)}"]
        for outcome, now, before in self._compared(done=True):
            found = [ratio(now, before, figure) for _, figure, _ in BESIDE]
            shown = (f"{each.text(times) if each else '-':24}" for each in found)
            lines.append(f"{' '.join(shown)}  {outcome.title}: {now.label}")
        return "\n".join(lines)

    def _workloads(self) -> Iterator[str]:
        for outcome in self.results.values():
            if self.against:
                outcome = self._without_gaps(outcome)
                if not outcome.records:
                    continue
            yield ""
            yield f"## {outcome.title}"
            for line in outcome.about:
                yield ""
                yield line[:1].upper() + line[1:] + "."
            yield ""
            if outcome.skipped:
                yield f"Not run: {outcome.skipped}."
                continue
            yield from _rows(outcome)

    def _without_gaps(self, outcome: Outcome) -> Outcome:
        """``outcome`` with only the rows that are compared."""
        pairs = [pair for of, *pair in self._compared(done=True) if of is outcome]
        rows = {record.key: record for pair in pairs for record in pair}
        baseline = outcome.baseline if outcome.baseline in rows else next(iter(rows), "")
        return replace(outcome, records=rows, baseline=baseline)


BESIDE = (("time", "wall", seconds), ("CPU", "cpu", seconds), ("peak memory", "memory", size))
"""The figures for comparing two revisions: (title, name, function that formats them)."""
QUICK_NOTE = "Quick run: small workloads and few rounds; the limits apply to full runs."


def verdict(goal: Goal, measured: Spread | None) -> str:
    """The verdict in a word or two."""
    if measured is None:
        return "not measured"
    return "reached" if goal.reached(measured) else "missed"


def _rows(outcome: Outcome) -> Iterator[str]:
    """Yield the lines of one workload's table and of the notes below it."""
    base = outcome.records[outcome.baseline]
    yield from _table(
        [column.format(baseline=base.label) for column in COLUMNS],
        (_row(record, base) for record in outcome.records.values()),
    )
    notes = [(record, list(_notes(record))) for record in outcome.records.values()]
    if any(lines for _, lines in notes):
        yield ""
    for record, lines in notes:
        if lines:
            yield f"- {record.label}: {'; '.join(lines).rstrip('.')}."


def _row(record: Record, base: Record) -> Sequence[str]:
    wall = record.spread("wall")
    if wall is None:
        return (record.label, "not run", "", "", "", "", "")
    cpu, memory, disk = (record.spread(name) for name in ("cpu", "memory", "disk"))
    against = ratio(record, base, "wall") if record is not base else None
    return (
        record.label,
        wall.text(seconds),
        against.text(times) if against else "",
        cpu.text(seconds) if cpu else "",
        memory.text(size) if memory else "",
        disk.text(size) if disk and record.makes != "nothing" else "",
        record.check,
    )


def _side_by_side(now: Record, before: Record) -> Iterator[str]:
    """Yield both medians and their ratio for each figure of :data:`BESIDE`."""
    for _, figure, unit in BESIDE:
        for record in (before, now):
            spread = record.spread(figure)
            yield unit(spread.median) if spread else ""
        against = ratio(now, before, figure)
        yield against.text(times) if against else ""


def _notes(record: Record) -> Iterator[str]:
    if record.problem:
        yield record.problem
    if record.note:
        yield record.note
    first = next(iter(record.runs.values()), None)
    if first is None:
        return
    if len(first.steps) > 1:
        steps = ((name, record.step(name)) for name in first.steps)
        yield ", ".join(f"{name} {seconds(each.median)}" for name, each in steps if each)
    for name, (about, unit) in MORE.items():
        spread = record.spread(name)
        if spread is not None:
            yield f"{about} {spread.text(unit)}"


def _table(head: Sequence[str], rows: Any) -> Iterator[str]:
    """Yield the lines of a Markdown table with aligned columns."""
    cells = [tuple(head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(head))]
    for number, row in enumerate(cells):
        yield "| " + " | ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def _outcome(outcome: Outcome) -> dict[str, Any]:
    base = outcome.records.get(outcome.baseline)
    return {
        "key": outcome.key,
        "title": outcome.title,
        "about": outcome.about,
        "skipped": outcome.skipped,
        "failed": outcome.failed,
        "baseline": outcome.baseline,
        "rounds": outcome.rounds,
        "contenders": [
            {
                "key": record.key,
                "label": record.label,
                "ours": record.ours,
                "entries": record.entries,
                "content_bytes": record.content_bytes,
                "note": record.note,
                "problem": record.problem,
                "failed": record.failed,
                "e2fsck": record.check,
                "figures": _spreads(record),
                "time_against_baseline": _plain(ratio(record, base, "wall")) if base else None,
                "runs": [
                    {"round": number, **run.figures, "steps": dict(run.steps)}
                    for number, run in record.runs.items()
                ],
            }
            for record in outcome.records.values()
        ],
    }


def read_results(text: str, table: Sequence[Workload]) -> dict[str, Outcome]:
    """Read the results of the workloads in ``table`` from an earlier JSON report."""
    known = {workload.key: workload for workload in table}
    found = {}
    for stored in json.loads(text)["workloads"]:
        workload = known.get(stored["key"])
        if workload is None:
            continue
        outcome = found[workload.key] = Outcome(
            workload.key,
            stored["title"],
            stored["baseline"],
            workload.chart,
            stored["rounds"],
            stored["about"],
            skipped=stored["skipped"],
            failed=stored["failed"],
        )
        contenders = {contender.key: contender for contender in workload.contenders}
        for row in stored["contenders"]:
            contender = contenders[row["key"]]
            outcome.records[row["key"]] = Record(
                row["key"],
                row["label"],
                row["ours"],
                contender.makes,
                row["note"],
                contender.charted,
                contender.beside,
                row["entries"],
                row.get("content_bytes", 0),
                dict(map(_read_run, row["runs"])),
                row["problem"],
                row["failed"],
                row["e2fsck"],
            )
    return found


def _read_run(stored: dict[str, Any]) -> tuple[int, Run]:
    number, steps = stored.pop("round"), stored.pop("steps")
    return number, Run(stored, steps)


def _spreads(record: Record) -> dict[str, Any]:
    names = {name: None for run in record.runs.values() for name in run.figures}
    return {name: _plain(record.spread(name)) for name in names}


def _plain(spread: Spread | None) -> dict[str, float] | None:
    return None if spread is None else vars(spread)
