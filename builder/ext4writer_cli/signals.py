"""Turns the signals that stop a program into an orderly exit."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Interrupted(BaseException):
    """A signal ended the work; no ordinary ``except`` catches it."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"interrupted by {signal.Signals(signum).name}")


@contextmanager
def cancel_on_signals(*, at_once: bool = False) -> Iterator[threading.Event]:
    """Yield an event that the first signal sets; a second one raises :class:`Interrupted`.

    With ``at_once`` the first signal raises, too. That is for work that leaves nothing to clean up
    but may block forever in a system call, such as a read from a pipe. After a signal has raised,
    later ones do nothing: removing a half-written image must not be interrupted.
    """
    cancel = threading.Event()
    received: list[int] = []
    ending = False

    def handle(signum: int, _frame: FrameType | None) -> None:
        nonlocal ending
        cancel.set()
        received.append(signum)
        if not ending and (at_once or len(received) > 1):
            ending = True
            raise Interrupted(signum)

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        """Ignore an exception that a destructor swallowed; the next signal raises again."""
        nonlocal ending
        if isinstance(unraisable.exc_value, Interrupted):
            ending = False
        else:
            hook_before(unraisable)

    hook_before = sys.unraisablehook
    before = {}
    if threading.current_thread() is threading.main_thread():
        sys.unraisablehook = lost
        for signum in SIGNALS:
            # A signal that is already ignored, as nohup ignores SIGHUP, stays ignored.
            if signal.getsignal(signum) is not signal.SIG_IGN:
                before[signum] = signal.signal(signum, handle)
    try:
        yield cancel
        if at_once and received:
            # The exception was raised inside a destructor, which swallows it.
            raise Interrupted(received[0])
    except Exception as error:
        from ext4writer.errors import CancelledError

        # Python turns exceptions raised in __set_name__ and the like into a RuntimeError.
        if received and (ending or isinstance(error, CancelledError)):
            raise Interrupted(received[0]) from None
        raise
    finally:
        if sys.unraisablehook is lost:
            sys.unraisablehook = hook_before
        for signum, handler in before.items():
            signal.signal(signum, handler)
