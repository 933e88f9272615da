"""Profiles ext4writer's runs with every installed profiler. These runs are not timed."""

from __future__ import annotations

import io
import os
import pstats
import sys
from collections.abc import Sequence
from pathlib import Path

from . import tools
from .kinds import Step
from .measure import RunError, Runner

LINES = 60
TIMEOUT = 7_200


def write(steps: Sequence[Step], folder: Path, name: str, runner: Runner) -> None:
    """Run ext4writer's steps once under each profiler, which writes its files to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        if not step.ours:
            continue
        for kind, argv, output in _profilers(step.argv, folder / name):
            try:
                usage = runner.run(argv, TIMEOUT)
            except RunError as error:
                output.with_suffix(output.suffix + ".error").write_text(f"{kind}: {error}\n")
                continue
            if kind == "cProfile":
                _summarize(output)
            elif kind == "importtime":
                output.write_text(usage.output)
            elif kind == "perf":
                _report(output, runner)


def _profilers(argv: Sequence[str], stem: Path) -> list[tuple[str, list[str], Path]]:
    """(Name, command, file that it writes) for each installed profiler."""
    found: list[tuple[str, list[str], Path]] = []

    def add(kind: str, suffix: str, *before: str, command: Sequence[str] = argv) -> None:
        path = stem.with_name(f"{stem.name}.{suffix}")
        words = [os.fspath(path) if word == "FILE" else word for word in before]
        found.append((kind, [*words, *command], path))

    is_python = argv[0] == sys.executable
    arguments = list(argv[1:] if is_python else argv)
    if "-c" in arguments:
        add("importtime", "importtime.txt", sys.executable, "-X", "importtime", command=arguments)
    else:
        add("cProfile", "prof", sys.executable, "-m", "cProfile", "-o", "FILE", command=arguments)
    if tools.find("py-spy"):
        add("py-spy", "py-spy.svg", "py-spy", "record", "-o", "FILE", "--")
    if tools.find("strace"):
        add("strace", "strace.txt", "strace", "-f", "-c", "-o", "FILE", "--")
    if tools.find("perf"):
        add("perf", "perf", "perf", "record", "-q", "-g", "-o", "FILE", "--")
    return found


def _summarize(profile: Path) -> None:
    """Write the most expensive functions of a cProfile to a text file next to it."""
    text = io.StringIO()
    stats = pstats.Stats(os.fspath(profile), stream=text)
    stats.strip_dirs().sort_stats("tottime").print_stats(LINES)
    stats.sort_stats("cumulative").print_stats(LINES)
    profile.with_suffix(".prof.txt").write_text(text.getvalue())


def _report(recorded: Path, runner: Runner) -> None:
    """Write a report of what perf recorded to a text file next to it."""
    argv = ["perf", "report", "--stdio", "--no-children", "-g", "none", "-i", os.fspath(recorded)]
    try:
        text = runner.run(argv, TIMEOUT).output
    except RunError as error:
        text = f"{error}\n"
    recorded.with_suffix(".perf.txt").write_text(text)
