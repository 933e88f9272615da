"""Decompression in pieces of bounded size: gzip, bzip2, xz and zstd, detected by their first bytes.

A file in each format may consist of several consecutive streams, as parallel compressors write.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

from ...errors import ArchiveError, LimitError, SourceError
from .limits import Limits

INPUT_BYTES = 64 << 10
OUTPUT_BYTES = 256 << 10
ZSTD_INPUT_BYTES = 1 << 10
"""Bytes of input at a time, because zstandard does not limit its output: 4 bytes of input can
expand to a block of 128 KiB."""

MAGIC_BYTES = 10


class ByteSource(Protocol):
    """Bytes read once, from front to back."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at least one and at most ``size``; none at the end."""
        ...


class _Stream(Protocol):
    """One compressed stream, with the methods of ``lzma.LZMADecompressor``."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """``zlib`` with the interface of :class:`_Stream`."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class _Zstd:
    """``zstandard`` with the interface of :class:`_Stream`; feeds it small pieces of input."""

    def __init__(self, max_window: int) -> None:
        from zstandard import ZstdDecompressor

        self._inner = ZstdDecompressor(max_window_size=max_window).decompressobj()
        self._data = b""
        self._position = 0

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return self._position >= len(self._data)

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data + self._data[self._position :]

    def decompress(self, data: bytes, max_length: int) -> bytes:  # noqa: ARG002
        if data:
            self._data = self._data[self._position :] + data
            self._position = 0
        piece = self._data[self._position : self._position + ZSTD_INPUT_BYTES]
        self._position += len(piece)
        return self._inner.decompress(piece) if piece else b""


def _bzip2(_: Limits) -> _Stream:
    import bz2  # late: some Pythons are built without it

    return bz2.BZ2Decompressor()


def _xz(limits: Limits) -> _Stream:
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.decoder_bytes)


_Opener = Callable[[Limits], _Stream]
_FORMATS: dict[str, tuple[Callable[[bytes], bool], _Opener]] = {
    "gzip": (lambda head: head.startswith(b"\x1f\x8b\x08"), lambda _: _Gzip()),
    "bzip2": (
        lambda head: head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"),
        _bzip2,
    ),
    "xz": (lambda head: head.startswith(b"\xfd7zXZ\0"), _xz),
    "zstd": (
        lambda head: (
            head.startswith(b"\x28\xb5\x2f\xfd")
            or (0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18")
        ),
        lambda limits: _Zstd(limits.decoder_bytes),
    ),
}
"""Name -> a test whether a stream begins with ten given bytes, and a function that opens it."""

_OTHERS = {
    b"\x1f\x9d": "compress",
    b"\x1f\xa0": "compress",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x89LZO": "lzop",
    b"LZIP": "lzip",
    b"\x5d\0\0": "lzma",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf\x27\x1c": "7-zip",
    b"Rar!": "RAR",
    b"070701": "cpio",
    b"070702": "cpio",
    b"070707": "cpio",
    b"!<arch>\n": "ar",
    b"hsqs": "SquashFS",
    b"\xed\xab\xee\xdb": "RPM",
    b"\x3a\xff\x26\xed": "Android sparse image",
    b"KDMV": "VMDK",
    b"conectix": "VHD",
    b"vhdxfile": "VHDX",
    b"\x45\x3d\xcd\x28": "cramfs",
    b"XFSB": "XFS",
    b"LUKS\xba\xbe": "LUKS",
    b"UBI#": "UBI",
    b"\x0d\0\0\0\0\0\0\0nix-archive-1": "NAR",
    b"\x7fELF": "ELF",
    b"%PDF-": "PDF",
}
_BOOT_SECTOR = 512
_CONTROLS = bytes({*range(0x20), 0x7F} - {*b"\t\n\f\r\x1b"})
"""Bytes that do not occur in text, which may however contain a terminal's escape."""


def compression_of(head: bytes) -> str | None:
    """The name of the compression that begins with ``head`` (ten bytes); None if unsupported."""
    if len(head) < MAGIC_BYTES:
        return None
    return next((name for name, (begins, _) in _FORMATS.items() if begins(head)), None)


def foreign_format(head: bytes) -> str | None:
    """The name of a known but unsupported format that begins with ``head``; None if unknown."""
    return next((name for magic, name in _OTHERS.items() if head.startswith(magic)), None)


def looks_like(head: bytes) -> str | None:
    """A description of data that begins with ``head`` (up to a block); None if unknown."""
    if head.translate(None, _CONTROLS) == head and _is_utf8(head):
        return "text"
    if head[_BOOT_SECTOR - 2 : _BOOT_SECTOR] == b"\x55\xaa":
        return "the boot sector of a disk"
    return None


def _is_utf8(head: bytes) -> bool:
    """Whether ``head`` is UTF-8; its last character may be incomplete."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def missing_decoder(path: bytes | str, name: str, error: ImportError) -> SourceError:
    """The error for data in the format ``name`` whose module cannot be imported."""
    if name == "zstd":
        why = "the package zstandard is not installed; try: pip install zstandard"
    else:
        why = f"this Python was built without the module {error.name}"
    return SourceError(path, f"is compressed with {name}, but {why}")


class Decoded:
    """The decompressed bytes of all streams in ``source``; ``path`` is its name in errors."""

    def __init__(self, source: ByteSource, name: str, path: bytes, limits: Limits) -> None:
        self.packed = 0
        """Number of bytes read from ``source``."""
        self.rest_bytes = 0
        """Number of bytes after the last stream that are not a stream, less surrounding zeros."""
        self._rest_from = 0
        self._source = source
        self._name = name
        self._begins, self._open = _FORMATS[name]
        self._path = path
        self._limits = limits
        self._ahead = b""
        """Bytes read from ``source`` and not yet decompressed."""
        try:
            self._stream: _Stream | None = self._open(limits)
        except ImportError as error:
            raise missing_decoder(path, name, error) from error

    def read(self, _size: int, /) -> bytes:
        """The next bytes, as many as one step of the decompressor yields; none at the end.

        Raises :class:`ArchiveError` for damaged or truncated data.
        """
        while self._stream is not None:
            starved = False
            data = b""
            if self._stream.needs_input:
                data = self._take()
                starved = not data
            try:
                found = self._stream.decompress(data, OUTPUT_BYTES)
            except (zlib.error, OSError, ValueError, EOFError) as error:
                raise self._damaged(error) from error
            except Exception as error:
                # These modules may not be imported, so their errors are known by name only.
                if type(error).__name__ not in ("ZstdError", "LZMAError"):
                    raise
                raise self._damaged(error) from error
            ended = self._stream.eof
            if ended:
                self._next_stream(self._stream.unused_data)
            if found:
                return found
            if starved and not ended:
                raise ArchiveError(
                    self._path, f"its {self._name} data is cut short after {self.packed} bytes"
                )
        return b""

    def rest(self) -> str | None:
        """The text in the report about skipped bytes; None if there were none."""
        if not self.rest_bytes:
            return None
        return (
            f"{self.rest_bytes} bytes after the end of its {self._name} data, starting at byte "
            f"{self._rest_from}, are not read"
        )

    def _take(self) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        data = self._source.read(INPUT_BYTES)
        self.packed += len(data)
        return data

    def _next_stream(self, rest: bytes) -> None:
        """Continue after a stream: with another stream, zero padding, or the end.

        Anything else is skipped to the end, as after the end of a plain archive.
        """
        # The last stream may be shorter: an empty zstd frame has 9 bytes, a skippable frame 8.
        while True:
            rest = rest.lstrip(b"\0")
            if len(rest) >= MAGIC_BYTES:
                break
            more = self._take()
            if not more:
                break
            rest += more
        if not rest:
            self._stream = None
            return
        if not self._begins(rest[:MAGIC_BYTES]):
            self._stream = None
            self._rest_from = self.packed - len(rest)
            passed = 0
            while rest:
                if used := len(rest.rstrip(b"\0")):
                    self.rest_bytes = passed + used
                passed += len(rest)
                rest = self._take()
            return
        self._ahead = rest
        self._stream = self._open(self._limits)

    def _damaged(self, error: Exception) -> ArchiveError:
        if self._name == "xz" and "emory" in str(error):
            return LimitError(
                self._path,
                "decoder_bytes",
                f"its xz data needs more than {self._limits.decoder_bytes} bytes of memory",
            )
        if "too much memory" in str(error):
            return LimitError(
                self._path,
                "decoder_bytes",
                f"its zstd data needs a window of more than {self._limits.decoder_bytes} bytes",
            )
        return ArchiveError(
            self._path,
            f"its {self._name} data is damaged before byte {self.packed}: {error}",
        )
