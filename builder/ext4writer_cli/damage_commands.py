"""The commands that damage images deliberately."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from .image_argument import ImageLocation
from .options import PATH, SIZE, GroupedCommand, parsed_overrides
from .signals import cancel_on_signals

if TYPE_CHECKING:
    from ext4writer.damage.catalogue import Case


@click.command(cls=GroupedCommand)
@click.argument("image", type=PATH)
@click.argument("change", nargs=-1, required=True, metavar="FIELD=VALUE...")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    required=True,
    help="The changed image, compressed if its name ends in .zst, .gz or .xz; '-' is standard "
    "output.",
)
@click.option(
    "--no-reseal", is_flag=True, help="Do not update the checksum that covers a changed field."
)
@click.option(
    "--poison",
    is_flag=True,
    help="Deliberately make the checksum that covers a changed field wrong.",
)
@click.option(
    "--offset",
    type=SIZE,
    metavar="SIZE",
    default="0",
    help="The file system begins at this byte of IMAGE, or of the partition.",
)
def patch(
    image: str,
    change: tuple[str, ...],
    output: str,
    no_reseal: bool,
    poison: bool,
    offset: int,
) -> None:
    """Write a copy of IMAGE with other values in some fields, to test programs that read it.

    IMAGE is any ext2, ext3 or ext4 image, or DISK:N for partition N of a disk; it is not changed.
    FIELD=VALUE is as for --override of build, such as 'inode[/etc/passwd].i_size_lo=limit+1' or
    'bytes[0x438]=hex:00ff'. All checksums that cover the fields are updated.
    """
    from ext4writer.damage import patch_image
    from ext4writer.errors import OverrideError

    from .output import PathOutput, StandardOutput, standard_stream

    try:
        overrides = parsed_overrides(change, no_reseal, poison)
        source = ImageLocation(image, offset, None, False)
        place = StandardOutput() if output == "-" else PathOutput(output)
        place.refuse_inputs([source.path])
        with cancel_on_signals():
            patch_image(
                source.path,
                standard_stream() if output == "-" else output,
                overrides,
                offset=source.offset,
                partition=source.partition,
            )
    except OverrideError as error:
        raise click.UsageError(str(error).removeprefix("override ")) from None


@click.group()
def fuzz() -> None:
    """Make images to test programs that read ext4, and run such programs on them."""


@fuzz.command(cls=GroupedCommand)
@click.argument("name", nargs=-1)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="DIR",
    help="Write NAME.img for each case into this folder, which is created if missing. Existing "
    "files are not overwritten.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def cases(name: tuple[str, ...], output: str | None, as_json: bool) -> None:
    """List the catalogue of corruptions: what is wrong in each, and what e2fsck finds.

    NAMEs choose some of the cases; a name in brackets, such as '[extents]', chooses a group.
    """
    from ext4writer.damage.catalogue import CASES, coverage
    from ext4writer.damage.problems import NAMES

    known = {case.name for case in CASES} | {f"[{case.group}]" for case in CASES}
    unknown = [each for each in name if each not in known]
    if unknown:
        raise click.UsageError(f"no such case: {unknown[0]}; 'ext4writer fuzz cases' lists them")
    chosen = [case for case in CASES if not name or case.name in name or f"[{case.group}]" in name]
    if output is not None:
        with cancel_on_signals():
            _write_cases(chosen, output)
    if as_json:
        rows = [_row(case) for case in chosen]
        reached = coverage()
        report = {"cases": rows, "reached": list(reached), "codes": len(NAMES)}
        click.echo(json.dumps(report, indent=2))
        return
    if output is not None:
        click.echo(f"{len(chosen)} images in {output}")
        return
    group = ""
    for case in chosen:
        if case.group != group:
            group = case.group
            click.echo(f"[{group}] a kernel {case.kernels}")
        click.echo(f"  {case.name} ({case.base.name}): {case.why}")
        for override in case.overrides:
            click.echo(f"      {override}")
        click.echo(f"    e2fsck: {' '.join(case.codes) or 'nothing'}")
        further = [code for code in case.repair_codes if code not in case.codes]
        if further:
            click.echo(f"    e2fsck -y too: {' '.join(further)}")
        click.echo(f"    ext4writer check: {' '.join(case.checker) or 'nothing'}")
        click.echo(f"    Linux 6.1: {case.kernel}")
    click.echo(
        f"{len(chosen)} cases; all {len(CASES)} reach {len(coverage())} of {len(NAMES)} codes"
    )


def _row(case: Case) -> dict[str, object]:
    return {
        "name": case.name,
        "group": case.group,
        "base": case.base.name,
        "why": case.why,
        "overrides": list(case.overrides),
        "e2fsck": list(case.codes),
        "e2fsck_repair": list(case.repair_codes),
        "check": list(case.checker),
        "linux": case.kernel,
        "kernels": case.kernels,
    }


def _write_cases(chosen: list[Case], folder: str) -> None:
    """Write an image for each case; raises ``OutputError`` if one of the files exists."""
    from ext4writer.damage.catalogue import write_case
    from ext4writer.errors import OutputError

    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise OutputError(folder, "is not a folder")
    paths = [(case, os.path.join(folder, f"{case.name}.img")) for case in chosen]
    for _, path in paths:
        if os.path.lexists(path):
            raise OutputError(path, "exists already; choose an empty folder")
    os.makedirs(folder, exist_ok=True)
    for case, path in paths:
        write_case(case, path)
