"""Threads that help the calling thread, if the system has threads."""

from __future__ import annotations

import threading
from collections.abc import Callable


def helpers(work: Callable[[], None], count: int) -> list[threading.Thread]:
    """Start up to ``count`` threads that run ``work``; the caller joins them.

    There may be fewer or none, since the system may be at a limit, and WebAssembly has no threads.
    So the calling thread must be able to do all the work.
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
