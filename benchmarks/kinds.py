"""The types of the rows in the table of workloads."""

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
    """Workload -> size of its empty image."""
    images: int
    planned: tuple[int, int, int]
    timeout: float
    spare_memory: int
    """Bytes to touch beyond what a run can need, because the kernel may choose any free page. With
    a spare GiB, writing the same 200 MiB took 0.04 to 0.7 s; with four it took 0.04 to 0.1 s. Where
    the host of a virtual machine takes memory back, touching a GiB can take ten seconds."""


@dataclass(frozen=True)
class Facts:
    """What ext4writer reports about an image of a source, to give other tools the same space."""

    image_bytes: int = 0
    inodes: int = 0


@dataclass(frozen=True)
class Setting:
    """Where a run takes place."""

    source: Path
    """What is read; meaningless for contenders without a source."""
    out: Path
    """An empty directory for everything that the run creates."""
    facts: Facts
    kept: Path
    """A path of a file that is kept for the next run of the same contender."""

    @property
    def image(self) -> str:
        """The path for the image."""
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
"""Computes further figures from the files that a run created."""


@dataclass(frozen=True)
class Contender:
    """One tool with one set of options."""

    key: str
    label: str
    commands: Commands
    source: str = ""
    """The key of the source that it reads; empty for none."""
    programs: tuple[str, ...] = ()
    """Programs that must be installed."""
    makes: Literal["image", "archive", "copy", "nothing"] = "image"
    """An image is judged by e2fsck."""
    most_runs: int = 1_000
    one_file_system: bool = True
    """Whether it can stay on the file system of its source."""
    sized: bool = False
    """Whether it needs the size of its image as an option; ext4writer's plan then determines it."""
    charted: bool = True
    entries: int = 0
    """Entries of the tree, if there is no source to count them in."""
    note: str = ""
    ours: bool = False
    beside: str = ""
    """The key of the row whose work it does with an earlier revision; empty for all others."""
    again: bool = False
    """Whether it repeats the work of another row, to be compared with other programs."""
    look: Look | None = None
    """Computes figures from the output of a run, after its time is measured."""
    obstacle: Callable[[], str] = lambda: ""
    """Why it cannot run on this host, apart from missing programs; empty if it can."""


@dataclass(frozen=True)
class Source:
    """Something to read."""

    key: str
    about: str
    disk_bytes: int
    """Most bytes that it uses; 0 if it exists already."""
    make: Callable[[Path], None] | None = None
    """Creates it at a path that does not exist yet."""
    path: Path | None = None
    """Its path, if it exists already."""
    planned: str = ""
    """The folder in it whose image determines the size for other tools; empty for all of it."""


@dataclass(frozen=True)
class Workload:
    """Contenders that run alternately."""

    key: str
    title: str
    baseline: str
    """The contender that the others are compared with in the report."""
    contenders: tuple[Contender, ...]
    sources: tuple[Source, ...] = ()
    disk: str = ""
    """Type of a file system that is created and mounted for it; empty for the host's own."""
    disk_bytes: int = 0
    outputs: float = 1.3
    """Most disk space that the output of a run needs, in multiples of the source's size."""
    repeat: int = 1
    """Factor on the number of rounds."""
    scratch: bool = False
    """Whether to measure the peak disk usage of a run."""
    chart: str = ""
    """Its title in the chart; empty if it is not in the chart."""


def command() -> str:
    """The path of the command ext4writer."""
    return os.fspath(tools.COMMAND)
