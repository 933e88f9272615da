"""A virtual machine in QEMU, controlled over its serial console."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

PROGRAM = "qemu-system-x86_64"
COMMON = (
    *("-cpu", "max", "-m", "256M", "-nodefaults", "-no-reboot", "-rtc", "base=2030-01-01"),
    *("-display", "none", "-serial", "stdio", "-monitor", "none"),
)
"""Options of all machines. The fixed clock is later than all times in an image."""


BUSY = 5
"""Ratio of the limit on elapsed time to that on CPU time, because the host may be busy."""


class MachineError(Exception):
    """A machine ended, or did not answer in time."""

    def __init__(self, how: Literal["ended", "hung"], console: str) -> None:
        self.how = how
        self.console = console
        """The output since the last command."""
        super().__init__(f"the machine {how}\n{console}")


class Machine:
    """A running machine, which the caller must close."""

    def __init__(self, arguments: Sequence[str], drive: Path, *, snapshot: bool) -> None:
        name = str(drive.absolute()).replace(",", ",,")
        options = f"file={name},format=raw,if=virtio,cache=unsafe,file.locking=off"
        options += ",snapshot=on" if snapshot else ""
        self._process = subprocess.Popen(  # noqa: S603
            [PROGRAM, *COMMON, *arguments, "-drive", options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._unread = ""

    def send(self, text: str) -> None:
        """Type a line, after discarding unread output; raises :class:`MachineError`."""
        assert self._process.stdin is not None
        self._unread = ""
        try:
            self._process.stdin.write(text.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise MachineError("ended", "") from None

    def until(self, end: str, seconds: float) -> str:
        """Return the output before ``end``; raises :class:`MachineError` if that does not appear.

        The machine may use ``seconds`` of CPU time, and ``BUSY`` times as much elapsed time.
        """
        assert self._process.stdout is not None
        channel = self._process.stdout.fileno()
        deadline = time.monotonic() + BUSY * seconds
        limit = self._processor_seconds() + seconds
        while end not in self._unread:
            left = min(deadline - time.monotonic(), limit - self._processor_seconds())
            if left <= 0:
                raise MachineError("hung", self._unread)
            if not select.select([channel], [], [], min(left, 1.0))[0]:
                continue
            piece = os.read(channel, 1 << 16)
            if not piece:
                raise MachineError("ended", self._unread)
            self._unread += piece.decode("utf-8", "backslashreplace").replace("\r", "")
        found, _, self._unread = self._unread.partition(end)
        return found

    def _processor_seconds(self) -> float:
        """The CPU time that QEMU has used; 0 if the system does not report it."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            return 0.0
        ticks: int = os.sysconf("SC_CLK_TCK")
        return (int(fields[11]) + int(fields[12])) / ticks

    def close(self) -> None:
        """Switch the machine off."""
        self._process.kill()
        self._process.communicate()
