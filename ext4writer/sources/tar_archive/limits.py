"""What an archive may ask of the host before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one archive; each that is passed raises ``LimitError``, which names it.

    The memory that a tree takes follows from ``members`` (at most 1 KiB each), ``metadata_bytes``,
    ``decoder_bytes`` and, where content is kept in memory, ``memory_bytes``; never from the sizes
    of files.
    """

    members: int = 5_000_000
    """Entries of the archive, and of the tree with the parents that the archive left out."""
    path_bytes: int = 64 * KIB
    """One path or link target."""
    header_bytes: int = 8 * MIB
    """The extended headers and the map of holes of one member."""
    metadata_bytes: int = 1 * GIB
    """Link targets, attributes and maps of holes of all members."""
    content_bytes: int = 64 * TIB
    """The sizes of all files together, holes included."""
    expanded_bytes: int = 16 * TIB
    """What an archive may unpack to, headers and all."""
    ratio: int = 1000
    """Unpacked bytes for each packed one; counts from 1 GiB unpacked on."""
    memory_bytes: int = 256 * MIB
    """Content that is kept in memory, where no spool was given."""
    decoder_bytes: int = 256 * MIB
    """Memory that a decompressor may ask for, which the archive decides."""


DEFAULT_LIMITS = Limits()
