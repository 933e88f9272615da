"""What the caller asks of an image: every option, checked where it stands alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from ..errors import SpecError
from ..ondisk.features import DEFAULT_FEATURES, FeatureSet

if TYPE_CHECKING:
    from .policy import LayoutPolicy

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

DEFAULT_FREE = 16 * MIB
LABEL_MAX = 16
BLOCK_SIZES = (1024, 2048, 4096)
RESERVED_PERCENT_MAX = 50
IDENTITIES = ("attributes", "content")


@dataclass(frozen=True, slots=True)
class Spec:
    """The options of an image. Sizes are in bytes; ``None`` means "decide for me".

    Raises :class:`SpecError` on construction for a value that can never be right.
    """

    size: int | None = None
    """Size of the image; ``None`` solves the smallest that holds the tree and what is promised."""
    free: int | None = None
    """What the image leaves for every user to write, after what the kernel keeps back. ``None`` is
    16 MiB in a fitted image, and whatever is left in one of a given size."""
    free_inodes: int | None = None
    """Inodes that the image leaves free; ``None`` is one for each 16 KiB of ``free``."""
    grow_to: int | None = None
    """Size up to which descriptors are reserved for; ``None`` is 1024 times, as mke2fs has it."""
    reserved_percent: float = 0.0
    """Blocks kept for the superuser, in percent of the image."""

    label: bytes = b""
    uuid: UUID | None = None
    """``None`` derives it from names, attributes, sizes and options; see ``identity``."""
    hash_seed: UUID | None = None
    """Key of the directory hash; ``None`` derives it from names, attributes and sizes."""
    identity: Literal["attributes", "content"] = "attributes"
    """``"content"`` derives the UUID from the content of files, too, which is read once more for
    it. Two images that differ never share a UUID then."""

    block_size: int = 4096
    inode_size: int = 256
    features: FeatureSet = field(default=DEFAULT_FEATURES)
    journal: int | Literal["auto", "none"] = "auto"
    """Size of the journal in bytes; ``"auto"`` follows mke2fs's table."""

    epoch: int | None = None
    """Seconds: newer times are clamped to it and the file system is stamped with it.
    ``None`` is the newest modification time in the tree."""

    hole_size: int = 32 * KIB
    """Zero runs of at least this many bytes become holes, and in files from there up to 512 KiB
    every block of zeros does; 0 keeps every zero."""
    leading_hole: bool = False
    """Allow a file's first block to be a hole, which some boot loaders cannot read."""
    lost_and_found: bool = True
    """Make ``/lost+found`` where the tree has none."""
    groups_per_flex: int = 16
    policy: LayoutPolicy | None = None
    """Who chooses among legal layouts; ``None`` is the compact default."""

    @property
    def fitted_free(self) -> int:
        """``free`` as a fitted image has it."""
        return DEFAULT_FREE if self.free is None else self.free

    def __post_init__(self) -> None:
        if self.block_size not in BLOCK_SIZES:
            raise SpecError("block_size", f"{self.block_size} is none of {_list(BLOCK_SIZES)}")
        power_of_two = self.inode_size > 0 and self.inode_size & (self.inode_size - 1) == 0
        if not power_of_two or not 128 <= self.inode_size <= self.block_size:
            raise SpecError(
                "inode_size",
                f"{self.inode_size} is no power of two between 128 and the block size",
            )
        if len(self.label) > LABEL_MAX:
            raise SpecError("label", f"has {len(self.label)} bytes; {LABEL_MAX} is the most")
        if b"\0" in self.label:
            raise SpecError("label", "cannot hold a NUL byte")
        if not 0 <= self.reserved_percent <= RESERVED_PERCENT_MAX:
            raise SpecError(
                "reserved_percent",
                f"{self.reserved_percent} is not between 0 and {RESERVED_PERCENT_MAX}",
            )
        if self.identity not in IDENTITIES:
            raise SpecError("identity", f"{self.identity!r} is neither of {', '.join(IDENTITIES)}")
        for name in ("size", "free", "free_inodes", "grow_to", "hole_size"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise SpecError(name, f"{value} is below zero")
        if self.epoch is not None and not 0 <= self.epoch < 1 << 32:
            raise SpecError("epoch", f"{self.epoch} is not between 0 and {(1 << 32) - 1}")
        if not (1 <= self.groups_per_flex <= 1 << 16) or (
            self.groups_per_flex & (self.groups_per_flex - 1)
        ):
            raise SpecError("groups_per_flex", f"{self.groups_per_flex} is no power of two")
        if isinstance(self.journal, int) and self.journal <= 0:
            raise SpecError("journal", 'is a size in bytes, "auto" or "none"')
        if isinstance(self.journal, int) and "has_journal" not in self.features:
            raise SpecError("journal", "has a size, but the features leave has_journal out")
        self.features.check()
        if self.grow_to and "resize_inode" not in self.features:
            raise SpecError(
                "grow_to",
                "needs the feature resize_inode, which holds the reserve; ask for 0 without it",
            )


def _list(values: tuple[int, ...]) -> str:
    return ", ".join(str(value) for value in values)
