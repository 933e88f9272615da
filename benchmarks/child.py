"""Run one command and print what it took: status, seconds, CPU seconds, peak memory in bytes.

This file is started by its path with ``python -I -S`` and imports next to nothing. A child begins
with the memory of the process that forked it, and that is the least that ``ru_maxrss`` can say; so
the process that forks has to be small.

Usage: child.py LOG PROGRAM [ARGUMENT...]
"""

import os
import sys
import time


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
    _, status, usage = os.wait4(pid, 0)
    seconds = (time.monotonic_ns() - began) / 1e9
    code = os.waitstatus_to_exitcode(status)
    print(code, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


main()
