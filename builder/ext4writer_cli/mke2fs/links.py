"""Installs links with the names under which mke2fs is called."""

from __future__ import annotations

import os
import shutil
import sys

from .refusal import Mistake

NAMES = ("mke2fs", "mkfs.ext2", "mkfs.ext3", "mkfs.ext4")
ALSO = ("mke3fs", "mke4fs")


def install(folder: str) -> list[str]:
    """Create a link in ``folder`` for each name and return their paths.

    Raises :class:`Mistake` if one of the names exists; then no link is left.
    """
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
    """The path of the program, which behaves according to the name it is called by."""
    called = sys.argv[0]
    if os.path.basename(called) in ("ext4writer", *NAMES) and os.access(called, os.X_OK):
        return os.path.realpath(called)
    found = shutil.which("ext4writer")
    if found is None:
        raise Mistake("ext4writer is not in PATH, so no link to it can be created")
    return os.path.realpath(found)
