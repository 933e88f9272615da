"""All figures to reach, on workloads of full size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from .figures import (
    MIB,
    Record,
    Results,
    Spread,
    paired,
    ratio,
    seconds,
    size,
    three_digits,
    times,
)

Unit = Callable[[float], str]
BASE_MEMORY = 64 * MIB


class Figure(Protocol):
    """A figure that is computed from all results."""

    @property
    def workload(self) -> str: ...

    def measure(self, results: Results) -> Spread | None:
        """The figure; None if it was not measured."""
        ...


def _record(results: Results, workload: str, key: str) -> Record | None:
    outcome = results.get(workload)
    return None if outcome is None else outcome.records.get(key)


@dataclass(frozen=True)
class Value:
    """A figure of one contender."""

    workload: str
    key: str
    name: str

    def measure(self, results: Results) -> Spread | None:
        record = _record(results, self.workload, self.key)
        return None if record is None else record.spread(self.name)


@dataclass(frozen=True)
class Ratio:
    """A figure of one contender divided by that of another, round by round."""

    workload: str
    over: str
    under: str
    name: str = "wall"

    def measure(self, results: Results) -> Spread | None:
        over = _record(results, self.workload, self.over)
        under = _record(results, self.workload, self.under)
        return None if over is None or under is None else ratio(over, under, self.name)


@dataclass(frozen=True)
class Within:
    """A figure of a contender divided by another figure of the same run."""

    workload: str
    key: str
    over: str
    under: str

    def measure(self, results: Results) -> Spread | None:
        record = _record(results, self.workload, self.key)
        if record is None:
            return None
        return Spread.of(
            run.figures[self.over] / run.figures[self.under]
            for run in record.runs.values()
            if self.over in run.figures and run.figures.get(self.under)
        )


@dataclass(frozen=True)
class Difference:
    """A figure of one contender minus that of another, round by round."""

    workload: str
    key: str
    above: str
    name: str = "wall"

    def measure(self, results: Results) -> Spread | None:
        one = _record(results, self.workload, self.key)
        other = _record(results, self.workload, self.above)
        if one is None or other is None:
            return None
        return paired(one, other, self.name, lambda more, less: more - less)


@dataclass(frozen=True)
class MemoryPerEntry:
    """Peak memory above :data:`BASE_MEMORY`, divided by the entries of the tree."""

    workload: str
    key: str

    def measure(self, results: Results) -> Spread | None:
        record = _record(results, self.workload, self.key)
        if record is None or not record.entries:
            return None
        return Spread.of(
            max(0.0, run.figures["memory"] - BASE_MEMORY) / record.entries
            for run in record.runs.values()
        )


@dataclass(frozen=True)
class GrownShare:
    """How much the used disk space grows, in percent of the content."""

    workload: str
    key: str

    def measure(self, results: Results) -> Spread | None:
        record = _record(results, self.workload, self.key)
        if record is None or not record.content_bytes:
            return None
        return Spread.of(
            100 * run.figures["grown"] / record.content_bytes
            for run in record.runs.values()
            if "grown" in run.figures
        )


@dataclass(frozen=True)
class Goal:
    """One figure to reach; its median counts."""

    about: str
    figure: Figure
    bound: Literal["at least", "at most"]
    limit: float
    unit: Unit

    def reached(self, measured: Spread) -> bool:
        """Whether the median is within the limit."""
        if self.bound == "at least":
            return measured.median >= self.limit
        return measured.median <= self.limit

    @property
    def bound_text(self) -> str:
        """The limit in words."""
        return f"{self.bound} {self.unit(self.limit)}"


def bytes_per_entry(value: float) -> str:
    return f"{value:,.0f} bytes per entry"


def us_per_entry(value: float) -> str:
    return f"{three_digits(value)} us per entry"


def percent(value: float) -> str:
    return f"{three_digits(value)} %"


# fmt: off
GOALS = (
    Goal("System tree: mke2fs -d over ext4writer, time",
         Ratio("system-tree", "mke2fs", "ext4writer"), "at least", 5, times),
    Goal("System tree: mke2fs -d over ext4writer, CPU",
         Ratio("system-tree", "mke2fs", "ext4writer", "cpu"), "at least", 3, times),
    Goal("System tree: ext4writer over tar, time",
         Ratio("system-tree", "ext4writer", "tar"), "at most", 1, times),
    Goal("Small files: mke2fs -d over ext4writer, time",
         Ratio("small-files", "mke2fs", "ext4writer"), "at least", 3, times),
    Goal("Small files: ext4writer over tar, time",
         Ratio("small-files", "ext4writer", "tar"), "at most", 1.3, times),
    Goal("60,000 names: mke2fs -d over ext4writer, time",
         Ratio("names", "mke2fs", "few"), "at least", 200, times),
    Goal("1,000,000 names over 60,000, directory, time",
         Ratio("names", "many", "few"), "at most", 20, times),
    Goal("1,000,000 names over 60,000, in memory, time",
         Ratio("names", "many-memory", "few-memory"), "at most", 20, times),
    Goal("4 GiB in four files: ext4writer over cp, time",
         Ratio("large-files", "ext4writer", "cp"), "at most", 1.1, times),
    *(goal for kind in ("xfs", "btrfs") for goal in (
        Goal(f"4 GiB in four files on {kind}, time",
             Value(f"reflink-{kind}", "ext4writer", "wall"), "at most", 1, seconds),
        Goal(f"4 GiB in four files on {kind}, growth of disk usage by content",
             GrownShare(f"reflink-{kind}", "ext4writer"), "at most", 3, percent),
    )),
    Goal("Closure: old pipeline over ext4writer, both with zstd, time",
         Ratio("closure", "pipeline", "ext4writer"), "at least", 10, times),
    Goal("Closure: old pipeline over ext4writer with zstd level 2, time",
         Ratio("closure", "pipeline", "ext4writer-2"), "at least", 10, times),
    Goal("Closure: output of ext4writer with zstd level 2 over that of the old pipeline",
         Ratio("closure", "ext4writer-2", "pipeline", "output"), "at most", 1, times),
    Goal("Closure: old pipeline over ext4writer, both without, time",
         Ratio("closure", "pipeline-plain", "ext4writer-plain"), "at least", 10, times),
    Goal("Closure: file system of ext4writer over that of the old pipeline",
         Ratio("closure", "ext4writer-plain", "pipeline-plain", "image"), "at most", 1, times),
    *(goal for key, about in (("ext4writer", "with zstd"), ("ext4writer-plain", "without"))
      for goal in (
        Goal(f"Closure: peak disk usage over output, {about}",
             Within("closure", key, "scratch", "output"), "at most", 1, times),
        Goal(f"Closure: bytes that differ between two runs, {about}",
             Value("closure", key, "differing"), "at most", 0, "{:,.0f}".format),
    )),
    *(Goal(f"System tree: ext4writer {label} over ext4writer, {what}",
           Ratio("system-tree", f"ext4writer-{key}", "ext4writer", name), "at most", 1.3, times)
      for key, label in (("many", "with many features"), ("bigalloc", "with bigalloc"))
      for name, what in (("wall", "time"), ("cpu", "CPU"))),
    *(Goal(f"{about}, empty: mke2fs over ext4writer mke2fs, time",
           Ratio(workload, "mke2fs", "front"), "at least", 1, times)
      for workload, about in (("empty", "16 TiB"), ("empty-small", "1 GiB"))),
    Goal("16 TiB, empty, time",
         Value("empty", "ext4writer", "wall"), "at most", 0.5, seconds),
    Goal("16 TiB, empty, disk",
         Value("empty", "ext4writer", "disk"), "at most", 4 * MIB, size),
    Goal("100 files in memory, time of an image",
         Value("in-memory", "path", "wall"), "at most", 0.010, seconds),
    Goal("Resealing all checksums of a 256 KiB image",
         Value("reseal", "whole", "cpu"), "at most", 0.001, seconds),
    Goal("140,000 entries planned, time until the first block",
         Value("opened", "first", "wall"), "at most", 0.050, seconds),
    Goal("1 GiB of content read without writing the image, time",
         Value("opened", "read", "wall"), "at most", 1.0, seconds),
    *(Goal(f"The smallest image of a recipe, {about} a journal, CPU",
           Value("recipes", workload, "cpu"), "at most", 0.001, seconds)
      for workload, about in (("least", "without"), ("journalled", "with"))),
    Goal("import ext4writer above import construct",
         Difference("start", "ext4writer", "construct"), "at most", 0.060, seconds),
    Goal("ext4writer --help",
         Value("start", "help", "wall"), "at most", 0.300, seconds),
    *(Goal(f"Planning {count} entries",
           Value("planning", f"planned-{number}", "us_per_entry"), "at most", 20, us_per_entry)
      for number, count in enumerate(("10,000", "100,000", "1,000,000"), 1)),
    Goal("Planning is linear: an entry of 1,000,000 over one of 100,000, time",
         Ratio("planning", "planned-3", "planned-2", "us_per_entry"), "at most", 1.3, times),
    *(Goal(f"Memory above 64 MiB: {about}",
           MemoryPerEntry(workload, key), "at most", 700, bytes_per_entry)
      for about, workload, key in (
          ("system tree", "system-tree", "ext4writer"),
          ("small files", "small-files", "ext4writer"),
          ("closure", "closure", "ext4writer-plain"),
          ("60,000 names", "names", "few"),
          ("1,000,000 names", "names", "many"),
          ("1,000,000 names in memory", "names", "many-memory"),
          ("planning 1,000,000 entries", "planning", "planned-3"),
      )),
)
# fmt: on
