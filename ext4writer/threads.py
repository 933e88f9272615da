"""Threads that help the calling one, where the system has any."""

from __future__ import annotations

import threading
from collections.abc import Callable


def helpers(work: Callable[[], None], count: int) -> list[threading.Thread]:
    """Up to ``count`` threads that have begun to ``work``; join them.

    There may be fewer, or none: a limit of the system may be reached, and WebAssembly has none. So
    the calling thread must be able to do all of the work.
    """
    threads = []
    for _ in range(count):
        thread = threading.Thread(target=work, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # "can't start new thread"
            break
        threads.append(thread)
    return threads
