"""The facts of a planned image, for people who read them and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..tree import Loss

SCHEMA = "ext4writer.report/1"
"""Names the form of :meth:`ImageReport.as_dict`, which docs/report.schema.json describes. Later
releases add keys and codes; what takes one away, or gives it another meaning, counts up."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageReport:
    """What the command prints of an image; sizes are in bytes."""

    size: int
    block_size: int
    blocks: int
    free_blocks: int
    inodes: int
    free_inodes: int
    available: int
    """What every user can write."""
    grow_to: int
    """The size up to which descriptors are reserved."""
    inodes_per_gib: int
    """What each GiB brings by which it grows."""
    table_bytes_for_growth: int
    """Of the inode tables, what only growth needs."""
    uuid: str
    hash_seed: str
    label: str
    """Bytes that are not UTF-8 are lone surrogates, as of ``os.fsdecode``."""
    features: Sequence[str]
    """As written, in the words of mke2fs."""
    entries: Mapping[str, int]
    """Counts by kind: ``directory``, ``file``, ``symlink``, ``character_device``, ``block_device``,
    ``fifo``, ``socket``, and ``hard_link`` for names beyond the first."""
    content: int
    """Bytes of files that are copied; holes do not count."""
    space: Mapping[str, int]
    """Bytes by purpose; the sum is ``size``."""
    losses: Sequence[Loss]
    """What is not kept exactly as the source has it."""

    def __repr__(self) -> str:
        losses = f", {len(self.losses)} losses" if self.losses else ""
        return f"<{type(self).__name__} of {self.size} bytes, {self.uuid}{losses}>"

    def as_dict(self) -> dict[str, Any]:
        """All as values of JSON; bytes of a path that are not UTF-8 are lone surrogates."""
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
            "losses": losses,
        }


def as_key(text: str) -> str:
    """``text`` as a key that needs no quotes in most languages."""
    return text.replace(" ", "_")
