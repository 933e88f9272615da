"""What ``ext4writer nix`` tells about an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..report import Report, table
from ..units import human_bytes


@dataclass(frozen=True)
class NixReport(Report):
    """The facts of an image of a closure; sizes are in bytes."""

    store_paths: int = 0
    nar_size: int = 0
    """Of all store paths together, as registered."""
    linked_files: int = 0
    """How many files ``--dedupe`` made links of others."""
    linked_bytes: int = 0
    """Content that needed no second copy for it."""
    verified_paths: int = 0
    """Paths whose archive was hashed and found as registered."""
    output_size: int = 0
    """Bytes of the output: the image, or what it was compressed to."""
    scratch: int = 0
    """The most disk that was in use beside the sources, the output included."""
    sha256: str | None = None
    """Digest of the output in hexadecimal; None where it was a stream."""

    def _lines(self) -> Iterator[str]:
        yield from super()._lines()
        yield "Closure"
        facts = {
            "store paths": f"{self.store_paths:,}, {self.verified_paths:,} verified",
            "NAR size": f"{human_bytes(self.nar_size)} ({self.nar_size:,} bytes)",
        }
        if self.linked_files:
            facts["deduplicated"] = (
                f"{self.linked_files:,} files, {human_bytes(self.linked_bytes)} saved"
            )
        facts["output"] = f"{human_bytes(self.output_size)} ({self.output_size:,} bytes)"
        facts["peak disk"] = f"{human_bytes(self.scratch)} ({self.scratch:,} bytes)"
        if self.sha256 is not None:
            facts["sha256"] = self.sha256
        yield from table(facts)
