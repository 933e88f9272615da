"""Which parts of an image are there, so that what was interrupted goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from typing import Any

from ..errors import OutputError
from ..output.beside import write_file


class Record:
    """A file beside the image with the digest of each part that was made; numbers are from 1."""

    def __init__(self, path: bytes, plan: bytes, count: int) -> None:
        """``plan`` is the path of the plan; a record of another one counts for nothing.

        Raises :class:`OutputError` for a file at ``path`` that is no record.
        """
        self._path = path
        self.plan_digest = digest_of(plan)
        """SHA-256 of the file of the plan, in hexadecimal."""
        self._key = [self.plan_digest, count]
        self.parts: dict[int, Any] = {}
        """By number: what is known of each part that was made."""
        self.is_there = os.path.lexists(path)
        """Whether an earlier call was interrupted."""
        if not self.is_there:
            return
        try:
            with open(path, "rb") as file:
                held = json.load(file)
            if held["key"] == self._key:
                self.parts = {int(number): what for number, what in held["parts"].items()}
        except OSError as error:
            raise OutputError(path, f"cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, AttributeError, LookupError):
            problem = "is in the way: it is no record of parts; move it, or name another record"
            raise OutputError(path, problem) from None

    def add(self, number: int, what: Any) -> None:
        """Note a part that is made; may raise ``OSError``."""
        self.parts[number] = what
        self.store()

    def store(self) -> None:
        """Write it, so that another call finds it; may raise ``OSError``."""
        text = json.dumps({"key": self._key, "parts": self.parts})
        write_file(self._path, text.encode())

    def remove(self) -> None:
        """Forget all of it."""
        with suppress(OSError):
            os.unlink(self._path)


def digest_of(plan: bytes) -> str:
    """The SHA-256 of a file, in hexadecimal digits; may raise ``OSError``."""
    with open(plan, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
