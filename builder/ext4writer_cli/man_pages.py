"""Generates manual pages, in the format of man(7), from the help texts."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

import click

from .cli import PROGRAM, commands
from .options import OTHER, GroupedOption

STATUSES = {
    "0": "done",
    "1": "an input could not be read, the output could not be written, the tree does not fit, or "
    "--strict",
    "2": "an option or its value is wrong; nothing was read or written",
    "128 + N": "signal N asked the command to stop",
}


def pages(version: str) -> Iterator[tuple[str, str]]:
    """Yield (file name, text) of every page."""
    root = click.Context(commands, info_name=PROGRAM)
    yield f"{PROGRAM}.1", "\n".join(_page(commands, root, version)) + "\n"
    yield from _below(commands, root, version)


def _below(group: click.Group, parent: click.Context, version: str) -> Iterator[tuple[str, str]]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        ctx = click.Context(command, info_name=name, parent=parent)
        yield f"{_title(ctx)}.1", "\n".join(_page(command, ctx, version)) + "\n"
        if isinstance(command, click.Group):
            yield from _below(command, ctx, version)


def _title(ctx: click.Context) -> str:
    return ctx.command_path.replace(" ", "-")


def _page(command: click.Command, ctx: click.Context, version: str) -> Iterator[str]:
    title = _title(ctx)
    yield f'.TH "{_escaped(title.upper())}" "1" "" "{PROGRAM} {version}" "User commands"'
    yield ".SH NAME"
    yield f"{_escaped(title)} \\- {_escaped(_first_sentence(command.help or ''))}"
    yield ".SH SYNOPSIS"
    usage = " ".join(command.collect_usage_pieces(ctx))
    yield f".B {_escaped(ctx.command_path)}"
    yield _escaped(usage)
    yield ".SH DESCRIPTION"
    for number, paragraph in enumerate(re.split(r"\n\s*\n", command.help or "")):
        if number:
            yield ".PP"
        kept = paragraph.startswith("\b")
        lines = [line.strip() for line in paragraph.removeprefix("\b").strip().splitlines()]
        if kept:
            yield ".nf"
        yield from map(_escaped, lines)
        if kept:
            yield ".fi"
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield ".TP"
            yield f".B {_escaped(name)}"
            yield _escaped(_first_sentence(below.help or ""))
    yield from _options(command, ctx)
    yield ".SH EXIT STATUS"
    for status, meaning in STATUSES.items():
        yield ".TP"
        yield f".B {_escaped(status)}"
        yield _escaped(meaning)
    yield ".SH ENVIRONMENT"
    yield ".TP"
    yield ".B SOURCE_DATE_EPOCH"
    yield "The time of the file system in seconds since 1970, if \\-\\-epoch is not given."
    yield ".SH SEE ALSO"
    yield ".BR mke2fs (8),"
    yield ".BR e2fsck (8),"
    yield ".BR ext4 (5)"


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record is not None:
            heading = param.heading if isinstance(param, GroupedOption) else OTHER
            groups.setdefault(heading, []).append(record)
    if groups:
        yield ".SH OPTIONS"
    for heading, records in sorted(groups.items(), key=lambda group: group[0] == OTHER):
        yield f".SS {_escaped(heading)}"
        for flags, about in records:
            yield ".TP"
            yield f".B {_escaped(flags)}"
            yield _escaped(" ".join(about.split()))


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).split(". ")[0].rstrip(".")


def _escaped(text: str) -> str:
    """Escape ``text`` for groff: dashes stay ASCII, and no line begins with a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def main() -> None:
    """Write all pages into the folder that the first argument names."""
    from importlib.metadata import version

    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name, text in pages(version(PROGRAM)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
