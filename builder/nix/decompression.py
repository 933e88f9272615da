"""Decompresses the archives of binary caches; nothing more than was asked for is ever in memory."""

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
        import zstandard

        stream: Any = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        return cast(ByteStream, stream)
    assert compression == "none"
    return file


def damage() -> tuple[type[Exception], ...]:
    """What is raised where compressed data is damaged or ends early."""
    import zstandard

    return (lzma.LZMAError, EOFError, OSError, zlib.error, zstandard.ZstdError)
