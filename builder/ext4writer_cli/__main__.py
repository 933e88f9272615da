"""The entry point. Slow imports are postponed until signals are handled."""

from __future__ import annotations

# The built-in module under ``signal``: importing ``signal`` itself takes milliseconds.
import _signal  # type: ignore[import-not-found]

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Until a command runs, SIGINT simply ends the program: Python's own handler would raise
    # KeyboardInterrupt somewhere in the imports below. If the shell ignores SIGINT for a
    # background program, it stays ignored.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, then exit. The commands handle signals themselves."""
    program = os.path.basename(sys.argv[0])
    try:
        if program in _MKE2FS:
            _leave(_mke2fs(program, sys.argv[1:]))
        if sys.argv[1:2] == ["mke2fs"]:
            _leave(_mke2fs("mke2fs", sys.argv[2:]))

        from .cli import main as run

        run()
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else 0)


_MKE2FS = ("mke2fs", "mkfs.ext2", "mkfs.ext3", "mkfs.ext4", "mke3fs", "mke4fs")
"""Program names under which it behaves as mke2fs."""


def _mke2fs(program: str, arguments: list[str]) -> int:
    from .mke2fs.command import main as run

    return run(program, arguments)


def _leave(status: int) -> NoReturn:
    """Exit without freeing a tree object by object; the system frees all memory together."""
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105  (contextlib may not have been imported yet)
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(status)


if __name__ == "__main__":
    main()
