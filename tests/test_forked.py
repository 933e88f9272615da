"""Processes that share work: every answer, the right error, and nothing that stays behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ext4writer.errors import ArchiveError, SourceError, WorkerError
from ext4writer.forked import FULL_LOAD, Crew, can_fork

pytestmark = pytest.mark.skipif(not can_fork, reason="this system has no fork")


class Doing:
    """Does tasks with a function; ``at_end`` is called when there are no more."""

    def __init__(self, do: Callable[[Any], Any], at_end: Callable[[], None] = lambda: None) -> None:
        self._do = do
        self._at_end = at_end

    def do(self, task: Any) -> Iterator[Any]:
        yield self._do(task)

    def finish(self) -> None:
        self._at_end()


def all_answers(do: Callable[[Any], Any], tasks: Iterable[Any], **options: Any) -> list[Any]:
    found = []
    processes = options.pop("processes", 3)
    with Crew(lambda: Doing(do, **options), processes) as crew:
        for task in tasks:
            while crew.full and not crew.failed:
                found += crew.answers(0.1)
            if crew.failed:
                break
            crew.submit(task)
        while crew.busy:
            found += crew.answers(0.1)
        crew.finish()
    return found


@pytest.fixture(autouse=True)
def _nothing_stays_behind() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd")) if sys.platform == "linux" else []


@pytest.mark.parametrize("count", [0, 1, 2, FULL_LOAD, 500])
@pytest.mark.parametrize("processes", [1, 2, 5])
def test_every_task_is_done_once(count: int, processes: int) -> None:
    found = all_answers(lambda task: (task, os.getpid()), range(count), processes=processes)
    assert sorted(task for task, _ in found) == list(range(count))
    assert os.getpid() not in {pid for _, pid in found}
    if count >= FULL_LOAD * processes:
        assert len({pid for _, pid in found}) == processes


def test_answers_larger_than_a_pipe() -> None:
    found = all_answers(lambda task: bytes([task]) * 300_000, range(40))
    assert sorted(found) == [bytes([task]) * 300_000 for task in range(40)]


def test_heavy_tasks_are_not_kept_waiting_behind_each_other() -> None:
    with Crew(lambda: Doing(lambda task: task), 2) as crew:
        submitted = 0
        while not crew.full:
            crew.submit(submitted, FULL_LOAD // 2)
            submitted += 1
        assert submitted == 4
        found: list[int] = []
        while crew.busy:
            found += crew.answers(0.1)
        assert sorted(found) == [0, 1, 2, 3]
        crew.finish()


def test_the_slow_do_not_hold_up_the_quick() -> None:
    """Tasks go to whoever has the fewest, not round in turns."""

    def do(task: int) -> int:
        if not task:
            time.sleep(1)
        return os.getpid()

    found = all_answers(do, range(200), processes=2)
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

    def test_a_fault_tells_where_it_was(self) -> None:
        def at_fault(_: int) -> None:
            raise LookupError("nothing there")

        with pytest.raises(LookupError, match="nothing there") as caught:
            all_answers(at_fault, [0])
        assert "in at_fault" in "".join(caught.value.__notes__)

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
        def no_worker() -> Doing:
            raise SourceError("memory", "is too small")

        with Crew(no_worker, 2) as crew:
            crew.submit(1)
            while crew.busy:
                crew.answers(0.1)
            with pytest.raises(SourceError, match="memory"):
                crew.finish()

    @pytest.mark.parametrize("task", [0, 30])
    def test_a_process_that_is_killed(self, task: int) -> None:
        def do(number: int) -> int:
            if number == task:
                os.kill(os.getpid(), signal.SIGKILL)
            return number

        with pytest.raises(WorkerError, match="was ended by signal 9"):
            all_answers(do, range(100))

    def test_a_process_that_leaves(self) -> None:
        with pytest.raises(WorkerError, match="ended, perhaps for want of memory"):
            all_answers(lambda _: os._exit(0), range(100))


class TestThatTheSystemHasNoMore:
    @pytest.mark.parametrize("allowed", [0, 1])
    def test_too_few(self, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
        self.allow(monkeypatch, allowed)
        with pytest.raises(BlockingIOError):
            Crew(lambda: Doing(int), 5)

    def test_fewer_than_wanted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allow(monkeypatch, 2)
        found = all_answers(lambda _: os.getpid(), range(100), processes=5)
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
    def test_leaving_early_ends_them_at_once(self) -> None:
        began = time.monotonic()
        with Crew(lambda: Doing(time.sleep), 3) as crew:
            for _ in range(9):
                crew.submit(60)
            crew.answers()
        assert time.monotonic() - began < 20

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_to_all_of_them_is_left_to_the_one_that_forked(self, signum: int) -> None:
        def do(task: int) -> int:
            os.kill(os.getpid(), signum)
            return task

        assert sorted(all_answers(do, range(20))) == list(range(20))

    def test_they_end_when_the_one_that_forked_is_killed(self, tmp_path: Path) -> None:
        script = f"""
import os, signal, time
from ext4writer.forked import Crew

class Slow:
    def do(self, task):
        with open({str(tmp_path)!r} + "/" + str(os.getpid()), "w"):
            pass
        time.sleep(0.2)
        return ()

    def finish(self):
        with open({str(tmp_path)!r} + "/finished", "w"):
            pass

with Crew(Slow, 2) as crew:
    for task in range(1000):
        crew.submit(task)
    for _ in range(5):
        crew.answers(0.2)
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
