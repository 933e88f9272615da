"""How the archives of binary caches are compressed."""

from __future__ import annotations

from ..sources.tar_archive.decoders import MAGIC_BYTES, compression_of

__all__ = ["FORMATS", "MAGIC_BYTES", "format_of"]

FORMATS = ("none", "xz", "bzip2", "gzip", "zstd")
"""The names that a narinfo gives them."""

MAGIC = {
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def format_of(beginning: bytes) -> str:
    """Tell the compression by the first bytes of a file, however short it is."""
    for magic, name in MAGIC.items():
        if beginning.startswith(magic):
            return name
    return compression_of(beginning) or "none"
