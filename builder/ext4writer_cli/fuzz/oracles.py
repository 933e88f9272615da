"""Programs and functions that say what they think of an image."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Literal, NamedTuple

from ext4writer.errors import DamageError, Ext4WriterError
from ext4writer.inspection.check import check_opened
from ext4writer.read import open_image

Answer = Literal["clean", "problems", "error", "crash", "hang", "missing"]
"""Nothing wrong; something wrong; cannot be read at all; ended by a signal or a sanitizer; took too
long; the program is not installed."""

SECONDS = 10.0
MEMORY = 2 << 30
SANITIZERS = (b"AddressSanitizer", b"runtime error:", b"MemorySanitizer", b"LeakSanitizer")
PROBLEMS_LEFT = 4
"""Exit status of fsck: errors that are not corrected, alone or with others."""


class Verdict(NamedTuple):
    """What one oracle said of one image."""

    oracle: str
    answer: Answer
    detail: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether the oracle itself failed."""
        return self.answer in ("crash", "hang")


class Oracle(NamedTuple):
    """A program that gets the path of an image, or a function of this library."""

    name: str
    command: tuple[str, ...] = ()
    """``{}`` stands for the image; without a command the function of this name is called."""
    judges: bool = False
    """Whether it says if an image is right, so that two of them can be compared."""
    has_problem_log: bool = False
    recovery: tuple[str, ...] = ()
    """What replays a journal first, in a copy, where one waits for that."""

    @classmethod
    def parse(cls, text: str) -> Oracle:
        """An oracle by its name, or a command with ``{}`` in it; ``ValueError`` for others."""
        if text in ORACLES:
            return ORACLES[text]
        words = tuple(shlex.split(text))
        if not any("{}" in word for word in words):
            known = ", ".join(ORACLES)
            raise ValueError(f"{text!r} is neither one of {known} nor a command with {{}} in it")
        return cls(text, words)

    def ask(self, image: str, *, seconds: float = SECONDS, memory: int = MEMORY) -> Verdict:
        """Let it look at the image at the path ``image``; it must not change it."""
        if not self.command:
            return Verdict(self.name, *_FUNCTIONS[self.name](image))
        log = f"{image}.log"
        commands = [self.command]
        if self.recovery and _needs_recovery(image):
            image = shutil.copyfile(image, f"{image}.recovered")
            commands = [self.recovery, self.command]
        for words in commands:
            command = [word.replace("{}", image) for word in words]
            if self.has_problem_log and words is self.command:
                command[1:1] = ["-E", f"problem_log={log}"]
            try:
                done = _run(command, seconds, memory)
            except FileNotFoundError:
                return Verdict(self.name, "missing", f"{command[0]} is not installed")
            except subprocess.TimeoutExpired:
                return Verdict(self.name, "hang", f"no answer in {seconds:g} s")
            noise = done.stdout + done.stderr
            if done.returncode < 0:
                return Verdict(self.name, "crash", f"signal {-done.returncode}")
            if any(word in noise for word in SANITIZERS) or b"SIGSEGV" in noise:
                return Verdict(self.name, "crash", _last_line(noise))
        if self.has_problem_log:
            problems = _problems(log)
            if done.returncode & ~PROBLEMS_LEFT:
                return Verdict(self.name, "error", _last_line(noise))
            clean = not problems and not done.returncode
            return Verdict(self.name, "clean" if clean else "problems", " ".join(problems))
        return Verdict(self.name, "error" if done.returncode else "clean", _last_line(noise))


def _run(command: list[str], seconds: float, memory: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603 (what it runs was asked for)
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        preexec_fn=_limiter(memory),
        env={**os.environ, "LC_ALL": "C"},
    )


def _needs_recovery(image: str) -> bool:
    """Whether transactions wait in the journal of an image, if that can be said."""
    try:
        with open_image(image, on_damage=lambda _: None) as opened:
            return opened.format.needs_recovery
    except Ext4WriterError:
        return False


def _problems(log: str) -> list[str]:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        os.unlink(log)
    except OSError:
        return []
    return re.findall(r'<problem[^>]* code="(0x[0-9a-fA-F]+)"', text)


def _last_line(noise: bytes) -> str:
    lines = noise.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else ""


def _limiter(memory: int) -> Callable[[], None] | None:
    """What a child does before it becomes the program; None where there are no limits."""
    try:
        import resource
    except ImportError:  # Windows
        return None

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return limit


def _check(image: str) -> tuple[Answer, str]:
    """The checker of this library."""
    try:
        met: list[DamageError] = []
        with open_image(image, replay=True, on_damage=met.append) as opened:
            result = check_opened(opened, met, data=True)
    except Ext4WriterError as error:
        return "error", str(error)
    except Exception as error:  # a bug of ours is what is looked for
        return "crash", f"{type(error).__name__}: {error}"
    first = next((str(problem) for problem in result.problems), "")
    return ("clean" if result.is_clean else "problems"), first


def _read(image: str) -> tuple[Answer, str]:
    """The reader of this library, over all names, contents and attributes."""
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

_PYTSK3 = (
    "import pytsk3,sys;fs=pytsk3.FS_Info(pytsk3.Img_Info(sys.argv[1]))\n"
    "def go(d,n):\n"
    "    for e in d:\n"
    "        m=e.info.meta\n"
    "        if n<9 and m and m.type==2 and e.info.name.name not in(b'.',b'..'):\n"
    "            go(e.as_directory(),n+1)\n"
    "        elif m and m.type==1 and m.size: e.read_random(0,min(m.size,1<<20))\n"
    "go(fs.open_dir('/'),0)"
)
_DISSECT = (
    "import sys;from dissect.extfs import ExtFS;fs=ExtFS(open(sys.argv[1],'rb'))\n"
    "def go(i,n):\n"
    "    for k,c in i.listdir().items():\n"
    "        if n<9 and k not in('.','..') and c.filetype==0o040000: go(c,n+1)\n"
    "        elif c.filetype==0o100000: c.open().read(1<<20)\n"
    "go(fs.root,0)"
)

ORACLES: dict[str, Oracle] = {
    oracle.name: oracle
    for oracle in (
        Oracle("check", judges=True),
        Oracle("read"),
        Oracle(
            "e2fsck",
            ("e2fsck", "-fn", "{}"),
            judges=True,
            has_problem_log=True,
            recovery=("e2fsck", "-y", "-E", "journal_only", "{}"),
        ),
        Oracle("debugfs", ("debugfs", "-R", "ls -l -p /", "{}")),
        Oracle("dumpe2fs", ("dumpe2fs", "{}")),
        Oracle("7zz", ("7zz", "t", "-text", "{}")),
        Oracle("grub-fstest", ("grub-fstest", "{}", "ls", "-l", "(loop0)/")),
        Oracle("pytsk3", (sys.executable, "-c", _PYTSK3, "{}")),
        Oracle("dissect", (sys.executable, "-c", _DISSECT, "{}")),
    )
}
"""Oracles that come with this library, by name; programs must be installed."""
