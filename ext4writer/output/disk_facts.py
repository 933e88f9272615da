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
