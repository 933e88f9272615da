"""Two revisions are compared in one run, alternately, each in a temporary environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.judges import tools

ROOT = Path(__file__).parents[2]
PARTS = ("ext4writer", "builder", "benchmarks", "pyproject.toml", "README.md", "LICENSE")
LACKING = ("ext4writer/damage", "builder/ext4writer_cli/mke2fs")
"""Paths that the first of two revisions lacks."""


def git(repository: Path, *arguments: str) -> str:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", repository, *who, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two revisions, the second checked out."""
    for program in ("git", "mke2fs", "e2fsck"):
        tools.require(program)
    tools.require_importable("pip", "pip")
    made = tmp_path / "repository"
    made.mkdir()
    git(made, "init", "--quiet")
    unwanted = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, made / part, ignore=unwanted)
        else:
            shutil.copy(ROOT / part, made / part)
    for name in LACKING:
        (made / name).rename(tmp_path / Path(name).name)
    git(made, "add", ".")
    git(made, "commit", "--quiet", "-m", "first")
    for name in LACKING:
        (tmp_path / Path(name).name).rename(made / name)
    git(made, "add", ".")
    git(made, "commit", "--quiet", "-m", "second")
    return made


def bench(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    work = repository.parent / "work"
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--work", work, *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks run on Linux only")
def test_two_revisions_are_timed_in_one_run(repository: Path) -> None:
    rows = ("--only", "empty-small,reseal", "--rounds", "2")
    done = bench(repository, "--against", "HEAD~1", *rows)
    assert done.returncode == 0, done.stdout + done.stderr
    name = git(repository, "rev-parse", "--short", "HEAD~1")

    report = json.loads((repository / f"build/bench/beside-{name}.json").read_text())
    assert report["against"] == name
    empty, reseal = report["workloads"]
    of = {row["key"]: row for row in empty["contenders"] + reseal["contenders"]}
    keys = ("ext4writer", "front", "whole", "offsets")
    assert of.keys() == {*keys, *(f"{key}@{name}" for key in keys)}, "no other programs"
    for key in ("ext4writer", f"ext4writer@{name}"):
        assert [run["round"] for run in of[key]["runs"]] == [0, 1]
        assert all(run["wall"] > 0 and run["memory"] > 0 for run in of[key]["runs"])
        assert of[key]["e2fsck"] == "clean"
    # Its own benchmarks ran: they report what it lacks. So the current revision need not run
    # either.
    assert "ext4writer_cli.mke2fs" in of[f"front@{name}"]["problem"]
    assert "ext4writer.damage" in of[f"whole@{name}"]["problem"]
    assert not of["front"]["runs"]
    assert not of["whole"]["runs"]
    # Alternately: the one that runs first in one round runs second in the next.
    order = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("  1/2 ")]
    again = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("  2/2 ")]
    assert (order, again) == ([name, "ext4writer"], ["ext4writer", name])

    text = (repository / f"build/bench/beside-{name}.md").read_text()
    table = text.partition(f"## Compared with {name}\n")[2].partition("\n## ")[0]
    head, _, row = (line.split("|")[1:-1] for line in table.strip().splitlines()[:3])
    assert [word.strip() for word in head] == [
        *("workload", "row"),
        *(f"time, {name}", "time, now", "ratio"),
        *(f"CPU, {name}", "CPU, now", "ratio"),
        *(f"peak memory, {name}", "peak memory, now", "ratio"),
    ]
    assert all(word.strip() for word in row)
    assert table.count("not compared") == 3
    assert all("x" in word for word in row[4::3])

    assert git(repository, "worktree", "list").count("\n") == 0
    assert not (repository.parent / "work" / "ext4writer-bench").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks run on Linux only")
def test_a_missing_revision_is_refused(repository: Path) -> None:
    done = bench(repository, "--against", "v99")
    assert done.returncode == 2
    assert done.stderr.startswith("benchmarks: --against v99: ")
    assert done.stderr.count("\n") == 1
    assert not (repository.parent / "work" / "ext4writer-bench").exists()
