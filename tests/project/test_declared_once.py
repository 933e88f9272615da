"""An option of an image is declared once: the Spec declares it, the commands add its flags.

So the rows of a command repeat no default, help text or value form of the declaration. They state
only what differs from it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from ext4writer import Spec
from ext4writer.inspection.map import classes
from ext4writer.late_dataclasses import dataclass, fields
from ext4writer.output import disk_facts
from ext4writer.planning import profiles
from ext4writer.planning.options import OPTIONS, named
from ext4writer_cli import map_command, nix, options
from ext4writer_cli.cli import commands
from ext4writer_cli.mke2fs import own_options
from ext4writer_cli.nix.options import NixImageOptions
from ext4writer_cli.options import (
    FROM_SPEC,
    ImageOptions,
    OptionGroup,
    SharingOptions,
    declared,
    flag_of,
    row,
    same_row,
    spec_option,
)

COMMAND_LINE = Path(nix.__file__).parents[1]
GROUPS = (ImageOptions, SharingOptions, NixImageOptions)

NOT_IN_THE_COMMAND = {"free_percent", "grow_at_least"}
"""A percentage of --free, and an option for the Nix recipe."""


def repetitions(kind: type[Any]) -> Iterator[str]:
    """Yield what the rows of ``kind`` repeat from a declaration."""
    for each in fields(kind):
        option = OPTIONS.get(each.name)
        if option is None:
            continue
        if not each.metadata.get("spec"):
            yield f"{each.name} has a row of its own"
            continue
        given = each.metadata["click"]
        if each.default is not FROM_SPEC and each.default == option.default and option.default:
            yield f"{each.name} repeats its default"
        for key, said in (
            ("about", option.about),
            ("default_text", option.default_text),
            ("metavar", option.form),
        ):
            if key in given and given[key] in (said, named(said, lambda name: f"--{name}")):
                yield f"{each.name} repeats {key}"


@pytest.mark.parametrize("kind", GROUPS, ids=lambda kind: kind.__name__)
def test_the_rows_of_a_command_repeat_no_declaration(kind: type[Any]) -> None:
    assert not list(repetitions(kind))


@dataclass(init=False, eq=False, repr=False)
class Repeating(OptionGroup):
    HEADING = "Faults"

    errors: str = row("--errors", default="continue", about="What the kernel does.")
    block_size: int = spec_option("--block-size", default=4096)
    journal: str = same_row(ImageOptions, "journal", metavar="auto|none|SIZE")
    align: str = spec_option("--align", default_text="4K")
    test_fs: bool = spec_option("--test-fs", about=OPTIONS["test_fs"].about)


def test_the_rule_sees_a_repetition() -> None:
    assert list(repetitions(Repeating)) == [
        "errors has a row of its own",
        "block_size repeats its default",
        "journal repeats metavar",
        "align repeats default_text",
        "test_fs repeats about",
    ]


def test_every_option_of_the_spec_is_an_option_of_the_command() -> None:
    known = {each.name for kind in GROUPS for each in fields(kind)}
    assert {each.name for each in fields(Spec)} - known == NOT_IN_THE_COMMAND


def rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, function) of each class field that a call creates, anywhere in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Call):
                    yield ast.unparse(line.target), ast.unparse(line.value.func)


def test_no_module_of_the_command_declares_an_option_of_the_spec() -> None:
    # --dedupe of the command nix links equal files. It is not an option of the Spec.
    other = {("nix/options.py", "dedupe")}
    found = 0
    for path in sorted(COMMAND_LINE.rglob("*.py")):
        for name, function in rows(path):
            place = (str(path.relative_to(COMMAND_LINE)), name)
            if name in OPTIONS and place not in other:
                assert function != "row", place
                found += function in ("spec_option", "same_row")
    assert found > 60


OTHER_MEANING = {"--journal", "--journal-device", "--type"}
"""Of commands that read an image: its external journal, and the file type as in find(1)."""


def declared_again(name: str, command: click.Command, flags: set[str]) -> Iterator[str]:
    """Yield flags of Spec options that ``command`` uses for an option of its own."""
    options = [param for param in command.params if isinstance(param, click.Option)]
    writes = {"block_size", "features"} <= {param.name for param in options}
    for param in options:
        for flag in flags.intersection(param.opts):
            if param.name not in OPTIONS if writes else flag not in OTHER_MEANING:
                yield f"{name} {flag}"


def test_no_command_reuses_a_flag_of_the_spec() -> None:
    flags = {flag_of(each) for kind in GROUPS for each in fields(kind) if each.metadata.get("spec")}
    assert len(flags) > 50
    found: dict[str, click.Command] = {}
    waiting: list[tuple[str, click.Command]] = list(commands.commands.items())
    while waiting:
        name, command = waiting.pop()
        if isinstance(command, click.Group):
            waiting += [(f"{name} {below}", each) for below, each in command.commands.items()]
        found[name] = command
    assert {"build", "plan", "nix", "check", "mke2fs"} <= found.keys()
    for name, command in found.items():
        assert not list(declared_again(name, command, flags)), name
    again = click.Command("again", params=[click.Option(["--holes", "--hole-size"], default=4096)])
    assert list(declared_again("again", again, flags)) == ["again --hole-size"]
    again.params += found["build"].params
    assert list(declared_again("again", again, flags)) == ["again --hole-size"]


def params(name: str) -> dict[str, click.Option]:
    command = commands.commands[name]
    return {
        param.name: param
        for param in command.params
        if isinstance(param, click.Option) and param.name
    }


def test_commands_show_what_is_declared() -> None:
    shown = params("build")
    assert shown["hole_size"].default == "32K"
    assert shown["hole_size"].help == OPTIONS["hole_size"].about
    assert shown["grow_to"].help == (
        f"{OPTIONS['grow_to'].about}  [default: {OPTIONS['grow_to'].default_text}]"
    )
    assert "--free-inodes" in (shown["inodes"].help or "")
    assert isinstance(shown["errors"].type, click.Choice)
    assert tuple(shown["errors"].type.choices) == ("continue", "remount-ro", "panic")
    for param in shown.values():
        assert "{" not in (param.help or ""), param.help
    assert params("nix")["hole_size"].help == shown["hole_size"].help
    assert "1M" in (params("nix")["align"].help or "")


def test_the_front_end_of_mke2fs_uses_the_same_declarations() -> None:
    shown = {param.name: param for param in own_options._command().params}
    for name in ("hole_size", "identity"):
        made = params("build")[name]
        front = shown[name]
        assert isinstance(front, click.Option)
        assert (front.help, front.default, front.opts) == (made.help, made.default, made.opts)


def test_a_new_option_only_needs_its_flags() -> None:
    [found] = [each for each in fields(ImageOptions) if each.name == "raid_stride"]
    assert found.metadata["click"] == {}
    assert flag_of(found) == "--stride"
    made = declared(found, ImageOptions)
    assert (made["help"](), made["metavar"], made["default"]) == (
        OPTIONS["raid_stride"].about,
        "N",
        0,
    )


def test_lists_that_help_does_not_load_are_those_of_the_library() -> None:
    assert tuple(profiles.PROFILES) == options.PROFILES
    assert options.FORMATS == disk_facts.FORMATS
    assert options.FREE_BLOCKS == disk_facts.FREE_BLOCKS
    assert map_command.COLOURS == classes.COLOURS
