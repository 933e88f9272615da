"""Which parts of an image are there, so that what was interrupted goes on where it was.

A record is lines of JSON: what is made and where, what the target needs to go on, and then each
part that was made. Its last line may be torn.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import threading
from contextlib import suppress
from typing import Any

from ..content import O_BINARY, O_CLOEXEC, O_NONBLOCK, FileId
from ..errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
KEY = {"parts of an image": FORMAT}
"""The beginning of each record."""
FLAGS = os.O_RDWR | os.O_CREAT | O_CLOEXEC | O_BINARY | O_NONBLOCK
TAKEN = {errno.EACCES, errno.EAGAIN}
"""What a lock of another process is answered with (fcntl(2))."""

_held: set[FileId] = set()
"""The records that this process has locked."""
_holding = threading.Lock()


class Record:
    """A file beside the image with the digest of each part that was made; numbers are from 1.

    It is locked, so that no other call makes the same image meanwhile; the lock ends with the
    process. Either :meth:`remove` or :meth:`close` gives it up.
    """

    def __init__(self, path: bytes, plan_digest: str, count: int, target: str) -> None:
        """``plan_digest`` is the SHA-256 of the plan; ``target`` says which image is made.

        Raises :class:`OutputError` for a file at ``path`` that is no record, or that of another
        image, or in use.
        """
        self.path = path
        self.plan_digest = plan_digest
        self._head = {**KEY, "target": target, "plan": plan_digest, "count": count}
        self.parts: dict[int, dict[str, Any]] = {}
        """By number: what is known of each part that was made, or of parts to be forgotten."""
        self.begun: Any = None
        """What the target has noted to go on."""
        self.is_there = False
        """Whether an earlier call was interrupted."""
        self.is_another = False
        """Whether that was for another plan or other parts, which must be forgotten."""
        try:
            self._fd, self._id = _opened_alone(path)
        except OSError as error:
            problem = f"cannot be written: {error.strerror}"
            raise OutputError(path, problem) from error
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        with os.fdopen(self._fd, "rb", closefd=False) as file:
            lines = file.read().split(b"\n")
        if lines == [b""]:
            return
        try:
            head = json.loads(lines[0])
            kept = {key: head[key] for key in self._head}
            is_record = {key: head[key] for key in KEY} == KEY
        except (ValueError, TypeError, LookupError):
            is_record = False
        if not is_record:
            problem = "is in the way: it is no record of parts; move it, or name another record"
            raise OutputError(self.path, problem)
        if kept["target"] != self._head["target"]:
            raise OutputError(
                self.path,
                f"is the record of parts of {kept['target']!s:.200}; make that image first, remove "
                "the record to forget it, or name another one",
            )
        self.is_there = True
        self.is_another = kept != self._head
        with suppress(ValueError, TypeError, LookupError):
            self.begun = json.loads(lines[1])["begun"]
            for line in lines[2:-1]:
                part = json.loads(line)
                self.parts[int(part["part"])] = dict(part["made"])

    def begin(self, begun: Any) -> None:
        """Write what is known now in the place of all; may raise ``OSError``."""
        self.begun = begun
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        lines = [self._head, {"begun": begun}]
        lines += [{"part": number, "made": what} for number, what in self.parts.items()]
        self._append(*lines)

    def add(self, number: int, what: dict[str, Any]) -> None:
        """Note a part that is made; may raise ``OSError``."""
        self.parts[number] = what
        self._append({"part": number, "made": what})

    def _append(self, *values: Any) -> None:
        view = memoryview(b"".join(json.dumps(value).encode() + b"\n" for value in values))
        while view:
            view = view[os.write(self._fd, view) :]

    def remove(self) -> None:
        """Forget all of it."""
        with suppress(OSError):
            os.unlink(self.path)
        self.close()

    def close(self) -> None:
        """Leave it for another call, unless there is nothing in it."""
        with _holding:
            if self._fd < 0:
                return
            with suppress(OSError):
                if not os.fstat(self._fd).st_size and _is_at(self._id, self.path):
                    os.unlink(self.path)
            _held.discard(self._id)
            os.close(self._fd)
            self._fd = -1


def _opened_alone(path: bytes) -> tuple[int, FileId]:
    """Open or make a file that no other call has open; return its descriptor and its identity.

    The lock is one of a process and not of a descriptor, because workers that were forked would
    keep that after their parent died. But it ends as soon as this process closes any descriptor of
    the file (fcntl(2)), so it is first seen here whether this process has it. Raises ``OSError``.
    """
    while True:
        with _holding:
            with suppress(FileNotFoundError):
                if _id_at(path) in _held:
                    raise _in_use(path)
            fd = os.open(path, FLAGS, 0o666)
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise OSError(errno.EEXIST, "something else than a regular file has that name")
                if hasattr(fcntl, "lockf"):
                    _lock(fd, path)
                found = status.st_dev, status.st_ino
                if _is_at(found, path):
                    _held.add(found)
                    return fd, found
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # who had it has just removed it


def _lock(fd: int, path: bytes) -> None:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            raise _in_use(path) from None
        # A file system without locks.


def _in_use(path: bytes) -> OutputError:
    return OutputError(
        path, "is in use: another call writes the parts of this image; wait for it, or end it"
    )


def _id_at(path: bytes) -> FileId:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _is_at(found: FileId, path: bytes) -> bool:
    try:
        return _id_at(path) == found
    except FileNotFoundError:
        return False


def digest_of(plan: bytes) -> str:
    """The SHA-256 of a file, in hexadecimal digits; may raise ``OSError``."""
    with open(plan, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
