"""Runs commands, each in a child process, and measures time, memory and disk space."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import tools, trees

LOG_SHOWN = 300
WATCH_EVERY = 0.02
"""Seconds."""
MOST_TOUCHED = 12 << 30
TOUCH = """
import mmap, sys
count = int(sys.argv[1])
memory = mmap.mmap(-1, count, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
if hasattr(mmap, "MADV_HUGEPAGE"):
    memory.madvise(mmap.MADV_HUGEPAGE)
for offset in range(0, count, mmap.PAGESIZE):
    memory[offset] = 1
"""
_PROBLEM = re.compile(r'<problem [^>]*?code="([^"]*)"')


class RunError(Exception):
    """A command failed, as the message describes; ``last`` is the last line that it printed."""

    def __init__(self, text: str, last: str = "") -> None:
        super().__init__(text)
        self.last = last


class TooLongError(RunError):
    """A command was stopped because it took too long."""


@dataclass(frozen=True)
class Usage:
    """What one command used, including its children: seconds, CPU seconds, bytes of memory."""

    wall: float
    cpu: float
    memory: int
    output: str


@dataclass(frozen=True)
class Runner:
    """Starts children in one environment."""

    environment: Mapping[str, str]
    log: Path

    def run(self, argv: Sequence[str], timeout: float, cwd: Path = tools.REPOSITORY) -> Usage:
        """Run a command in ``cwd``; raises :class:`RunError` unless its exit status is 0."""
        program = tools.find(argv[0])
        if program is None:
            raise RunError(tools.missing((argv[0],)))
        self.log.unlink(missing_ok=True)
        starter = [sys.executable, "-I", "-S", os.fspath(tools.HERE / "child.py")]
        with subprocess.Popen(
            [*starter, os.fspath(self.log), program, *argv[1:]],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=dict(self.environment),
            start_new_session=True,
            text=True,
        ) as child:
            try:
                line, _ = child.communicate(timeout=timeout)
            except BaseException as error:
                _stop(child)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise TooLongError(f"stopped after {timeout:,.0f} s") from None
                raise
        output = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        if not line:
            raise RunError(f"{argv[0]}: could not be started")
        code, wall, cpu, memory = line.split()
        if code != "0":
            name = os.path.basename(argv[0])
            last = "".join(output.strip().splitlines()[-1:])
            raise RunError(f"{name}: status {code}: {shortened(output)}", shortened(last))
        return Usage(float(wall), float(cpu), int(memory), output)

    def touch_memory(self, wanted: float) -> None:
        """Touch ``wanted`` bytes of memory, or as many as are free, and free them again.

        The host of a virtual machine may have taken back free memory. Getting it back, page by
        page, can take longer than everything that is measured, and would slow down the first run.
        """
        with suppress(OSError), open("/proc/meminfo") as file:
            facts = dict(line.split(":", 1) for line in file)
            free = int(facts["MemAvailable"].split()[0]) * 1024
            count = int(min(wanted, free * 3 // 4, MOST_TOUCHED)) >> 20 << 20
            if count:
                self.run([sys.executable, "-I", "-S", "-c", TOUCH, str(count)], 120)

    def least_memory(self) -> int:
        """The measured memory of a program that does nothing, in bytes."""
        return self.run(["true"], 60).memory


class ScratchDisk:
    """Watches the disk space that everything in a folder uses, until the ``with`` block ends.

    Files in the folder itself are watched all the time. Subfolders are only measured by
    :meth:`survey`, which must follow every step; a step only adds or only removes files there.
    """

    def __init__(self, folder: Path) -> None:
        self.most = 0
        """The largest measured value in bytes."""
        self._folder = folder
        self._deeper = 0
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)

    def __enter__(self) -> ScratchDisk:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()

    def survey(self) -> None:
        """Measure everything."""
        self._deeper = trees.disk_bytes(self._folder) - self._files()
        self._see()

    def _watch(self) -> None:
        while not self._over.wait(WATCH_EVERY):
            self._see()

    def _see(self) -> None:
        self.most = max(self.most, self._files() + self._deeper)

    def _files(self) -> int:
        total = 0
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
        return total


def _stop(child: subprocess.Popen[str]) -> None:
    """End a child and its descendants; first with SIGTERM, so that they can clean up."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 60.0)):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience)
            break
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def shortened(output: str) -> str:
    """The end of an output in one line of at most ``LOG_SHOWN`` characters."""
    text = " ".join(output.split())
    return text if len(text) <= LOG_SHOWN else "..." + text[-LOG_SHOWN:]


def check(image: Path) -> str:
    """Run ``e2fsck -fn`` on ``image``; return ``clean``, or what it found."""
    program = tools.find("e2fsck")
    if program is None:
        return tools.missing(("e2fsck",))
    with tempfile.TemporaryDirectory(prefix="ext4writer-bench-") as scratch:
        done = subprocess.run(
            [program, "-fn", "-E", "problem_log=log.xml", os.fspath(image.absolute())],
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
        log = Path(scratch, "log.xml")
        codes = _PROBLEM.findall(log.read_text("utf-8", "replace")) if log.exists() else []
    if done.returncode == 0 and not codes:
        return "clean"
    if codes:
        return f"{len(codes)} problems, first {codes[0]} (status {done.returncode})"
    return f"status {done.returncode}: {shortened(done.stdout.decode('utf-8', 'replace'))}"
