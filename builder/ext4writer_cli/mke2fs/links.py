"""The names by which mke2fs is called, for anyone who wants them in PATH."""

from __future__ import annotations

import os
import shutil
import sys

from .refusal import Mistake

NAMES = ("mke2fs", "mkfs.ext2", "mkfs.ext3", "mkfs.ext4")
ALSO = ("mke3fs", "mke4fs")


def install(folder: str) -> list[str]:
    """Make a link in ``folder`` for each name; raises :class:`Refusal` if one of them exists."""
    program = _program()
    made: list[str] = []
    try:
        os.makedirs(folder, exist_ok=True)
        for name in NAMES:
            path = os.path.join(folder, name)
            os.symlink(program, path)
            made.append(path)
    except OSError as error:
        for path in made:
            os.unlink(path)
        raise Mistake(f"{error.filename2 or error.filename}: {error.strerror}") from None
    return made


def _program() -> str:
    """The path of ``ext4writer``, which goes by the name that it is called by."""
    called = sys.argv[0]
    if os.path.basename(called) in ("ext4writer", *NAMES) and os.access(called, os.X_OK):
        return os.path.realpath(called)
    found = shutil.which("ext4writer")
    if found is None:
        raise Mistake("ext4writer is not in PATH, so that no link can lead to it")
    return os.path.realpath(found)
