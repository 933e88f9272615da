"""Compression formats of archives in binary caches."""

from __future__ import annotations

from ..sources.tar_archive.decoders import MAGIC_BYTES, compression_of

__all__ = ["FORMATS", "MAGIC_BYTES", "format_of"]

FORMATS = ("none", "xz", "bzip2", "gzip", "zstd")
"""Their names in a narinfo."""

MAGIC = {
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def format_of(beginning: bytes) -> str:
    """The compression of a file, detected from its first bytes; works for short files, too."""
    for magic, name in MAGIC.items():
        if beginning.startswith(magic):
            return name
    return compression_of(beginning) or "none"
