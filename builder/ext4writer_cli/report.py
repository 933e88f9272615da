"""The report of a command about an image, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from ext4writer.errors import display_path
from ext4writer.late_dataclasses import dataclass, field
from ext4writer.planning.report import ImageReport

if TYPE_CHECKING:
    from ext4writer import Layout, Loss

    from .source_readers import SourceReport


@dataclass(frozen=True, eq=False, repr=False)
class Report(ImageReport):
    """The facts about one image and how it was made; sizes are in bytes."""

    image: str | None
    """The path it was written to, ``-`` for standard output, None if it was only planned."""
    seconds: Mapping[str, float]
    """Stage -> seconds of wall time that it took."""
    sources: Sequence[SourceReport] = ()
    """The sources in order; later ones overlay earlier ones."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the JSON object, such as digests computed while the image was written."""

    @classmethod
    def of(
        cls,
        layout: Layout,
        image: str | None,
        seconds: Mapping[str, float],
        sources: Sequence[SourceReport] = (),
        extra: Mapping[str, Any] = MappingProxyType({}),
    ) -> Report:
        """The report of a planned image."""
        facts = vars(layout.report())
        return cls(image=image, seconds=seconds, sources=tuple(sources), extra=extra, **facts)

    def as_json(self) -> str:
        """One JSON object, as docs/report.schema.json describes it."""
        import json

        from ext4writer.version import __version__

        facts = {
            **self.as_dict(),
            "version": __version__,
            "sources": [source._asdict() for source in self.sources],
            "seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
            **self.extra,
        }
        del facts["extra"]
        first = ("schema", "version", "image")
        ordered = {key: facts[key] for key in first} | facts
        return json.dumps(ordered, indent=2)

    def as_text(self) -> str:
        """A page of plain text."""
        return "\n".join(self._lines())

    def __str__(self) -> str:
        return self.as_text()

    def _lines(self) -> Iterator[str]:
        # Imported late: with --quiet or --json no text is printed.
        from ext4writer.planning.report_text import contents, facts, numbers, table
        from ext4writer.units import exact_bytes

        size = exact_bytes(self.size)
        if self.image is None:
            yield f"The image would have {size}"
        else:
            name = "standard output" if self.image == "-" else display_path(self.image)
            part = self.extra.get("part")
            of = (
                ""
                if part is None
                else (f"{exact_bytes(part['size'])}, part {part['number']} of {part['count']} of ")
            )
            yield f"{name}: {of}{size}"
        yield from facts(self)
        if self.sources:
            yield "Sources"
            width = max(len(source.kind) for source in self.sources)
            for source in self.sources:
                yield from _source(source, width)
        verity = self.extra.get("dm_verity")
        if verity is not None:
            yield "dm-verity"
            yield from table({"root hash": verity["root_hash"], "salt": verity["salt"] or "-"})
        base = self.extra.get("base")
        if base is not None:
            yield "Blocks, compared with the base"
            yield from numbers(
                {
                    "differ": f"{base['differing']:,}",
                    "must, for their bytes are new": f"{base['new']:,}",
                    "zeros now": f"{base['cleared']:,}",
                }
            )
        yield from contents(self, "--json lists all")
        yield "Seconds"
        yield from numbers({stage: f"{spent:.2f}" for stage, spent in self.seconds.items()})


def _source(source: SourceReport, width: int) -> Iterator[str]:
    """Lines with kind, path and facts of a source; facts that are not text are shown as JSON."""
    place = "standard input" if source.source == "-" else display_path(source.source)
    goes_to = "" if source.target == "/" else f" at {display_path(source.target)}"
    yield f"  {source.kind:{width}}  {place}{goes_to}"
    if source.facts:
        import json

        titles = max(map(len, source.facts))
        for title, value in source.facts.items():
            if value in ("", (), {}):
                continue
            text = display_path(value) if isinstance(value, str) else json.dumps(value)
            yield f"    {title:{titles}}  {text}"


def print_losses(losses: Sequence[Loss]) -> None:
    """Print on standard error what the output could not keep exactly."""
    from ext4writer.planning.report_text import LOSSES_SHOWN

    for loss in losses[:LOSSES_SHOWN]:
        click.echo(f"not kept exactly: {display_path(loss.path)}: {loss.what}", err=True)
    if len(losses) > LOSSES_SHOWN:
        click.echo(f"and {len(losses) - LOSSES_SHOWN:,} more", err=True)
