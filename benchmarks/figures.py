"""What a run gave, and what many runs give together."""

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
    """Seconds of each command, where there are several."""


@dataclass(frozen=True)
class Spread:
    """The median of some figures, the least and the most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """None if there are no values."""
        known = list(values)
        if not known:
            return None
        return cls(statistics.median(known), min(known), max(known))

    def text(self, unit: Callable[[float], str]) -> str:
        """The median, and the ends where they differ when they are printed."""
        median, low, high = unit(self.median), unit(self.low), unit(self.high)
        if low == high:
            return median
        (number, _, name), (last, _, last_name) = low.partition(" "), high.partition(" ")
        if name == last_name == median.partition(" ")[2]:
            low, high = number, last
        return f"{median} ({low} to {high})"


@dataclass
class Record:
    """What became of one contender in one workload."""

    key: str
    label: str
    ours: bool
    makes: str
    note: str
    charted: bool = True
    beside: str = ""
    """The key of the row whose work it did with an earlier revision; empty for all others."""
    entries: int = 0
    """Entries of what it read, 0 where that says nothing."""
    content_bytes: int = 0
    runs: dict[int, Run] = field(default_factory=dict)
    """By round."""
    problem: str = ""
    """Why it has no run, or not all of them."""
    failed: bool = False
    """Whether the problem is a fault and no lack of the host."""
    check: str = ""
    """What e2fsck said: ``clean``, or its problems; empty if it was not asked."""

    def spread(self, figure: str) -> Spread | None:
        """Of all runs."""
        return Spread.of(run.figures[figure] for run in self.runs.values() if figure in run.figures)

    def step(self, name: str) -> Spread | None:
        """The seconds of one command, of all runs."""
        return Spread.of(run.steps[name] for run in self.runs.values() if name in run.steps)


@dataclass
class Outcome:
    """What became of one workload."""

    key: str
    title: str
    baseline: str
    chart: str
    rounds: int
    about: list[str] = field(default_factory=list)
    """Lines on what was read."""
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
    """How many times as much the first takes as the second."""
    return paired(over, under, figure, lambda one, other: one / other if other else float("inf"))


def three_digits(value: float) -> str:
    """A number without more digits than it deserves."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 or value == 0 else f"{value:#.2g}"


def seconds(value: float) -> str:
    """With the unit that suits it."""
    if value < 1:
        return f"{three_digits(value * 1000)} ms"
    return f"{three_digits(value)} s"


def size(value: float) -> str:
    """With the unit that suits it."""
    for unit, name in ((1 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")):
        if abs(value) >= unit:
            return f"{three_digits(value / unit)} {name}"
    return f"{value:.0f} bytes"


def times(value: float) -> str:
    """A ratio."""
    return f"{three_digits(value)}x"
