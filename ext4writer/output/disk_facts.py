"""Output formats, and the facts about an image that virtual disks record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from ..late_dataclasses import NamedTuple
from ..spans import Span

OutputFormat = Literal["raw", "qcow2", "qcow2-compressed", "simg", "vhd"]
"""How an image is stored: raw; as a QEMU disk, with or without compressed clusters; as an Android
sparse image; as a fixed disk of Virtual PC."""
FORMATS: tuple[str, ...] = get_args(OutputFormat)

FreeBlocks = Literal["zero", "keep", "discard", "prezeroed"]
"""How to treat bytes of a block device that the file system never reads: write zeros, keep the old
bytes, or discard them. ``prezeroed`` asserts that the entire device already reads as zeros, so no
zeros are written."""
FREE_BLOCKS: tuple[str, ...] = get_args(FreeBlocks)


class DiskFacts(NamedTuple):
    """The facts about an image that a virtual disk records."""

    uuid: bytes
    """16 bytes, unique to this disk."""
    epoch: int
    """Seconds since 1970."""
    unused: Sequence[Span]
    """The bytes whose content does not matter, ascending."""
    is_compressed: bool = False
    """Whether to compress clusters, if the format supports it."""


class OldBytes(NamedTuple):
    """Bytes of a device that keep their old content or are discarded, instead of being zeroed."""

    unread: Sequence[Span]
    """The bytes that the file system never reads, ascending and disjoint."""
    discards: bool
    """Whether the device is told to discard its content."""
