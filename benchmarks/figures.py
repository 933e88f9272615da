"""The figures of single runs, and their summary over many runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Run:
    """One run of one contender. Figures are in seconds and bytes."""

    figures: Mapping[str, float]
    steps: Mapping[str, float]
    """Step -> seconds."""


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum of some figures."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Summarize ``values``; None if there are none."""
        known = list(values)
        if not known:
            return None
        return cls(statistics.median(known), min(known), max(known))

    def text(self, unit: Callable[[float], str]) -> str:
        """The median, followed by minimum and maximum if they differ when printed."""
        median, low, high = unit(self.median), unit(self.low), unit(self.high)
        if low == high:
            return median
        (number, _, name), (last, _, last_name) = low.partition(" "), high.partition(" ")
        if name == last_name == median.partition(" ")[2]:
            low, high = number, last
        return f"{median} ({low} to {high})"


@dataclass
class Record:
    """The results of one contender in one workload."""

    key: str
    label: str
    ours: bool
    makes: str
    note: str
    charted: bool = True
    beside: str = ""
    """The key of the row whose work it did with an earlier revision; empty for all others."""
    entries: int = 0
    """Entries of the tree that it read; 0 if not applicable."""
    content_bytes: int = 0
    runs: dict[int, Run] = field(default_factory=dict)
    """Round -> run."""
    problem: str = ""
    """Why some or all runs are missing."""
    failed: bool = False
    """Whether the problem is a failure, not something that the host lacks."""
    check: str = ""
    """The verdict of e2fsck: ``clean``, or its problems; empty if it did not run."""

    def spread(self, figure: str) -> Spread | None:
        """A figure over all runs."""
        return Spread.of(run.figures[figure] for run in self.runs.values() if figure in run.figures)

    def step(self, name: str) -> Spread | None:
        """The seconds of one step over all runs."""
        return Spread.of(run.steps[name] for run in self.runs.values() if name in run.steps)


@dataclass
class Outcome:
    """The results of one workload."""

    key: str
    title: str
    baseline: str
    chart: str
    rounds: int
    about: list[str] = field(default_factory=list)
    """Lines about the sources."""
    records: dict[str, Record] = field(default_factory=dict)
    skipped: str = ""
    failed: bool = False


Results = Mapping[str, Outcome]


def paired(
    over: Record, under: Record, figure: str, combine: Callable[[float, float], float]
) -> Spread | None:
    """Combine the figures of two contenders round by round."""
    return Spread.of(
        combine(over.runs[number].figures[figure], under.runs[number].figures[figure])
        for number in over.runs.keys() & under.runs.keys()
        if figure in over.runs[number].figures and figure in under.runs[number].figures
    )


def ratio(over: Record, under: Record, figure: str) -> Spread | None:
    """The figure of the first contender divided by that of the second, round by round."""
    return paired(over, under, figure, lambda one, other: one / other if other else float("inf"))


def three_digits(value: float) -> str:
    """Format a number with about three significant digits."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 or value == 0 else f"{value:#.2g}"


def seconds(value: float) -> str:
    """Format seconds, with a suitable unit."""
    if value < 1:
        return f"{three_digits(value * 1000)} ms"
    return f"{three_digits(value)} s"


def size(value: float) -> str:
    """Format bytes, with a suitable unit."""
    for unit, name in ((1 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")):
        if abs(value) >= unit:
            return f"{three_digits(value / unit)} {name}"
    return f"{value:.0f} bytes"


def times(value: float) -> str:
    """Format a ratio."""
    return f"{three_digits(value)}x"
