"""The report of an image as plain text; imported when one is printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import display_path
from ..units import exact_bytes, human_bytes

if TYPE_CHECKING:
    from .report import ImageReport

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


def text_of(report: ImageReport) -> str:
    """Return all facts of a report, as lines of text."""
    lines = (f"The image has {exact_bytes(report.size)}", *facts(report), *contents(report))
    return "\n".join(lines)


def facts(report: ImageReport) -> Iterator[str]:
    """Yield lines about the file system itself."""
    yield from table(
        {
            "UUID": report.uuid,
            "hash seed": report.hash_seed,
            "label": display_path(report.label) or "(none)",
            "blocks": f"{report.blocks:,} of {report.block_size:,} bytes, "
            f"{report.free_blocks:,} free",
            "inodes": f"{report.inodes:,}, {report.free_inodes:,} free",
            "room": f"{human_bytes(report.available)} for every user",
            "growth": f"up to {human_bytes(report.grow_to)}, {report.inodes_per_gib:,} inodes for "
            "each GiB",
            **_tables_for_growth(report),
            **_journal_device(report),
            **({"shared": f"{human_bytes(report.shared)} saved"} if report.shared else {}),
            **_features(report.features),
        }
    )


def contents(report: ImageReport, rest: str = "") -> Iterator[str]:
    """Yield lines on what the image holds, and what it does not keep.

    ``rest`` says where to find a long list in full.
    """
    yield "Entries"
    yield from numbers(
        {PLURALS.get(kind, kind): f"{count:,}" for kind, count in report.entries.items() if count}
    )
    yield "Space"
    used = {purpose.replace("_", " "): count for purpose, count in report.space.items() if count}
    yield from numbers(
        {
            purpose: f"{count:,}  {100 * count / report.size:5.1f} %"
            for purpose, count in used.items()
        }
        | {"in all": f"{sum(used.values()):,}  {100:5.1f} %"}
    )
    if report.verity:
        yield "Files with verity"
        for path, digest in [*report.verity.items()][:DIGESTS_SHOWN]:
            yield f"  {digest} {display_path(path)}"
        yield from _more(len(report.verity) - DIGESTS_SHOWN, rest or "report.verity has all")
    if report.losses:
        yield "Not kept exactly"
        for loss in report.losses[:LOSSES_SHOWN]:
            yield f"  {display_path(loss.path)}: {loss.what}"
        yield from _more(len(report.losses) - LOSSES_SHOWN, rest or "report.losses has all")


def _more(count: int, rest: str) -> Iterator[str]:
    if count > 0:
        yield f"  and {count:,} more; {rest}"


def _journal_device(report: ImageReport) -> dict[str, str]:
    if not report.journal_device:
        return {}
    size, uuid = report.journal_device["size"], report.journal_device["uuid"]
    assert isinstance(size, int)
    return {"journal": f"{human_bytes(size)} on a separate device, UUID {uuid}"}


def _tables_for_growth(report: ImageReport) -> Mapping[str, str]:
    if not report.table_bytes_for_growth:
        return {}
    size = human_bytes(report.table_bytes_for_growth)
    return {"tables": f"{size} of inodes that only growth needs, zeros or holes in the output"}


def _features(names: Sequence[str]) -> dict[str, str]:
    """Return the names in rows of at most ``WIDTH`` characters; only the first has a title."""
    rows = [""]
    for name in names:
        if len(rows[-1]) + len(name) >= WIDTH:
            rows.append("")
        rows[-1] = f"{rows[-1]} {name}".lstrip()
    rows[0] = rows[0] or "(none)"
    return {" " * number or "features": text for number, text in enumerate(rows)}


def table(rows: Mapping[str, str]) -> Iterator[str]:
    """Return lines with a column of names and one of values."""
    width = max(map(len, rows))
    return (f"  {name:{width}}  {value}" for name, value in rows.items())


def numbers(rows: Mapping[str, str]) -> Iterator[str]:
    """Like :func:`table`, but with values aligned to the right."""
    names, values = max(map(len, rows)), max(map(len, rows.values()))
    return (f"  {name:{names}}  {value:>{values}}" for name, value in rows.items())
