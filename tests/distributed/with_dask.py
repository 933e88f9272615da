"""Runs work on two Dask workers and kills one of them; tests run this file as a separate process.

No test imports ``distributed``: it changes how pickle works in the entire interpreter, and leaves
processes behind.

    python -m tests.distributed.with_dask parts PLAN IMAGE
    python -m tests.distributed.with_dask campaign FOLDER SEEDS
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.judges.tools import require_importable


def run_with_dask(*arguments: object) -> str:
    """Run this file with ``arguments``, and return its output."""
    require_importable("distributed", "distributed")
    done = subprocess.run(
        [sys.executable, "-m", __name__, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def two_workers() -> Iterator[tuple[Executor, Callable[[], None]]]:
    """An executor of two processes on the loopback interface, and a function that kills one."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):

        def kill_one() -> None:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

        yield client.get_executor(), kill_one


def parts(plan: str, image: str) -> Any:
    from ext4writer.distributed import write_parts

    with two_workers() as (executor, kill_one):
        kill_one()
        return write_parts(plan, image, executor, parts=8, attempts=5).made


def campaign(folder: str, seeds: str) -> Any:
    from ext4writer_cli.fuzz.campaign import run

    kept = []
    with two_workers() as (executor, kill_one):
        oracles = ["check", "sh -c 'sleep 0.1; kill -SEGV $$' {}"]
        for finding in run(range(int(seeds)), oracles, folder, executor, overrides=2):
            kept.append(finding.seed)
            if len(kept) == 3:
                kill_one()
    return sorted(kept)


if __name__ == "__main__":
    print({"parts": parts, "campaign": campaign}[sys.argv[1]](*sys.argv[2:]))
