"""Reads store objects from Nix archives, and verifies the archives.

An uncompressed archive stays in place. The others are decompressed once into a shared temporary
file without a name, each into a separate range, so that several threads can do this.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import BinaryIO

from ..arithmetic import round_up
from ..content import Content, read_at, write_at
from ..errors import ArchiveError, LimitError, OutputError, SourceError, SpecError
from ..late_dataclasses import dataclass, replace
from ..progress import Cancel, check_cancelled
from ..slices import FileSliceContent, HeldFile
from ..sources.nar_archive import read_nar, read_nar_file
from ..sources.tar_archive.decoders import Decoded
from ..sources.tar_archive.inputs import Counted
from ..sources.tar_archive.limits import DEFAULT_LIMITS, MIB, Limits, Usage
from ..tree import Node
from .decompression import FORMATS
from .errors import NixError
from .hashes import to_base32
from .hashing import check_hash, in_parallel
from .registration import PathInfo
from .store_paths import full_path

CHUNK = 1 << 20
SpoolMaker = Callable[[], BinaryIO]
"""Creates a file without a name, or returns the one it created earlier; called only if needed."""

SPOOL = "the temporary file for archives"
ALIGNMENT = 4096
"""Archives in the temporary file begin at multiples of this, so the kernel can share blocks."""

RATIO_FROM = 128 * MIB
"""Decompressed bytes from which ``Limits.ratio`` applies: few stores consist mostly of zeros."""
DECODER_BYTES = 80 * MIB
"""Memory for a decompressor that each thread always has; ``xz -9`` needs 65 MiB."""


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive of one store object, and its expected hashes and sizes, if known."""

    name: str
    path: str
    compression: str
    info: PathInfo | None = None
    file_hash: bytes | None = None
    file_size: int | None = None


class Unpacked:
    """The temporary file; ``size`` is the number of bytes reserved in it."""

    def __init__(self, spool: SpoolMaker | None) -> None:
        self._spool = spool
        self.size = 0

    def reserve(self, count: int) -> int:
        """Reserve ``count`` bytes; return their byte offset."""
        start = self.size
        self.size += round_up(count, ALIGNMENT)
        return start

    @cached_property
    def held(self) -> HeldFile:
        """The file, for slices of it; it has no holes."""
        if self._spool is None:
            raise SpecError("spool", "is needed to unpack compressed archives; give one")
        return HeldFile(os.dup(self._spool().fileno()), SPOOL.encode(), dense=True)

    def write(self, data: bytes, offset: int) -> None:
        """Write all of ``data``; raises :class:`OutputError`."""
        view, fd = memoryview(data), self.held.fd
        try:
            while view:
                count = write_at(fd, view, offset)
                view, offset = view[count:], offset + count
        except OSError as error:
            raise self._error(error.strerror) from error
        except OverflowError:
            raise self._error("the archives declare more bytes than a file can have") from None

    def _error(self, problem: str | None) -> OutputError:
        return OutputError(SPOOL, f"cannot be written: {problem}")


def read_archives(
    archives: Sequence[Archive],
    spool: SpoolMaker | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    workers: int = 1,
    cancel: Cancel | None = None,
) -> tuple[dict[str, Node], int]:
    """Read ``archives``; return the objects by name and the bytes used in the temporary file.

    Known hashes and sizes of an archive are verified. Raises ``NixError`` with the path for a wrong
    hash or size and for damaged or truncated compressed data, :class:`SourceError` for an archive
    in another form than Nix writes, and :class:`LimitError` if all archives together exceed
    ``limits``.
    """
    for archive in archives:
        if archive.compression not in FORMATS:
            raise NixError(
                archive.path,
                f"is compressed with {archive.compression!r}; only {', '.join(FORMATS)} are known",
            )
    unpacked = Unpacked(spool)
    usage = Usage(SPOOL.encode(), limits, RATIO_FROM)
    share = replace(limits, decoder_bytes=_share(limits, workers))
    alone = threading.Lock()
    nodes: dict[str, Node] = {}
    places: dict[str, int] = {}
    for archive in archives:
        if archive.compression != "none":
            if archive.info is None:
                # Its size is unknown, so its range is the last one of the file so far.
                nodes[archive.name] = _unpack(
                    archive, unpacked, unpacked.size, usage, limits, cancel
                )
            else:
                places[archive.name] = unpacked.reserve(archive.info.nar_size)
    if places:
        unpacked.held  # noqa: B018  # created once, before several threads use it
    by_name = {archive.name: archive for archive in archives if archive.name not in nodes}

    def read(name: str) -> None:
        archive = by_name[name]
        if name not in places:
            nodes[name] = _read_plain(archive, usage, cancel)
            return
        try:
            nodes[name] = _unpack(archive, unpacked, places[name], usage, share, cancel)
        except LimitError as error:
            if error.limit != "decoder_bytes" or share == limits:
                raise
            # It needs more than its share of the memory; one thread at a time may use all of it.
            with alone:
                nodes[name] = _unpack(archive, unpacked, places[name], usage, limits, cancel)

    def cost(name: str) -> tuple[int, str]:
        info = by_name[name].info
        return (-info.nar_size if info is not None else 0, name)

    in_parallel(read, sorted(by_name, key=cost), workers, cancel)
    return {archive.name: nodes[archive.name] for archive in archives}, unpacked.size


def _share(limits: Limits, workers: int) -> int:
    """Bytes of memory for the decompressor of each of ``workers`` threads."""
    return min(limits.decoder_bytes, max(DECODER_BYTES, limits.decoder_bytes // workers))


def _read_plain(archive: Archive, usage: Usage, cancel: Cancel | None) -> Node:
    """Read an uncompressed archive in place."""
    if archive.info is not None:
        file = _Hashed(archive, cancel)
        with file.raw:
            while file.read(CHUNK):
                pass
        file.check()
        _check_size(archive, archive.info, file.size)
        check_hash(archive.info, file.digest.digest())
    return read_nar_file(os.fsencode(archive.path), usage)


def _unpack(
    archive: Archive,
    unpacked: Unpacked,
    start: int,
    usage: Usage,
    limits: Limits,
    cancel: Cancel | None,
) -> Node:
    """Decompress an archive to byte ``start`` of the temporary file, and read it there.

    ``limits`` apply to the decompressor, the limits of ``usage`` to everything else.
    """
    file = _Hashed(archive, cancel)
    with file.raw:
        digest, size = _decompress(archive, file, unpacked, start, usage, limits)
        # The hash of the file also covers data after the compressed stream.
        while file.read(CHUNK):
            pass
    file.check()
    if archive.info is None:
        place = unpacked.reserve(size)
        assert place == start
    else:
        _check_size(archive, archive.info, size)
        check_hash(archive.info, digest)

    def read(offset: int, count: int) -> bytes:
        data = memoryview(bytearray(count))
        return bytes(data[: read_at(unpacked.held.fd, data, start + offset)])

    held = unpacked.held

    def make_content(offset: int, length: int) -> Content:
        return FileSliceContent(held, start + offset, length)

    return read_nar(read, size, make_content, os.fsencode(archive.path), usage)


def _decompress(
    archive: Archive,
    file: _Hashed,
    unpacked: Unpacked,
    start: int,
    usage: Usage,
    limits: Limits,
) -> tuple[bytes, int]:
    """Decompress the entire stream; return the hash and the number of its bytes."""
    digest, size = hashlib.sha256(), 0
    most = None if archive.info is None else archive.info.nar_size
    path = os.fsencode(archive.path)
    try:
        decoded = Decoded(file, archive.compression, path, limits)
        stream = Counted(decoded, path, usage)
        while data := stream.read(CHUNK):
            if most is not None and size + len(data) > most:
                raise _wrong_size(archive, f"more than the {most} bytes that are declared")
            digest.update(data)
            unpacked.write(data, start + size)
            size += len(data)
        if decoded.rest_bytes:
            # As for an uncompressed archive, data after the end is refused.
            problem = f"{decoded.rest_bytes} bytes follow its {archive.compression} data"
            raise NixError(archive.path, problem)
    except LimitError:
        raise
    except ArchiveError as error:
        raise NixError(archive.path, error.problem) from error
    return digest.digest(), size


def _check_size(archive: Archive, info: PathInfo, size: int) -> None:
    """Raise ``NixError`` unless ``size``, the uncompressed size in bytes, is the registered one."""
    if size < info.nar_size:
        # Not every truncated stream is detected by its decompressor.
        raise _wrong_size(
            archive, f"{size} bytes, so it is cut short: {info.nar_size} are declared"
        )
    if size > info.nar_size:
        raise _wrong_size(archive, f"{size} bytes, more than the {info.nar_size} that are declared")


def _wrong_size(archive: Archive, counts: str) -> NixError:
    problem = f"its archive {archive.path} has {counts}"
    return NixError(full_path(archive.name), problem)


class _Hashed:
    """The file of an archive, hashed as it is read."""

    def __init__(self, archive: Archive, cancel: Cancel | None) -> None:
        self._archive = archive
        self._cancel = cancel
        self.digest = hashlib.sha256()
        self.size = 0
        self.raw = _open(archive.path)
        size = os.fstat(self.raw.fileno()).st_size
        if archive.file_size is not None and size != archive.file_size:
            self.raw.close()
            raise NixError(
                archive.path, f"has {size} bytes, and its narinfo says {archive.file_size}"
            )

    def read(self, size: int = -1, /) -> bytes:
        check_cancelled(self._cancel)
        try:
            data = self.raw.read(size)
        except OSError as error:
            raise SourceError(self._archive.path, f"cannot be read: {error.strerror}") from error
        self.digest.update(data)
        self.size += len(data)
        return data

    def check(self) -> None:
        """Raise ``NixError`` if the hash of the file, which was read, is not that of the cache."""
        archive = self._archive
        if archive.file_hash is not None and self.digest.digest() != archive.file_hash:
            raise NixError(
                archive.path,
                f"has the hash sha256:{to_base32(self.digest.digest())}, and its narinfo says "
                f"sha256:{to_base32(archive.file_hash)}",
            )


def beginning(path: str, count: int) -> bytes:
    """The first ``count`` bytes of a file; raises :class:`SourceError`."""
    try:
        with _open(path) as file:
            return file.read(count)
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error


def _open(path: str) -> BinaryIO:
    """Open a regular file without a buffer. A pipe is refused: it could not be read twice."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise SourceError(path, "is not a regular file, so it cannot be an archive")
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error
