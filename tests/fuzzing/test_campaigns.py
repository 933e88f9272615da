"""A campaign may be interrupted, distributed over processes and machines, and merged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ext4writer import OutputError
from ext4writer.errors import WorkerError
from ext4writer.fuzzing import random_recipe
from ext4writer_cli.cli import commands
from ext4writer_cli.fuzz.campaign import reason_to_keep, rows, run
from ext4writer_cli.fuzz.oracles import Oracle, Verdict
from tests.distributed.with_dask import run_with_dask
from tests.judges.tools import require

from .test_oracles import wait_until_gone

pytestmark = pytest.mark.damaged

CRASHES = "sh -c 'kill -SEGV $$' {}"


def call(*arguments: object, status: int = 0) -> str:
    done = CliRunner().invoke(commands, ["fuzz", *map(str, arguments)])
    assert done.exit_code == status, (done.output, done.exception)
    return f"{done.output}{done.exception or ''}"


def seeds_in(folder: Path) -> list[int]:
    return [row.seed for row in rows(str(folder / "results.jsonl"))]


class ImmediateExecutor(Executor):
    """Runs each task immediately; from a given one on, the worker is dead."""

    def __init__(self, last: int) -> None:
        self.last = last

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if args[0] > self.last:
            future.set_exception(RuntimeError("the worker died"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_a_crash_or_a_difference_is_kept() -> None:
    e2fsck, check = Oracle.parse("e2fsck"), Oracle.parse("check")
    clean, wrong = Verdict("e2fsck", "clean"), Verdict("check", "problems")
    assert "e2fsck calls it clean" in reason_to_keep([clean, wrong], [e2fsck, check])
    assert not reason_to_keep([clean, Verdict("check", "clean")], [e2fsck, check])
    assert "signal 11" in reason_to_keep([Verdict("x", "crash", "signal 11")], [e2fsck])


def test_a_campaign_resumes_where_it_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "campaign"
    arguments = ["--oracle", "check", "--oracle", "false {}", "-o", folder, "--workers", 2]
    call("run", "--seeds", "0:6", *arguments)
    results = folder / "results.jsonl"
    first = results.read_bytes()
    assert sorted(seeds_in(folder)) == list(range(6))
    results.write_bytes(first[:-20])  # as if it was killed
    call("run", "--seeds", "0:8", *arguments)
    assert sorted(seeds_in(folder)) == list(range(8))
    call("run", "--seeds", "0:8", *arguments)
    assert len(seeds_in(folder)) == 8
    # Another oracle has not judged them, and another number of faults gives other images.
    call("run", "--seeds", "0:8", "--oracle", "read", "-o", folder)
    assert len(seeds_in(folder)) == 16
    told = call("run", "--seeds", "0:8", *arguments, "--overrides", 3, status=1)
    assert "--overrides 1" in told


def test_where_processes_cannot_share_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sandboxes without /dev/shm have no semaphores for a pool."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", refuse)
    arguments = ["run", "--oracle", "check", "--seeds", "0:3", "-o", str(tmp_path)]
    done = CliRunner().invoke(commands, ["fuzz", *arguments])
    assert done.exit_code in (0, 1) and "one seed at a time" in done.stderr
    assert len(list(rows(str(tmp_path / "results.jsonl")))) == 3


def test_a_worker_that_dies_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "campaign"
    with pytest.raises(WorkerError, match="the worker died.*continues"):
        list(run(range(9), ["check", CRASHES], folder, ImmediateExecutor(4)))
    assert seeds_in(folder) == list(range(5))
    assert (folder / "4.recipe").read_text() == str(random_recipe(4))
    with ThreadPoolExecutor(2) as executor:
        found = list(run(range(9), ["check", CRASHES], folder, executor))
    assert sorted(finding.seed for finding in found) == [5, 6, 7, 8]
    assert sorted(seeds_in(folder)) == list(range(9))


def test_a_seed_that_cannot_be_made_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(seed: int, overrides: int) -> None:
        raise ZeroDivisionError(f"{seed} {overrides}")

    monkeypatch.setattr("ext4writer_cli.fuzz.campaign.random_image", broken)
    found = list(run([3], ["check"], tmp_path, ImmediateExecutor(9)))
    assert found[0].reason == "ext4writer: crash (ZeroDivisionError: 3 1)"


def test_an_interruption_leaves_no_process(tmp_path: Path, default_signals: None) -> None:
    folder = tmp_path / "campaign"
    marker = f"{tmp_path}/marker"
    oracle = f"sh -c 'sleep 0.05; sleep 60 & echo $! >> {marker}; wait' {{}}"
    command = ["-m", "ext4writer", "fuzz", "run", "--seeds", "0:500", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, *command, "--oracle", "check", "--oracle", oracle, "-o", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    while not os.path.exists(marker):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in output, output
    for pid in Path(marker).read_text().split():
        wait_until_gone(int(pid))


def test_results_are_merged(tmp_path: Path) -> None:
    for name, seeds in (("a", "0:5"), ("b", "3:7")):
        arguments = ["--seeds", seeds, "--oracle", CRASHES, "-o", tmp_path / name]
        call("run", *arguments, "--workers", 1, status=1)
    both = tmp_path / "both"
    assert "7 seeds, 7 kept" in call("merge", tmp_path / "b", tmp_path / "a", "-o", both)
    assert seeds_in(both) == list(range(7))
    assert (both / "6.recipe").read_text() == str(random_recipe(6))
    # The campaign continues with these results.
    told = call("run", "--seeds", "0:7", "--oracle", CRASHES, "-o", both, status=1)
    assert "7 seeds, 7 kept" in told
    told = call("run", "--seeds", "5:7", "--oracle", CRASHES, "-o", both, status=1)
    assert told.startswith("2 seeds, 2 kept")
    call("merge", tmp_path / "a", "-o", both, status=1)
    call("run", "--seeds", "1", "--oracle", "check", "-o", tmp_path / "c", "--overrides", 2)
    told = call("merge", tmp_path / "a", tmp_path / "c", "-o", tmp_path / "d", status=1)
    assert "different numbers of overrides" in told
    with pytest.raises(OutputError, match="results"):
        list(run([1], ["check"], tmp_path / "a", ImmediateExecutor(9), overrides=7))


def test_oracles_that_are_missing_are_refused(tmp_path: Path) -> None:
    require("qemu-system-x86_64")  # otherwise qemu is reported as missing
    for oracle, said in (
        ("no-such-program {}", "there is no program"),
        (f"kernel:{tmp_path}/none", "there is no kernel"),
        ("nonsense", "neither one of"),
    ):
        told = call("run", "--seeds", "1", "--oracle", oracle, "-o", tmp_path / "x", status=2)
        assert said in told and not (tmp_path / "x").exists()


def test_a_missing_oracle_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "reader"
    for expected in ((), (f"{program} {{}}",), (f"{program} {{}}",)):
        list(run([1], [f"{program} {{}}"], tmp_path / "campaign", ImmediateExecutor(9)))
        lines = list(rows(str(tmp_path / "campaign" / "results.jsonl")))
        assert lines[-1].oracles == expected
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    assert len(lines) == 2


@pytest.mark.slow
def test_two_workers_of_dask_one_killed(tmp_path: Path) -> None:
    folder = tmp_path / "campaign"
    told = json.loads(run_with_dask("campaign", folder, 12).splitlines()[-1])
    assert told == list(range(12))
    assert sorted(seeds_in(folder)) == list(range(12))
    assert (folder / "11.recipe").read_text() == str(random_recipe(11, overrides=2))
