"""The command that draws an image."""

from __future__ import annotations

import click

from .image_argument import ImageLocation, image_argument
from .options import PATH, GroupedCommand
from .signals import cancel_on_signals

COLOURS = ("file", "directory", "size", "fragmentation")


@click.command(name="map", cls=GroupedCommand)
@image_argument
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    required=True,
    help="The drawing to write: HTML if its name ends in .html, otherwise SVG; '-' is standard "
    "output.",
)
@click.option(
    "--color",
    type=click.Choice(COLOURS),
    default="file",
    show_default=True,
    help="What the colour of a file shows.",
)
def draw_map(place: ImageLocation, output: str, color: str) -> None:
    """Draw IMAGE: a row for each block group, coloured by metadata, files and free space.

    SVG is for a web page or a document. HTML is self-contained: it shows the inode, path and
    extent under the pointer, and has a search field.
    """
    from ext4writer.inspection.map import draw_html, draw_svg

    from .output import open_text_output, write_text

    if output != "-":
        open_text_output(output).refuse_inputs([place.path])
    draw = draw_html if output.lower().endswith((".html", ".htm")) else draw_svg
    with cancel_on_signals() as cancel, place.open() as image:
        text = draw(image, by=color, cancel=cancel)
        write_text(memoryview(text.encode()), output)
