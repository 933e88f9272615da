"""Where the program begins. What takes time to import waits until a signal is harmless."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; a signal while its modules are loaded just ends the program."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as for a program that a shell starts in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main as run

    signal.signal(signal.SIGINT, before)
    run()


if __name__ == "__main__":
    main()
