"""Run one command and print its exit status, seconds, CPU seconds and peak memory in bytes.

This file is started by its path with ``python -I -S`` and imports very little. A child starts with
the memory of the process that forked it, and ``ru_maxrss`` cannot be less than that, so the forking
process must be small. ``ru_maxrss`` is that of the largest process. If several run at a time, their
proportional set sizes are added up several times a second.

Usage: child.py LOG PROGRAM [ARGUMENT...]
"""

import os
import select
import sys
import time

LOOK_EVERY = 200
"""Milliseconds. Adding up the memory of a process of 100 MB takes one or two."""


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
    """The descendants of the process ``pid``."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            found = [int(word) for word in file.read().split()]
    except OSError:
        return []
    return found + [below for child in found for below in children_of(child)]


def memory_of(pid: int) -> int:
    """The proportional set size in bytes; 0 for a process that has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


main()
