"""Where the program begins. What takes time to import waits until a signal is harmless."""

from __future__ import annotations

# The module behind ``signal``, which is there at once; that one takes milliseconds to import.
import _signal  # type: ignore[import-not-found]

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Outside of the work a signal just ends the program. Python's own handler would raise
    # KeyboardInterrupt anywhere in what is imported next. What a shell ignores for a program in
    # the background stays ignored.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; what it does handles signals by itself."""
    from .cli import main as run

    try:
        run()
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else 0)


def _leave(status: int) -> NoReturn:
    """End without taking a tree apart object by object, which the system does in no time."""
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105  (contextlib is not imported yet where nothing else was)
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(status)


if __name__ == "__main__":
    main()
