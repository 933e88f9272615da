"""The report of a command about an image, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ext4writer.errors import display_path
from ext4writer.late_dataclasses import dataclass, field
from ext4writer.planning.report import ImageReport

from .units import human_bytes

if TYPE_CHECKING:
    from ext4writer import Layout

    from .source_readers import SourceReport

LOSSES_SHOWN = 20
DIGESTS_SHOWN = 20
WIDTH = 80
PLURALS = {
    "directory": "directories",
    "file": "files",
    "symlink": "symbolic links",
    "hard_link": "further hard links",
    "character_device": "character devices",
    "block_device": "block devices",
    "fifo": "named pipes",
    "socket": "sockets",
}


@dataclass(frozen=True, eq=False, repr=False)
class Report(ImageReport):
    """The facts about one image and how it was made; sizes are in bytes."""

    image: str | None
    """The path where it was written, ``-`` for standard output, None if it was only planned."""
    seconds: Mapping[str, float]
    """How long each stage took."""
    sources: Sequence[SourceReport] = ()
    """The sources in order; later ones lie over earlier ones."""
    passed: Mapping[str, Any] = field(default_factory=dict)
    """What was computed while the image was written."""

    @classmethod
    def of(
        cls,
        layout: Layout,
        image: str | None,
        seconds: Mapping[str, float],
        sources: Sequence[SourceReport] = (),
        passed: Mapping[str, Any] = MappingProxyType({}),
    ) -> Report:
        """Take the facts out of a plan."""
        facts = vars(layout.report())
        return cls(image=image, seconds=seconds, sources=tuple(sources), passed=passed, **facts)

    def as_json(self) -> str:
        """One JSON object; docs/report.schema.json describes it."""
        import json

        from ext4writer.version import __version__

        facts = {
            **self.as_dict(),
            "version": __version__,
            "sources": [source._asdict() for source in self.sources],
            "seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
            **self.passed,
        }
        del facts["passed"]
        first = ("schema", "version", "image")
        ordered = {key: facts[key] for key in first} | facts
        return json.dumps(ordered, indent=2)

    def as_text(self) -> str:
        """A page of plain text."""
        return "\n".join(self._lines())

    def _journal_device_line(self) -> dict[str, str]:
        if not self.journal_device:
            return {}
        size, uuid = self.journal_device["size"], self.journal_device["uuid"]
        assert isinstance(size, int)
        return {"journal": f"{human_bytes(size)} in a device of its own, UUID {uuid}"}

    def _lines(self) -> Iterator[str]:
        size = f"{human_bytes(self.size)} ({self.size:,} bytes)"
        if self.image is None:
            yield f"The image would have {size}"
        else:
            name = "standard output" if self.image == "-" else display_path(self.image)
            yield f"{name}: {size}"
        yield from table(
            {
                "UUID": self.uuid,
                "hash seed": self.hash_seed,
                "label": display_path(self.label) or "(none)",
                "blocks": f"{self.blocks:,} of {self.block_size:,} bytes, "
                f"{self.free_blocks:,} free",
                "inodes": f"{self.inodes:,}, {self.free_inodes:,} free",
                "room": f"{human_bytes(self.available)} for every user",
                "growth": f"up to {human_bytes(self.grow_to)}, {self.inodes_per_gib:,} inodes for "
                "each GiB",
                **self._tables_for_growth(),
                **self._journal_device_line(),
                **({"shared": f"{human_bytes(self.shared)} saved"} if self.shared else {}),
                **_features(self.features),
            }
        )
        if self.sources:
            yield "Sources"
            width = max(len(source.kind) for source in self.sources)
            for source in self.sources:
                yield from _source(source, width)
        verity = self.passed.get("dm_verity")
        if verity is not None:
            yield "dm-verity"
            yield from table({"root hash": verity["root_hash"], "salt": verity["salt"] or "-"})
        base = self.passed.get("base")
        if base is not None:
            yield "Blocks, compared with the base"
            yield from _numbers(
                {
                    "differ": f"{base['differing']:,}",
                    "must, for their bytes are new": f"{base['new']:,}",
                    "zeros now": f"{base['cleared']:,}",
                }
            )
        yield "Entries"
        yield from _numbers(
            {PLURALS.get(kind, kind): f"{count:,}" for kind, count in self.entries.items() if count}
        )
        yield "Space"
        used = {purpose.replace("_", " "): count for purpose, count in self.space.items() if count}
        yield from _numbers(
            {
                purpose: f"{count:,}  {100 * count / self.size:5.1f} %"
                for purpose, count in used.items()
            }
            | {"in all": f"{sum(used.values()):,}  {100:5.1f} %"}
        )
        if self.verity:
            yield "Files with verity"
            for path, digest in [*self.verity.items()][:DIGESTS_SHOWN]:
                yield f"  {digest} {display_path(path)}"
            if len(self.verity) > DIGESTS_SHOWN:
                yield f"  and {len(self.verity) - DIGESTS_SHOWN:,} more; --json lists all"
        if self.losses:
            yield "Not kept exactly"
            for loss in self.losses[:LOSSES_SHOWN]:
                yield f"  {display_path(loss.path)}: {loss.what}"
            if len(self.losses) > LOSSES_SHOWN:
                yield f"  and {len(self.losses) - LOSSES_SHOWN:,} more; --json lists all"
        yield "Seconds"
        yield from _numbers({stage: f"{spent:.2f}" for stage, spent in self.seconds.items()})

    def _tables_for_growth(self) -> Mapping[str, str]:
        if not self.table_bytes_for_growth:
            return {}
        size = human_bytes(self.table_bytes_for_growth)
        return {"tables": f"{size} of inodes that only growth needs, zeros or holes in the output"}


def _source(source: SourceReport, width: int) -> Iterator[str]:
    """Kind, place and facts of a source; facts that are not text are shown as JSON."""
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


def _features(names: Sequence[str]) -> dict[str, str]:
    """The names in rows that fit the page; only the first row has a title."""
    from textwrap import wrap

    rows = wrap(" ".join(names), WIDTH, break_on_hyphens=False) or ["(none)"]
    return {" " * number or "features": text for number, text in enumerate(rows)}


def table(rows: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, rows))
    return (f"  {name:{width}}  {value}" for name, value in rows.items())


def _numbers(rows: Mapping[str, str]) -> Iterator[str]:
    names, values = max(map(len, rows)), max(map(len, rows.values()))
    return (f"  {name:{names}}  {value:>{values}}" for name, value in rows.items())
