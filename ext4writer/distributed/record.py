"""Records which parts of an image are complete, so that an interrupted call can resume.

A record consists of lines of JSON: the image and its target, what the target needs to resume, and
each complete part. The last line may be incomplete.
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
"""The beginning of every record."""


class Record:
    """A file next to the image with the digest of each complete part; numbers start at 1.

    It is locked, so no other call can write the same image at the same time. The lock ends with
    :meth:`remove`, :meth:`close` or the process.
    """

    def __init__(self, path: bytes, plan_digest: str, count: int, target: str) -> None:
        """``plan_digest`` is the SHA-256 of the plan; ``target`` identifies the image.

        Raises :class:`OutputError` if the file at ``path`` is not a record, belongs to another
        image, or is in use.
        """
        self.path = path
        self.plan_digest = plan_digest
        self._head = {**KEY, "target": target, "plan": plan_digest, "count": count}
        self.parts: dict[int, dict[str, Any]] = {}
        """Number -> facts of each complete part; with ``is_other_image``, of parts to remove."""
        self.target_state: Any = None
        """What the target needs to resume."""
        self.was_interrupted = False
        """Whether an earlier call was interrupted."""
        self.is_other_image = False
        """Whether that call had another plan or number of parts; its parts must be removed."""
        try:
            self._file = LockedFile(path)
        except InUseError:
            problem = "is in use: another call is writing this image; wait for it, or stop it"
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
        """Load what an earlier call wrote."""
        if lines == [b""]:
            return
        try:
            head = json.loads(lines[0])
            kept = {key: head[key] for key in self._head}
            is_record = {key: head[key] for key in KEY} == KEY
        except (ValueError, TypeError, LookupError):
            is_record = False
        if not is_record:
            problem = "is in the way: it is not a record of parts; move it, or name another record"
            raise OutputError(self.path, problem)
        if kept["target"] != self._head["target"]:
            raise OutputError(
                self.path,
                f"is the record of parts of {kept['target']!s:.200}; finish that image first, "
                "remove the record, or name another one",
            )
        self.was_interrupted = True
        self.is_other_image = kept != self._head
        with suppress(ValueError, TypeError, LookupError):
            self.target_state = json.loads(lines[1])["begun"]
            for line in lines[2:-1]:
                part = json.loads(line)
                self.parts[int(part["part"])] = dict(part["made"])

    def begin(self, target_state: Any) -> None:
        """Replace the file by the current state; may raise ``OSError``."""
        self.target_state = target_state
        lines = [self._head, {"begun": target_state}]
        lines += [{"part": number, "made": what} for number, what in self.parts.items()]
        self._file.replace(_lines(*lines))

    def add(self, number: int, what: dict[str, Any]) -> None:
        """Record a complete part; may raise ``OSError``."""
        self.parts[number] = what
        self._file.append(_lines({"part": number, "made": what}))

    def remove(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            self._file.remove()

    def close(self) -> None:
        """Leave the file for another call, unless it is empty."""
        self._file.close()


def _lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def digest_of(plan: bytes) -> str:
    """Return the SHA-256 of a file in hexadecimal digits; may raise ``OSError``."""
    with open(plan, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
