"""Runs foreign programs with limits on time and memory, and stops all processes they start."""

from __future__ import annotations

import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

from ext4writer.late_dataclasses import NamedTuple

SECONDS = 10.0
MEMORY = 2 << 30
PATIENCE = 4
"""Ratio of the limit on elapsed time to that on CPU time: a busy machine is not a hang."""
KEPT = 1 << 18
"""Bytes kept from the beginning of a program's output, and as many from its end."""


class Limits(NamedTuple):
    """What one oracle may use for one image."""

    seconds: float = SECONDS
    """CPU time; elapsed time may be :data:`PATIENCE` times as long."""
    memory: int = MEMORY
    """Bytes of address space; 0 means no limit, which AddressSanitizer needs."""


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    """The exit status, or the negative number of a signal."""
    output: bytes
    """Standard output and standard error; the middle of long output is omitted."""
    hung: bool
    """Whether it was stopped because it took too long."""


def run(command: Sequence[str], limits: Limits, stdin: bytes = b"") -> Ended:
    """Run ``command``; kill it and all processes it started at the end or at a limit.

    ``stdin`` must fit into a pipe. A missing program ends with status 127, that of the shell.
    """
    with subprocess.Popen(  # noqa: S603 (the user chose the command)
        _limited(command, limits),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
        start_new_session=True,
    ) as process:
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write(stdin)  # fits into the pipe
            with suppress(BrokenPipeError):
                process.stdin.close()
            output, hung = _read_output(process, limits.seconds * PATIENCE)
        finally:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
    status = process.returncode
    return Ended(status, output, hung or status == -getattr(signal, "SIGXCPU", 0))


def _limited(command: Sequence[str], limits: Limits) -> list[str]:
    """Return a command that sets the limits in a shell and then runs ``command``.

    Python's ``preexec_fn`` is unsafe in processes with threads, which executors may have.
    """
    seconds = math.ceil(limits.seconds)
    # SIGXCPU at the soft limit shows the reason; SIGKILL at the hard limit cannot be ignored.
    lines = ["ulimit -c 0", f"ulimit -S -t {seconds}", f"ulimit -H -t {seconds + 1}"]
    if limits.memory:
        lines.append(f"ulimit -v {limits.memory >> 10}")
    return ["/bin/sh", "-c", "; ".join([*lines, 'exec "$@"']), "sh", *command]


def _read_output(process: subprocess.Popen[bytes], seconds: float) -> tuple[bytes, bool]:
    """Return the output until the process ends, and whether that took longer than ``seconds``."""
    assert process.stdout is not None
    channel = process.stdout.fileno()
    os.set_blocking(channel, False)
    deadline = time.monotonic() + seconds
    output = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([channel], [], [], min(left, 0.1))
        if not ready:
            if process.poll() is not None:  # a child process still holds the pipe open
                return bytes(output), False
            continue
        piece = os.read(channel, 1 << 16)
        output += piece
        if len(output) > 3 * KEPT:
            del output[KEPT:-KEPT]
        if not piece:
            try:
                process.wait(max(left, 0.1))
            except subprocess.TimeoutExpired:
                break
            return bytes(output), False
    return bytes(output), True
