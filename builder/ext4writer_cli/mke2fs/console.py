"""Prints what mke2fs prints, in its own words."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from .refusal import Refusal

VERSION = "1.47.4 (6-Mar-2025)"
"""The version of mke2fs that is imitated, in the format that scripts expect in this line."""


class Console:
    """Standard output and standard error."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._held: list[str] | None = None

    def out(self, text: str, *, always: bool = False) -> None:
        """Print on standard output; with -q only if ``always`` is set."""
        if not text or (self.quiet and not always):
            return
        if self._held is not None:
            self._held.append(text)
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError:
            """As in mke2fs, the file system is created even if no message can be printed."""

    @contextmanager
    def held(self) -> Iterator[list[str]]:
        """Collect what is printed in the list that this yields; print it at the end."""
        said: list[str] = []
        self._held = said
        try:
            yield said
        finally:
            self._release()

    def _release(self) -> None:
        held, self._held = self._held, None
        self.out("".join(held or ()), always=True)

    def err(self, text: str) -> None:
        """Print a warning or an error."""
        with suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()

    def numeric(
        self, label: str, most: int, end: str = "done                            \n"
    ) -> None:
        """Print a completed stage that counted up to ``most`` (lib/ext2fs/progress.c).

        With 0 the stage has no counter.
        """
        width = 2 * len(str(most)) + 1 if most else 0
        self.out(f"{label}{' ' * width}{chr(8) * width}{end}")

    def proceed(self, delay: int = -1) -> None:
        """Ask whether to proceed; raises :class:`Refusal` unless the answer is yes.

        Without an answer for ``delay`` seconds, if positive, proceed (misc/util.c).
        """
        self._release()
        if delay > 0:
            question = f"Proceed anyway (or wait {delay} seconds to proceed) ? (y,N) "
        else:
            question = "Proceed anyway? (y,N) "
        self.out(question, always=True)

        def expired(_signum: int, _frame: FrameType | None) -> NoReturn:
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, expired)
        try:
            signal.alarm(max(0, delay))
            answer = sys.stdin.readline()
            signal.alarm(0)
        except TimeoutError:
            self.out("<proceeding>\n", always=True)
            return
        except (OSError, ValueError):
            answer = ""
        finally:
            signal.signal(signal.SIGALRM, before)
        if answer[:1] not in ("y", "Y"):
            raise Refusal("\n", to_stdout=True)

    @staticmethod
    def is_interactive() -> bool:
        """Whether standard input and output are terminals, so that a user can answer."""
        return os.isatty(0) and os.isatty(1)
