"""The command ``ext4writer nix``."""

from __future__ import annotations

import gc
from typing import Any

import click

from ..options import (
    ORDER,
    PATH,
    WORKERS_MAX,
    GroupedCommand,
    GroupedOption,
    OutputOptions,
    OverrideOptions,
    RemembersOrder,
    RunOptions,
    format_groups,
    options,
    paths_in,
    usable_cpus,
)
from ..rule_options import RuleOptions
from ..signals import cancel_on_signals
from .options import ClosureOptions, ContentOptions, NixImageOptions, WorkOptions


class GroupWithHeadings(RemembersOrder, click.Group):
    """A command with subcommands, and with headings on its help page."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_groups(self, ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(cls=GroupWithHeadings, invoke_without_command=True, no_args_is_help=False)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="IMAGE",
    cls=GroupedOption,
    heading="Output",
    help="The image to write, compressed if its name ends in .zst, .gz or .xz; '-' is standard "
    "output, and the report then goes to standard error. An existing file is replaced only when "
    "the new one is complete.",
)
@options("stored", OutputOptions)
@options("closure", ClosureOptions)
@options("content", ContentOptions)
@options("rules", RuleOptions)
@options("image", NixImageOptions)
@options("overrides", OverrideOptions)
@options("run", RunOptions)
@click.pass_context
def nix(ctx: click.Context, /, output: str | None, **chosen: Any) -> None:
    """Write an image of a closure of Nix store paths, such as the root of a NixOS system."""
    if ctx.invoked_subcommand is not None:
        refuse_options(ctx, ctx.invoked_subcommand)
        return
    if output is None:
        raise click.MissingParameter(ctx=ctx, param_type="option", param_hint="'--output'")
    execute(output, **chosen)


def refuse_options(ctx: click.Context, subcommand: str) -> None:
    """Raise a usage error if an option of the image is given before ``subcommand``."""
    for given in ctx.meta[ORDER]:
        [option] = [param for param in ctx.command.params if param.name == given]
        flag = max(option.opts, key=len)
        raise click.UsageError(f"{flag} is given before {subcommand!r}, whose options go after it")


def execute(
    destination: str,
    *,
    stored: OutputOptions,
    closure: ClosureOptions,
    content: ContentOptions,
    rules: RuleOptions,
    image: NixImageOptions,
    overrides: OverrideOptions,
    run: RunOptions,
) -> None:
    """Make one image, and print its report."""
    from .closure import check_options

    check_options(closure)

    # A tree has hundreds of thousands of objects and no cycles: garbage collection only costs time.
    gc.disable()

    from ..output import open_output, print_report, refuse_overwriting
    from ..progress import progress_bar
    from . import pipeline

    if image.journal_device is not None:
        raise click.UsageError("--journal-device is for the command build")
    # Nix offers a build all cores of its host, but a closure does not have enough work for them.
    workers = min(run.workers or usable_cpus(), WORKERS_MAX)
    reported = run.json or not run.quiet
    output = open_output(destination, stored, threads=workers, hashed=reported)
    inputs = list(paths_in(closure, content, rules))
    output.refuse_inputs(inputs)
    refuse_overwriting(stored.files(), inputs, {"--output": destination})
    job = pipeline.NixJob(
        closure=closure,
        content=content,
        selection=rules.selection(),
        rules=rules.compiled(),
        image=image.sized(output).with_features(rules.features()),
        output=output,
        overrides=overrides.overrides(),
        strict=run.strict,
        workers=workers,
    )
    with (
        cancel_on_signals(at_once=destination == "-") as cancel,
        progress_bar(enabled=not run.quiet) as progress,
    ):
        report = pipeline.run(job, progress=progress, cancel=cancel)
    if run.json:
        print_report(report.as_json(), job.output)
    elif not run.quiet:
        print_report(report.as_text(), job.output)


@nix.command(cls=GroupedCommand)
@options("closure", ClosureOptions)
@options("work", WorkOptions)
def registration(closure: ClosureOptions, work: WorkOptions) -> None:
    """Print the registration of store paths: hash, size, and the references found in them.

    The format is that of closureInfo, which nix-store --load-db reads.
    """
    from .closure import Context, read_named_closure, without_registration

    closure = without_registration(closure)
    with cancel_on_signals() as cancel:
        gc.disable()

        from ext4writer import ProcessPool

        from ..output import write_text
        from ..spool import Spool

        workers = min(work.workers or usable_cpus(), WORKERS_MAX)
        with Spool(None) as spool, ProcessPool(workers) as pool:
            context = Context(closure, spool, pool, cancel=cancel)
            text = read_named_closure(context).registration.text
    write_text(memoryview(text), "-")
