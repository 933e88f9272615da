"""Where the program begins. What takes time to import waits until a signal is harmless."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; a signal while its modules are loaded just ends the program."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as for a program that a shell starts in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main as run

    signal.signal(signal.SIGINT, before)
    try:
        run()
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else 0)


def _leave(status: int) -> NoReturn:
    """End without taking a tree apart object by object, which the system does in no time."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
