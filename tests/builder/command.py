"""Runs the command line as a separate program, and checks how it ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MAIN = "from ext4writer_cli.__main__ import main; main()"
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "builder"))),
    "SOURCE_DATE_EPOCH": "",
    "LC_ALL": "C.UTF-8",
}
TIMEOUT = 120

Argument = str | os.PathLike[str]


def command(*arguments: Argument, script: str = MAIN) -> list[str]:
    """The command line that runs ``ext4writer`` of this working copy."""
    return [sys.executable, "-c", script, *map(os.fspath, arguments)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process, plus what a run of the command needs."""
    return {**os.environ, **ENVIRONMENT, **(extra or {})}


def run(
    *arguments: Argument,
    script: str = MAIN,
    env: Mapping[str, str] | None = None,
    prefix: tuple[str, ...] = (),
    **keywords: Any,
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end. ``prefix`` is a program that starts it."""
    for stream in ("stdout", "stderr"):
        keywords.setdefault(stream, subprocess.PIPE)
    keywords.setdefault("text", True)
    return subprocess.run(
        [*prefix, *command(*arguments, script=script)],
        env=environment(env),
        timeout=TIMEOUT,
        check=False,
        **keywords,
    )


def wait_for_handlers(process: subprocess.Popen[Any], seconds: float = TIMEOUT) -> None:
    """Wait until the command in ``process`` handles signals: it does after its first imports."""
    status = Path(f"/proc/{process.pid}/status")
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status.read_text(), re.MULTILINE)
        if caught is not None and int(caught[1], 16) & 1 << signal.SIGTERM - 1:
            return
        time.sleep(0.02)
    raise AssertionError("the command handles no signals")


def report(*arguments: Argument, **keywords: Any) -> Any:
    """Run the command with ``--json``; it must print only the report, which is returned."""
    done = run(*arguments, "--json", **keywords)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def assert_one_line(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Assert that the command failed with ``status`` and one line that contains ``words``."""
    assert done.stderr.startswith("ext4writer: "), done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n"), done.stderr
    for word in words:
        assert word in done.stderr
    assert done.returncode == status, done.stderr


def assert_untouched(folder: Path) -> None:
    """Assert that a failed command left nothing in the folder of the image."""
    assert os.listdir(folder) == []
