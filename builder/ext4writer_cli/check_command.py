"""The command that checks an image."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .image_argument import ImageLocation, image_argument
from .options import PATH, GroupedCommand
from .signals import cancel_on_signals

if TYPE_CHECKING:
    from ext4writer import DamageError
    from ext4writer.inspection.check import Result

# fsck(8), "EXIT CODE"
CLEAN, PROBLEMS_LEFT, NOT_READABLE = 0, 4, 8


@click.command(cls=GroupedCommand)
@image_argument
@click.option(
    "--data",
    is_flag=True,
    help="Read all file content, and check fs-verity files against their Merkle trees.",
)
@click.option(
    "-j",
    "--journal-device",
    type=PATH,
    metavar="FILE",
    help="The file or device that holds the journal, if the journal is not in IMAGE.",
)
@click.option("--strict", is_flag=True, help="Count warnings as problems.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(
    place: ImageLocation, data: bool, journal_device: str | None, strict: bool, as_json: bool
) -> None:
    """Check IMAGE as e2fsck does, and warn about faults that e2fsck ignores.

    Each problem is one line: path, record.field, byte offset, the value found, the value expected,
    and e2fsck's name for the problem. The exit status is 0 if the image is clean, 4 if it has
    problems, 8 if it cannot be read. Nothing is changed.
    """
    from ext4writer.errors import DamageError, ImageError, SourceError
    from ext4writer.inspection.check import check_opened
    from ext4writer.read import open_image

    damage: list[DamageError] = []
    try:
        with (
            cancel_on_signals() as cancel,
            place.open_with(damage.append) as image,
            open_image(journal_device) if journal_device else nullcontext() as device,
        ):
            result = check_opened(image, damage, data=data, journal=device, cancel=cancel)
    except (ImageError, DamageError, SourceError) as error:
        _not_readable(error, as_json)
    status = CLEAN if result.is_clean and not (strict and result.warnings) else PROBLEMS_LEFT
    if as_json:
        click.echo(json.dumps(_report(result, status), indent=2))
    else:
        for problem in result.problems:
            click.echo(problem.line)
        left = result.errors + result.warnings - len(result.problems)
        if left:
            click.echo(f"and {left:,} more")
        click.echo(_summary(result))
    raise click.exceptions.Exit(status)


def _summary(result: Result) -> str:
    from ext4writer.inspection.words import many

    inodes = many(result.inodes, "inodes")
    if not result.errors and not result.warnings:
        return f"clean: {inodes}"
    return f"{many(result.errors, 'errors')}, {many(result.warnings, 'warnings')}, {inodes}"


def _report(result: Result, status: int) -> dict[str, Any]:
    from ext4writer.errors import display_path

    problems = [
        {
            "code": problem.code,
            "warning": problem.is_warning,
            "path": None if problem.path is None else display_path(problem.path),
            "inode": problem.ino,
            "record": problem.record,
            "field": problem.field,
            "offset": problem.offset,
            "text": problem.text,
        }
        for problem in result.problems
    ]
    return {
        "status": status,
        "errors": result.errors,
        "warnings": result.warnings,
        "inodes": result.inodes,
        "problems": problems,
    }


def _not_readable(error: Exception, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"status": NOT_READABLE, "error": str(error)}, indent=2))
    else:
        click.echo(f"ext4writer: {error}", err=True)
    raise click.exceptions.Exit(NOT_READABLE)
