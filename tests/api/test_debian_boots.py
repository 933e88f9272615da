"""A Debian base system, as a tar archive, becomes an image that boots to a shell."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

from tests.builder.command import report
from tests.guest.initramfs import build
from tests.guest.kernel_package import unpacked_kernel
from tests.guest.qemu import GuestError, drive_options, slow_clock
from tests.judges.fsck import assert_clean
from tests.judges.kernel import GOOD_MESSAGES
from tests.judges.tools import missing, require, require_root, run

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
PROMPT = re.compile(r"root@\S*:\S*# $")
SECONDS_TO_BOOT = 180.0

INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /dev /target
/bin/busybox mount -t devtmpfs devtmpfs /dev
# Modules come in no order: those that others need are in at the latest after a few rounds.
for round in 1 2 3 4 5; do
    for module in /modules/*; do /bin/busybox insmod $module 2>/dev/null; done
done
/bin/busybox mount -t ext4 /dev/vda /target
/bin/busybox mount -t devtmpfs devtmpfs /target/dev
export TERM=dumb
exec /bin/busybox switch_root -c /dev/console /target /bin/bash --login -i
"""

pytestmark = [pytest.mark.slow, pytest.mark.root]


class Console:
    """The serial console of a machine with a shell that waits for commands."""

    def __init__(self, command: list[str]) -> None:
        self.text = ""
        self._deadline = time.monotonic() + SECONDS_TO_BOOT
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def wait_for_prompt(self) -> str:
        """Return everything printed before the prompt."""
        start = len(self.text)
        while not PROMPT.search(self.text, start):
            if not self._read():
                raise GuestError(f"the machine is off\n{self.text}")
        return self.text[start:]

    def say(self, line: str) -> str:
        """Type a line; return everything printed before the next prompt."""
        self._type(line)
        return self.wait_for_prompt()

    def say_last(self, line: str) -> None:
        """Type a line that turns the machine off, and wait until it is off."""
        self._type(line)
        while self._read():
            pass
        self._process.wait(timeout=30)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def _read(self) -> bool:
        assert self._process.stdout is not None
        stream = self._process.stdout.fileno()
        left = self._deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            raise GuestError(f"the machine took longer than {SECONDS_TO_BOOT} s\n{self.text}")
        piece = os.read(stream, 1 << 16)
        self.text += piece.decode("utf-8", "backslashreplace").replace("\r", "")
        return bool(piece)


def base_archive(folder: Path) -> Path:
    """A tar archive of Debian's smallest system, created by debootstrap."""
    require_root()
    root, archive = folder / "base", folder / "base.tar"
    done = run(
        [require("debootstrap"), "--variant=minbase", SUITE, root, MIRROR],
        check=False,
        timeout=600,
    )
    if done.returncode:
        missing(f"a mirror of Debian at {MIRROR}", f"debootstrap says: {done.stdout[-500:]}")
    run(["tar", "-C", root, "--format=posix", "--xattrs", "--numeric-owner", "-cf", archive, "."])
    return archive


def machine(image: Path, initramfs: Path) -> list[str]:
    kernel = unpacked_kernel()
    initramfs.write_bytes(build(kernel, "", (), {"init": INIT.encode()}))
    return [
        require("qemu-system-x86_64"),
        *("-M", "q35,accel=tcg", "-cpu", "max", "-m", "512M", "-nodefaults", "-no-reboot"),
        *("-display", "none", "-serial", "stdio", "-monitor", "none"),
        *("-kernel", str(next(iter(kernel.glob("boot/vmlinuz-*"))))),
        *("-initrd", str(initramfs)),
        *("-append", "console=ttyS0 loglevel=5 panic=-1 random.trust_cpu=on mitigations=off"),
        *drive_options([image], snapshot=False),
        *slow_clock(),
    ]


def test_to_a_shell_prompt(tmp_path: Path) -> None:
    archive, image = base_archive(tmp_path), tmp_path / "debian.img"
    packages = ("--exclude", "var/cache/apt/archives/*.deb")
    facts = report("build", archive, "-o", image, "--free", "64M", "--strict", *packages)
    assert facts["losses"] == []
    archive.unlink()
    assert_clean(image)
    console = Console(machine(image, tmp_path / "initramfs"))
    try:
        console.wait_for_prompt()
        assert "\n42\n" in console.say("echo $((6 * 7))")
        assert 'VERSION_CODENAME="bookworm"' in console.say(
            ". /etc/os-release; declare -p | grep VER"
        )
        console.say("mount -t proc proc /proc")
        assert "\nall is well\n" in console.say(
            "dpkg --audit && dpkg -s bash >/tmp/s && echo all is well"
        )
        assert "\n-rwsr-xr-x 1 root root " in console.say("ls -l /bin/su")
        assert "\nwritten\n" in console.say(
            "seq 100000 >/var/numbers && sync && cat /var/numbers | wc -l && echo written"
        )
        said = console.say("dmesg | grep EXT4-fs")
        wrong = [
            line for line in said.splitlines()[1:-1] if line and not GOOD_MESSAGES.search(line)
        ]
        assert wrong == []
        console.say_last("mount -o remount,ro / && echo o >/proc/sysrq-trigger; sleep 60")
    finally:
        console.close()
    assert_clean(image)
