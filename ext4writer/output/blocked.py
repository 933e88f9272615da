"""Output files that consist of fixed-size blocks."""

from __future__ import annotations

import os
from abc import abstractmethod

from ..arithmetic import round_down
from ..content import write_all_at
from ..errors import OutputError
from .atomic_file import NewFile
from .path import new_file
from .sink import Buffer, Sink


class BlockedSink(Sink):
    """A new file that stores an image, written in ascending order, as blocks of its format.

    A subclass receives each run of whole blocks that has data. All other blocks are zeros.
    """

    ascending = True

    def __init__(self, path: bytes, size: int, unit: int, *, sync: bool) -> None:
        """``unit`` is the size of a block of the format in bytes."""
        super().__init__(path, size)
        self._unit = unit
        self._sync = sync
        self._zeros = bytes(unit)
        self._number = -1
        """Number of the block being filled; -1 for none."""
        self._partial = bytearray(unit)
        self._file: NewFile = new_file(path, size)

    def write_at(self, offset: int, data: Buffer) -> None:
        unit = self._unit
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                number, inside = divmod(offset + done, unit)
                if number != self._number:
                    self._flush()
                whole = round_down(len(view) - done, unit)
                if not inside and whole:
                    self._keep(number, view[done : done + whole])
                    done += whole
                    continue
                self._number = number
                count = min(unit - inside, len(view) - done)
                self._partial[inside : inside + count] = view[done : done + count]
                done += count

    def _flush(self) -> None:
        """Store the block that was filled in several writes."""
        if self._number >= 0:
            number, self._number = self._number, -1
            with memoryview(self._partial) as view:
                self._keep(number, view)
            self._partial[:] = self._zeros

    def _keep(self, number: int, view: memoryview) -> None:
        """Store the whole blocks of ``view`` that are not all zeros."""
        unit, first = self._unit, 0
        for at in range(0, len(view), unit):
            if view[at : at + unit] == self._zeros:
                if at > first:
                    self._put(number + first // unit, view[first:at])
                first = at + unit
        if len(view) > first:
            self._put(number + first // unit, view[first:])

    @abstractmethod
    def _put(self, number: int, view: memoryview) -> None:
        """Store whole blocks, starting at block ``number``; raises :class:`OutputError`."""

    @abstractmethod
    def _complete(self) -> None:
        """Write the format's own metadata; may raise ``OSError``."""

    def _write(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` at a byte of the file; raises :class:`OutputError`."""
        try:
            write_all_at(self._file.fd, data, offset)
        except OSError as error:
            raise self.failure(error) from error

    def finish(self) -> None:
        self._flush()
        try:
            self._complete()
            self._file.commit(sync=self._sync)
        except OSError as error:
            raise self.failure(error) from error

    def abort(self) -> None:
        self._file.abort()

    def _set_size(self, size: int) -> None:
        os.ftruncate(self._file.fd, size)


def check_size(path: bytes, size: int, most: int) -> None:
    """Raise :class:`OutputError` for an image larger than the ``most`` bytes of its format."""
    if size > most:
        raise OutputError(path, f"its format holds at most {most} bytes, and the image has {size}")
