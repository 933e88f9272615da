"""An image under a path of its own."""

from __future__ import annotations

import os

from .beside import NewFile
from .descriptor import DescriptorSink, SharedImage
from .sink import output_error


def new_file(path: bytes, size: int) -> NewFile:
    """A file that will have the name ``path``; :class:`OutputError` if there can be none."""
    try:
        return NewFile(path)
    except OSError as error:
        raise output_error(path, error, size) from error


class PathSink(DescriptorSink):
    """A new file, under another name in the same folder until it is whole.

    What stood at ``path`` is replaced only then. ``sync`` waits until the disk has the bytes.
    """

    def __init__(
        self, path: str | bytes | os.PathLike[str], size: int, *, sync: bool = False
    ) -> None:
        super().__init__(os.fsencode(path), size)
        self._sync = sync
        self._file = new_file(os.fsencode(path), size)
        self.fd = self._fd = self._file.fd
        try:
            os.ftruncate(self._fd, size)
        except (OSError, OverflowError) as error:
            self.abort()
            raise self.failure(error) from error

    def shared(self) -> SharedImage | None:
        try:
            return SharedImage(self, self._fd, path=os.path.join(os.getcwdb(), self._file.partial))
        except OSError:  # the current folder is gone
            return None

    def finish(self) -> None:
        try:
            self._file.commit(sync=self._sync)
        except OSError as error:
            raise self.failure(error) from error

    def abort(self) -> None:
        self._file.abort()
