"""Opens the right sink for an output."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from ..content import O_BINARY, O_CLOEXEC, FileId, file_id, id_at
from ..errors import OutputError
from ..spans import Span
from .atomic_file import FORBIDDEN, is_mount_point
from .formats import DISKS, compression_of, disk_of
from .sink import Buffer, Sink, output_error

if TYPE_CHECKING:
    from .compressed import Compression
    from .disk_facts import DiskFacts, OldBytes
    from .file import FileSink
    from .region import RegionSink
    from .trailed import Trailer

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Output(Protocol):
    """An object with ``write``, such as the file of a socket; it receives the image in pieces."""

    def write(self, data: bytes, /) -> object:
        """Write ``data``; return the number of bytes written, or None for all."""
        ...


OutputLike = str | bytes | os.PathLike[str] | bytearray | BinaryIO | Output
"""Where an image can be written: a path, an open file, a ``bytearray``, or any :class:`Output`."""

DEVICES = b"/dev"
SHARED_MEMORY = b"/dev/shm"  # a file system for regular files, mounted inside /dev
PROCESSES = b"/proc/"
_OPEN_FILE = (
    rb"/dev/(?P<name>stdin|stdout|stderr)|/(?:dev|proc/(?:thread-)?self)/fd/(?P<fd>[0-9]{1,9})"
)
STANDARD_STREAMS = {b"stdin": 0, b"stdout": 1, b"stderr": 2}


def open_file_at(path: bytes) -> re.Match[bytes] | None:
    """Match a path that names a descriptor of this process; None for other paths."""
    if not path.startswith((b"/dev/", PROCESSES)):
        return None
    return re.fullmatch(_OPEN_FILE, path)


def open_sink(
    output: OutputLike,
    size: int,
    *,
    block_size: int = 0,
    offset: int | None = None,
    sync: bool = False,
    borrow: bool = False,
    raw: bool = False,
    compression: Compression | None = None,
    disk: str | None = None,
    facts: DiskFacts | None = None,
    old: OldBytes | None = None,
    watch: Callable[[Buffer], object] | None = None,
    trailer: Trailer | None = None,
) -> Sink:
    """Return the sink for ``output`` and an image of ``size`` bytes; see ``write_image``.

    ``size``, ``block_size`` and ``offset`` are in bytes. ``block_size`` is checked against the
    sectors of a device. ``old`` is for devices only. Raises :class:`OutputError`.
    """
    if offset is not None and offset < 0:
        raise OutputError(name_of(output), f"the offset {offset} is negative")
    if old is not None:
        return _open_keeping(output, size, block_size, offset, disk, old)
    if trailer is not None:
        from .trailed import TrailedSink

        inner = open_sink(
            output,
            size + trailer.area_size,
            block_size=block_size,
            offset=offset,
            sync=sync,
            borrow=borrow,
            raw=raw,
            compression=compression,
            disk=disk,
            facts=facts,
        )
        trailed = TrailedSink(inner, size, trailer)
        return trailed if watch is None else _watched(trailed, watch)
    kind = "raw" if raw else disk
    if isinstance(output, str | bytes | os.PathLike) and kind is None:
        kind = disk_of(os.fsencode(output))
    if kind is not None and kind in DISKS.values():
        sink = _open_disk(output, size, kind, offset, sync, facts)
    else:
        raw = kind == "raw"
        sink = _open(output, size, block_size, offset, sync, borrow, raw, compression)
    if watch is None:
        return sink
    return _watched(sink, watch)


def _open_keeping(
    output: OutputLike,
    size: int,
    block_size: int,
    offset: int | None,
    disk: str | None,
    old: OldBytes,
) -> Sink:
    """The sink for a device that keeps or discards the bytes the file system never reads."""
    from .region import RegionSink

    if disk in (None, "raw") and _is_device(output):
        sink = _open(output, size, block_size, offset, False, True, True, None)
        if isinstance(sink, RegionSink):  # every device, unless it is open for appending
            sink.keep(old)
            return sink
        sink.abort()
    raise OutputError(
        name_of(output),
        "is not a block device; only on block devices can free blocks be other than zeros; "
        "leave out free_blocks",
    )


def _is_device(output: OutputLike) -> bool:
    """Whether ``output`` is a block device, by path or open; opens nothing."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        if isinstance(output, str | bytes | os.PathLike):
            return stat.S_ISBLK(os.stat(output).st_mode)
        return stat.S_ISBLK(os.fstat(output.fileno()).st_mode)  # type: ignore[union-attr]
    return False


def _watched(sink: Sink, watch: Callable[[Buffer], object]) -> Sink:
    from .watched import WatchedSink  # imports concurrent.futures

    return WatchedSink(sink, watch)


def _open(
    output: OutputLike,
    size: int,
    block_size: int,
    offset: int | None,
    sync: bool,
    borrow: bool,
    raw: bool,
    compression: Compression | None,
) -> Sink:
    if isinstance(output, bytearray):
        from .memory import MemorySink

        return MemorySink(output, size, start=offset)
    if isinstance(output, str | bytes | os.PathLike):
        return _open_path(os.fsencode(output), size, block_size, offset, sync, raw, compression)
    file: Any = output
    if not hasattr(file, "write"):
        raise OutputError(name_of(file), f"{file!r:.80} is neither a path nor a binary file")
    if isinstance(file, io.TextIOBase):
        raise OutputError(name_of(file), "is not a binary file; open it with mode 'wb'")
    return _open_file(file, size, block_size, offset, sync=sync, borrow=borrow)


def _open_disk(
    output: OutputLike,
    size: int,
    kind: str,
    offset: int | None,
    sync: bool,
    facts: DiskFacts | None,
) -> Sink:
    """The sink for a virtual disk, which is always a new file."""
    name = name_of(output)
    if not isinstance(output, str | bytes | os.PathLike) or replaced_path(output) is None:
        raise OutputError(name, f"a {kind} disk must be a new file; give the path of one")
    if offset is not None:
        raise OutputError(name, f"a {kind} disk cannot be written inside another file")
    path = os.fsencode(output)
    check_path(path, size)
    from .disk_facts import DiskFacts
    from .disks import open_disk

    return open_disk(kind, path, size, facts or DiskFacts(bytes(16), 0, ()), sync=sync)


def may_be_one_file(output: OutputLike, other: OutputLike) -> bool:
    """Whether two outputs are the same object, name, file or device."""
    if output is other:
        return True
    first, second = output_id(output), output_id(other)
    if first is not None and second is not None and first[0] == second[0]:
        return True
    paths = [
        os.path.realpath(os.fsencode(each))
        for each in (output, other)
        if isinstance(each, str | bytes | os.PathLike)
    ]
    return len(paths) == 2 and paths[0] == paths[1]


def output_id(output: OutputLike) -> tuple[FileId, int] | None:
    """The identity and the size in bytes of an existing output; None if there is none yet."""
    try:
        if isinstance(output, str | bytes | os.PathLike):
            status = os.stat(output)
        else:
            os.fsencode(name_of(output))  # raises ValueError for what directories_above cannot use
            status = os.fstat(output.fileno())  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return None
    return file_id(status), status.st_size


def directories_above(output: OutputLike, identity: FileId) -> Iterator[FileId]:
    """Yield the identities of the directories above an output that lies at its path."""
    path = os.fsencode(name_of(output))
    if id_at(path) != identity:
        return
    path = os.path.realpath(path)
    while os.path.split(path)[1]:
        path = os.path.split(path)[0]
        above = id_at(path)
        if above is not None:
            yield above


def replaced_path(output: OutputLike) -> bytes | None:
    """The path of the output if a new file replaces it; None if it is written in place."""
    if not isinstance(output, str | bytes | os.PathLike):
        return None
    path = os.path.realpath(os.fsencode(output))
    if open_file_at(os.fsencode(output)) or path.startswith(PROCESSES):
        return None
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return path
    return path if is_file and not is_mount_point(path) else None


def name_of(file: Any) -> bytes | str:
    """The name of an output in errors."""
    if isinstance(file, str | bytes):
        return file
    if isinstance(file, os.PathLike):
        return os.fsencode(file)
    name = getattr(file, "name", None)
    return name if isinstance(name, str | bytes) else "(output)"


# -- paths -----------------------------------------------------------------------------------------


def _open_path(
    path: bytes,
    size: int,
    block_size: int,
    offset: int | None,
    sync: bool,
    raw: bool,
    compression: Compression | None,
) -> Sink:
    if not path:
        raise OutputError("(output)", "a file name cannot be empty")
    open_already = open_file_at(path)
    if open_already is not None:
        return _open_again(path, open_already, size, block_size, offset, sync)
    status = check_path(path, size, is_part=offset is not None)
    if status is not None and not stat.S_ISREG(status.st_mode):
        if stat.S_ISBLK(status.st_mode):
            from .device import open_device

            return open_device(path, size, start=offset or 0, block_size=block_size)
        if offset is not None:
            raise OutputError(
                path, "is neither a file nor a block device, so an offset is impossible"
            )
        from .stream import StreamSink

        return StreamSink(_opened(path, size), size, name=path, owned=True, borrow=True)
    kind = None if raw else compression_of(path)
    if offset is not None:
        if kind is not None:
            raise OutputError(
                path, "has the suffix of a compressed file; an image cannot be written inside it"
            )
        return _open_part(path, size, offset, sync)
    if path.startswith(PROCESSES):
        return _open_part(path, size, 0, sync)  # an open file of another process
    if kind is not None:
        from .compressed import CompressedSink, Compression

        return CompressedSink(path, size, kind, compression or Compression(), sync=sync)
    from .path import PathSink

    if status is None:
        return PathSink(path, size, sync=sync)
    if is_mount_point(path):
        return _open_part(path, size, 0, sync, replaces=True)
    try:
        return PathSink(path, size, sync=sync)
    except OutputError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in FORBIDDEN:
            raise
        if status.st_nlink > 1:
            raise  # a file that may have other names
        # No file can be created next to it, but the file itself may be writable.
        try:
            return _open_part(path, size, 0, sync, replaces=True)
        except OutputError:
            raise error from error.__cause__


def check_path(path: bytes, size: int = 0, *, is_part: bool = False) -> os.stat_result | None:
    """The status of ``path``, following links; None for a missing file that can be created.

    With ``is_part``, the image goes inside an existing file. Raises :class:`OutputError` for a
    directory, a dangling link, a missing device, and with ``is_part`` for a missing file.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.islink(path):
            target = os.path.realpath(path)
            raise OutputError(
                path, f"is a link to {os.fsdecode(target)}, which does not exist"
            ) from error
        if _is_among_devices(path):
            raise OutputError(
                path, "does not exist as a device, and files do not belong in /dev"
            ) from error
        if is_part:
            raise OutputError(
                path, "does not exist; an offset is only possible in an existing file"
            ) from error
        return None
    except (OSError, ValueError) as error:
        raise output_error(path, error, size) from error
    if stat.S_ISDIR(status.st_mode):
        raise output_error(path, IsADirectoryError(errno.EISDIR, ""), size)
    return status


def _is_among_devices(path: bytes) -> bool:
    """Whether a new file at ``path`` would be in /dev, where regular files do not belong."""
    folder = os.path.realpath(os.path.split(path)[0] or b".")
    devices = os.path.realpath(DEVICES)
    try:
        device = os.stat(devices).st_dev
        if _lies_in(folder, SHARED_MEMORY):
            return os.stat(SHARED_MEMORY).st_dev == device
        if _lies_in(folder, devices):
            return True
        # The same file system under another name, such as /mnt/dev.
        return os.stat(folder).st_dev == device != os.stat(b"/").st_dev
    except OSError:
        return _lies_in(folder, devices)


def _lies_in(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")


def _opened(path: bytes, size: int) -> io.FileIO:
    try:
        return io.FileIO(os.open(path, os.O_WRONLY | O_CLOEXEC | O_BINARY), "w")
    except OSError as error:
        raise output_error(path, error, size) from error


def _open_part(
    path: bytes, size: int, start: int, sync: bool, *, replaces: bool = False
) -> RegionSink | FileSink:
    """The sink for a region of an existing file; with ``replaces``, for all of it."""
    if not hasattr(os, "pwrite"):  # Windows
        from .file import FileSink

        file = open(path, "r+b")  # noqa: SIM115
        end = file.seek(0, os.SEEK_END)
        return FileSink(file, size, name=path, start=start, end=end, owned=True)
    try:
        fd = os.open(path, os.O_RDWR | O_CLOEXEC | O_BINARY)
    except OSError:
        try:
            fd = os.open(path, os.O_WRONLY | O_CLOEXEC | O_BINARY)
        except OSError as error:
            raise output_error(path, error, size) from error
    try:
        end = os.fstat(fd).st_size
        if not replaces and start + size > end:
            from .device import too_small

            raise too_small(path, end, start, size)
    except BaseException:
        os.close(fd)
        raise
    from .region import RegionSink

    return RegionSink(
        path,
        fd,
        size,
        start=start,
        end=end,
        path=os.path.realpath(path),
        close=partial(os.close, fd),
        replaces=replaces,
        sync=sync,
    )


def _open_again(
    path: bytes,
    matched: re.Match[bytes],
    size: int,
    block_size: int,
    offset: int | None,
    sync: bool,
) -> Sink:
    """The sink for a path that names an open file; it writes at the position of that file."""
    fd = int(matched["fd"]) if matched["name"] is None else STANDARD_STREAMS[matched["name"]]
    try:
        file = io.FileIO(os.dup(fd), "w")
    except OSError as error:
        raise output_error(path, error, size) from error
    try:
        return _open_file(file, size, block_size, offset, sync=sync, borrow=True, name=path)
    except BaseException:
        file.close()
        raise


# -- open files ------------------------------------------------------------------------------------


def _open_file(
    file: Any,
    size: int,
    block_size: int,
    offset: int | None,
    *,
    sync: bool,
    borrow: bool,
    name: bytes | None = None,
) -> Sink:
    """The sink for an object with ``write``, starting at ``offset`` or its current position.

    With ``name``, the object was opened for this image and is closed when done.
    """
    owned = name is not None
    shown = name_of(file) if name is None else name
    fd = None
    try:
        if getattr(file, "closed", False):
            raise ValueError("I/O operation on closed file")
        fd = _plain_descriptor(file)
        if callable(getattr(file, "writable", None)) and not file.writable():
            raise OutputError(shown, "is not open for writing; open it with mode 'r+b' or 'wb'")
        place = _place_in_object(file, offset) if fd is None else _place_in_file(file, fd, offset)
    except (OSError, ValueError) as error:
        raise output_error(shown, error, size) from error
    if place is None:
        if offset is not None:
            raise OutputError(shown, "cannot seek, or only appends, so an offset is impossible")
        from .stream import StreamSink

        flushed = partial(os.fsync, fd) if sync and fd is not None and _can_flush(fd) else None
        return StreamSink(file, size, name=shown, owned=owned, borrow=borrow, flushed=flushed)
    from .device import device_name, is_block_device, open_device, too_small

    start, end = place
    if fd is not None and is_block_device(fd):
        device = device_name(fd)
        if device is None:
            raise OutputError(shown, "is a device that cannot be reopened; give its path")
        return open_device(device, size, start=start, block_size=block_size, name=shown, file=file)
    if start < end < start + size:
        raise too_small(shown, end, start, size)
    if fd is None:
        from .file import FileSink

        return FileSink(file, size, name=shown, start=start, end=end, owned=owned)
    from .region import RegionSink

    close = file.close if owned else None
    return RegionSink(shown, fd, size, start=start, end=end, file=file, close=close, sync=sync)


def _place_in_file(file: Any, fd: int, offset: int | None) -> Span | None:
    """The span from the first byte of the image to the end of the file; None for a stream."""
    status = os.fstat(fd)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)) or _appends(file):
        return None
    file.flush()
    return Span(file.tell() if offset is None else offset, os.fstat(fd).st_size)


def _place_in_object(file: Any, offset: int | None) -> Span | None:
    """The same for other objects. Some compressing objects claim to be seekable and are not."""
    try:
        if not file.seekable() or _appends(file):
            return None
        position: int = file.tell()
        end: int = file.seek(0, os.SEEK_END)
        file.seek(position)
    except (AttributeError, ValueError, OSError):
        return None
    return Span(position if offset is None else offset, end)


def _can_flush(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode)


def _appends(file: BinaryIO) -> bool:
    """Whether the file is open with O_APPEND, so that every write goes to its end."""
    try:
        return bool(fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND)
    except (OSError, AttributeError):
        return "a" in str(getattr(file, "mode", ""))


def _plain_descriptor(file: Any) -> int | None:
    """The descriptor of ``file``, if writing to either is the same; otherwise None.

    Writing to the descriptor of a compressing object, for example, is not the same.
    """
    if not hasattr(os, "pwrite"):
        return None
    if type(file).__module__ == "tempfile":
        file = getattr(file, "file", file)
    raw = file.raw if isinstance(file, io.BufferedWriter | io.BufferedRandom) else file
    return raw.fileno() if isinstance(raw, io.FileIO) else None
