"""Processes that share work: every answer, the right error, and no leftovers."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ext4writer.errors import ArchiveError, SourceError, WorkerError
from ext4writer.forked import FULL_LOAD, ProcessPool, Stage, as_pool, can_fork, next_generation

from ..judges.tools import require_importable

pytestmark = pytest.mark.skipif(not can_fork, reason="this system has no fork")


KNOWN: list[FunctionWorker] = []
"""Workers by number. A process that is forked later has them, and all their functions."""


class FunctionWorker:
    """Runs tasks with ``do``; the other functions run first and last, in forked processes."""

    def __init__(
        self,
        do: Callable[[Any], Any],
        at_begin: Callable[[], None] = lambda: None,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._do = do
        self.begin = at_begin
        self.finish = at_end
        self._number = len(KNOWN)
        KNOWN.append(self)

    def __reduce__(self) -> tuple[object, ...]:
        return known, (self._number,)

    def do(self, task: Any) -> Iterator[Any]:
        yield self._do(task)


def known(number: int) -> FunctionWorker:
    return KNOWN[number]


def answers_in(pool: ProcessPool, worker: FunctionWorker, tasks: Iterable[Any]) -> list[Any]:
    found = []
    stage: Stage[Any, Any]
    with Stage(pool, worker) as stage:
        for task in tasks:
            while stage.full and not stage.failed:
                found += stage.answers(0.1)
            if stage.failed:
                break
            stage.submit(task)
        while stage.busy:
            found += stage.answers(0.1)
        stage.finish()
    return found


def all_answers(
    do: Callable[[Any], Any], tasks: Iterable[Any], others: int = 3, **options: Any
) -> list[Any]:
    with ProcessPool(others + 1) as pool:
        return answers_in(pool, FunctionWorker(do, **options), tasks)


@pytest.fixture(autouse=True)
def _nothing_stays_behind() -> Iterator[None]:
    before = open_descriptors(), children()
    yield
    assert (open_descriptors(), children()) == before


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd")) if sys.platform == "linux" else []


def children() -> list[int]:
    """The processes that this one has forked and not waited for; other tests may leave some."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat") if sys.platform == "linux" else []:
        with suppress(OSError):
            parent = entry.read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.append(int(entry.parent.name))
    return sorted(found)


@pytest.mark.parametrize("count", [0, 1, 2, FULL_LOAD, 500])
@pytest.mark.parametrize("others", [1, 2, 5])
def test_every_task_is_done_once(count: int, others: int) -> None:
    found = all_answers(lambda task: (task, os.getpid()), range(count), others)
    assert sorted(task for task, _ in found) == list(range(count))
    assert os.getpid() not in {pid for _, pid in found}
    if count >= FULL_LOAD * others:
        assert len({pid for _, pid in found}) == others


def test_answers_larger_than_a_pipe() -> None:
    found = all_answers(lambda task: bytes([task]) * 300_000, range(40))
    assert sorted(found) == [bytes([task]) * 300_000 for task in range(40)]


def test_tasks_and_answers_larger_than_a_pipe() -> None:
    """Both pipes are full at the same time, and no process waits forever."""
    tasks = [bytes([number]) * 3_000_000 for number in range(20)]
    assert sorted(all_answers(lambda task: task + b"!", tasks)) == [task + b"!" for task in tasks]


def test_heavy_tasks_do_not_queue_for_one_worker() -> None:
    stage: Stage[int, int]
    with ProcessPool(3) as pool, Stage(pool, FunctionWorker(lambda task: task)) as stage:
        submitted = 0
        while not stage.full:
            stage.submit(submitted, FULL_LOAD // 2)
            submitted += 1
        assert submitted == 4
        found: list[int] = []
        while stage.busy:
            found += stage.answers(0.1)
        assert sorted(found) == [0, 1, 2, 3]
        stage.finish()


def test_one_pool_serves_stage_after_stage() -> None:
    once = FunctionWorker(lambda task: (task, os.getpid()))
    tenfold = FunctionWorker(lambda task: (task * 10, os.getpid()))
    with ProcessPool(3) as pool:
        first = answers_in(pool, once, range(50))
        second = answers_in(pool, tenfold, range(50))
    assert sorted(task for task, _ in first) == list(range(50))
    assert sorted(task for task, _ in second) == list(range(0, 500, 10))
    assert len({pid for _, pid in first + second}) == 2


def test_tasks_of_an_unpicklable_worker_run_in_this_process() -> None:
    class Unknown(FunctionWorker):
        def __reduce__(self) -> tuple[object, ...]:
            raise TypeError("cannot pickle this")

    stage: Stage[int, int]
    with ProcessPool(3) as pool, Stage(pool, Unknown(int)) as stage:
        assert not stage.others
        assert stage.full
        stage.submit(1)
        assert not stage.busy
        assert not stage.answers(0.1)
        stage.finish()


def test_a_pool_of_one_does_not_fork() -> None:
    with as_pool(1) as pool:
        assert not pool.can_share
        assert not pool.start()


def test_what_a_pool_can_know() -> None:
    before = next_generation()
    with as_pool(2) as pool:
        assert pool.can_know(next_generation())  # it has not been forked yet
        pool.start()
        assert pool.can_know(before)
        assert pool.can_know(0)
        assert not pool.can_know(next_generation())
        with as_pool(pool) as same:
            assert same is pool
        assert pool.can_share  # it does not end with a context that only borrows it
        with ProcessPool(2) as later:
            assert later.can_know(next_generation())


def test_slow_tasks_do_not_delay_fast_ones() -> None:
    """Tasks go to the process that has the fewest, not to each in turn."""

    def do(task: int) -> int:
        if not task:
            time.sleep(1)
        return os.getpid()

    found = all_answers(do, range(200), 2)
    assert min(found.count(pid) for pid in set(found)) <= FULL_LOAD


class TestFailures:
    @pytest.mark.parametrize("slow", [3, 5])
    def test_the_first_task_that_failed_counts(self, slow: int) -> None:
        def do(task: int) -> None:
            time.sleep(0.3 if task == slow else 0)
            if task in (3, 5):
                raise SourceError(f"file {task}", "cannot be read")

        with pytest.raises(SourceError, match="file 3") as caught:
            all_answers(do, range(100))
        assert (caught.value.path, caught.value.problem) == ("file 3", "cannot be read")

    def test_errors_keep_what_they_carry(self) -> None:
        def do(_: int) -> None:
            raise ArchiveError(b"/a.tar", "is cut short", member=b"name", offset=512)

        with pytest.raises(ArchiveError, match=r"/a.tar: name \(at byte 512\): is cut") as caught:
            all_answers(do, [0])
        assert (caught.value.member, caught.value.offset) == (b"name", 512)

    def test_a_fault_includes_the_traceback_of_the_worker(self) -> None:
        def at_fault(_: int) -> None:
            raise LookupError("nothing there")

        with pytest.raises(LookupError, match="nothing there") as caught:
            all_answers(at_fault, [0])
        assert "in at_fault" in "".join(caught.value.__notes__)

    def test_errors_that_carry_their_tracebacks(self) -> None:
        """Dask pickles tracebacks with every error, in any process that imports it."""
        require_importable("tblib", "tblib")
        script = """
            import tblib.pickling_support
            from tests.forked.test_forked import all_answers
            from ext4writer.errors import SourceError

            tblib.pickling_support.install()

            def do(task):
                raise SourceError(f"file {task}", "cannot be read")

            try:
                all_answers(do, range(100))
            except SourceError as error:
                print(error)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert (done.stdout, done.stderr) == ("file 0: cannot be read\n", "")

    def test_an_error_that_cannot_be_sent(self) -> None:
        class LocalError(Exception):
            pass

        def do(_: int) -> None:
            raise LocalError

        with pytest.raises((AttributeError, TypeError), match="pickle"):
            all_answers(do, [0])

    def test_at_the_end(self) -> None:
        def at_end() -> None:
            raise SourceError("the last", "changed")

        with pytest.raises(SourceError, match="the last"):
            all_answers(lambda task: task, range(10), at_end=at_end)

    def test_before_the_first_task(self) -> None:
        def at_begin() -> None:
            raise SourceError("memory", "is too small")

        with pytest.raises(SourceError, match="memory"):
            all_answers(int, [1, 2], at_begin=at_begin)

    def test_a_pool_is_alone_after_a_failure(self) -> None:
        def do(_: int) -> None:
            raise SourceError("file", "cannot be read")

        stage: Stage[int, int]
        with ProcessPool(3) as pool:
            with pytest.raises(SourceError, match="file"):
                answers_in(pool, FunctionWorker(do), [1])
            assert not pool.can_share
            with Stage(pool, FunctionWorker(int)) as stage:
                assert not stage.others
                stage.finish()

    @pytest.mark.parametrize("task", [0, 30])
    def test_a_process_that_is_killed(self, task: int) -> None:
        def do(number: int) -> int:
            if number == task:
                os.kill(os.getpid(), signal.SIGKILL)
            return number

        with pytest.raises(WorkerError, match="was ended by signal 9"):
            all_answers(do, range(100))

    def test_a_process_that_leaves(self) -> None:
        with pytest.raises(WorkerError, match="ended, perhaps because memory ran out"):
            all_answers(lambda _: os._exit(0), range(100))


class TestThatTheSystemHasNoMore:
    @pytest.mark.parametrize("allowed", [0, 1])
    def test_as_many_processes_as_possible(
        self, monkeypatch: pytest.MonkeyPatch, allowed: int
    ) -> None:
        self.allow(monkeypatch, allowed)
        stage: Stage[int, int]
        with ProcessPool(5) as pool, Stage(pool, FunctionWorker(int)) as stage:
            assert stage.others == allowed
            stage.finish()

    def test_fewer_processes_than_requested(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allow(monkeypatch, 2)
        found = all_answers(lambda _: os.getpid(), range(100), 5)
        assert len(found) == 100
        assert len(set(found)) == 2

    @staticmethod
    def allow(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        fork, left = os.fork, [None] * count

        def limited() -> int:
            if not left:
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            left.pop()
            return fork()

        monkeypatch.setattr(os, "fork", limited)


class TestEnds:
    def test_leaving_early_ends_the_workers_immediately(self) -> None:
        began = time.monotonic()
        stage: Stage[float, None]
        with ProcessPool(4) as pool, Stage(pool, FunctionWorker(time.sleep)) as stage:
            for _ in range(9):
                stage.submit(60)
            stage.answers()
        assert not pool.can_share
        assert time.monotonic() - began < 20

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_only_the_parent_handles_a_signal_to_the_group(self, signum: int) -> None:
        def do(task: int) -> int:
            os.kill(os.getpid(), signum)
            return task

        assert sorted(all_answers(do, range(20))) == list(range(20))

    def test_workers_end_when_the_parent_is_killed(self, tmp_path: Path) -> None:
        script = f"""
import os, signal, time
from ext4writer.forked import ProcessPool, Stage

class Slow:
    def begin(self):
        pass

    def do(self, task):
        with open({str(tmp_path)!r} + "/" + str(os.getpid()), "w"):
            pass
        time.sleep(0.2)
        return ()

    def finish(self):
        with open({str(tmp_path)!r} + "/finished", "w"):
            pass

with ProcessPool(3) as pool, Stage(pool, Slow()) as stage:
    for task in range(1000):
        stage.submit(task)
    for _ in range(5):
        stage.answers(0.2)
    os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run([sys.executable, "-c", script], check=False)
        assert done.returncode == -signal.SIGKILL
        pids = [int(name) for name in os.listdir(tmp_path) if name.isdecimal()]
        assert len(pids) == 2
        deadline = time.monotonic() + 20
        while any(is_running(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
