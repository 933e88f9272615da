"""Turns failures into one line of text and an exit status."""

from __future__ import annotations

import errno
import os

import click

from ext4writer.errors import (
    Ext4WriterError,
    LimitError,
    OverrideError,
    SizeError,
    SpecError,
    one_line,
)
from ext4writer.late_dataclasses import fields

from .options import (
    ImageOptions,
    OutputOptions,
    OverrideOptions,
    RunOptions,
    ScanOptions,
    SharingOptions,
    flag_of,
)
from .rule_options import RuleOptions
from .signals import Interrupted

FLAG_OF = {
    each.name: flag_of(each)
    for kind in (
        *(ScanOptions, RuleOptions, ImageOptions, SharingOptions, OutputOptions),
        *(OverrideOptions, RunOptions),
    )
    for each in fields(kind)
} | {
    "store_at": "--store-at",
    "contents": "--contents",
    "free_percent": "--free",
    "base": "--base",
    "nbd": "--nbd",
}
"""Attribute of the Spec, or of an options class -> the flag that sets it."""

FAILED = 1
USAGE = 2
SIGNALLED = 128


def explain(error: BaseException) -> tuple[str, int] | None:
    """Return (line, exit status) for ``error``; None if it is a bug in this program."""
    if isinstance(error, Interrupted):
        return str(error), SIGNALLED + error.signum
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted by SIGINT", SIGNALLED + 2
    if isinstance(error, click.ClickException):
        return one_line(_of_click(error)), error.exit_code
    if isinstance(error, SpecError):
        return one_line(error.under(FLAG_OF)), USAGE
    if isinstance(error, OverrideError):
        return one_line(f"--override: {str(error).removeprefix('override ')}"), USAGE
    if isinstance(error, SizeError):
        return f"{FLAG_OF['size']}: {str(error).removeprefix('size: ')}", FAILED
    if isinstance(error, LimitError):
        return one_line(f"{error} with {FLAG_OF['limit']} {error.limit}=N"), FAILED
    if isinstance(error, Ext4WriterError):
        return one_line(str(error)), FAILED
    if isinstance(error, OSError):
        return one_line(_os_error(error)), FAILED
    if isinstance(error, MemoryError):
        return "not enough memory", FAILED
    return None


def _of_click(error: click.ClickException) -> str:
    # click 8.1 does not have this class, and prints the help page itself.
    is_bare = type(error).__name__ == "NoArgsIsHelpError"
    if is_bare and isinstance(error, click.UsageError) and error.ctx is not None:
        return f"Missing command. See {error.ctx.command_path} --help."
    message = error.format_message()
    if isinstance(error, click.MissingParameter):
        hint = " Add -o FILE." if "'--output'" in message else ""
        return " ".join(message.split()) + hint  # click puts choices on separate lines
    if type(error) is click.UsageError and error.ctx is not None:
        end = "" if message.endswith((".", "?", "!")) else "."
        return f"{message}{end} See {error.ctx.command_path} --help."
    return message


def _os_error(error: OSError) -> str:
    problem = error.strerror or str(error)
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {problem}"
    is_output = error.errno in (errno.EPIPE, errno.EBADF)
    return f"standard output: {problem}" if is_output else problem
