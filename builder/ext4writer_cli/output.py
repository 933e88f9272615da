"""Where an image goes: a path, or standard output; and how to know it inside the source."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import BinaryIO, Protocol, cast

import click

from ext4writer.content import O_BINARY, O_CLOEXEC
from ext4writer.errors import OutputError

STANDARD_OUTPUT = "standard output"
COMPRESSED = ".zst"
"""How the name of an image ends that is to be compressed."""


class Output(Protocol):
    """A place for an image; it is opened only when the plan is ready.

    To make one raises :class:`OutputError` for what can be seen to fail before any work is done.
    """

    is_stream: bool
    spool_folder: str | None
    """Where what must be kept until the image is written lies well; None if anywhere."""

    @property
    def name(self) -> str:
        """What ``-o`` said."""
        ...

    def itself(self, source: str) -> Callable[[os.stat_result], bool] | None:
        """A test for files of ``source`` that are the output; None if there can be none."""
        ...

    def opened(self, size: int) -> AbstractContextManager[str | BinaryIO]:
        """Give what the library writes an image of ``size`` bytes to; the end makes it whole."""
        ...


class PathOutput:
    """A regular file, replaced when the new one is whole, or a block device, written in place."""

    is_stream = False

    def __init__(self, path: str) -> None:
        real = os.path.realpath(path)
        folder = os.path.dirname(real)
        if path.endswith(os.sep):
            raise OutputError(path, "is not the name of a file")
        if os.path.isdir(path):
            raise OutputError(path, "is a directory; name the file to write in it")
        if not os.path.isdir(folder):
            raise OutputError(path, f"its folder {folder} does not exist")
        self.status = _status(path)
        if self.status is not None:
            if not (stat.S_ISREG(self.status.st_mode) or stat.S_ISBLK(self.status.st_mode)):
                raise OutputError(path, "is neither a file nor a block device")
            if _is_standard_output(self.status):
                raise OutputError(path, "is standard output; write -o - for that")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(path, f"its folder {folder} is not writable")
        self.path = path
        self.folder = folder
        is_device = self.status is not None and stat.S_ISBLK(self.status.st_mode)
        self.spool_folder: str | None = None if is_device else folder

    @property
    def name(self) -> str:
        return self.path

    def itself(self, source: str) -> Callable[[os.stat_result], bool] | None:
        own, root = self.status, os.path.realpath(source)
        if own is None or not _lies_in(self.folder, root):
            return None
        return partial(os.path.samestat, own)

    def opened(self, size: int) -> AbstractContextManager[str | BinaryIO]:  # noqa: ARG002
        return nullcontext(self.path)


class StandardOutput:
    """Standard output, written from its present position on and never moved."""

    is_stream = True
    spool_folder: str | None = None
    name = "-"

    def __init__(self) -> None:
        if sys.stdout.isatty():
            raise OutputError(
                STANDARD_OUTPUT, "is a terminal; send it to a file or a pipe, or write -o IMAGE"
            )

    def itself(self, source: str) -> Callable[[os.stat_result], bool] | None:  # noqa: ARG002
        return _is_standard_output

    def opened(self, size: int) -> AbstractContextManager[str | BinaryIO]:  # noqa: ARG002
        return nullcontext(cast(BinaryIO, _Unseekable()))


class _Unseekable:
    """Standard output without a buffer, as a stream also where it is a file.

    The library writes to a file that can seek from its beginning; the shell's ``>>`` does not mean
    that.
    """

    name = STANDARD_OUTPUT

    def __init__(self) -> None:
        self._raw = io.FileIO(sys.stdout.fileno(), "wb", closefd=False)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        count: int | None = self._raw.write(data)
        while count is None:  # its other users set it not to wait; what it did not take is not lost
            select.select([], [self._raw], [])
            count = self._raw.write(data)
        return count

    def seekable(self) -> bool:
        return False


def _lies_in(folder: str, root: str) -> bool:
    """Whether ``folder`` is ``root`` or lies below it; both are real paths."""
    try:
        return os.path.commonpath([folder, root]) == root
    except ValueError:  # they lie on different drives
        return False


def _is_standard_output(status: os.stat_result) -> bool:
    try:
        return os.path.samestat(status, os.fstat(sys.stdout.fileno()))
    except OSError:
        return False


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def open_output(
    destination: str, *, zstd_level: int | None = None, threads: int = 1, hashed: bool = False
) -> Output:
    """The output that ``-o`` names.

    Where its name asks for that, ``threads`` compress it, and what comes out is ``hashed``.
    """
    if destination.endswith(COMPRESSED):
        from .zstd_output import DEFAULT_LEVEL, ZstdOutput

        level = zstd_level or DEFAULT_LEVEL
        return ZstdOutput(destination, level=level, threads=threads, hashed=hashed)
    if zstd_level is not None:
        raise click.UsageError(f"--zstd-level needs an --output whose name ends in {COMPRESSED}")
    return StandardOutput() if destination == "-" else PathOutput(destination)


def write_text(text: memoryview, destination: str) -> None:
    """Write ``text`` to a file, which is replaced when the new one is whole, or to ``-``."""
    if destination == "-":
        try:
            stream = _Unseekable()
            while text:
                text = text[stream.write(text) :]
        except OSError as error:
            raise OutputError(STANDARD_OUTPUT, error.strerror or str(error)) from error
        return
    path = PathOutput(destination).path
    partial = f"{os.path.realpath(path)}.{os.getpid()}.partial"
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | O_CLOEXEC | O_BINARY, 0o666)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(text)
            os.replace(partial, os.path.realpath(path))
        except BaseException:
            os.unlink(partial)
            raise
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error


def print_report(text: str, output: Output | None) -> None:
    """Print on standard output, or on standard error where the image took that."""
    to_stderr = output is not None and output.is_stream
    try:
        click.echo(text, err=to_stderr)
    except OSError as error:
        name = "standard error" if to_stderr else STANDARD_OUTPUT
        raise OutputError(name, error.strerror or str(error)) from error
