"""Which parts of an image are there, so that what was interrupted goes on where it was.

A record is lines of JSON: what is made and where, what the target needs to go on, and then each
part that was made. Its last line may be torn.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Any

from ..errors import OutputError
from ..output.locked import InUseError, LockedFile

FORMAT = 1
KEY = {"parts of an image": FORMAT}
"""The beginning of each record."""


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
            self._file = LockedFile(path)
        except InUseError:
            problem = "is in use: another call makes this image in parts; wait for it, or end it"
            raise OutputError(path, problem) from None
        except OSError as error:
            raise OutputError(path, f"cannot be written: {error.strerror}") from error
        try:
            self._take(self._file.read().split(b"\n"))
        except OSError as error:
            self.close()
            raise OutputError(path, f"cannot be read: {error.strerror}") from error
        except BaseException:
            self.close()
            raise

    def _take(self, lines: list[bytes]) -> None:
        """Take what an earlier call wrote."""
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
        lines = [self._head, {"begun": begun}]
        lines += [{"part": number, "made": what} for number, what in self.parts.items()]
        self._file.replace(_lines(*lines))

    def add(self, number: int, what: dict[str, Any]) -> None:
        """Note a part that is made; may raise ``OSError``."""
        self.parts[number] = what
        self._file.append(_lines({"part": number, "made": what}))

    def remove(self) -> None:
        """Forget all of it."""
        with suppress(OSError):
            self._file.remove()

    def close(self) -> None:
        """Leave it for another call, unless there is nothing in it."""
        self._file.close()


def _lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def digest_of(plan: bytes) -> str:
    """The SHA-256 of a file, in hexadecimal digits; may raise ``OSError``."""
    with open(plan, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
