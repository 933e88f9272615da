"""The entry in the list of commands. The program runs the command itself without click."""

from __future__ import annotations

import click


@click.command(
    context_settings={"ignore_unknown_options": True}, add_help_option=False, name="mke2fs"
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="DEVICE [SIZE]")
@click.pass_context
def mke2fs(ctx: click.Context, /, arguments: tuple[str, ...]) -> None:
    """Make a file system with the options and messages of mke2fs(8); see docs/mke2fs.md."""
    from .command import main

    ctx.exit(main("mke2fs", arguments))
