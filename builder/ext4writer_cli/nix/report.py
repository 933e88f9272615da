"""The report of ``ext4writer nix``."""

from __future__ import annotations

from collections.abc import Iterator

from ext4writer.late_dataclasses import dataclass
from ext4writer.planning.report_text import table
from ext4writer.units import exact_bytes, human_bytes

from ..report import Report


@dataclass(frozen=True, eq=False, repr=False)
class NixReport(Report):
    """Facts about an image of a closure; sizes are in bytes."""

    store_paths: int = 0
    verified: bool = False
    """Whether each store path was hashed and matched its registration."""
    nar_size: int = 0
    """NAR size of all store paths together, as registered."""
    linked_files: int | None = None
    """How many files ``--dedupe`` replaced by hard links; None without that option."""
    linked_bytes: int | None = None
    """Content that these hard links save; None without ``--dedupe``."""
    output_size: int = 0
    """Size of the output: the image, or the compressed file."""
    peak_disk: int = 0
    """Most disk space used at a time, by the output and temporary files."""
    sha256: str | None = None
    """Hexadecimal digest of the output; None without a report."""

    def _lines(self) -> Iterator[str]:
        yield from super()._lines()
        yield "Closure"
        facts = {
            "store paths": f"{self.store_paths:,}" + (", verified" if self.verified else ""),
            "NAR size": exact_bytes(self.nar_size),
        }
        if self.linked_files is not None and self.linked_bytes is not None:
            saved = human_bytes(self.linked_bytes)
            facts["equal files"] = f"{self.linked_files:,} linked, {saved} saved"
        facts |= {"output": exact_bytes(self.output_size), "peak disk": exact_bytes(self.peak_disk)}
        if self.sha256 is not None:
            facts["SHA-256"] = self.sha256
        yield from table(facts)
