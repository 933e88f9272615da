"""U-Boot in QEMU, a boot loader with its own ext4 reader, controlled over its serial console."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.judges.tools import missing, require

from .qemu import MEMORY, GuestError, drive_options, slow_clock

ROM = Path("/usr/lib/u-boot/qemu-x86/u-boot.rom")
ROM_64 = Path("/usr/lib/u-boot/qemu-x86_64/u-boot.rom")
"""The 64-bit build; the 32-bit build reads nothing beyond 2^31 sectors (1 TiB)."""
PROMPT = "\n=> "
AUTOBOOT = "Hit any key to stop autoboot"
ADDRESS = "1000000"
ROW = r"(?m)^(<DIR>|<SYM>|     ) +(\d+) (.*)$"


class UBoot:
    """A running U-Boot that waits for commands. The drives are ``virtio 0``, ``virtio 1``, ..."""

    def __init__(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        self._process = process
        self._deadline = time.monotonic() + timeout
        self._unread = ""
        self.console = ""
        """Everything that it has printed."""

    def command(self, text: str) -> str:
        """Run a command and return what it prints."""
        self._send(text)
        return self._until(PROMPT).removeprefix(text).strip("\n")

    def boot(self, text: str) -> str:
        """Run a command that starts a kernel; return the console's text until power-off."""
        self._send(text)
        return self._until(None)

    def assert_reads(self, where: str, path: str, data: bytes, address: str = ADDRESS) -> None:
        """Assert that it loads ``data`` from a file; ``where`` is a device, such as ``virtio 0:2``.

        The data remain at ``address``, in hexadecimal, and their size in the variable ``filesize``.
        """
        said = self.command(f'ext4load {where} {address} "{path}"')
        assert said.startswith(f"{len(data)} bytes read"), said
        said = self.command(f"crc32 {address} $filesize")
        assert said.endswith(f"{zlib.crc32(data):08x}"), said

    def listing(self, where: str, path: str) -> dict[str, int | None]:
        """The names in a directory, with file sizes; None for directories."""
        rows = re.findall(ROW, self.command(f'ext4ls {where} "{path}"'))
        return {name: None if kind == "<DIR>" else int(size) for kind, size, name in rows}

    def _send(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")
        self._process.stdin.flush()

    def _until(self, end: str | None) -> str:
        """What is printed before ``end``, or before the machine is off."""
        assert self._process.stdout is not None
        stream = self._process.stdout.fileno()
        while end is None or end not in self._unread:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                raise GuestError(f"U-Boot took too long\n{self.console}")
            piece = os.read(stream, 1 << 16)
            if not piece:
                if end is None:
                    return self._unread
                raise GuestError(f"U-Boot ended\n{self.console}")
            text = piece.decode("utf-8", "backslashreplace").replace("\r", "")
            self.console += text
            self._unread += text
        found, _, self._unread = self._unread.partition(end)
        return found


@contextmanager
def u_boot(
    drives: Sequence[Path],
    timeout: float = 60.0,
    *,
    snapshot: bool = True,
    auto: bool = False,
    rom: Path = ROM,
) -> Iterator[UBoot]:
    """Start U-Boot and wait for its prompt.

    With ``auto`` it first searches for something to boot, as if no key were pressed, and shows its
    prompt if it finds nothing. Without ``snapshot`` the drives can be written to.

    Raises :class:`GuestError` if all of this takes more than ``timeout`` seconds.
    """
    qemu = require("qemu-system-x86_64")
    if not rom.exists():
        missing(f"the boot loader {rom}", "apt-get install u-boot-qemu")
    command = [
        qemu,
        *("-M", "pc,accel=tcg", "-cpu", "max", "-m", MEMORY, "-nodefaults", "-no-reboot"),
        *("-display", "none", "-serial", "stdio", "-monitor", "none", "-bios", str(rom)),
        *drive_options(drives, snapshot),
        *slow_clock(),
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        loader = UBoot(process, timeout)
        if not auto:
            loader._until(AUTOBOOT)
            loader._send("")
        loader._until(PROMPT)
        loader.command("virtio scan")
        yield loader
    finally:
        process.kill()
        process.communicate()
