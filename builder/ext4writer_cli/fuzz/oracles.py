"""Oracles: programs, virtual machines and functions that judge an image."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from ext4writer.errors import DamageError, Ext4WriterError
from ext4writer.inspection.check import check_opened
from ext4writer.late_dataclasses import NamedTuple
from ext4writer.read import open_image
from ext4writer.read.orphans import has_orphans

from . import kernel, u_boot
from .machine import PROGRAM, MachineError
from .programs import Limits, run

Answer = Literal["clean", "problems", "error", "crash", "hang", "missing"]
"""``clean``: no problem. ``problems``: some problem. ``error``: the image cannot be read.
``crash``: ended by a signal or a sanitizer. ``hang``: took too long. ``missing``: not installed."""

CRASHES = (
    *(b"AddressSanitizer", b"runtime error:", b"MemorySanitizer", b"LeakSanitizer"),
    b"SIGSEGV",  # e2fsck catches the signal, prints this and exits with a status
)
"""Output of programs that crash without being killed by a signal."""
_NO_ADVICE = "no_optimize_extents"
"""Option of e2fsck(8) not to report extent trees that could be smaller."""
PROBLEMS_LEFT = 4
"""Bit in the exit status of fsck(8): uncorrected errors are left."""


class Verdict(NamedTuple):
    """The verdict of one oracle on one image."""

    oracle: str
    answer: Answer
    detail: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether the oracle itself failed."""
        return self.answer in ("crash", "hang")


class Oracle(NamedTuple):
    """A program that is passed the path of an image, a machine, or a function of this library."""

    name: str
    command: tuple[str, ...] = ()
    """``{}`` stands for the image; without a command, the function or machine of this name runs."""
    judges: bool = False
    """Whether it decides if an image is correct, so that verdicts can be compared."""
    has_problem_log: bool = False
    recovery: tuple[str, ...] = ()
    """The command that first recovers a copy of an image with a dirty journal or orphans."""
    left: tuple[str, ...] = ()
    """Problem codes that the recovery may leave."""
    stdin: str = ""
    needs: tuple[tuple[str, str], ...] = ()
    """(Program, Python module or absolute path; how to install it)."""
    argument: str = ""
    """The text after the colon in the name: a kernel, or the ROM of a boot loader."""

    @classmethod
    def parse(cls, text: str) -> Oracle:
        """Return the oracle of this name, or one for a command with ``{}``; else ``ValueError``."""
        if text in ORACLES:
            return ORACLES[text]
        kind, colon, argument = text.partition(":")
        if colon and kind in MACHINES:
            return ORACLES[kind]._replace(name=text, argument=os.path.expanduser(argument))
        words = tuple(shlex.split(text))
        if not any("{}" in word for word in words):
            known = ", ".join(ORACLES)
            raise ValueError(f"{text!r} is neither one of {known} nor a command with {{}} in it")
        return cls(text, words)

    def missing(self) -> str:
        """What must be installed, and how; empty if nothing is missing."""
        for name, remedy in self.needs:
            if name.startswith("/"):
                is_there = os.path.exists(name)
            elif remedy.startswith("pip "):
                is_there = _has_module(name)
            else:
                is_there = shutil.which(name) is not None
            if not is_there:
                return f"{name} is missing: {remedy}"
        if self.command and not self.needs and shutil.which(self.command[0]) is None:
            return f"there is no program {self.command[0]}"
        kind = self.name.partition(":")[0]
        if kind in MACHINES:
            try:
                MACHINES[kind].find(self.argument)
            except FileNotFoundError as error:
                return str(error)
        return ""

    def ask(self, image: str, limits: Limits = Limits()) -> Verdict:  # noqa: B008 (a tuple)
        """Return the verdict on the image at the path ``image``, which is not changed."""
        if missing := self.missing():
            return Verdict(self.name, "missing", missing)
        if self.name in _FUNCTIONS:
            return Verdict(self.name, *_FUNCTIONS[self.name](image))
        kind = self.name.partition(":")[0]
        if not self.command:
            return Verdict(self.name, *MACHINES[kind].ask(self.argument, image, limits))
        return Verdict(self.name, *self._run(image, limits))

    def _run(self, image: str, limits: Limits) -> tuple[Answer, str]:
        log = f"{image}.log"
        commands = [self.command]
        excused: tuple[str, ...] = ()
        if self.recovery and _needs_recovery(image):
            image = shutil.copyfile(image, f"{image}.recovered")
            commands = [self.recovery, self.command]
            excused = self.left
        for words in commands:
            command = [word.replace("{}", image) for word in words]
            if self.has_problem_log and words is self.command:
                command[1:1] = ["-E", f"{_NO_ADVICE},problem_log={log}"]
            ended = run(command, limits, self.stdin.encode())
            if ended.hung:
                return "hang", f"no answer in {limits.seconds:g} s"
            if ended.status < 0:
                return "crash", f"signal {-ended.status}"
            if crash := _crash(ended.output):
                return "crash", crash
        if self.has_problem_log:
            problems = _problems(log)
            if excused and set(problems) <= set(excused):
                return "clean", ""
            if ended.status & ~PROBLEMS_LEFT:
                return "error", _last_line(ended.output)
            clean = not problems and not ended.status
            return ("clean" if clean else "problems"), " ".join(problems)
        return ("error" if ended.status else "clean"), _last_line(ended.output)


def _needs_recovery(image: str) -> bool:
    """Whether the image has a dirty journal or orphans; False if it cannot be read."""
    try:
        with open_image(image, on_damage=lambda _: None) as opened:
            return opened.format.needs_recovery or has_orphans(opened)
    except Ext4WriterError:
        return False


def _has_module(name: str) -> bool:
    with suppress(ImportError):
        return importlib.util.find_spec(name) is not None
    return False


def _problems(log: str) -> list[str]:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        os.unlink(log)
    except OSError:
        return []
    return re.findall(r'<problem[^>]* code="(0x[0-9a-fA-F]+)"', text)


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else ""


def _crash(output: bytes) -> str:
    """The line in which a program reports its own crash, or ``""``."""
    found = next(
        (line for line in output.splitlines() if any(map(line.__contains__, CRASHES))), b""
    )
    return found.decode("utf-8", "replace").strip()[:200]


def _check(image: str) -> tuple[Answer, str]:
    """The checker of this library."""
    try:
        met: list[DamageError] = []
        with open_image(image, replay=True, on_damage=met.append) as opened:
            result = check_opened(opened, met, data=True)
    except Ext4WriterError as error:
        return "error", str(error)
    except Exception as error:  # a bug in this library is a finding
        return "crash", f"{type(error).__name__}: {error}"
    first = next((str(problem) for problem in result.problems), "")
    return ("clean" if result.is_clean else "problems"), first


def _read(image: str) -> tuple[Answer, str]:
    """The reader of this library, applied to all names, content and attributes."""
    damage: list[DamageError] = []
    try:
        with open_image(image, replay=True, on_damage=damage.append) as opened:
            for found in opened.walk():
                found.inode.xattrs()
                if found.inode.kind == "file":
                    with opened.open(found.inode) as file:
                        while file.read(1 << 20):
                            pass
    except Ext4WriterError as error:
        return "error", str(error)
    except Exception as error:
        return "crash", f"{type(error).__name__}: {error}"
    return ("problems", str(damage[0])) if damage else ("clean", "")


_FUNCTIONS: dict[str, Callable[[str], tuple[Answer, str]]] = {"check": _check, "read": _read}


def _kernel(argument: str, image: str, limits: Limits) -> tuple[Answer, str]:
    try:
        said = kernel.look(argument, image, limits.seconds)
    except MachineError as error:
        found = kernel.bug(error.console)
        if error.how == "ended":
            return "crash", found or "the machine ended"
        return "hang", found or f"no answer in {limits.seconds:g} s"
    except OSError as error:
        return "missing", str(error)
    if found := kernel.bug(said):
        return "crash", found
    if "==== stuck ====" in said:
        return "hang", "the file system cannot be unmounted"
    complaint = kernel.complaint(said)
    if "==== refused ====" in said:
        return "error", complaint
    return ("problems" if complaint else "clean"), complaint


def _u_boot(argument: str, image: str, limits: Limits) -> tuple[Answer, str]:
    try:
        said = u_boot.look(argument, image, limits.seconds)
    except MachineError as error:
        last = _last_line(error.console.encode())
        if error.how == "ended" or "### ERROR ###" in error.console:
            return "crash", last
        return "hang", f"no answer in {limits.seconds:g} s"
    except OSError as error:
        return "missing", str(error)
    wrong = u_boot.complaint(said)
    return ("error" if wrong else "clean"), wrong


class _MachineOracle(NamedTuple):
    ask: Callable[[str, str, Limits], tuple[Answer, str]]
    find: Callable[[str], object]


MACHINES = {
    "kernel": _MachineOracle(_kernel, kernel.find_kernel),
    "u-boot": _MachineOracle(_u_boot, u_boot.find_rom),
}
"""Oracles in QEMU; a colon and a file may follow their names."""

_QEMU = (PROGRAM, "apt-get install qemu-system-x86")
_DEBUGFS = """\
ls -l -p /
ls -d /
stat /
ex /
htree_dump /
ea_list /
stat <8>
ncheck 11 12 13
icheck 20 50
stat <12>
ex <12>
ea_list <12>
htree_dump <12>
logdump -a
lsdel
dump_mmp
list_quota user
orphan_inodes
"""
"""Commands for debugfs; those that it does not have do no harm."""


def _reader(name: str, *needs: tuple[str, str], before: tuple[str, ...] = ()) -> Oracle:
    module = f"{__package__}.foreign"
    function = {"grub-fstest": "grub", "libfsext": "fsext"}.get(name, name)
    command = (*before, sys.executable, "-m", module, function, "{}")
    return Oracle(name, command, needs=needs)


def _program(name: str, command: tuple[str, ...], package: str) -> Oracle:
    return Oracle(name, command, needs=((name, f"apt-get install {package}"),))


ORACLES: dict[str, Oracle] = {
    oracle.name: oracle
    for oracle in (
        Oracle("check", judges=True),
        Oracle("read"),
        _program("e2fsck", ("e2fsck", "-fn", "{}"), "e2fsprogs")._replace(
            judges=True,
            has_problem_log=True,
            recovery=("e2fsck", "-y", "-E", "journal_only", "{}"),
            # e2fsck 1.47.0 clears the orphan file only after a full check.
            left=("0x06000c", "0x060009"),
        ),
        _program("debugfs", ("debugfs", "{}"), "e2fsprogs")._replace(stdin=_DEBUGFS),
        _program("dumpe2fs", ("dumpe2fs", "{}"), "e2fsprogs"),
        _program("7zz", ("7zz", "t", "-text", "{}"), "7zip"),
        _reader("grub-fstest", ("grub-fstest", "apt-get install grub-common")),
        _reader(
            "fuse2fs",
            ("fuse2fs", "apt-get install fuse2fs"),
            ("unshare", "apt-get install util-linux"),
            ("/dev/fuse", "a kernel with FUSE"),
            before=("unshare", "-Urm"),
        ),
        _reader("pytsk3", ("pytsk3", "pip install pytsk3")),
        _reader("dissect", ("dissect.extfs", "pip install dissect.extfs")),
        _reader("ext4", ("ext4", "pip install ext4")),
        _reader("libfsext", ("pyfsext", "pip install libfsext-python")),
        Oracle("u-boot", needs=(_QEMU,)),
        Oracle("kernel", needs=(_QEMU, ("busybox", "apt-get install busybox-static"))),
    )
}
"""Name -> oracle; the programs that they need must be installed."""
