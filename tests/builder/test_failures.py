from __future__ import annotations

import errno
import signal

import click
import pytest

from ext4writer import errors
from ext4writer_cli.failures import explain
from ext4writer_cli.signals import Interrupted


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (errors.SpecError("block_size", "7 is wrong"), "--block-size: 7 is wrong", 2),
        (errors.SpecError("label", "too long"), "--label: too long", 2),
        (errors.SpecError("tree", "odd"), "tree: odd", 2),
        (errors.SpecError("hole_size", "odd"), "--hole-size: odd", 2),
        (errors.OverrideError("no such record"), "--override: no such record", 2),
        (errors.TreeError(b"/a\nb", "too many links"), "/a\\x0ab: too many links", 1),
        (errors.SourceError("/nowhere", "cannot be read"), "/nowhere: cannot be read", 1),
        (errors.SizeError("size: 3 bytes are too few"), "--size: 3 bytes are too few", 1),
        (click.UsageError("bad\nusage"), "bad\\x0ausage", 2),
        (
            click.MissingParameter(
                param=click.Argument(["shell"], type=click.Choice(["bash", "zsh"])),
                param_type="argument",
            ),
            "Missing argument 'SHELL'. Choose from: bash, zsh",
            2,
        ),
        (PermissionError(errno.EACCES, "No", "/x"), "/x: No", 1),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "standard output: Broken pipe", 1),
        (MemoryError(), "not enough memory", 1),
        (KeyboardInterrupt(), "interrupted by SIGINT", 130),
        (Interrupted(signal.SIGTERM), "interrupted by SIGTERM", 143),
    ],
)
def test_failures_become_one_line(error: BaseException, line: str, status: int) -> None:
    assert explain(error) == (line, status)


@pytest.mark.parametrize("error", [ValueError(), AssertionError(), KeyError("x"), TypeError()])
def test_faults_of_the_program_are_not_explained(error: BaseException) -> None:
    assert explain(error) is None
