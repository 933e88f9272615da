"""Which parts of an image are there, so that what was interrupted goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from typing import Any

from ..output.beside import NewFile


class Record:
    """A file beside the image with the digest of each part that was made; numbers are from 1."""

    def __init__(self, path: bytes, plan: bytes, count: int) -> None:
        """``plan`` is the path of the plan; a record of another one counts for nothing."""
        self._path = path
        with open(plan, "rb") as file:
            self._key = [hashlib.file_digest(file, "sha256").hexdigest(), count]
        self.parts: dict[int, Any] = {}
        """By number: what is known of each part that was made."""
        with suppress(OSError, ValueError, TypeError, AttributeError, LookupError):
            with open(path, "rb") as file:
                held = json.load(file)
            if held["key"] == self._key:
                self.parts = {int(number): what for number, what in held["parts"].items()}

    def add(self, number: int, what: Any) -> None:
        """Note a part that is made; may raise ``OSError``."""
        self.parts[number] = what
        text = json.dumps({"key": self._key, "parts": self.parts})
        file = NewFile(self._path)
        try:
            file.write(text.encode())
            file.commit()
        finally:
            file.abort()

    def remove(self) -> None:
        """Forget all of it."""
        with suppress(OSError):
            os.unlink(self._path)
