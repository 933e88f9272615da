"""The facts about an image that virtual disks record, and the kinds of disks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from ..late_dataclasses import NamedTuple
from ..spans import Span

OutputFormat = Literal["raw", "qcow2", "qcow2-compressed", "simg", "vhd"]
"""How an image is stored: as it is; as a disk of QEMU, its clusters compressed or not; as a sparse
image of Android; as a fixed disk of Virtual PC."""
FORMATS: tuple[str, ...] = get_args(OutputFormat)

FreeBlocks = Literal["zero", "keep", "discard", "prezeroed"]
"""What becomes of a block device's bytes that the file system does not read: zeros; what they were;
or what the device makes of them when it is told that it may forget them. The last word says that
the whole device reads as zeros, so that none are written."""
FREE_BLOCKS: tuple[str, ...] = get_args(FreeBlocks)


class DiskFacts(NamedTuple):
    """The facts about an image that a virtual disk records."""

    uuid: bytes
    """16 bytes that no other disk has."""
    epoch: int
    """Seconds since 1970."""
    unused: Sequence[Span]
    """The bytes that do not matter, ascending."""
    is_compressed: bool = False
    """Compress each piece, where the format can."""


class OldBytes(NamedTuple):
    """What a device is to hold where the file system reads nothing, instead of zeros."""

    unread: Sequence[Span]
    """The bytes that may be anything, ascending and apart from each other."""
    discards: bool
    """Whether the device is told to forget what it holds."""
