"""Decompresses the archives of binary caches, whatever they hold in little memory."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from typing import Any, BinaryIO, Protocol, cast

FORMATS = ("none", "xz", "bzip2", "gzip", "zstd")
"""The names that a narinfo gives them."""

MAGIC = {
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
}
MAGIC_BYTES = max(map(len, MAGIC))


class ByteStream(Protocol):
    """What is read forwards."""

    def read(self, size: int = -1, /) -> bytes: ...


def format_of(beginning: bytes) -> str:
    """Tell the compression by the first bytes of a file."""
    for magic, name in MAGIC.items():
        if beginning.startswith(magic):
            return name
    return "none"


def decompressed(file: ByteStream, compression: str) -> ByteStream:
    """A stream of what ``file`` holds; reading may raise one of :func:`damage`."""
    raw = cast(BinaryIO, file)
    if compression == "xz":
        return lzma.LZMAFile(raw)
    if compression == "bzip2":
        return bz2.BZ2File(raw)
    if compression == "gzip":
        return gzip.GzipFile(fileobj=raw)
    if compression == "zstd":
        return _ZstdFrames(file)
    assert compression == "none"
    return file


class _ZstdFrames:
    """What the Zstandard frames of ``file`` hold, one behind the other.

    The reader of the package takes a frame that ends early for whole; here it is an ``EOFError``.
    """

    READ_BYTES = 64 << 10
    STEP_BYTES = 1 << 10
    """Taken in one go: a block of four bytes can stand for 128 KiB, so these for 32 MiB."""

    def __init__(self, file: ByteStream) -> None:
        self._file = file
        self._frame: Any = None
        self._input = memoryview(b"")
        self._output = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes; none at the end."""
        assert size > 0
        pieces = [self._output[:size]]
        self._output = self._output[size:]
        left = size - len(pieces[0])
        while left:
            more = self._step()
            if more is None:
                break
            pieces.append(more[:left])
            self._output = more[left:]
            left -= len(pieces[-1])
        return b"".join(pieces)

    def _step(self) -> memoryview | None:
        """What the next bytes stand for; None at the end."""
        import zstandard

        if not self._input:
            self._input = memoryview(self._file.read(self.READ_BYTES))
        if not self._input:
            if self._frame is not None:
                raise EOFError("its last frame has no end")
            return None
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        step, rest = self._input[: self.STEP_BYTES], self._input[self.STEP_BYTES :]
        data = self._frame.decompress(step)
        if self._frame.eof:
            rest = self._input[len(step) - len(self._frame.unused_data) :]
            self._frame = None
        self._input = rest
        return memoryview(data)


def damage() -> tuple[type[Exception], ...]:
    """What is raised where compressed data is damaged or ends early."""
    import zstandard

    return (lzma.LZMAError, EOFError, OSError, zlib.error, zstandard.ZstdError)
