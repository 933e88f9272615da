"""The identities of the files that a source reads, so that no image overwrites them."""

from __future__ import annotations

import io
import os

from ..arguments import path_problem
from ..content import FileId, file_id
from ..errors import SourceError


def check_input(given: object, *, streams: bool = True) -> None:
    """Raise :class:`SourceError` unless ``given`` is a path or, with ``streams``, a binary file."""
    if isinstance(given, str | bytes | os.PathLike):
        problem = path_problem(given)
        if problem is not None:
            raise SourceError(f"{given!r:.80}", problem)
        return
    if isinstance(given, io.TextIOBase):
        raise SourceError(str(getattr(given, "name", "(text)")), "is text; open it with mode 'rb'")
    if not (streams and hasattr(given, "read")):
        accepted = "a path or a binary file" if streams else "a path"
        raise SourceError(f"{given!r:.80}", f"is not a source; give {accepted}")


def inputs_of(*read: object) -> dict[FileId, bytes]:
    """Map the identity of each of the inputs ``read`` to a name.

    An input is a path or an open file; anything else is ignored.
    """
    found: dict[FileId, bytes] = {}
    for one in read:
        try:
            if isinstance(one, str | bytes | os.PathLike):
                found[file_id(os.stat(one))] = os.fsencode(one)
            elif callable(fileno := getattr(one, "fileno", None)):
                name = getattr(one, "name", b"")
                shown = os.fsencode(name) if isinstance(name, str | bytes) else b""
                found[file_id(os.fstat(fileno()))] = shown or b"(open file)"
        except (OSError, ValueError):
            continue  # it is gone, or not a file of the host
    return found
