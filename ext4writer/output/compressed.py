"""Images compressed while they are written; the disk never holds the uncompressed image.

The compressors are loaded on first use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from struct import pack
from typing import Any, Protocol

from ..bits import low_32
from ..checked import check_fields, refuse_unknown
from ..errors import OutputError
from ..late_dataclasses import dataclass
from .atomic_file import FORBIDDEN, FileInPlace, NewFile, is_mount_point
from .path import new_file
from .sink import Buffer, output_error
from .stream import StreamSink

LEVELS = {"zstd": (1, 22, 3), "gzip": (1, 9, 6), "xz": (0, 9, 6)}
"""Format -> lowest, highest and default level."""


@dataclass(frozen=True)
class Compression:
    """How to compress an image whose name has the suffix of a compressed file.

    The bytes depend on the level and the version of the compressor, not on ``threads``.
    """

    _refuse_unknown = refuse_unknown

    level: int | None = None
    """``None`` is 3 for zstd and 6 for gzip and xz."""
    threads: int = 1
    """Number of compressing threads; only zstd uses several."""
    watch: Callable[[bytes], object] | None = None
    """Called with all bytes of the compressed file in order, for example a digest's ``update``."""

    def __post_init__(self) -> None:
        """Raises :class:`SpecError` for a value of the wrong type."""
        check_fields(self)


class Encoder(Protocol):
    """The interface of the compressors."""

    def compress(self, data: Buffer, /) -> bytes: ...

    def flush(self) -> bytes: ...


class CompressedSink(StreamSink):
    """A file with one frame (zstd), stream (xz) or member (gzip), named ``path`` when complete."""

    def __init__(
        self, path: bytes, size: int, kind: str, compression: Compression, *, sync: bool = False
    ) -> None:
        """``kind`` is a key of ``LEVELS``. Raises :class:`OutputError`."""
        least, most, usual = LEVELS[kind]
        level = usual if compression.level is None else compression.level
        if not least <= level <= most:
            raise OutputError(path, f"{level} is not a level of {kind}; use {least} to {most}")
        self._sync = sync
        self._encoded = _Encoded(path, kind, compression, level, size)
        super().__init__(self._encoded, size, name=path, borrow=True)

    def finish(self) -> None:
        try:
            self._fill_to(self.size)
            self._encoded.finish(sync=self._sync)
        except (OSError, ValueError) as error:
            raise self.failure(error) from error

    def abort(self) -> None:
        self._encoded.abort()


def _file_at(path: bytes, size: int) -> NewFile | FileInPlace:
    """The file that will be named ``path``; raises :class:`OutputError` if it cannot be written."""
    denied: OutputError | None = None
    if not is_mount_point(path):
        try:
            return new_file(path, size)
        except OutputError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in FORBIDDEN:
                raise
            denied = error
    # The file cannot be replaced, but it may still be writable.
    try:
        if denied is not None and os.stat(path).st_nlink > 1:
            raise denied  # its other names would see the new content
        return FileInPlace(path)
    except OSError as error:
        raise (denied or output_error(path, error, size)) from error


class _Encoded:
    """A file object for :class:`StreamSink` that compresses the bytes of the image."""

    def __init__(
        self, path: bytes, kind: str, compression: Compression, level: int, size: int
    ) -> None:
        self._path = path
        self._kind = kind
        self._watch = compression.watch
        self._compressor_errors = _compressor_errors(kind, path)
        self._file = _file_at(path, size)
        try:
            self._encoder = _ENCODERS[kind](level, compression.threads, size)
        except self._compressor_errors as error:
            raise self._failure(error) from error
        except BaseException:
            self.abort()
            raise

    def write(self, data: Buffer) -> int:
        try:
            encoded = self._encoder.compress(data)
        except self._compressor_errors as error:
            raise self._failure(error) from error
        self._keep(encoded)
        return len(data)

    def finish(self, *, sync: bool) -> None:
        try:
            encoded = self._encoder.flush()
        except self._compressor_errors as error:
            raise self._failure(error) from error
        self._keep(encoded)
        self._file.commit(sync=sync)

    def abort(self) -> None:
        self._file.abort()

    def _keep(self, encoded: bytes) -> None:
        if encoded:
            if self._watch is not None:
                self._watch(encoded)
            self._file.write(encoded)

    def _failure(self, error: BaseException) -> OutputError:
        self.abort()
        # Compressors only fail for lack of memory or threads.
        reason = str(error) or "there is not enough memory"
        return OutputError(
            self._path,
            f"cannot be compressed with {self._kind}: {reason}; "
            "a lower level or fewer threads use less memory",
        )


def _compressor_errors(kind: str, path: bytes) -> tuple[type[BaseException], ...]:
    """The exceptions that the compressor raises."""
    if kind == "zstd":
        try:
            from zstandard import ZstdError
        except ImportError as error:
            raise OutputError(
                path,
                "cannot be compressed with zstd: the package zstandard is not installed; "
                "try: pip install zstandard",
            ) from error
        return ZstdError, MemoryError
    if kind == "xz":
        try:
            from lzma import LZMAError
        except ImportError as error:
            raise OutputError(
                path,
                "cannot be compressed with xz: this Python was built without the module lzma",
            ) from error

        return LZMAError, MemoryError
    import zlib

    return zlib.error, MemoryError


def _zstd(level: int, threads: int, size: int) -> Encoder:
    """One frame, with the size of the image in its header and a checksum at its end.

    This is always the multi-threaded compressor, whose output does not depend on ``threads``.
    """
    from zstandard import ZstdCompressor

    compressor = ZstdCompressor(level=level, threads=threads, write_checksum=True)
    encoder: Encoder = compressor.compressobj(size=size)
    return encoder


def _xz(level: int, threads: int, size: int) -> Encoder:  # noqa: ARG001
    """One stream with a CRC64, as xz writes it."""
    from lzma import CHECK_CRC64, FORMAT_XZ, LZMACompressor

    return LZMACompressor(format=FORMAT_XZ, check=CHECK_CRC64, preset=level)


class _Gzip:
    """RFC 1952: one member without name and time, like ``gzip -n``, from an unknown system.

    zlib could write the header, too, but it would name the system it was built for.
    """

    def __init__(self, level: int, threads: int, size: int) -> None:  # noqa: ARG002
        import zlib

        self._crc32: Callable[[Buffer, int], int] = zlib.crc32
        self._deflate: Any = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = self._size = 0
        fastest_or_best = {1: 4, 9: 2}.get(level, 0)
        self._header = pack("<4BIBB", 0x1F, 0x8B, zlib.DEFLATED, 0, 0, fastest_or_best, 255)

    def compress(self, data: Buffer, /) -> bytes:
        self._crc = self._crc32(data, self._crc)
        self._size += len(data)
        encoded: bytes = self._header + self._deflate.compress(data)
        self._header = b""
        return encoded

    def flush(self) -> bytes:
        rest: bytes = self._header + self._deflate.flush()
        return rest + pack("<II", self._crc, low_32(self._size))


_ENCODERS: dict[str, Callable[[int, int, int], Encoder]] = {
    "zstd": _zstd,
    "gzip": _Gzip,
    "xz": _xz,
}
