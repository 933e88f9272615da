"""What docs/nix.md shows works: its expressions build, its commands and options exist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ext4writer_cli.cli import commands
from tests.builder.command import ROOT
from tests.judges import debugfs

from .drop_in import STAND_IN, Build

PAGE = (ROOT / "docs" / "nix.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
MODULE, WRAPPER, CALL = (text for kind, text in BLOCKS if kind == "nix")
SHELL = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
HELP = CliRunner().invoke(commands, ["nix", "--help"]).output
DROP_IN = "ext4writer/builder/nix/make-ext4-fs.nix"


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A build with the project next to its expressions, as on the page."""
    for name in ("builder", "ext4writer"):
        shutil.copytree(
            ROOT / name,
            tmp_path / "ext4writer" / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / "ext4writer")
    return Build(tmp_path)


def test_the_module_names_the_drop_in(build: Build, tmp_path: Path) -> None:
    (tmp_path / "module.nix").write_text(MODULE)
    (tmp_path / "value.nix").write_text(
        'toString (import ./module.nix { modulesPath = "/m"; }).sdImage.rootFilesystemCreator'
    )
    done = build.host.run("nix-instantiate", "--eval", "--json", tmp_path / "value.nix")
    assert json.loads(done.stdout) == str(tmp_path / DROP_IN)


def test_more_arguments_can_be_inserted(build: Build, tmp_path: Path) -> None:
    """It is called like the option's value: with the arguments of sd-image.nix, and no others."""
    (tmp_path / "wrapper.nix").write_text(WRAPPER)
    image = build.image(drop_in=tmp_path / "wrapper.nix")
    found = debugfs.superblock(image)
    assert int(found["Free blocks"]) * 4096 >= 64 << 20
    assert int(found["Reserved GDT blocks"]) >= 127
    assert re.search(r"store paths +3, verified", build.log(image))


def test_the_call_makes_an_image(build: Build, tmp_path: Path) -> None:
    (tmp_path / "call.nix").write_text(CALL)
    (tmp_path / "image.nix").write_text(
        f"""
        let pkgs = import {STAND_IN} {{ python = "{sys.executable}"; }};
        in import ./call.nix {{
          pkgs = pkgs // {{ hello = builtins.storePath "{build.tools}"; }};
        }}
        """
    )
    made = build.host.run("nix-build", "--no-out-link", tmp_path / "image.nix").stdout.split()[-1]
    assert made.endswith("-ext4-fs.img.zst")
    assert build.host.real(made).stat().st_size > 0


def test_every_argument_is_documented() -> None:
    expression = (ROOT / "builder" / "nix" / "make-ext4-fs.nix").read_text()
    head = expression.partition("\n}:\n")[0]
    arguments = re.findall(r"(?m)^  (\w+)(?: \?.*)?,$", head)
    assert len(arguments) > 10
    told = re.findall(r"(?m)^\| `(\w+)` \|", PAGE)
    tools = set(re.findall(r"`(\w+)`", PAGE.partition("except for the tools")[2].partition(".")[0]))
    assert len(tools) == 6
    assert sorted(told) == sorted(set(arguments) - {"pkgs", "lib"} - tools)


@pytest.mark.parametrize("line", SHELL)
def test_a_command_exists(line: str) -> None:
    words = shlex.split(line)
    assert words[:2] == ["ext4writer", "nix"]
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", HELP))
    assert {word for word in words if word.startswith("-")} <= known


def test_every_option_in_the_text_exists() -> None:
    shown = set(re.findall(r"`(--[\w-]+)", PAGE)) | set(re.findall(r'"(--[\w-]+)"', PAGE))
    assert len(shown) >= 6
    for option in shown:
        assert option in HELP
