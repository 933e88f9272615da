"""The commands. Slow imports are postponed until a command runs."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .options import (
    PATH,
    SOURCE,
    GroupedCommand,
    GroupedOption,
    ImageOptions,
    OutputOptions,
    OverrideOptions,
    RunOptions,
    ScanOptions,
    SharingOptions,
    given,
    options,
    parse_part,
    parsed,
    paths_in,
    usable_cpus,
)
from .rule_options import RuleOptions
from .signals import cancel_on_signals
from .source_arguments import SourceArgument, check_together
from .streams import open_missing
from .units import parse_size

if TYPE_CHECKING:
    from .output import Output

PROGRAM = "ext4writer"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, print every failure as one line, and exit."""
    open_missing()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # Between commands there is nothing to clean up. Without this, click would print an empty
        # line after Ctrl-C.
        with cancel_on_signals(at_once=True):
            status = commands.main(arguments, prog_name=PROGRAM, standalone_mode=False)
            sys.stdout.flush()
    except BaseException as error:
        status = _report_failure(error)
        if status is None:
            raise
        _drop_pending_output()
    sys.exit(status if isinstance(status, int) else 0)


def _report_failure(error: BaseException) -> int | None:
    """Print the failure and return the exit status; None means a bug in this program."""
    from .failures import explain

    explained = explain(error)
    if explained is None:
        return None
    line, status = explained
    with suppress(OSError):
        click.echo(f"{PROGRAM}: {line}", err=True)
    return status


def _drop_pending_output() -> None:
    """Keep the interpreter from failing again at exit, when it flushes output that no one reads."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class LazyCommands(MutableMapping[str, click.Command]):
    """Commands by name; those in ``late`` are created on first use."""

    def __init__(self, **late: Callable[[], click.Command]) -> None:
        self._late = late
        self._made: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._made and name in self._late:
            self._made[name] = self._late[name]()
        return self._made[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._late, **self._made})

    def __len__(self) -> int:
        return len({**self._late, **self._made})


def _manifest() -> click.Command:
    from .manifest_command import manifest

    return manifest


def _mke2fs() -> click.Command:
    from .mke2fs.listed import mke2fs

    return mke2fs


def _nix() -> click.Command:
    from .nix.command import nix

    return nix


IMAGE_COMMANDS = ("info", "ls", "tree", "cat", "stat", "find", "extract", "show")


def _image_command(name: str) -> click.Command:
    from . import image_commands

    command: click.Command = getattr(image_commands, name)
    return command


def _check() -> click.Command:
    from .check_command import check

    return check


def _diff() -> click.Command:
    from .diff_command import diff

    return diff


def _map() -> click.Command:
    from .map_command import draw_map

    return draw_map


def _fuzz() -> click.Command:
    from .damage_commands import fuzz
    from .fuzz.commands import COMMANDS

    for command in COMMANDS:
        fuzz.add_command(command)
    return fuzz


def _patch() -> click.Command:
    from .damage_commands import patch

    return patch


def _completion() -> click.Command:
    from .completion import completion

    return completion


def _show_version(ctx: click.Context, _: click.Parameter, requested: bool) -> None:
    if not requested or ctx.resilient_parsing:
        return
    from ext4writer.version import __version__

    click.echo(f"{PROGRAM}, version {__version__}")
    ctx.exit()


class Program(click.Group):
    """All commands. ``help COMMAND`` means ``COMMAND --help``, as in other programs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            command = next((word for word in given if word in self.commands), None)
            if command is None:
                raise
            raise click.UsageError(
                f"{error.option_name} is given before the command; options go after it: "
                f"{PROGRAM} {command} {error.option_name}",
                ctx,
            ) from None


@click.group(
    name=PROGRAM,
    cls=Program,
    commands=LazyCommands(
        check=_check,
        completion=_completion,
        diff=_diff,
        fuzz=_fuzz,
        manifest=_manifest,
        map=_map,
        mke2fs=_mke2fs,
        nix=_nix,
        patch=_patch,
        **{name: partial(_image_command, name) for name in IMAGE_COMMANDS},
    ),
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def commands() -> None:
    """Make ext4 images from files anywhere, without mkfs, root privileges or a mount."""


def image_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options shared by all commands that make an image."""
    for name, kind in (
        ("run", RunOptions),
        ("overrides", OverrideOptions),
        ("image", ImageOptions),
        ("rules", RuleOptions),
    ):
        command = options(name, kind)(command)
    return command


plan_option = click.option(
    "--plan",
    type=PATH,
    metavar="PLAN",
    cls=GroupedOption,
    heading="Output",
    help="Use a plan saved by 'plan --save' instead of any SOURCE.",
)
base_option = click.option(
    "--base",
    type=PATH,
    metavar="IMAGE|PLAN",
    cls=GroupedOption,
    heading="Output",
    help="Differ as little as possible from an earlier image, or from the image of a saved plan: "
    "files in both keep their inode numbers and blocks. The report counts the blocks that differ.",
)
source_arguments = click.argument("source", type=SOURCE, metavar="[SOURCE]...", nargs=-1)


@commands.command(cls=GroupedCommand)
@source_arguments
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
@click.option(
    "--dry-run",
    is_flag=True,
    cls=GroupedOption,
    heading="Output",
    help="Write nothing; report what the image would be, as the command plan does.",
)
@plan_option
@base_option
@click.option(
    "--part",
    type=parsed(parse_part),
    metavar="N/M",
    cls=GroupedOption,
    heading="Output",
    help="Write only part N of M, as a separate file; the parts, concatenated in order, are the "
    "image.",
)
@options("stored", OutputOptions)
@options("scan", ScanOptions)
@options("sharing", SharingOptions)
@image_options
@click.pass_context
def build(
    ctx: click.Context,
    /,
    source: tuple[SourceArgument, ...],
    output: str | None,
    dry_run: bool,
    part: tuple[int, int] | None,
    **chosen: Any,
) -> None:
    """Write an ext4 image of all SOURCEs, later ones over earlier ones.

    A SOURCE is a folder, a tar archive, '-' for one on standard input, an ext4 image,
    image:DISK:PARTITION, oci:LAYOUT[:REF], docker-archive:FILE[:REF] or manifest:FILE.
    '::/FOLDER' after it says where in the image it goes; missing folders on that path are
    created. Without a SOURCE the file system is empty.
    """
    if output is None and not dry_run:
        raise click.MissingParameter(ctx=ctx, param_type="option", param_hint="'--output'")
    if dry_run:
        output = None
        part = None
        del chosen["stored"]
    execute(source, output, part=part, **chosen)


@commands.command(cls=GroupedCommand)
@source_arguments
@click.option(
    "--save",
    type=PATH,
    metavar="PLAN",
    cls=GroupedOption,
    heading="Output",
    help="Save the plan to a file, for 'build --plan' and 'serve --plan' on any machine that has "
    "the same sources.",
)
@plan_option
@base_option
@options("scan", ScanOptions)
@options("sharing", SharingOptions)
@image_options
def plan(source: tuple[SourceArgument, ...], **chosen: Any) -> None:
    """Report what an image of all SOURCEs would be; write nothing.

    See build for what a SOURCE is.
    """
    execute(source, None, **chosen)


@commands.command(cls=GroupedCommand)
@source_arguments
@click.option(
    "--nbd",
    required=True,
    metavar="unix:PATH|HOST:PORT",
    cls=GroupedOption,
    heading="Output",
    help="Where clients connect: a Unix socket, which is created, or a loopback address.",
)
@click.option(
    "--listen-anywhere",
    is_flag=True,
    cls=GroupedOption,
    heading="Output",
    help="Allow an address that other machines can reach. Anyone who can reach it can read the "
    "image.",
)
@click.option(
    "--memory",
    type=parsed(parse_size),
    metavar="SIZE",
    cls=GroupedOption,
    heading="Output",
    help="Memory for the replies to all clients together.  [default: 128M]",
)
@plan_option
@base_option
@options("scan", ScanOptions)
@options("sharing", SharingOptions)
@image_options
def serve(
    source: tuple[SourceArgument, ...],
    nbd: str,
    listen_anywhere: bool,
    memory: int | None,
    **chosen: Any,
) -> None:
    """Serve an image of all SOURCEs as a read-only network block device, without writing it.

    QEMU, nbdcopy, qemu-img and the kernel can read it as soon as it is planned. Source files are
    read when a client requests them, and must not change in the meantime. A signal ends the
    server. See build for what a SOURCE is.
    """
    from .serving import ServedOutput

    run: RunOptions = chosen["run"]
    output = ServedOutput(nbd, listen_anywhere=listen_anywhere, memory=memory, quiet=run.quiet)
    execute(source, None, served=output, **chosen)


def execute(
    sources: tuple[SourceArgument, ...],
    destination: str | None,
    *,
    scan: ScanOptions,
    sharing: SharingOptions,
    rules: RuleOptions,
    image: ImageOptions,
    overrides: OverrideOptions,
    run: RunOptions,
    stored: OutputOptions | None = None,
    plan: str | None = None,
    base: str | None = None,
    save: str | None = None,
    part: tuple[int, int] | None = None,
    served: Output | None = None,
) -> None:
    """Make, plan or serve one image, and print its report."""
    if plan is not None:
        groups = (ScanOptions, SharingOptions, RuleOptions, ImageOptions)
        # A plan records that the journal is on a separate device, but not which file that is.
        named = [flag for flag in given(*groups) if flag != "--journal-device"]
        decided = ["a SOURCE"] if sources else ["--base"] if base is not None else named
        if decided:
            raise click.UsageError(f"{decided[0]} cannot change a plan; give it when planning")
    if scan.keep_times and rules.all_times:
        raise click.UsageError("--keep-times and --all-times contradict each other")
    try:
        check_together(sources)
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    # A tree has hundreds of thousands of objects and no cycles: garbage collection only costs time.
    gc.disable()

    from . import pipeline
    from .output import (
        is_earlier_output,
        open_journal,
        open_output,
        print_report,
        refuse_overwriting,
    )
    from .progress import progress_bar

    workers = run.workers or usable_cpus()
    output: Output | None = served
    settings = stored or OutputOptions()
    signatures = (file for _, file in image.verity_signatures)
    inputs = [*(source.place for source in sources), *paths_in(scan, rules), *signatures]
    inputs += [] if plan is None else [plan]
    if destination is not None:
        if part is not None:
            from .part_output import part_output

            output = part_output(destination, part, settings)
        else:
            output = open_output(destination, settings, threads=workers)
        output.refuse_inputs(inputs)
    features = [*rules.features(sources), *sharing.features()]
    journal_output = None
    older: list[Output] = []
    if image.journal_device is not None and output is not None:
        journal_output = open_journal(image.journal_device, destination)
        journal_output.refuse_inputs(inputs)
        if is_earlier_output("--journal-device", image.journal_device):
            older.append(journal_output)
    files = settings.files() | ({} if save is None else {"--save": save})
    if files:
        images = {"--output": destination, "--journal-device": image.journal_device}
        # The image itself may replace its base, which has been read completely by then.
        older += refuse_overwriting(files, [*inputs, *([] if base is None else [base])], images)
    job = pipeline.Job(
        sources=sources,
        output=output,
        journal=journal_output,
        scan=scan,
        selection=rules.selection(),
        rules=rules.compiled(),
        spec=image.sized(output).with_features(features).spec(),
        overrides=overrides.overrides(),
        strict=run.strict,
        workers=workers,
        plan=plan,
        save=save,
        base=base,
        compares=served is None,
        older=older,
    )
    with (
        cancel_on_signals(at_once=destination == "-") as cancel,
        progress_bar(enabled=not run.quiet) as progress,
    ):
        report = pipeline.run(job, progress=progress, cancel=cancel)
    if run.json:
        print_report(report.as_json(), job.output)
    elif not run.quiet and served is None:
        print_report(report.as_text(), job.output)
