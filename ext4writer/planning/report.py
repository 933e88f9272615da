"""The facts about a planned image, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import counted
from ..late_dataclasses import dataclass
from ..tree import Loss

SCHEMA = "ext4writer.report/1"
"""Version of the format of :meth:`ImageReport.as_dict`; docs/report.schema.json describes it. Later
releases add keys and codes; removing one, or changing its meaning, increments the version."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageReport:
    """What the command prints about an image; sizes are in bytes. ``str()`` returns the text."""

    size: int
    block_size: int
    blocks: int
    free_blocks: int
    inodes: int
    free_inodes: int
    available: int
    """Bytes that every user can write."""
    grow_to: int
    """The size up to which descriptors are reserved."""
    inodes_per_gib: int
    """Inodes that growing by one GiB adds."""
    table_bytes_for_growth: int
    """Bytes of the inode tables that only growth needs."""
    uuid: str
    hash_seed: str
    label: str
    """Bytes that are not UTF-8 become lone surrogates, as with ``os.fsdecode``."""
    features: Sequence[str]
    """As written, with the names of mke2fs."""
    entries: Mapping[str, int]
    """Counts by kind: ``directory``, ``file``, ``symlink``, ``character_device``, ``block_device``,
    ``fifo``, ``socket``, and ``hard_link`` for names beyond the first."""
    content: int
    """Bytes of files that are copied, without holes."""
    shared: int
    """Bytes that are saved by storing equal blocks only once."""
    space: Mapping[str, int]
    """Bytes by purpose; the sum is ``size``."""
    journal_device: Mapping[str, int | str] | None
    """``size`` in bytes and ``uuid`` of the device that holds the journal; None if none does."""
    verity: Mapping[str, str]
    """The digest of each file with verity by its path, as ``fsverity measure`` prints it."""
    losses: Sequence[Loss]
    """What the image does not keep exactly as the source has it."""

    def __repr__(self) -> str:
        losses = f", {counted(len(self.losses), 'loss', 'losses')}" if self.losses else ""
        return f"<{type(self).__name__} of {self.size} bytes, {self.uuid}{losses}>"

    def __str__(self) -> str:
        """Return the text that the command prints, without what only the command knows."""
        from .report_text import text_of  # imported late: most images are written without it

        return text_of(self)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values; bytes of a path that are not UTF-8 become lone surrogates."""
        losses = [
            {
                "path": loss.path.decode("utf-8", "surrogateescape"),
                "what": loss.what,
                "code": loss.code,
            }
            for loss in self.losses
        ]
        return {
            "schema": SCHEMA,
            **vars(self),
            "features": list(self.features),
            "entries": dict(self.entries),
            "space": dict(self.space),
            "journal_device": dict(self.journal_device) if self.journal_device else None,
            "verity": dict(self.verity),
            "losses": losses,
        }


def as_key(text: str) -> str:
    """Return ``text`` as a key that needs no quotes in most languages."""
    return text.replace(" ", "_")
