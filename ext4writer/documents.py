"""Reads documents of the host, such as tables, rules and manifests: regular files of bounded size.

A pipe may block for ever, a device may never end, and opening a device may have side effects. So
neither is opened, except that /dev/null is read as an empty document.
"""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from .errors import SourceError

DOCUMENT_BYTES = 256 << 20
"""The largest document, in bytes, that is read into memory."""
CHUNK_BYTES = 1 << 20

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
)

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_document(path: str | bytes) -> BinaryIO:
    """Open the regular file ``path``; raises :class:`SourceError` for anything else."""
    try:
        # Check before opening, which has side effects on some devices, and again afterwards,
        # because another file may have taken its place.
        _check(path, os.stat(path))
        fd = os.open(path, _FLAGS)
        try:
            _check(path, os.fstat(fd))
            return open(fd, "rb")
        except BaseException:
            os.close(fd)
            raise
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error


def read_document(path: str | bytes, most: int = DOCUMENT_BYTES) -> bytes:
    """All bytes of the regular file ``path``.

    Raises :class:`SourceError` if it is not regular, unreadable or larger than ``most`` bytes.
    """
    pieces = []
    size = 0
    with open_document(path) as file:
        try:
            while piece := file.read(CHUNK_BYTES):
                size += len(piece)
                if size > most:
                    raise SourceError(path, f"has more than {most:,} bytes, the most that is read")
                pieces.append(piece)
        except OSError as error:
            raise cannot_read(path, error) from error
    return b"".join(pieces)


def cannot_read(path: str | bytes, error: OSError | ValueError) -> SourceError:
    """The error for ``path`` when reading it failed with ``error``."""
    reason = error.strerror if isinstance(error, OSError) else error
    return SourceError(path, f"cannot be read: {reason}")


def _is_null(status: os.stat_result) -> bool:
    """Whether it is Linux's /dev/null, the usual name for an empty document."""
    return stat.S_ISCHR(status.st_mode) and (
        os.major(status.st_rdev),
        os.minor(status.st_rdev),
    ) == (1, 3)


def _check(path: str | bytes, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode) or _is_null(status):
        return
    kind = next((name for test, name in _KINDS if test(status.st_mode)), "no file")
    raise SourceError(path, f"is {kind}; give a regular file")
