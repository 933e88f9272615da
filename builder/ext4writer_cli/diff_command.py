"""The command that compares two images."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from .image_argument import DamageLog, ImageLocation, image_arguments
from .options import Count, GroupedCommand
from .signals import cancel_on_signals

if TYPE_CHECKING:
    from ext4writer.inspection.diff import Difference, Differences

EQUAL, DIFFERENT = 0, 1
EXAMPLES_AS_JSON = 1000
LINES_MOST = 40
WIDTH_MOST = 60
HEADS = {
    "path": "what users see",
    "field": "other values of fields",
    "place": "other locations",
}
ORDER = ("added", "removed", "kind", "content", "holes", "size", "target", "mode", "uid", "gid")
"""Differences printed first; the rest follow in the order in which they were found."""


@click.command(cls=GroupedCommand)
@image_arguments("a", "b")
@click.option("--paths", is_flag=True, help="Compare only what users of the images see.")
@click.option("--fields", is_flag=True, help="Compare only superblock, groups and inodes by field.")
@click.option(
    "--examples",
    type=Count(min=0),
    metavar="N",
    help="Show N examples of each type of difference.  [default: as many as fit on a screen; 1000 "
    "with --json]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def diff(
    a: ImageLocation,
    b: ImageLocation,
    paths: bool,
    fields: bool,
    examples: int | None,
    as_json: bool,
) -> None:
    """Show how the images A and B differ.

    First by path: what is added, removed or changed, attributes, content and holes. Then by field:
    superblock, groups, and inodes with the same path. Last, what is only at other locations. The
    exit status is 0 if the images are equal, 1 if not.
    """
    from ext4writer.inspection.diff import LEVELS, compare_images

    wanted = [level for level, chosen in (("path", paths), ("field", fields)) if chosen]
    levels = tuple(wanted) or LEVELS
    most = EXAMPLES_AS_JSON if as_json else LINES_MOST
    with ExitStack() as stack:
        cancel = stack.enter_context(cancel_on_signals())
        damage = DamageLog(), DamageLog()
        first, second = (
            stack.enter_context(place.open(each))
            for place, each in zip((a, b), damage, strict=True)
        )
        found = compare_images(
            first, second, levels=levels, most=most if examples is None else examples, cancel=cancel
        )
        # Print before the images are closed: that ends the command if damage was found.
        if as_json:
            click.echo(json.dumps(_report(found), indent=2))
        elif found.are_equal:
            is_damaged = any(each.count for each in damage)
            same = "no difference in what can be read" if is_damaged else "equal"
            click.echo(f"{same}: {', '.join(_compared(found))}")
        else:
            _print(found, examples)
    raise click.exceptions.Exit(EQUAL if found.are_equal else DIFFERENT)


def _report(found: Differences) -> dict[str, Any]:
    return {
        "equal": found.are_equal,
        "content_left_out": found.content_left_out,
        "differences": [
            {
                "level": level,
                "what": what,
                "count": count,
                "examples": [
                    {"where": each.where, "a": each.a, "b": each.b}
                    for each in found.kept[level, what]
                ],
            }
            for (level, what), count in found.counts.items()
        ],
    }


def _print(found: Differences, examples: int | None) -> None:
    from ext4writer.inspection.diff import BYTES

    sorts = len(found.counts)
    if examples is None:
        # One line for each type of difference, the rest of a screen for examples, but at least one.
        spare = LINES_MOST - 4 - sorts
        examples = max(1, min(3, spare // max(sorts, 1)))
    for level, head in HEADS.items():
        rows = list(found.of_level(level))
        if not rows:
            continue
        click.echo(f"{head}:")
        rows.sort(key=lambda row: ORDER.index(row[0]) if row[0] in ORDER else len(ORDER))
        for what, count, kept in rows:
            _print_sort(what, count, kept if what == BYTES else kept[:examples])
    if found.content_left_out:
        click.echo(f"content of {found.content_left_out:,} damaged files was not compared")


def _compared(found: Differences) -> list[str]:
    from ext4writer.inspection.diff import LEVELS

    return [f"{level}s" for level in LEVELS if level in found.levels]


def _print_sort(what: str, count: int, kept: list[Difference]) -> None:
    from ext4writer.inspection.diff import BYTES

    if what == BYTES:
        kinds = (f"{each.where} {each.a['blocks']:,}" for each in kept)
        click.echo(f"  {what}: {', '.join(kinds)}")
        return
    head = f"  {what}" if count == 1 else f"  {what} ({count:,})"
    if len(kept) == 1:
        more = f"; and {count - 1:,} more" if count > 1 else ""
        click.echo(f"{head}: {_line(kept[0])}{more}")
        return
    click.echo(head)
    for each in kept:
        click.echo(f"    {_line(each)}")
    if count > len(kept) > 0:
        click.echo(f"    and {count - len(kept):,} more")


def _line(difference: Difference) -> str:
    where, a, b = difference.where, difference.a, difference.b
    if difference.what in ("added", "removed"):
        return f"{where} ({_alone(b if a is None else a)})"
    if difference.what == "content":
        return f"{where}: {_content(a, b)}"
    change = f"{_shorten(a)} -> {_shorten(b)}"
    return change if difference.what.startswith(f"{where}.") else f"{where}: {change}"


def _alone(facts: dict[str, Any]) -> str:
    if "below" in facts:
        return f"{facts['kind']}, {facts['below']:,} below" if facts["below"] else facts["kind"]
    return f"{facts['kind']}, {_bytes(facts['size'])}" if facts["size"] else str(facts["kind"])


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count:,} bytes"


def _content(a: dict[str, Any], b: dict[str, Any]) -> str:
    start, end = a["ranges"][0]
    count, places = a["bytes_changed"], a["places"]
    many = f"{count:,} bytes in {places:,} places" if places > 1 else _bytes(count)
    there = f"starting at byte {start:,}" if end - start > 1 else f"at byte {start:,}"
    texts = [f"'{side['first_as_text']}'" for side in (a, b)]
    if any("\\x" in text for text in texts):
        texts = [side["first"] for side in (a, b)]
    verb = "differs" if count == 1 else "differ"
    return f"{many} {verb}, {there} {texts[0]} -> {texts[1]}"


def _shorten(value: Any) -> str:
    """The value as one line of at most ``WIDTH_MOST`` characters."""
    if value is None:
        return "none"
    if isinstance(value, dict):
        text = ", ".join(f"{name.replace('_', ' ')} {each}" for name, each in value.items())
    elif isinstance(value, list):
        text = " ".join(map(str, value)) or "none"
    else:
        text = str(value)
    return text if len(text) <= WIDTH_MOST else f"{text[: WIDTH_MOST - 3]}..."
