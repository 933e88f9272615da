"""A program pays at its start only for what it uses, however large the library gets.

Time depends on the machine, so these tests count modules and lines of code.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = ("ext4writer", "ext4writer_cli")

OTHERS = (
    "construct",
    "dataclasses",
    "inspect",
    "click",
    "rich",
    "zstandard",
    "importlib.metadata",
    "_hashlib",
)
"""Modules that take as long to load as a small image takes to write."""

SCRIPT = """
import os, sys
def report(status=0):
    names = [name for name in sys.modules if name.partition(".")[0] in {own!r}]
    files = [sys.modules[name].__file__ for name in names]
    others = [name for name in {others!r} if name in sys.modules]
    import json
    sys.stdout.write("\\n" + json.dumps([names, files, others]))
    sys.stdout.flush()
    leave(status)
leave, os._exit = os._exit, report
sys.path[:] = {path!r}
sys.argv[1:] = {arguments!r}
{code}
report()
"""


def loaded(code: str, *arguments: str) -> tuple[set[str], int, set[str]]:
    """The modules of ours that a program loads, their lines of code, and the other modules."""
    script = SCRIPT.format(
        own=OWN, others=OTHERS, path=sys.path, arguments=list(arguments), code=code
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    names, files, others = json.loads(done.stdout.splitlines()[-1])
    lines = sum(Path(file).read_bytes().count(b"\n") for file in files if file)
    return set(names), lines, set(others)


COMMAND = "from ext4writer_cli.__main__ import main; main()"


def test_importing_the_library_loads_only_names() -> None:
    names, _, others = loaded("import ext4writer")
    assert not others
    assert names == {"ext4writer", "ext4writer.late"}


def test_a_tree_in_memory_needs_neither_sources_nor_outputs() -> None:
    names, _, _ = loaded("from ext4writer import Tree; Tree().file('/f', b'')")
    assert not {name for name in names if name.split(".")[1:2] and name.split(".")[1] in APART}


APART = {"api", "edit", "emit", "inspection", "nix", "ondisk", "output", "planning", "read"}


@pytest.mark.parametrize("source", ["nothing", "a folder"])
def test_an_image_loads_what_it_needs(source: str, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "file").write_bytes(b"content")
    given = [str(folder)] if source == "a folder" else []
    names, lines, others = loaded(
        COMMAND, "build", *given, "-o", str(tmp_path / "image"), "--quiet"
    )
    assert (tmp_path / "image").stat().st_size
    # The code of a feature or an option is loaded on first use.
    unused = (
        *("composition", "slices", "streamed", "holes", "edit.filters", "edit.globs", "edit.rules"),
        *("emit.override", "ondisk.casefold", "ondisk.dirhash", "planning.checked_policy"),
        *("planning.mapping.block_map", "output.compressed", "output.region", "output.device"),
        *("sources.tar_archive", "sources.containers", "sources.mounts", "sources.host_flags"),
        *("inspection", "manifests", "nix", "read"),
    )
    assert not names & {f"ext4writer.{name}" for name in unused}
    assert others <= {"click", "inspect"}  # click needs it
    # Generous, since docstrings and comments count; 126 and 27,038 at first.
    assert len(names) <= 126
    assert lines <= 27_800


def test_the_version_needs_no_metadata_of_packages() -> None:
    _, lines, others = loaded(COMMAND, "--version")
    assert others == {"click", "inspect"}
    assert lines <= 5_000


def test_mke2fs_loads_no_library_for_commands(tmp_path: Path) -> None:
    image = str(tmp_path / "image")
    names, lines, others = loaded(COMMAND, "mke2fs", "-q", "-t", "ext4", image, "64M")
    assert (tmp_path / "image").stat().st_size == 64 << 20
    assert not others
    assert not {"ext4writer.sources", "ext4writer_cli.options", "ext4writer_cli.cli"} & names
    assert lines <= 26_400


@pytest.mark.parametrize("arguments", [["--help"], ["ls", "--help"], ["extract", "--help"]])
def test_help_loads_no_library(arguments: list[str]) -> None:
    names, _, _ = loaded(COMMAND, *arguments)
    assert not {name for name in names if name.startswith("ext4writer.planning")}


def test_help_of_an_image_loads_the_declarations_of_its_options_alone() -> None:
    names, _, _ = loaded(COMMAND, "build", "--help")
    assert "ext4writer.planning.spec" in names
    parts = ("tree", "sources", "edit", "emit", "output", "read", "api", "planning.planner")
    assert not {name for name in names if name.startswith(tuple(f"ext4writer.{p}" for p in parts))}
