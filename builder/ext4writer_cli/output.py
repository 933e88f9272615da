"""The output of a command: a path, or standard output; and how a source recognizes it."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import click

from ext4writer import Layout, write_layout
from ext4writer.errors import OutputError
from ext4writer.late_dataclasses import dataclass, field
from ext4writer.output.atomic_file import write_file
from ext4writer.output.formats import compression_of
from ext4writer.output.opening import check_path, may_be_one_file
from ext4writer.output.sink import Buffer, output_error

from .options import OutputOptions

if TYPE_CHECKING:
    import hashlib

    from .output_watchers import OutputWatchers

COMPRESSING_MAX = 8
"""Most threads that compress: each needs 45 MB of memory, and more would only wait for data."""
STANDARD_OUTPUT = "standard output"

HEAD_SIZE = 1024
"""Bytes at the start of a text that identify its format."""
SHA256_DIGITS = 64


@dataclass(frozen=True)
class Stored:
    """A complete output."""

    size: int
    """Bytes of the image, or of the compressed file."""
    disk: int
    """Bytes allocated on the disk."""
    sha256: str | None
    """Hexadecimal digest of the bytes written; None if they were not hashed."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further keys for the report."""


class Output(Protocol):
    """Where an image goes. It is opened only when the plan is ready.

    The constructor raises :class:`OutputError` for problems that can be found before any work.
    """

    is_stream: bool
    writes_journal: bool
    """Whether :meth:`write` also writes an external journal."""
    spool_folder: str | None
    """The best directory for data that is kept until the image is written; None if any will do."""
    offset: int
    """Byte offset of the image in the file or device."""

    @property
    def name(self) -> str:
        """The value of ``-o``."""
        ...

    def identity_test(self, source: str) -> Callable[[os.stat_result], bool] | None:
        """Return a test whether a file of ``source`` is the output; None if none can be."""
        ...

    def refuse_inputs(self, paths: Iterable[str]) -> None:
        """Raise :class:`OutputError` if one of the files at ``paths`` is the output."""
        ...

    def available_bytes(self, what: str) -> int:
        """Bytes between the offset and the end.

        ``what`` is ``"device"`` for a block device, ``"region"`` for a file or device with an
        offset. Raises a usage error if the output is something else.
        """
        ...

    def write(self, layout: Layout, **options: Any) -> Stored:
        """Write the image; ``options`` are keywords of :func:`ext4writer.write_layout`."""
        ...


class PathOutput:
    """A regular file that a complete new one replaces, a region of a file, or a block device."""

    is_stream = False
    writes_journal = True

    def __init__(
        self,
        path: str,
        options: OutputOptions | None = None,
        *,
        threads: int = 1,
        hashed: bool = False,
    ) -> None:
        """``threads`` compress if the name requests it; ``hashed`` computes a digest."""
        options = options or OutputOptions()
        real = os.path.realpath(path)
        folder = os.path.dirname(real)
        if path.endswith(os.sep):
            raise OutputError(path, "is not the name of a file")
        if os.path.isdir(path):
            raise OutputError(path, "is a directory; name a file in it")
        if not os.path.isdir(folder):
            raise OutputError(path, f"its folder {folder} does not exist")
        self.status = check_path(os.fsencode(path), is_part=options.offset is not None)
        is_device = False
        if self.status is not None:
            is_device = stat.S_ISBLK(self.status.st_mode)
            if not (is_device or stat.S_ISREG(self.status.st_mode)):
                raise OutputError(path, "is neither a file nor a block device")
            if _is_standard_output(self.status):
                raise OutputError(path, "is standard output; use -o - for that")
        is_plain = options.raw or options.format is not None or is_device
        if options.raw and options.format not in (None, "raw"):
            raise click.UsageError("--raw and --format contradict each other")
        self.kind = None if is_plain else compression_of(os.fsencode(path))
        """The compression, such as ``zstd``; None for none."""
        if self.kind != "zstd" and options.zstd_level is not None:
            raise click.UsageError("--zstd-level needs an --output whose name ends in .zst")
        if self.kind is not None and options.offset is not None:
            raise click.UsageError("--offset needs an --output that is not compressed")
        _check_free_blocks(options, is_device=is_device, hashed=hashed)
        has_room = os.access(folder, os.W_OK | os.X_OK)
        usable = has_room or (
            _can_be_made(path) if self.status is None else os.access(path, os.W_OK)
        )
        if not usable:
            raise OutputError(path, f"its folder {folder} is not writable")
        self.path = path
        self.folder = folder
        self.is_device = is_device
        self.spool_folder: str | None = folder if has_room and not is_device else None
        self.offset = options.offset or 0
        self._options = options
        self._threads = threads
        self._hashed = hashed

    @property
    def name(self) -> str:
        return self.path

    def identity_test(self, source: str) -> Callable[[os.stat_result], bool] | None:
        own, root = self.status, os.path.realpath(source)
        if own is None or not _lies_in(self.folder, root):
            return None
        return partial(os.path.samestat, own)

    def refuse_inputs(self, paths: Iterable[str]) -> None:
        if self.status is not None:
            _refuse(self.path, self.status, paths)

    def available_bytes(self, what: str) -> int:
        if self.status is None or (self.is_device != (what == "device") and self.offset == 0):
            kind = "a block device" if what == "device" else "a file or device with an --offset"
            raise click.UsageError(f"--size {what} needs an --output that is {kind}")
        try:
            with open(self.path, "rb", buffering=0) as file:
                end = file.seek(0, os.SEEK_END)
        except OSError as error:
            raise output_error(self.path, error, 0) from error
        if end <= self.offset:
            raise OutputError(
                self.path, f"ends at byte {end}; no bytes follow --offset {self.offset}"
            )
        return end - self.offset

    def write(self, layout: Layout, **options: Any) -> Stored:
        digest, size = _sha256() if self._hashed else None, 0

        def watch(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if digest is not None:
                digest.update(data)

        stored = self._options
        watchers = _watchers(layout, stored)
        if watchers is not None:
            options["trailer"] = watchers.trailer
        compression = None
        if self.kind is not None:
            from ext4writer import Compression

            compression = Compression(stored.zstd_level, self._threads, watch)
        write_layout(
            layout,
            self.path,
            offset=stored.offset,
            sync=stored.sync,
            raw=stored.raw,
            format=stored.format,
            free_blocks=stored.free_blocks,
            compression=compression,
            watch=_watch(watchers, digest.update if digest and self.kind is None else None),
            **options,
        )
        sha256 = digest.hexdigest() if digest is not None else None
        facts = watchers.store() if watchers is not None else {}
        if self.kind is not None:
            return Stored(size, size, sha256, facts)
        disk = layout.size_bytes
        with suppress(OSError):  # the image is complete; the file may already have been moved
            disk = os.stat(self.path).st_blocks * 512
        return Stored(layout.size_bytes, disk, sha256, facts)


def _check_free_blocks(options: OutputOptions, *, is_device: bool, hashed: bool) -> None:
    """Raise unless ``--free-blocks`` suits the output, and no digest of its bytes is required."""
    if options.free_blocks == "zero":
        return
    if not is_device:
        raise click.UsageError(
            f"--free-blocks {options.free_blocks} needs an --output that is a block device"
        )
    if hashed or not options.dm_verity is options.bmap is options.chunks is None:
        raise click.UsageError(
            f"--free-blocks {options.free_blocks} leaves bytes on the device that no digest can "
            "cover; omit it to have digests, a hash tree or a block map"
        )


def _watchers(layout: Layout, options: OutputOptions) -> OutputWatchers | None:
    """What is computed while the image is written; None if nothing is."""
    if options.dm_verity is options.bmap is options.chunks is None:
        return None
    from .output_watchers import OutputWatchers

    return OutputWatchers(layout, options)


def _watch(
    watchers: OutputWatchers | None, other: Callable[[Buffer], object] | None
) -> Callable[[Buffer], object] | None:
    return watchers.watch(other) if watchers is not None else other


def _can_be_made(path: str) -> bool:
    """Whether a file can be created at ``path``, even if no other name in its directory can.

    A build sandbox may allow only its output.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        os.unlink(path)
    except OSError:
        return False
    return True


class StandardOutput:
    """Standard output, written at its current position without seeking."""

    is_stream = True
    writes_journal = True
    spool_folder: str | None = None
    name = "-"
    offset = 0

    def __init__(self, options: OutputOptions | None = None, *, hashed: bool = False) -> None:
        """``hashed`` computes a digest while writing, since the output may not be readable."""
        self._options = options or OutputOptions()
        self._hashed = hashed
        self._sync = self._options.sync
        if sys.stdout.isatty():
            raise OutputError(
                STANDARD_OUTPUT, "is a terminal; redirect it to a file or a pipe, or use -o IMAGE"
            )

    def identity_test(self, source: str) -> Callable[[os.stat_result], bool] | None:  # noqa: ARG002
        return _is_standard_output

    def refuse_inputs(self, paths: Iterable[str]) -> None:
        with suppress(OSError):
            _refuse(STANDARD_OUTPUT, os.fstat(sys.stdout.fileno()), paths)

    def available_bytes(self, what: str) -> int:
        raise click.UsageError(f"--size {what} needs an --output that is a file or a device")

    def _stream(self) -> _Unseekable:
        return _HashedStream() if self._hashed else _Unseekable()

    def write(self, layout: Layout, **options: Any) -> Stored:
        stream = self._stream()
        watchers = _watchers(layout, self._options)
        if watchers is not None:
            options |= {"trailer": watchers.trailer, "watch": watchers.watch(None)}
        write_layout(layout, stream, borrow=True, **options)
        stream.check(sync=self._sync)
        sha256 = stream.digest.hexdigest() if isinstance(stream, _HashedStream) else None
        return Stored(
            layout.size_bytes, 0, sha256, watchers.store() if watchers is not None else {}
        )


def standard_stream() -> _Unseekable:
    """Return a writer for standard output that has no buffer and does not seek."""
    return _Unseekable()


class _Unseekable:
    """Unbuffered standard output, treated as a stream even if it is a file.

    A pipe and a file thus give the same report; the shell chooses the position in a file.
    """

    name = STANDARD_OUTPUT

    def __init__(self) -> None:
        self._raw = io.FileIO(sys.stdout.fileno(), "wb", closefd=False)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        count: int | None = self._raw.write(data)
        while count is None:  # O_NONBLOCK was set elsewhere; try again
            from select import select

            select([], [self._raw], [])
            count = self._raw.write(data)
        return count

    def check(self, *, sync: bool) -> None:
        """Raise :class:`OutputError` for errors that a file system reports only on close.

        Closing any descriptor of the file reports them. ``sync`` waits for the disk.
        """
        try:
            if sync and not stat.S_ISFIFO(os.fstat(self.fileno()).st_mode):
                os.fsync(self.fileno())
            os.close(os.dup(self.fileno()))
        except OSError as error:
            if error.errno != errno.EINVAL:  # an output without a disk cannot be flushed
                raise output_error(STANDARD_OUTPUT, error, 0) from error

    def fileno(self) -> int:
        """The descriptor, by which a source recognizes the output."""
        return self._raw.fileno()

    def seekable(self) -> bool:
        return False


def _sha256() -> hashlib._Hash:
    import hashlib  # late: OpenSSL takes long to load

    return hashlib.sha256()


def _lies_in(folder: str, root: str) -> bool:
    """Whether ``folder`` is ``root`` or below it; both are real paths."""
    try:
        return os.path.commonpath([folder, root]) == root
    except ValueError:  # they are on different drives
        return False


class _HashedStream(_Unseekable):
    """Unbuffered standard output, and a digest of all bytes written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = _sha256()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        count = super().write(data)
        self.digest.update(memoryview(data)[:count])
        return count


def _refuse(name: str, own: os.stat_result, paths: Iterable[str]) -> None:
    if not (stat.S_ISREG(own.st_mode) or stat.S_ISBLK(own.st_mode)):
        return
    for path in paths:
        status = _status(path)
        if status is not None and os.path.samestat(own, status):
            raise OutputError(
                name, f"is {path}, which is read; an output does not overwrite its inputs"
            )


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
    destination: str, options: OutputOptions, *, threads: int = 1, hashed: bool = False
) -> Output:
    """The output that ``-o`` names.

    ``threads`` compress it if its name requests that; ``hashed`` computes a digest.
    """
    if destination != "-":
        threads = min(threads, COMPRESSING_MAX)
        return PathOutput(destination, options, threads=threads, hashed=hashed)
    if options.zstd_level is not None:
        raise click.UsageError("--zstd-level needs an --output whose name ends in .zst")
    if options.offset is not None:
        raise click.UsageError("--offset needs an --output that is a file or a device")
    if options.format not in (None, "raw"):
        raise click.UsageError(f"--format {options.format} needs an --output that is a file")
    _check_free_blocks(options, is_device=False, hashed=hashed)
    return StandardOutput(options, hashed=hashed)


def open_journal(path: str, image: str | None) -> PathOutput:
    """The file or device for the external journal of ``image``, which may be None or ``-``.

    Raises :class:`OutputError` if it cannot hold that journal.
    """
    journal = PathOutput(path)
    if journal.kind is not None:
        raise OutputError(path, "has the name of a compressed file; a journal is not compressed")
    if image is not None and os.path.realpath(path) == os.path.realpath(image):
        raise OutputError(path, "is the image itself; its journal needs another file")
    return journal


def open_text_output(destination: str) -> PathOutput:
    """The output for a text, which is not compressed whatever its name ends in."""
    output = PathOutput(destination, OutputOptions(raw=True))
    if output.is_device:
        raise OutputError(destination, "is a device; name a file")
    return output


def refuse_overwriting(
    files: Mapping[str, str], inputs: Sequence[str], images: Mapping[str, str | None]
) -> list[PathOutput]:
    """Raise :class:`OutputError` for one of ``files`` that is an input or written twice.

    It is also raised for one that cannot be created. ``files`` and ``images`` map options to
    paths; ``files`` are written after the images. Return the outputs that overwrite files made by
    earlier runs.
    """
    older = []
    made = {flag: path for flag, path in images.items() if path not in (None, "-")}
    for flag, path in files.items():
        output = open_text_output(path)
        output.refuse_inputs(inputs)
        if is_earlier_output(flag, path):
            older.append(output)
        for other, taken in made.items():
            if taken is not None and may_be_one_file(path, taken):
                raise OutputError(path, f"is named by {other} and {flag}; each needs its own file")
        made[flag] = path
    return older


def is_earlier_output(flag: str, path: str) -> bool:
    """Whether the file at ``path`` looks like one that an earlier run made for this option.

    Such a file is left out of a source that contains it; any other file there is the user's.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_SIZE)
    except OSError:
        return False
    first = head.partition(b"\n")[0]
    match flag:
        case "--bmap":
            return head.startswith(b"<?xml ") and b"<bmap version=" in head
        case "--chunks":
            offset, size, digest = [*first.split(b" "), b"", b"", b""][:3]
            return offset == b"0" and size.isdigit() and len(digest) == SHA256_DIGITS
        case "--dm-verity":
            from ext4writer.watchers.dm_verity import SIGNATURE

            return head.startswith(SIGNATURE)
        case "--save":
            return head.startswith(b"ext4writer plan ")
        case "--journal-device":
            return _is_journal_device(path)
        case _:
            return first == b"#mtree" or first.startswith(b"/ ")


def _is_journal_device(path: str) -> bool:
    from ext4writer.errors import Ext4WriterError
    from ext4writer.read import open_image

    try:
        with open_image(path) as image:
            return image.format.journal_dev
    except Ext4WriterError:
        return False


def write_text(text: memoryview, destination: str) -> None:
    """Write ``text`` to standard output for ``-``, or atomically replace a file."""
    if destination == "-":
        try:
            stream = _Unseekable()
            while text:
                text = text[stream.write(text) :]
            stream.check(sync=False)
        except OSError as error:
            raise OutputError(STANDARD_OUTPUT, error.strerror or str(error)) from error
        return
    path = open_text_output(destination).path
    try:
        write_file(os.fsencode(path), text)
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error


def print_report(text: str, output: Output | None) -> None:
    """Print ``text``, on standard error if the image goes to standard output."""
    to_stderr = output is not None and output.is_stream
    try:
        click.echo(text, err=to_stderr)
    except OSError as error:
        name = "standard error" if to_stderr else STANDARD_OUTPUT
        problem = error.strerror or str(error)
        if output is not None:
            problem += "; only the report is lost, the image is complete"
        raise OutputError(name, problem) from error
