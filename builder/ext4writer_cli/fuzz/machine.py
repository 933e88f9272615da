"""A machine in QEMU that is spoken to over its serial console."""

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
"""What all machines have. The clock is ahead of all times in an image, and always the same."""


BUSY = 5
"""By the clock a machine may take this many times as long as it computes, for a busy host."""


class MachineError(Exception):
    """A machine ended, or said nothing for too long."""

    def __init__(self, how: Literal["ended", "hung"], console: str) -> None:
        self.how = how
        self.console = console
        """What it said since the last question."""
        super().__init__(f"the machine {how}\n{console}")


class Machine:
    """A running machine. Close it."""

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
        """Type a line. What the machine has said before it is forgotten."""
        assert self._process.stdin is not None
        self._unread = ""
        try:
            self._process.stdin.write(text.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise MachineError("ended", "") from None

    def until(self, end: str, seconds: float) -> str:
        """What the machine says before ``end``; :class:`MachineError` if that does not come.

        It may take ``seconds`` of processor time, and five times as long by the clock.
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
        """What QEMU has computed; 0 where the system does not say."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            return 0.0
        ticks: int = os.sysconf("SC_CLK_TCK")
        return (int(fields[11]) + int(fields[12])) / ticks

    def close(self) -> None:
        """Switch it off."""
        self._process.kill()
        self._process.communicate()
