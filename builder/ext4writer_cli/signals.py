"""Turns the signals that ask a program to stop into an orderly end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Interrupted(BaseException):
    """A signal ended the work; no ordinary ``except`` shall keep it."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"interrupted by {signal.Signals(signum).name}")


@contextmanager
def cancel_on_signals(*, at_once: bool = False) -> Iterator[threading.Event]:
    """Yield an event that the first signal sets; a second one raises :class:`Interrupted`.

    With ``at_once`` the first one raises too. That is for work which may wait for ever in one
    system call, such as one on a pipe, and leaves nothing behind that must be removed.
    """
    cancel = threading.Event()
    received: list[int] = []

    def handle(signum: int, _frame: FrameType | None) -> None:
        cancel.set()
        received.append(signum)
        if at_once or len(received) > 1:
            raise Interrupted(signum)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for signum in SIGNALS:
            # A signal that the caller ignores, as nohup does, stays ignored.
            if signal.getsignal(signum) is not signal.SIG_IGN:
                before[signum] = signal.signal(signum, handle)
    try:
        yield cancel
        if at_once and received:
            # What is raised within a destructor gets lost.
            raise Interrupted(received[0])
    except Exception as error:
        from ext4writer.errors import CancelledError

        if received and isinstance(error, CancelledError):
            raise Interrupted(received[0]) from None
        raise
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
