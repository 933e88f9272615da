"""Limits for the resources that an archive may use before it is refused."""

from __future__ import annotations

from ...checked import check_fields, refuse_unknown
from ...errors import LimitError
from ...late_dataclasses import dataclass
from ...tree import Loss, LossCode

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

OBJECT_BYTES = 256
"""Memory in bytes of a loss or an attribute, in addition to its text."""
DIRECTORIES_EACH = 8
"""Implied directories that each entry allows beyond ``Limits.implied_directories``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for one archive. Exceeding one raises ``LimitError`` with its name.

    They apply to all layers of a container image together. The memory of a tree depends on
    ``members`` (at most 1 KiB each), ``metadata_bytes``, ``decoder_bytes`` and, if content is
    kept in memory, ``memory_bytes``; never on the sizes of files.
    """

    _refuse_unknown = refuse_unknown

    members: int = 5_000_000
    """Entries of the archive, and entries of the tree including implied directories."""
    path_bytes: int = 64 * KIB
    """Bytes of one path or link target."""
    header_bytes: int = 8 * MIB
    """Bytes of the extended headers and the sparse map of one member."""
    metadata_bytes: int = 1 * GIB
    """Bytes of link targets, attributes, sparse maps, and the paths of losses, whiteouts and
    hard links without a target yet; a loss or an attribute counts 256 bytes more."""
    content_bytes: int = 64 * TIB
    """Bytes of all files together, including holes."""
    expanded_bytes: int = 16 * TIB
    """Bytes that an archive may decompress to, including headers."""
    ratio: int = 1000
    """Decompressed bytes for each compressed byte; applies from 1 GiB of decompressed bytes."""
    memory_bytes: int = 256 * MIB
    """Bytes of content kept in memory without a spool."""
    decoder_bytes: int = 256 * MIB
    """Bytes of memory that a decompressor may allocate; the archive determines the amount."""
    implied_directories: int = 100_000
    """Parent directories without a member; each entry allows 8 more."""
    global_bytes: int = 8 * KIB
    """Bytes of the records of global extended headers in effect at one time."""

    def __post_init__(self) -> None:
        """Raises :class:`SpecError` for a value of the wrong type."""
        check_fields(self)


DEFAULT_LIMITS = Limits()


class Usage:
    """How much of ``limits`` an input has used, over all its members and layers.

    ``archive`` is the input's name in errors; ``limits.ratio`` applies from ``ratio_from``
    decompressed bytes.
    """

    __slots__ = (
        *("archive", "content_bytes", "entries", "expanded_bytes", "implied", "inside", "limits"),
        *("members", "memory_bytes", "metadata_bytes", "packed_bytes", "ratio_from"),
    )

    def __init__(self, archive: bytes, limits: Limits, ratio_from: int = GIB) -> None:
        self.archive = archive
        self.limits = limits
        self.ratio_from = ratio_from
        self.members = 0
        self.entries = 0
        """Number of entries of the tree, including replaced ones."""
        self.implied = 0
        """Number of implied directories among the entries."""
        self.metadata_bytes = 0
        self.content_bytes = 0
        self.memory_bytes = 0
        self.expanded_bytes = 0
        self.packed_bytes = 0
        self.inside = False
        """Whether the current input is inside a compressed archive, whose bytes are counted."""

    def unpack(self, path: bytes, unpacked: int, packed: int) -> None:
        """Count the bytes that a decompressor produced and consumed since the last call."""
        self.expanded_bytes += unpacked
        if not self.inside:
            self.packed_bytes += packed
        limits = self.limits
        if self.expanded_bytes > limits.expanded_bytes:
            raise LimitError(
                path, "expanded_bytes", f"unpacks to more than {limits.expanded_bytes} bytes"
            )
        if (
            self.expanded_bytes > self.ratio_from
            and self.expanded_bytes > limits.ratio * self.packed_bytes
        ):
            raise LimitError(
                path,
                "ratio",
                f"{self.packed_bytes} packed bytes unpack to {self.expanded_bytes} and more, over "
                f"{limits.ratio} for each",
            )

    def keep(self, count: int, member: bytes | None = None, offset: int | None = None) -> None:
        """Count ``count`` bytes of metadata that stay in memory for the entry ``member``."""
        self.metadata_bytes += count
        most = self.limits.metadata_bytes
        if self.metadata_bytes > most:
            raise LimitError(
                self.archive,
                "metadata_bytes",
                f"has paths, link targets, attributes and losses of more than {most} bytes",
                member=member,
                offset=offset,
            )

    def add_loss(self, losses: list[Loss], path: bytes, what: str, code: LossCode) -> None:
        """Add a loss at the absolute ``path`` to ``losses``."""
        self.keep(OBJECT_BYTES + len(path) + len(what), path)
        losses.append(Loss(path, what, code))

    def add_entry(self, path: bytes, offset: int | None = None) -> None:
        """Count one entry of the tree that has a member."""
        self.entries += 1
        if self.entries > self.limits.members:
            raise LimitError(
                self.archive,
                "members",
                f"has more than {self.limits.members} entries",
                member=path,
                offset=offset,
            )

    def add_implied(self, path: bytes, offset: int | None = None) -> None:
        """Count an implied directory, created because ``path`` is below it."""
        self.implied += 1
        self.add_entry(path, offset)
        stated = self.entries - self.implied
        if self.implied > self.limits.implied_directories + DIRECTORIES_EACH * stated:
            raise LimitError(
                self.archive,
                "implied_directories",
                f"omits {self.implied} parents of {stated} entries",
                member=path,
                offset=offset,
            )
