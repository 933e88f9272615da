"""Boots a kernel in QEMU without hardware virtualization, runs a script, returns the console."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.judges.kernel import objections
from tests.judges.tools import require

from .initramfs import BEGIN, END, LOG, build
from .kernel_package import unpacked_kernel

MEMORY = "512M"
DEVICES = "abcdefghijklmnop"


class GuestError(AssertionError):
    """The guest did not boot, its script failed, or its kernel logged a problem; see the text."""


def run_guest(
    script: str,
    drives: Sequence[Path | str] = (),
    timeout: float = 120.0,
    *,
    programs: Iterable[str] = (),
    files: Mapping[str, bytes] | None = None,
    modules: Iterable[str] = (),
    snapshot: bool = False,
    check: bool = True,
) -> str:
    """Run a shell script in the guest and return what it printed.

    ``drives`` are raw images, as files or as addresses for QEMU. The guest sees them as /dev/vda,
    /dev/vdb and so on; with ``snapshot`` they are not written to. ``programs`` of the host are in
    the guest's path, and ``files`` have the names given. ``modules`` of the kernel are loaded in
    addition to those that it always needs. The script runs under ``sh -e`` of busybox.

    Raises :class:`GuestError` after ``timeout`` seconds. With ``check``, also for a status other
    than 0 and for errors or warnings of ext4 in the guest's kernel log.
    """
    qemu = require("qemu-system-x86_64")
    kernel = unpacked_kernel()
    with tempfile.TemporaryDirectory(prefix="ext4writer-guest-") as scratch:
        initramfs = Path(scratch, "initramfs")
        archive = build(kernel, script, programs, dict(files or {}), modules)
        initramfs.write_bytes(archive)
        command = [
            qemu,
            *("-M", "q35,accel=tcg", "-cpu", "max", "-m", MEMORY, "-nodefaults", "-no-reboot"),
            *("-display", "none", "-serial", "stdio", "-monitor", "none"),
            *("-kernel", str(next(iter(kernel.glob("boot/vmlinuz-*"))))),
            *("-initrd", str(initramfs)),
            *("-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off"),
            *slow_clock(),
        ]
        console = _run(command + drive_options(drives, snapshot), timeout)
    return script_output(console, len(drives), check)


def slow_clock() -> tuple[str, str]:
    """The option that makes a machine's clock an hour late.

    On a busy host the clock may run fast, and then e2fsck finds times in the future.
    """
    late = datetime.now(UTC) - timedelta(hours=1)
    return "-rtc", f"base={late:%Y-%m-%dT%H:%M:%S}"


def drive_options(drives: Sequence[Path | str], snapshot: bool) -> list[str]:
    """The options that attach raw images as virtio disks."""
    options = []
    for drive in drives:
        name = drive if isinstance(drive, str) else str(drive.absolute())
        option = f"file={name.replace(',', ',,')},format=raw,if=virtio"
        option += ",cache=unsafe,discard=unmap"
        options += ["-drive", option + (",snapshot=on" if snapshot else "")]
    return options


def _run(command: list[str], timeout: float) -> str:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        text = output.decode("utf-8", "backslashreplace")
        raise GuestError(f"the guest ran longer than {timeout} s\n{text}") from None
    except BaseException:
        process.kill()
        process.wait()
        raise
    return output.decode("utf-8", "backslashreplace").replace("\r", "")


def script_output(console: str, drives: int, check: bool = True) -> str:
    """The output of the script, taken from the console; see :func:`run_guest`."""
    match = re.search(
        rf"{re.escape(BEGIN)}\n(.*?)^{re.escape(END)} (\d+)$", console, re.DOTALL | re.MULTILINE
    )
    if match is None:
        raise GuestError(f"the guest did not reach the end of its script\n{console}")
    output, status = match[1], int(match[2])
    if check and status:
        raise GuestError(f"the script ended with {status}\n{console}")
    log = console.split(LOG)[1].splitlines() if LOG in console else []
    if check:
        devices = [f"vd{name}{part}" for name in DEVICES[:drives] for part in ("", *range(1, 5))]
        wrong = [line for device in devices for line in objections(log, device)]
        if wrong:
            raise GuestError("the guest's kernel reports problems:\n" + "\n".join(wrong))
    return output
