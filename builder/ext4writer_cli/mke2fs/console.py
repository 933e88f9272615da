"""What the command prints, in mke2fs's own words."""

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
"""The mke2fs whose options and words these are, in the form by which scripts know the line."""


class Console:
    """Standard output and standard error."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._held: list[str] | None = None

    def out(self, text: str, *, always: bool = False) -> None:
        """Print for scripts that read it; nothing with -q, unless it is printed ``always``."""
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
            """A file system is made even if no message can be printed, as mke2fs does."""

    @contextmanager
    def held(self) -> Iterator[list[str]]:
        """Yield a list that takes what is printed; it is printed at the end."""
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
        """One stage that counts up to ``most``, when it is done (lib/ext2fs/progress.c).

        With 0 it does not count.
        """
        width = 2 * len(str(most)) + 1 if most else 0
        self.out(f"{label}{' ' * width}{chr(8) * width}{end}")

    def proceed(self, delay: int = -1) -> None:
        """Ask whether to go on; raises :class:`Refusal` unless the answer is yes.

        After ``delay`` seconds, if that is above 0, the answer is yes (misc/util.c).
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
        """Whether a person is there to be asked."""
        return os.isatty(0) and os.isatty(1)
