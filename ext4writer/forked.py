"""Distributes tasks between this process and others that are forked from it.

Threads of one interpreter take turns at running Python; each process has its own interpreter. The
processes of a :class:`ProcessPool` are forked once, while there is little memory to share, and do
one stage of the work after another. A forked process inherits modules and open files. All other
data is sent with the tasks, through pipes: merely using an inherited object changes its reference
count, which copies its memory page. No semaphore, shared memory or file is needed, so a pool works
in a sandbox.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from .arguments import count_of
from .checked import checked_if_it_fails, converted_argument
from .errors import Ext4WriterError, SpecError, WorkerError

if TYPE_CHECKING:
    import selectors

try:
    import fcntl
except ImportError:  # Windows, which has no fork either
    fcntl = None  # type: ignore[assignment]

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Task_contra = TypeVar("Task_contra", contravariant=True)
Answer_co = TypeVar("Answer_co", covariant=True)

FULL_LOAD = 16
"""Total weight of tasks that keeps another process supplied while this one is busy."""

LENGTH_BYTES = 8
"""Bytes of the length that precedes each pickle in a pipe."""

PIPE_BYTES = 1 << 20
SECONDS_TO_WAIT_FOR_ROOM = 0.002
"""A process that has much to read sends few answers, so this one must wake up without any."""

BEGIN, TASK, END = range(3)
"""Kinds of messages from this process."""
ANSWER, DONE, FAILURE, FINISHED = range(4)
"""Kinds of messages from the other processes."""

NEVER = 1 << 62
"""A generation of processes that is never reached."""

SIGNALS = {
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
}
"""Signals that may go to the whole process group; this process then ends the others."""

can_fork = hasattr(os, "fork")

_generations = 0


def next_generation() -> int:
    """The first generation of processes that inherits a file that is opened now."""
    return _generations + 1


class Worker(Protocol[Task_contra, Answer_co]):
    """The work of one stage; it is pickled and sent to each process."""

    def begin(self) -> None:
        """Called first, only in forked processes; it may change the working directory."""
        ...

    def do(self, task: Task_contra, /) -> Iterable[Answer_co]:
        """Do one task; each answer is sent as it is yielded."""
        ...

    def finish(self) -> None:
        """Called when there are no more tasks; may raise what ``do`` raises."""
        ...


class _Process:
    """The state that this process keeps about a forked one."""

    def __init__(self, pid: int, tasks_fd: int, answers_fd: int) -> None:
        self.pid = pid
        self.tasks_fd = tasks_fd
        self.answers_fd = answers_fd
        self.pending: dict[int, int] = {}
        """Number -> weight of its tasks that are not done, in order."""
        self.load = 0
        """The sum of these weights."""
        self.latest = -1
        """Number of the last task that it has done."""
        self.received = bytearray()
        self.at_work = False
        """Whether it has begun a stage and not finished it."""


class ProcessPool:
    """This process and ``processes - 1`` others, forked when the first stage needs them.

    Use it as a context; leaving the context kills the processes, even if they are busy. If the
    system cannot fork, the pool is this process alone. A program should have no other threads when
    the pool forks.
    """

    @checked_if_it_fails
    def __init__(self, processes: int) -> None:
        """Raises :class:`SpecError` if ``processes`` is not a positive whole number."""
        self.processes = converted_argument("processes", processes, count_of)
        if self.processes < 1:
            raise SpecError("processes", f"{self.processes} processes do nothing; give 1 or more")
        self.generation = NEVER
        """The number of this pool, counted in the order in which the program forked its pools."""
        self._others: list[_Process] = []
        self._selector: selectors.BaseSelector | None = None

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def can_share(self) -> bool:
        """Whether there are, or can be, other processes."""
        return can_fork and self.processes > 1 and (self._selector is None or bool(self._others))

    def start(self) -> bool:
        """Fork, unless that has been done; return whether there are other processes."""
        global _generations  # noqa: PLW0603 (files are opened between the starts of pools)
        if self._selector is None and self.can_share:
            _generations += 1
            self.generation = _generations
            # Late, since commands on small trees rarely fork; the same holds for pickle.
            import selectors

            self._selector = selectors.DefaultSelector()
            try:
                for _ in range(self.processes - 1):
                    self._fork()
            except OSError:
                pass  # a limit on processes or descriptors: continue with fewer
            except BaseException:
                self.close()
                raise
        return bool(self._others)

    def can_know(self, first_generation: int) -> bool:
        """Whether the other processes inherited a file with this ``first_generation``."""
        return first_generation <= min(self.generation, _generations + 1)

    def close(self) -> None:
        """Kill the other processes immediately. This one does the remaining work alone."""
        for process in self._others[:]:
            with suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
            self._forget(process)
        if self._selector is not None:
            self._selector.close()
        self.processes = 1

    def _fork(self) -> None:
        from selectors import EVENT_READ

        assert self._selector is not None
        fds: list[int] = []
        try:
            fds += _pipe()
            fds += _pipe()
            # If a handler raised between here and _serve, the caller's code would run twice.
            with _signals_held():
                pid = os.fork()
                if not pid:
                    _serve(fds[0], fds[3], [*self._own_fds(), fds[1], fds[2]])
        except OSError:
            for fd in fds:
                _close(fd)
            raise
        tasks_from, tasks_fd, answers_fd, answers_to = fds
        _close(tasks_from)
        _close(answers_to)
        os.set_blocking(tasks_fd, False)
        process = _Process(pid, tasks_fd, answers_fd)
        self._others.append(process)
        self._selector.register(answers_fd, EVENT_READ, process)

    def _own_fds(self) -> Iterator[int]:
        for process in self._others:
            yield process.tasks_fd
            yield process.answers_fd

    def _forget(self, process: _Process) -> int | None:
        assert self._selector is not None
        self._others.remove(process)
        self._selector.unregister(process.answers_fd)
        _close(process.tasks_fd)
        _close(process.answers_fd)
        try:
            return os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
        except OSError:  # most likely the program waits for its children elsewhere
            return None


class Stage(Generic[Task, Answer]):
    """One stage of the work of a pool; use it as a context, and call :meth:`finish` at its end.

    The other processes do the submitted tasks, in any order. Leaving the context without finishing
    kills them, and the pool is this process alone from then on. If the ``worker`` cannot be
    pickled, for instance because of a lambda, there are no ``others`` and this process must do
    everything.
    """

    def __init__(self, pool: ProcessPool, worker: Worker[Task, Answer]) -> None:
        self._pool = pool
        self._worker = worker
        self._submitted = 0
        self._failures: list[tuple[int, BaseException]] = []
        self._others: list[_Process] = []
        self._early: list[Answer] = []
        """Answers that arrived while a task was being sent."""

    def __enter__(self) -> Stage[Task, Answer]:
        if self._pool.can_share:
            import pickle

            try:
                message = _message((BEGIN, 0, self._worker))
            except (pickle.PicklingError, AttributeError, TypeError):
                return self
            self._pool.start()
            self._others = self._pool._others[:]
            for process in self._others[:]:
                process.at_work, process.latest = True, -1
                self._send(process, message)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None or any(process.at_work for process in self._others):
            self._pool.close()

    @property
    def others(self) -> int:
        """The number of processes other than this one."""
        return len(self._others)

    @property
    def busy(self) -> bool:
        """Whether answers have arrived or are still due."""
        return bool(self._early) or any(process.pending for process in self._others)

    @property
    def least_load(self) -> int:
        """The load of the least busy process; ``NEVER`` if there is none."""
        return min((process.load for process in self._others), default=NEVER)

    @property
    def full(self) -> bool:
        """Whether all processes have enough to do for now; also true if there are none."""
        return self.least_load >= FULL_LOAD

    @property
    def failed(self) -> bool:
        """Whether :meth:`finish` will raise, so that further tasks are useless."""
        return bool(self._failures)

    def submit(self, task: Task, weight: int = 1) -> None:
        """Send a task to the least busy process.

        ``weight`` is small for small tasks, so that a process gets several of them ahead.
        """
        if not self._others:
            return
        process = min(self._others, key=lambda process: process.load)
        process.pending[self._submitted] = weight
        process.load += weight
        self._submitted += 1
        self._send(process, _message((TASK, self._submitted - 1, task)))

    def answers(self, timeout: float = 0.0) -> list[Answer]:
        """The answers that arrive within ``timeout`` seconds, in any order; may be empty."""
        found, self._early = self._early, []
        if self._others:
            assert self._pool._selector is not None
            for key, _ in self._pool._selector.select(0 if found else timeout):
                self._receive(key.data, found)
        return found

    def finish(self) -> None:
        """Wait until all tasks are done; raise the error of the first task that failed."""
        message = _message((END, 0, None))
        for process in self._others[:]:
            self._send(process, message)
        while any(process.at_work for process in self._others):
            self.answers(timeout=60.0)
        if self._failures:
            raise min(self._failures, key=lambda failure: failure[0])[1]

    def _send(self, process: _Process, message: bytes) -> None:
        """Send to a process, and receive answers meanwhile.

        Otherwise both sides could block, each on a full pipe. If the process has ended, reading
        its answers notices that.
        """
        assert self._pool._selector is not None
        view = memoryview(message)
        while view and process in self._others:
            try:
                view = view[os.write(process.tasks_fd, view) :]
            except BlockingIOError:
                for key, _ in self._pool._selector.select(SECONDS_TO_WAIT_FOR_ROOM):
                    self._receive(key.data, self._early)
            except BrokenPipeError:
                break

    def _receive(self, process: _Process, found: list[Answer]) -> None:
        data = os.read(process.answers_fd, PIPE_BYTES)
        if not data:
            self._lose(process)
            return
        received = process.received
        received += data
        start = 0
        while len(received) - start >= LENGTH_BYTES:
            begin = start + LENGTH_BYTES
            end = begin + int.from_bytes(received[start:begin], "little")
            if len(received) < end:
                break
            # Release both views explicitly: where tracebacks are pickled (tblib, which Dask
            # installs), a received error keeps the frames below alive, and with them their views.
            with memoryview(received) as view, view[begin:end] as message:
                kind, number, value = _unpacked(message)
            start = end
            if kind == ANSWER:
                found.append(value)
                continue
            if kind == FINISHED:
                process.at_work = False
            elif number is not None:
                process.load -= process.pending.pop(number)
                process.latest = number
            if kind == FAILURE:
                self._failures.append((process.latest, value))
        del received[:start]

    def _lose(self, process: _Process) -> None:
        """Note that a process ended prematurely."""
        number = next(iter(process.pending), -1)
        self._others.remove(process)
        status = self._pool._forget(process)
        how = "ended" if status is None or status >= 0 else f"was ended by signal {-status}"
        self._failures.append(
            (
                number,
                WorkerError(
                    f"a worker process {how}, perhaps because memory ran out; "
                    "try again with one worker"
                ),
            )
        )


@contextmanager
def as_pool(processes: int | ProcessPool) -> Iterator[ProcessPool]:
    """A pool of ``processes`` for the duration of the context; a given pool is used as it is."""
    if isinstance(processes, ProcessPool):
        yield processes
    else:
        with ProcessPool(processes) as pool:
            yield pool


def _pipe() -> tuple[int, int]:
    """A pipe whose buffer holds several tasks or answers, if the system allows that."""
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


def _serve(tasks_fd: int, answers_fd: int, unused: list[int]) -> NoReturn:
    """Run a forked process to its end. None of the program's own code may run afterwards."""
    try:
        # A closed pipe ends this process, so close its copies of the other ends.
        for fd in unused:
            _close(fd)
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
        # A garbage collection would write to every object, which copies all shared memory.
        gc.disable()
        with open(tasks_fd, "rb", closefd=False) as tasks:
            _do_stages(_messages(tasks.read), answers_fd)
    except BaseException as error:
        with suppress(OSError):
            _fail(answers_fd, None, error)
    finally:
        os._exit(0)


def _messages(read: Callable[[int], bytes]) -> Iterator[tuple[int, int, Any]]:
    while header := read(LENGTH_BYTES):
        yield _unpacked(read(int.from_bytes(header, "little")))


def _do_stages(messages: Iterator[tuple[int, int, Any]], answers_fd: int) -> None:
    worker: Worker[Any, Any] | None = None
    for kind, number, value in messages:
        try:
            if kind == BEGIN:
                worker = None  # if the worker cannot begin, its tasks are ignored
                value.begin()
                worker = value
            elif worker is None:
                pass
            elif kind == TASK:
                for answer in worker.do(value):
                    _answer(answers_fd, ANSWER, number, answer)
            else:
                worker.finish()
        except Exception as error:
            _fail(answers_fd, number if kind == TASK else None, error)
        else:
            if kind == TASK:
                _answer(answers_fd, DONE, number, None)
        if kind == END:
            worker = None
            _answer(answers_fd, FINISHED, None, None)


def _with_traceback(error: BaseException) -> BaseException:
    """``error``; if it is a bug, with its traceback as a note, since pickling drops tracebacks."""
    if not isinstance(error, Ext4WriterError):
        import traceback

        error.add_note("".join(traceback.format_exception(error)))
    return error


def _fail(fd: int, number: int | None, error: BaseException) -> None:
    sent = _with_traceback(error)
    try:
        _answer(fd, FAILURE, number, sent)
    except OSError:
        raise
    except Exception as problem:
        sent = TypeError(
            f"{type(error).__qualname__}, which cannot be pickled ({problem}): {error}"
        )
        sent.__notes__ = error.__notes__[:] if hasattr(error, "__notes__") else []
        _answer(fd, FAILURE, number, sent)


def _answer(fd: int, kind: int, number: int | None, value: object) -> None:
    view = memoryview(_message((kind, number, value)))
    while view:
        view = view[os.write(fd, view) :]


def _message(content: tuple[Any, ...]) -> bytes:
    import pickle

    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(LENGTH_BYTES, "little") + data


def _unpacked(message: bytes | memoryview) -> tuple[Any, ...]:
    import pickle

    unpacked: tuple[Any, ...] = pickle.loads(message)  # noqa: S301 - it comes from ourselves
    return unpacked


def _close(fd: int) -> None:
    if fd >= 0:
        with suppress(OSError):
            os.close(fd)
