"""Replaces equal files of a store with hard links, as ``nix-store --optimise`` does on a host."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ..attributes import ATTRIBUTES
from ..checked import checked
from ..content import reading_buffer
from ..late_dataclasses import dataclass
from ..progress import Cancel, check_cancelled
from ..tree import Directory, RegularFile
from ..walking import directories

LINKS_MAX = 65_000
"""Most hard links to a file on ext4 (fs/ext4/ext4.h, EXT4_LINK_MAX)."""

CHUNK = 1 << 20


@dataclass(frozen=True)
class Saving:
    """Number of files replaced with hard links, and of the bytes saved."""

    files: int
    bytes: int


@dataclass(slots=True)
class _Original:
    """The file to which equal files become hard links."""

    node: RegularFile
    links: int = 1


@checked()
def link_equal_files(store: Directory, cancel: Cancel | None = None) -> Saving:
    """Replace each file in ``store`` with an earlier one that has equal content and attributes.

    Files with equal content but different attributes, such as owners or labels set by rules, remain
    separate. Files are compared in path order, so the result depends on the closure alone. Only
    files whose size occurs twice are read.
    """
    sizes: dict[int, int] = {}
    for _, _, file in _files(store):
        size = file.content.size
        sizes[size] = sizes.get(size, 0) + 1
    originals: dict[tuple[object, ...], _Original] = {}
    files = saved = 0
    buffer = reading_buffer(CHUNK)
    for parent, name, file in _files(store):
        size = file.content.size
        if sizes[size] < 2:
            continue
        check_cancelled(cancel)
        key = (*_attributes(file), size, _digest(file, buffer))
        original = originals.get(key)
        if original is None or original.links == LINKS_MAX:
            originals[key] = _Original(file)
            continue
        original.links += 1
        parent.children[name] = original.node
        files += 1
        saved += size
    return Saving(files, saved)


def _files(root: Directory) -> Iterator[tuple[Directory, bytes, RegularFile]]:
    """Yield each regular file with its directory and its name there, in a fixed order."""
    for _, directory in directories(root, None):
        for name in sorted(directory.children):
            child = directory.children[name]
            if isinstance(child, RegularFile):
                yield directory, name, child


def _attributes(file: RegularFile) -> tuple[object, ...]:
    """The attributes of a file, as a hashable tuple."""
    xattrs = tuple(sorted(file.xattrs.items())) if file.xattrs else ()
    return (*(getattr(file, name) for name in ATTRIBUTES if name != "xattrs"), xattrs)


def _digest(file: RegularFile, buffer: memoryview) -> bytes:
    """The SHA-256 of the content."""
    digest = hashlib.sha256()
    for piece in file.content.read_pieces(buffer):
        digest.update(piece)
    return digest.digest()
