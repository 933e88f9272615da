"""The long options, which mke2fs does not have; they are options of ``build``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ext4writer.late_dataclasses import NamedTuple, dataclass, fields

from .refusal import Mistake, Refusal

if TYPE_CHECKING:
    import click

    from ext4writer.edit.rules import Rule
    from ext4writer.edit.rules_select import Selection

    from ..options import ScanOptions

Kind = TypeVar("Kind")

LEADING_HOLE = True
"""Whether a file may begin with a hole, as in mke2fs."""


class LongOptions(NamedTuple):
    """The values of these options."""

    scan: ScanOptions
    selection: Selection
    rules: list[Rule]
    strict: bool
    workers: int
    hole_size: int
    leading_hole: bool
    identity: Literal["attributes", "content"]
    install_links: str | None
    paths: list[str]
    """Files of the host that the options name."""


@cache
def _command() -> click.Command:
    import click

    from ..options import (
        PATH,
        GroupedCommand,
        ImageOptions,
        RunOptions,
        ScanOptions,
        options,
        row,
        same_row,
    )
    from ..rule_options import RuleOptions

    @dataclass(frozen=True, eq=False, repr=False)
    class FrontOptions:
        """The options that are in no other group."""

        HEADING = "Other options"

        strict: bool = same_row(RunOptions, "strict")
        workers: int | None = same_row(RunOptions, "workers")
        hole_size: int = same_row(ImageOptions, "hole_size")
        leading_hole: bool = same_row(ImageOptions, "leading_hole", default=LEADING_HOLE)
        identity: str = same_row(ImageOptions, "identity")
        install_links: str | None = row(
            "--install-links",
            type=PATH,
            metavar="DIR",
            about="Create links to this program named mke2fs, mkfs.ext2, mkfs.ext3 and mkfs.ext4 "
            "in DIR; existing files are not replaced.",
        )

    command: Any = lambda **_: None  # noqa: E731
    command.__name__ = "mke2fs"
    command.__doc__ = (
        "Make an ext2, ext3 or ext4 file system with the options of mke2fs(8): "
        "mke2fs [-options] [--options] DEVICE [SIZE]. docs/mke2fs.md lists the differences."
    )
    for name, kind in (("front", FrontOptions), ("rules", RuleOptions), ("scan", ScanOptions)):
        command = options(name, kind)(command)
    made: click.Command = click.command(cls=GroupedCommand)(command)
    return made


@cache
def _kinds() -> dict[str, bool]:
    """Long option -> whether it takes a value."""
    found = {"--help": False}
    for param in _command().params:
        for flag in (*param.opts, *param.secondary_opts):
            if flag.startswith("--"):
                found[flag] = not getattr(param, "is_flag", False)
    return found


def takes_value(program: str, name: str) -> bool:
    """Whether the long option ``name`` takes a value; raises :class:`Refusal` if it is unknown."""
    if name not in _kinds():
        raise Refusal(f"{program}: unrecognized option '{name}'; {program} --help lists them\n")
    return _kinds()[name]


def help_page(program: str) -> str:
    """The help page of the long options."""
    import click

    return _command().get_help(click.Context(_command(), info_name=program))


def parse_long_options(given: Sequence[str]) -> LongOptions:
    """Parse the long options; raises :class:`Mistake`, and the library's errors."""
    import click

    from ..options import ScanOptions, paths_in, usable_cpus
    from ..rule_options import RuleOptions

    command = _command()
    try:
        with command.make_context("mke2fs", list(given)) as ctx:
            scan, rules = _taken(ScanOptions, ctx.params), _taken(RuleOptions, ctx.params)
            front = ctx.params
            return LongOptions(
                scan,
                rules.selection(),
                rules.compiled(),
                front["strict"],
                front["workers"] or usable_cpus(),
                front["hole_size"],
                front["leading_hole"],
                front["identity"],
                front["install_links"],
                list(paths_in(scan, rules)),
            )
    except click.ClickException as error:
        raise Mistake(error.format_message()) from None


def _taken(kind: type[Kind], values: dict[str, Any]) -> Kind:
    return kind(**{each.name: values[each.name] for each in fields(kind)})  # type: ignore[arg-type]
