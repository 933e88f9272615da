"""File formats by file name suffix."""

from __future__ import annotations

import os
from collections.abc import Collection

from ..errors import OutputError

COMPRESSED = {b".zst": "zstd", b".gz": "gzip", b".xz": "xz"}
"""Suffix -> compression of an image."""

DISKS = {b".qcow2": "qcow2", b".simg": "simg", b".vhd": "vhd"}
"""Suffix -> kind of virtual disk."""

OTHER_FORMATS = frozenset(
    b".%b" % ending
    for ending in (
        *(b"7z", b"br", b"bz2", b"bzip2", b"gzip", b"lrz", b"lz", b"lz4", b"lzma", b"lzo"),
        *(b"rar", b"s2", b"sz", b"zstd"),
        *(b"tbz2", b"tgz", b"txz", b"tzst", b"wim", b"z", b"zip"),
        *(b"aff4", b"bochs", b"cloop", b"dmg", b"e01", b"ffu", b"hdd", b"hds", b"ova"),
        *(b"parallels", b"qcow", b"qed", b"vdi", b"vhdx", b"vma"),
        *(b"vmdk", b"xva"),
    )
)
"""Suffixes of other compressed files and virtual disks, which cannot be written."""


def compression_of(path: bytes) -> str | None:
    """The compression of a file with this name; None for an uncompressed one.

    Raises :class:`OutputError` for the suffix of a format that cannot be written.
    """
    ending = _ending(path)
    if ending in OTHER_FORMATS:
        raise OutputError(
            path,
            f"has the suffix {os.fsdecode(ending)} of a format that cannot be written; compressed "
            f"images end in {listed(COMPRESSED)}, virtual disks in {listed(DISKS)}, and plain "
            "images in anything else",
        )
    return COMPRESSED.get(ending)


def disk_of(path: bytes) -> str | None:
    """The kind of the virtual disk with this name; None for a plain or compressed image."""
    return DISKS.get(_ending(path))


def listed(endings: Collection[bytes]) -> str:
    """Suffixes as text: ``.a, .b or .c``."""
    *first, last = map(os.fsdecode, endings)
    return f"{', '.join(first)} or {last}"


def _ending(path: bytes) -> bytes:
    name = os.path.split(path)[1].lower()
    stem, dot, ending = name.rpartition(b".")
    return dot + ending if stem else b""
