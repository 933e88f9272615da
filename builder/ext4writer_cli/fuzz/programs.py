"""Runs programs of others with limits of time and memory, and stops all that they started."""

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
"""A program may wait this many times as long as it may compute: a busy machine is no hang."""
KEPT = 1 << 18
"""Bytes kept of what a program says, at the beginning and again at the end."""


class Limits(NamedTuple):
    """What one oracle may use for one image."""

    seconds: float = SECONDS
    """Of processor time; of time by the clock :data:`PATIENCE` times as many."""
    memory: int = MEMORY
    """Bytes of address space; 0 is no limit, as AddressSanitizer needs it."""


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    """Its exit status, or the number of a signal, negative."""
    noise: bytes
    """What it printed, on both channels; the middle is missing if it was much."""
    hung: bool
    """Whether it was stopped because it took too long."""


def run(command: Sequence[str], limits: Limits, stdin: bytes = b"") -> Ended:
    """Run ``command``, and end it, with all that it started, when a limit is reached.

    Raises :class:`FileNotFoundError` if there is no such program.
    """
    with subprocess.Popen(  # noqa: S603 (what it runs was asked for)
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
            noise, hung = _listen(process, limits.seconds * PATIENCE)
        finally:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
    status = process.returncode
    return Ended(status, noise, hung or status == -getattr(signal, "SIGXCPU", 0))


def _limited(command: Sequence[str], limits: Limits) -> list[str]:
    """``command`` after a shell has set its limits.

    Python's own way, a function that runs between fork and exec, is not for programs with threads,
    and engines that share work out have some.
    """
    seconds = math.ceil(limits.seconds)
    # SIGXCPU at the first limit says why; SIGKILL at the second one ends what ignores that.
    lines = ["ulimit -c 0", f"ulimit -S -t {seconds}", f"ulimit -H -t {seconds + 1}"]
    if limits.memory:
        lines.append(f"ulimit -v {limits.memory >> 10}")
    return ["/bin/sh", "-c", "; ".join([*lines, 'exec "$@"']), "sh", *command]


def _listen(process: subprocess.Popen[bytes], seconds: float) -> tuple[bytes, bool]:
    """What it prints until it ends, and whether that took longer than ``seconds``."""
    assert process.stdout is not None
    channel = process.stdout.fileno()
    os.set_blocking(channel, False)
    deadline = time.monotonic() + seconds
    noise = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([channel], [], [], min(left, 0.1))
        if not ready:
            if process.poll() is not None:  # what it started holds the channel open
                return bytes(noise), False
            continue
        piece = os.read(channel, 1 << 16)
        noise += piece
        if len(noise) > 3 * KEPT:
            del noise[KEPT:-KEPT]
        if not piece:
            try:
                process.wait(max(left, 0.1))
            except subprocess.TimeoutExpired:
                break
            return bytes(noise), False
    return bytes(noise), True
