"""What the table of workloads is made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import tools


@dataclass(frozen=True)
class Scale:
    """How large the workloads are."""

    rounds: int
    small_files: int
    few_names: int
    many_names: int
    large_bytes: int
    closure_entries: int
    sparse_bytes: int
    empty_bytes: Mapping[str, int]
    """Of empty images, by workload."""
    images: int
    planned: tuple[int, int, int]
    timeout: float
    spare_memory: int
    """Bytes that are touched beyond what a run can need, because the kernel takes any page that is
    free: with a spare GiB the same 200 MiB took from 0.04 to 0.7 s to write, with four of them 0.04
    to 0.1 s. Where the host takes memory back, a GiB can take ten seconds."""


@dataclass(frozen=True)
class Facts:
    """What ext4writer says of an image of a source, to give peers the same room."""

    image_bytes: int = 0
    inodes: int = 0


@dataclass(frozen=True)
class Setting:
    """Where a run takes place."""

    source: Path
    """What is read; of no meaning for contenders without a source."""
    out: Path
    """An empty directory for everything that the run makes."""
    facts: Facts
    kept: Path
    """A place that outlives the run, for the next one of the same contender to find."""

    @property
    def image(self) -> str:
        """Where an image belongs."""
        return os.fspath(self.out / "image")


@dataclass(frozen=True)
class Step:
    """One command of a contender."""

    name: str
    argv: tuple[str, ...]
    ours: bool = False
    cwd: Path = tools.REPOSITORY


Commands = Callable[[Setting], list[Step]]
Look = Callable[[Setting], Mapping[str, float]]
"""Figures of what a run has made."""


@dataclass(frozen=True)
class Contender:
    """One tool, in one way of using it."""

    key: str
    label: str
    commands: Commands
    source: str = ""
    """Which source of the workload it reads; empty for none."""
    programs: tuple[str, ...] = ()
    """What has to be installed."""
    makes: Literal["image", "archive", "copy", "nothing"] = "image"
    """An image is judged by e2fsck."""
    most_runs: int = 1_000
    one_file_system: bool = True
    """Whether it can keep to the file system of its source."""
    sized: bool = False
    """Whether it has to be told how large its image is, which ext4writer then finds out."""
    charted: bool = True
    entries: int = 0
    """Entries of the tree, where there is no source that could be asked."""
    note: str = ""
    ours: bool = False
    beside: str = ""
    """The key of the row whose work it does with an earlier revision; empty for all others."""
    again: bool = False
    """Whether it does the work of another row once more, for the sake of other programs."""
    look: Look | None = None
    """Looks at what a run has left, when its time does not count any more."""
    obstacle: Callable[[], str] = lambda: ""
    """Why it cannot take part on this host, beside programs that are missing; empty if it can."""


@dataclass(frozen=True)
class Source:
    """Something to read."""

    key: str
    about: str
    disk_bytes: int
    """What it takes at most; 0 if it is there already."""
    make: Callable[[Path], None] | None = None
    """Makes it at a path that does not exist yet."""
    path: Path | None = None
    """Where it is, if it need not be made."""
    planned: str = ""
    """The part that is in the images whose size peers have to be told; empty for all of it."""


@dataclass(frozen=True)
class Workload:
    """Contenders that are run in alternation."""

    key: str
    title: str
    baseline: str
    """The contender that the others are compared with in the report."""
    contenders: tuple[Contender, ...]
    sources: tuple[Source, ...] = ()
    disk: str = ""
    """Kind of a file system that is made and mounted for it; empty for the host's own."""
    disk_bytes: int = 0
    outputs: float = 1.3
    """What a run leaves on the disk at most, in sizes of the source."""
    repeat: int = 1
    """How many times as often as others it runs."""
    scratch: bool = False
    """Whether the most disk is measured that a run takes at any time."""
    chart: str = ""
    """Its title in the chart; empty keeps it out of it."""


def command() -> str:
    """Our command."""
    return os.fspath(tools.COMMAND)
