"""An image as a new file at a path."""

from __future__ import annotations

import os

from .atomic_file import NewFile
from .descriptor import DescriptorSink, SharedImage
from .sink import output_error


def new_file(path: bytes, size: int) -> NewFile:
    """A file that will be named ``path``; raises :class:`OutputError` if that is impossible."""
    try:
        return NewFile(path)
    except OSError as error:
        raise output_error(path, error, size) from error


class PathSink(DescriptorSink):
    """A new file, under a temporary name in the same directory until it is complete.

    Only then does it replace ``path``. ``sync`` flushes it to the disk. Raises
    :class:`OutputError`.
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
        except OSError:  # the current directory is gone
            return None

    def finish(self) -> None:
        try:
            self._file.commit(sync=self._sync)
        except OSError as error:
            raise self.failure(error) from error

    def abort(self) -> None:
        self._file.abort()
