"""The commands that damage images on purpose."""

from __future__ import annotations

import click

from .options import PATH, GroupedCommand, parsed_overrides
from .signals import cancel_on_signals


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
@click.option("--no-reseal", is_flag=True, help="Leave the checksums over each field as they were.")
@click.option("--poison", is_flag=True, help="Make the checksum over each field wrong on purpose.")
def patch(image: str, change: tuple[str, ...], output: str, no_reseal: bool, poison: bool) -> None:
    """Write IMAGE with other values in some fields, to test what reads it.

    IMAGE is any ext2, ext3 or ext4 image, and stays as it is. FIELD=VALUE is as for --override of
    build, such as 'inode[/etc/passwd].i_size_lo=limit+1' or 'bytes[0x438]=hex:00ff'. All checksums
    over the fields are made right.
    """
    from ext4writer.damage import patch_image
    from ext4writer.errors import OverrideError

    from .output import PathOutput, StandardOutput, standard_stream

    try:
        overrides = parsed_overrides(change, no_reseal, poison)
        place = StandardOutput() if output == "-" else PathOutput(output)
        place.refuse_inputs([image])
        with cancel_on_signals():
            patch_image(image, standard_stream() if output == "-" else output, overrides)
    except OverrideError as error:
        raise click.UsageError(str(error).removeprefix("override ")) from None
