"""The base class of outputs, and their errors.

A sink receives an image of known size. Bytes that are never written read as zeros. The caller ends
it with :meth:`Sink.finish` or :meth:`Sink.abort`.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

from ..errors import OutputError

if TYPE_CHECKING:
    from .descriptor import SharedImage

Buffer = bytes | bytearray | memoryview
Piece = tuple[int, Buffer]
"""Byte offset in the image, and the bytes there."""

ZEROS = bytes(1 << 20)
"""Fills gaps, repeated as often as needed."""

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
NO_ROOM = FULL | {errno.EFBIG}


class Sink(ABC):
    """Receives an image of ``size`` bytes.

    If ``ascending``, the offsets of writes must ascend, and all writes must come from one thread.
    Otherwise they may come in any order and from several threads. ``fd`` is a descriptor for copies
    inside the kernel, or None. The image begins at byte ``start`` of the descriptor.
    """

    ascending: ClassVar[bool] = False
    fd: int | None = None
    start: int = 0

    def __init__(self, name: bytes | str, size: int) -> None:
        self.name = name
        self.size = size

    @abstractmethod
    def write_at(self, offset: int, data: Buffer) -> None:
        """Write all of ``data`` at byte ``offset``; raises :class:`OutputError`."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the image and close the output; raises :class:`OutputError`."""

    def shared(self) -> SharedImage | None:
        """A handle with which other processes can write the image; None if they cannot."""
        return None

    def preallocate(self, offset: int, length: int) -> None:  # noqa: B027 (most need not)
        """Allocate blocks for the ``length`` bytes to be written next, if that saves time.

        Raises :class:`OutputError`.
        """

    @abstractmethod
    def abort(self) -> None:
        """Clean up as far as possible; raises nothing. A call after ``finish`` does nothing."""

    def failure(self, error: BaseException) -> OutputError:
        """The error for a failed system call, with a hint."""
        return output_error(self.name, error, self.size)

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Abort the image unless it is finished."""
        self.abort()


def output_error(name: bytes | str, error: BaseException, size: int) -> OutputError:
    """The error for a failure of the output ``name`` of ``size`` bytes, with a hint."""
    number = error.errno if isinstance(error, OSError) else None
    if number in FULL:
        problem = f"no space left: the image needs {size} bytes, minus its zeros"
    elif number == errno.EFBIG:
        problem = f"its file system or a limit allows no file of {size} bytes"
    elif number in (errno.EACCES, errno.EPERM):
        problem = "cannot be written: no permission for the file or its folder"
    elif number == errno.EROFS:
        problem = "cannot be written: its file system is read-only"
    elif number in (errno.ENOENT, errno.ENOTDIR):
        problem = "cannot be written: its folder does not exist"
    elif number == errno.EISDIR:
        problem = "is a directory; name a file in it"
    elif number == errno.EBUSY:
        problem = "is in use, perhaps mounted; it was not touched"
    elif number == errno.EPIPE:
        problem = "its reader stopped reading before the image was complete"
    elif isinstance(error, OSError) and error.strerror:
        problem = f"cannot be written: {error.strerror}"
    else:
        problem = f"cannot be written: {error}"
    return OutputError(name, problem)
