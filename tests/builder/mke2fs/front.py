"""Runs our front end of mke2fs in this process, and mke2fs itself for comparison."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from ext4writer_cli.mke2fs.command import main

UNSET = (
    *("SOURCE_DATE_EPOCH", "E2FSPROGS_FAKE_TIME", "MKE2FS_CONFIG", "MKE2FS_SYNC"),
    *("MKE2FS_FIRST_META_BG", "MKE2FS_DEVICE_SECTSIZE", "MKE2FS_DEVICE_PHYS_SECTSIZE"),
)


class Done(NamedTuple):
    """The result of a command."""

    status: int
    stdout: str
    stderr: str


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    return {**kept, "LC_ALL": "C.UTF-8", **(extra or {})}


def ours(
    *arguments: str | Path, program: str = "mke2fs", env: Mapping[str, str] | None = None
) -> Done:
    """Run the front end, without the variables of this process's environment that it obeys."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, _environment(env), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = main(program, [os.fspath(each) for each in arguments])
    return Done(status, out.getvalue(), err.getvalue())


def theirs(
    *arguments: str | Path, program: str = "mke2fs", env: Mapping[str, str] | None = None
) -> Done:
    """Run the program of e2fsprogs with an empty standard input."""
    done = subprocess.run(
        [program, *map(os.fspath, arguments)],
        env=_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def dumpe2fs(image: Path) -> dict[str, str]:
    """What ``dumpe2fs -h`` shows, by name."""
    done = subprocess.run(
        ["dumpe2fs", "-h", os.fspath(image)], capture_output=True, text=True, check=True
    )
    lines = (line.partition(":") for line in done.stdout.splitlines())
    return {name: value.strip() for name, _, value in lines}


def dumped_groups(image: Path) -> list[str]:
    """The groups shown by ``dumpe2fs``: positions, flags and free ranges, without checksums."""
    done = subprocess.run(
        ["dumpe2fs", os.fspath(image)], capture_output=True, text=True, check=True
    )
    text = re.sub(r"(, )?csum 0x[0-9a-f]+", "", done.stdout[done.stdout.index("\nGroup 0:") :])
    return [line.rstrip() for line in text.splitlines() if line]


def pairwise(axes: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
    """Rows with one value per axis that cover every pair of values of two axes.

    Greedy: each row takes from every axis the value that completes the most missing pairs.
    """
    names = list(axes)
    missing = {
        (first, a, second, b)
        for place, first in enumerate(names)
        for second in names[place + 1 :]
        for a in range(len(axes[first]))
        for b in range(len(axes[second]))
    }
    rows: list[dict[str, object]] = []
    while missing:
        first, a, second, b = min(missing)
        chosen = {first: a, second: b}
        for name in names:
            if name not in chosen:
                chosen[name] = max(
                    range(len(axes[name])),
                    key=lambda value, name=name: sum(
                        _pair(names, other, at, name, value) in missing
                        for other, at in chosen.items()
                    ),
                )
        for place, name in enumerate(names):
            for other in names[place + 1 :]:
                missing.discard((name, chosen[name], other, chosen[other]))
        rows.append({name: axes[name][at] for name, at in chosen.items()})
    return rows


def _pair(names: list[str], one: str, a: int, other: str, b: int) -> tuple[str, int, str, int]:
    return (one, a, other, b) if names.index(one) < names.index(other) else (other, b, one, a)
