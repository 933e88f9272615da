"""Reads documents of the host, such as tables, rules and manifests: regular files of bounded size.

A pipe may have nothing to say for ever, a device need not end, and opening one can make it act. So
neither is opened. Only /dev/null is read as the empty document that everyone means by it.
"""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from .errors import SourceError

DOCUMENT_BYTES = 256 << 20
"""The most that is read of a document that is kept whole."""
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
    """Open the regular file ``path``; :class:`SourceError` where it is none or cannot be read."""
    try:
        # Asked before it is opened, because that alone makes some devices act, and again after it,
        # because another file may have taken the place.
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

    Raises :class:`SourceError` where it is none, cannot be read or has more than ``most`` bytes.
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
    """What to raise for ``path`` where ``error`` came of reading it."""
    reason = error.strerror if isinstance(error, OSError) else error
    return SourceError(path, f"cannot be read: {reason}")


def _is_null(status: os.stat_result) -> bool:
    """Whether it is /dev/null of Linux, the usual name for a document that says nothing."""
    return stat.S_ISCHR(status.st_mode) and (
        os.major(status.st_rdev),
        os.minor(status.st_rdev),
    ) == (1, 3)


def _check(path: str | bytes, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode) or _is_null(status):
        return
    kind = next((name for test, name in _KINDS if test(status.st_mode)), "no file")
    raise SourceError(path, f"is {kind}, and a regular file is needed here")
