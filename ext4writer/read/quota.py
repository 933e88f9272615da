"""Quota files of format v2, version 1: the tree of blocks, and the entries in it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..ondisk.quota import (
    ENTRIES_PER_BLOCK,
    QT_BLKSIZE,
    QT_TREEDEPTH,
    QT_TREEOFF,
    QUOTA_BLOCK_HEADER,
    QUOTA_ENTRY,
    QUOTA_HEADER,
    QUOTA_KINDS,
    QuotaKind,
)

if TYPE_CHECKING:
    from .image import Image

ENTRIES = QT_TREEDEPTH
"""The level of the blocks with entries; the root of the tree has level 0."""


def quota_inodes(image: Image) -> dict[int, QuotaKind]:
    """Return inode number -> kind of each quota file."""
    fmt = image.format
    if not fmt.quota:
        return {}
    found = {image.number(kind.inum): kind for kind in QUOTA_KINDS if kind.ino or fmt.project}
    found.pop(0, None)
    return found


def check_header(data: bytes, kind: QuotaKind) -> None:
    """Raise ValueError unless ``data`` begins like a quota file of this kind and version 1."""
    if len(data) < 2 * QT_BLKSIZE or QUOTA_HEADER.number(data, 0, "dqh_magic") != kind.magic:
        raise ValueError("has no header")
    if QUOTA_HEADER.number(data, 0, "dqh_version") != 1:
        raise ValueError("does not have version 1")


def tree_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each block of ``QT_BLKSIZE`` bytes below the header, with its level.

    Raises ValueError if the tree leads out of the file, or twice to the same block of the tree.
    """
    yield from _below(data, QT_TREEOFF, 0, set())


def _below(data: bytes, block: int, level: int, seen: set[int]) -> Iterator[tuple[int, int]]:
    if (block in seen and level < ENTRIES) or (block + 1) * QT_BLKSIZE > len(data):
        raise ValueError(f"has a tree that leads to block {block}")
    if block in seen:
        # A block of entries has one reference for each entry.
        return
    seen.add(block)
    yield block, level
    if level < ENTRIES:
        children = struct.unpack_from(f"<{QT_BLKSIZE // 4}I", data, block * QT_BLKSIZE)
        for child in filter(None, children):
            yield from _below(data, child, level + 1, seen)


def entry_offsets(data: bytes, block: int) -> Iterator[int]:
    """Yield the byte of ``data`` at which each entry in use of a block of entries begins."""
    for place in range(ENTRIES_PER_BLOCK):
        at = block * QT_BLKSIZE + QUOTA_BLOCK_HEADER.size + place * QUOTA_ENTRY.size
        if any(data[at : at + QUOTA_ENTRY.size]):
            yield at
