"""The command ``manifest``: lists as text what an image of the sources would hold."""

from __future__ import annotations

import gc
import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from .options import (
    PATH,
    SOURCE,
    GroupedCommand,
    GroupedOption,
    ScanOptions,
    options,
    paths_in,
    usable_cpus,
)
from .rule_options import RuleOptions
from .signals import cancel_on_signals
from .source_arguments import SourceArgument, check_together

if TYPE_CHECKING:
    pass

Command = Callable[..., Any]

HEADING = "The manifest"
DIGESTS = ("md5", "sha1", "sha256", "sha384", "sha512")


def _option(*flags: str, **attributes: Any) -> Callable[[Command], Command]:
    return click.option(*flags, cls=GroupedOption, heading=HEADING, **attributes)


@click.command(cls=GroupedCommand)
@click.argument("source", type=SOURCE, metavar="[SOURCE]...", nargs=-1)
@_option(
    "--format",
    "kind",
    type=click.Choice(["mtree", "dump"]),
    default="mtree",
    show_default=True,
    help="mtree(5), as bsdtar and mtree(8) read it, or composefs-dump(5).",
)
@_option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    default="-",
    help="Where to write it.  [default: standard output]",
)
@_option(
    "--relative-to",
    type=PATH,
    metavar="DIR",
    help="Name files below DIR by their path relative to DIR; to read the manifest, pass DIR as "
    "--content-root.  [default: the folder of FILE, or the current one]",
)
@_option(
    "--store",
    type=PATH,
    metavar="DIR",
    help="Copy the content of files that are not files of the host, such as those in an archive, "
    "into DIR.  [default: name them as if the archive were unpacked]",
)
@_option("--digest", type=click.Choice(DIGESTS), help="Read all files, and add a digest of each.")
@_option(
    "--strict", is_flag=True, help="Fail and write nothing if anything cannot be kept exactly."
)
@_option("-q", "--quiet", is_flag=True, help="Show no progress, and do not report losses.")
@options("rules", RuleOptions)
@options("scan", ScanOptions)
def manifest(
    source: tuple[SourceArgument, ...],
    kind: str,
    output: str,
    relative_to: str | None,
    store: str | None,
    digest: str | None,
    strict: bool,
    quiet: bool,
    rules: RuleOptions,
    scan: ScanOptions,
) -> None:
    """Print a manifest of what an image of all SOURCEs would hold.

    The manifest can be a SOURCE itself: 'ext4writer build manifest:FILE' makes the same image. See
    build for what a SOURCE is.
    """
    if digest is not None and kind == "dump":
        raise click.UsageError("--digest is for mtree; a dump has only digests of fs-verity")
    try:
        check_together(source)
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    gc.disable()

    from ext4writer import ProcessPool, manifests
    from ext4writer.edit.rules import apply_rules
    from ext4writer.inputs import check_output_of_tree

    from .content_store import ContentStore
    from .output import is_earlier_output, open_text_output, write_text
    from .pipeline import StrictError
    from .progress import progress_bar
    from .source_readers import Reading, read_sources
    from .spool import Spool

    outputs = [] if output == "-" else [open_text_output(output)]
    for one in outputs:
        one.refuse_inputs([*(argument.place for argument in source), *paths_in(scan, rules)])
    place = relative_to or (os.path.dirname(output) or "." if output != "-" else ".")
    keep = ContentStore(store).put if store is not None else None
    selection, changes = rules.selection(), rules.compiled()
    with cancel_on_signals(at_once=output == "-") as cancel:
        with (
            Spool(None) as spool,
            ProcessPool(usable_cpus()) as pool,
            progress_bar(enabled=not quiet) as progress,
        ):
            older = outputs if is_earlier_output("--output", output) else []
            reading = Reading(scan, selection, older, spool, pool, progress, cancel)
            with cancel_on_signals(at_once=True):
                tree, _ = read_sources(source, reading)
                apply_rules(tree, changes)
            held = io.BytesIO()
            losses = list(tree.losses)
            if kind == "dump":
                losses += manifests.write_dump(tree, held, root=place, store=keep, unpacked=True)
            else:
                losses += manifests.write_mtree(
                    tree, held, root=place, store=keep, unpacked=True, digest=digest
                )
        if strict and losses:
            raise StrictError(losses)
        if output != "-":
            check_output_of_tree(tree, output)
        write_text(held.getbuffer(), output)
    if losses and not quiet:
        from .report import print_losses

        print_losses(losses)
