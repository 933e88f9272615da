"""Run one command and print what it took: status, seconds, CPU seconds, peak memory in bytes.

This file is started by its path with ``python -I -S`` and imports next to nothing. A child begins
with the memory of the process that forked it, and that is the least that ``ru_maxrss`` can say; so
the process that forks has to be small. ``ru_maxrss`` is that of the largest process; of several
that run at once the proportional shares are added up, several times a second.

Usage: child.py LOG PROGRAM [ARGUMENT...]
"""

import os
import select
import sys
import time

LOOK_EVERY = 200
"""Milliseconds. To add up what a process of 100 MB has takes one or two."""


def main() -> None:
    log, program = sys.argv[1], sys.argv[2]
    began = time.monotonic_ns()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), 1)
            os.dup2(1, 2)
            os.execv(program, sys.argv[2:])
        finally:
            os._exit(127)
    together = 0
    if hasattr(os, "pidfd_open"):
        end = select.poll()
        end.register(os.pidfd_open(pid), select.POLLIN)
        while not end.poll(LOOK_EVERY):
            children = children_of(pid)
            if children:
                together = max(together, sum(map(memory_of, [pid, *children])))
    _, status, usage = os.wait4(pid, 0)
    seconds = (time.monotonic_ns() - began) / 1e9
    code = os.waitstatus_to_exitcode(status)
    memory = max(usage.ru_maxrss * 1024, together)
    print(code, seconds, usage.ru_utime + usage.ru_stime, memory)


def children_of(pid: int) -> list[int]:
    """The processes that ``pid`` has forked, and theirs."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            found = [int(word) for word in file.read().split()]
    except OSError:
        return []
    return found + [below for child in found for below in children_of(child)]


def memory_of(pid: int) -> int:
    """Bytes of memory, of what is shared with others a share; 0 for a process that is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


main()
