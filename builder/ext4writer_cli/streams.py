"""Replaces standard streams that were closed before the program started."""

from __future__ import annotations

import io
import os
import sys


def open_missing() -> None:
    """Open placeholders on closed descriptors 0 to 2, so that no later file gets their numbers.

    Reading standard input and writing standard output fail as on a closed stream; messages on
    standard error are dropped.
    """
    for fd, name, flags in (
        (0, "stdin", os.O_WRONLY),
        (1, "stdout", os.O_RDONLY),
        (2, "stderr", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, flags)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
            raw = io.FileIO(fd, "wb" if fd else "rb", closefd=False)
            raw.name = f"<{name}>"
            buffer = io.BufferedWriter(raw) if fd else io.BufferedReader(raw)
            setattr(sys, name, io.TextIOWrapper(buffer))
