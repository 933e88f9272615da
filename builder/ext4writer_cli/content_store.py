"""A directory of files named by the digest of their content, as in an object store of composefs."""

from __future__ import annotations

import hashlib
import os

from ext4writer import Content, OutputError
from ext4writer.content import reading_buffer
from ext4writer.output.atomic_file import NewFile

CHUNK = 1 << 20


class ContentStore:
    """Stores content as files in ``folder``; equal content shares one file."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.abspath(folder)

    def put(self, path: bytes, content: Content) -> bytes:  # noqa: ARG002
        """Store ``content`` and return the path of its file.

        Raises ``OutputError``, and the errors of reading ``content``.
        """
        try:
            os.makedirs(self._folder, exist_ok=True)
            file = NewFile(os.fsencode(os.path.join(self._folder, "content")))
            try:
                digest = _copy(content, file)
                home = os.path.join(self._folder, digest[:2])
                os.makedirs(home, exist_ok=True)
                name = os.fsencode(os.path.join(home, digest[2:]))
                file.commit(name)
            finally:
                file.abort()
        except OSError as error:
            raise OutputError(self._folder, error.strerror or str(error)) from error
        return name


def _copy(content: Content, file: NewFile) -> str:
    """Write all of ``content`` to ``file``; return its SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    for piece in content.read_pieces(reading_buffer(min(CHUNK, content.size))):
        digest.update(piece)
        file.write(piece)
    return digest.hexdigest()
