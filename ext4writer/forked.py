"""Tasks shared out among processes that are forked from this one.

Threads of one interpreter take turns at running Python; each process has an interpreter of its own.
A fork has the modules and open files of this process; all else travels with the tasks, through
pipes, since to look at an object is to count a reference, and that copies the memory it lies in. No
semaphore, no shared memory and no file is needed, so it works in a sandbox too.
"""

from __future__ import annotations

import gc
import os
import pickle
import selectors
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from .errors import Ext4WriterError, WorkerError

try:
    import fcntl
except ImportError:  # Windows, which has no fork either
    fcntl = None  # type: ignore[assignment]

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Task_contra = TypeVar("Task_contra", contravariant=True)
Answer_co = TypeVar("Answer_co", covariant=True)

FULL_LOAD = 16
"""Weight of the tasks that a process has, so that it need not wait while this one is busy."""

LENGTH_BYTES = 8
"""Before each pickle in a pipe stands its length."""

PIPE_BYTES = 1 << 20

ANSWER, DONE, FAILURE = range(3)
"""What a process sends, with the number of the task, or None for its own end."""

SIGNALS = {
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
}
"""What a whole group of processes may get; the one that forked sees to the others."""

can_fork = hasattr(os, "fork")


class Worker(Protocol[Task_contra, Answer_co]):
    """What a process does."""

    def do(self, task: Task_contra, /) -> Iterable[Answer_co]:
        """Do one task; each answer is sent as it comes."""
        ...

    def finish(self) -> None:
        """Called when there are no more tasks; may raise like ``do``."""
        ...


class _Process:
    """A forked process as this one sees it."""

    def __init__(self, pid: int, tasks_fd: int, answers_fd: int) -> None:
        self.pid = pid
        self.tasks_fd = tasks_fd
        self.answers_fd = answers_fd
        self.pending: dict[int, int] = {}
        """Number -> weight of the tasks that it has and did not answer, in their order."""
        self.load = 0
        """The sum of the weights."""
        self.latest = -1
        """Number of the task that it answered last."""
        self.received = bytearray()
        self.has_finished = False


class Crew(Generic[Task, Answer]):
    """Processes that do what is submitted, in whatever order; use it as a context.

    ``worker`` is called in each of them; what it returns does the tasks. Leaving the context ends
    the processes, whatever they do. Raises ``OSError`` if not even two processes can be had.
    """

    def __init__(self, worker: Callable[[], Worker[Task, Answer]], processes: int) -> None:
        self._submitted = 0
        self._failures: list[tuple[int, BaseException]] = []
        self._processes: list[_Process] = []
        self._selector = selectors.DefaultSelector()
        try:
            for _ in range(processes):
                self._start(worker)
        except OSError:
            # A limit on processes or descriptors: fewer will do, but one alone gains nothing.
            if len(self._processes) < 2:
                self.close()
                raise
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Crew[Task, Answer]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def busy(self) -> bool:
        """Whether answers will come."""
        return any(process.pending for process in self._processes)

    @property
    def full(self) -> bool:
        """Whether all have enough to do for now."""
        return all(process.load >= FULL_LOAD for process in self._processes)

    @property
    def first_full(self) -> bool:
        """Whether the first process has enough to do for now."""
        return self._processes[0].load >= FULL_LOAD if self._processes else True

    @property
    def failed(self) -> bool:
        """Whether :meth:`finish` will raise; nothing more is worth submitting."""
        return bool(self._failures)

    def submit(self, task: Task, weight: int = 1, *, to_first: bool = False) -> None:
        """Give a task to the process that has the least to do, or to the first one.

        ``weight`` tells large tasks from small ones, of which a process has several at a time.
        """
        if not self._processes:
            return
        process = self._processes[0]
        if not to_first:
            process = min(self._processes, key=lambda process: process.load)
        process.pending[self._submitted] = weight
        process.load += weight
        # A process that is gone is noticed by the end of its answers.
        with suppress(BrokenPipeError):
            _send(process.tasks_fd, (self._submitted, task))
        self._submitted += 1

    def answers(self, timeout: float = 0.0) -> list[Answer]:
        """The answers that come within ``timeout`` seconds; in no order, and maybe none."""
        found: list[Answer] = []
        if self._processes:
            for key, _ in self._selector.select(timeout):
                self._receive(key.data, found)
        return found

    def finish(self) -> None:
        """Wait for the end of all processes; raise the failure of the first task that failed."""
        for process in self._processes:
            _close(process.tasks_fd)
            process.tasks_fd = -1
        while self._processes:
            for key, _ in self._selector.select():
                self._receive(key.data, [])
        if self._failures:
            raise min(self._failures, key=lambda failure: failure[0])[1]

    def close(self) -> None:
        """End all processes at once."""
        for process in self._processes[:]:
            with suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
            self._forget(process)
        self._selector.close()

    def _start(self, worker: Callable[[], Worker[Task, Answer]]) -> None:
        fds: list[int] = []
        try:
            fds += _pipe()
            fds += _pipe()
            # A handler that raised between here and _serve would run the caller's code twice.
            with _signals_held():
                pid = os.fork()
                if not pid:
                    _serve(worker, fds[0], fds[3], [*self._own_fds(), fds[1], fds[2]])
        except OSError:
            for fd in fds:
                _close(fd)
            raise
        tasks_from, tasks_fd, answers_fd, answers_to = fds
        _close(tasks_from)
        _close(answers_to)
        process = _Process(pid, tasks_fd, answers_fd)
        self._processes.append(process)
        self._selector.register(answers_fd, selectors.EVENT_READ, process)

    def _own_fds(self) -> Iterator[int]:
        for process in self._processes:
            yield process.tasks_fd
            yield process.answers_fd

    def _receive(self, process: _Process, found: list[Answer]) -> None:
        data = os.read(process.answers_fd, PIPE_BYTES)
        if not data:
            self._lose(process)
            return
        received = process.received
        received += data
        while len(received) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(received[:LENGTH_BYTES], "little")
            if len(received) < end:
                break
            kind, number, value = _unpacked(received[LENGTH_BYTES:end])
            del received[:end]
            if kind == ANSWER:
                found.append(value)
            elif kind == FAILURE:
                self._failures.append((process.latest if number is None else number, value))
            if kind != ANSWER:
                if number is None:
                    process.has_finished = True
                else:
                    process.load -= process.pending.pop(number)
                    process.latest = number

    def _lose(self, process: _Process) -> None:
        """Note that a process has ended, and whether it did so by itself."""
        number = next(iter(process.pending), -1)
        status = self._forget(process)
        if not process.has_finished:
            how = "ended" if status is None or status >= 0 else f"was ended by signal {-status}"
            self._failures.append(
                (
                    number,
                    WorkerError(
                        f"a process that shared the work {how}, perhaps for want of memory; "
                        "try again with one worker"
                    ),
                )
            )

    def _forget(self, process: _Process) -> int | None:
        self._processes.remove(process)
        self._selector.unregister(process.answers_fd)
        _close(process.tasks_fd)
        _close(process.answers_fd)
        try:
            return os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
        except ChildProcessError:  # the program waits for its children elsewhere
            return None


def _pipe() -> tuple[int, int]:
    """A pipe that takes several tasks or answers, as far as the system allows."""
    ends = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return ends


@contextmanager
def _signals_held() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    worker: Callable[[], Worker[Any, Any]], tasks_fd: int, answers_fd: int, unused: list[int]
) -> NoReturn:
    """All that a process does. Nothing of the program may run behind it."""
    try:
        # The end of a pipe ends this process; a copy of its other end would keep it alive.
        for fd in unused:
            _close(fd)
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
        # Collecting would write into every object, and so copy all of the memory that is shared.
        gc.disable()
        _do_tasks(worker(), tasks_fd, answers_fd)
    except BaseException as error:
        with suppress(OSError):
            _send(answers_fd, (FAILURE, None, _told(error)))
    finally:
        os._exit(0)


def _do_tasks(worker: Worker[Any, Any], tasks_fd: int, answers_fd: int) -> None:
    with open(tasks_fd, "rb", closefd=False) as tasks:
        while header := tasks.read(LENGTH_BYTES):
            number, task = _unpacked(tasks.read(int.from_bytes(header, "little")))
            try:
                for answer in worker.do(task):
                    _send(answers_fd, (ANSWER, number, answer))
            except Exception as error:
                _send(answers_fd, (FAILURE, number, _told(error)))
            else:
                _send(answers_fd, (DONE, number, None))
    worker.finish()
    _send(answers_fd, (DONE, None, None))


def _told(error: BaseException) -> BaseException:
    """``error`` with its traceback as a note, which a pickle would lose, if it is a fault."""
    if not isinstance(error, Ext4WriterError):
        import traceback

        error.add_note("".join(traceback.format_exception(error)))
    return error


def _send(fd: int, message: tuple[Any, ...]) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    view = memoryview(len(data).to_bytes(LENGTH_BYTES, "little") + data)
    while view:
        view = view[os.write(fd, view) :]


def _unpacked(message: bytes | bytearray) -> tuple[Any, ...]:
    unpacked: tuple[Any, ...] = pickle.loads(message)  # noqa: S301 - it comes from ourselves
    return unpacked


def _close(fd: int) -> None:
    if fd >= 0:
        with suppress(OSError):
            os.close(fd)
