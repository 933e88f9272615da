"""Reports for programs conform to the documented schema."""

from __future__ import annotations

import ast
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import fastjsonschema
import pytest

from ext4writer import LossCode, Spec, Tree, plan
from ext4writer_cli.failures import FAILED, SIGNALLED, USAGE
from tests.builder.command import report, run
from tests.project.test_readme import make_closure

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())
PAGE = (ROOT / "docs" / "report.md").read_text()

OF_BUILD = {"base", "dm_verity", "part"}
"""Keys that appear only with options of ``build``."""

check = fastjsonschema.compile(SCHEMA)


def keys(value: Any) -> set[str]:
    """All keys of objects in ``value``, except those of facts about sources."""
    found: set[str] = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found.add(key)
            if key != "facts":
                found |= keys(inner)
    elif isinstance(value, list):
        for inner in value:
            found |= keys(inner)
    return found


def assert_described(facts: dict[str, Any]) -> None:
    check(facts)
    assert facts.keys() <= SCHEMA["properties"].keys(), "undescribed"
    for key in keys(facts):
        assert re.fullmatch("[a-z0-9_]+", key), key
    assert sum(facts["space"].values()) == facts["size"]


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    folder = tmp_path / "rootfs"
    folder.mkdir()
    (folder / "file").write_text("text")
    (folder / "link").symlink_to("file")
    return folder


@pytest.mark.parametrize("command", ["build", "plan"])
def test_a_report_keeps_to_the_schema(command: str, rootfs: Path, tmp_path: Path) -> None:
    more = ["-o", tmp_path / "image"] if command == "build" else []
    facts = report(command, rootfs, *more, "--epoch", "5", "--label", "root")
    assert_described(facts)
    assert facts["version"] == version("ext4writer")
    assert facts["image"] == (str(tmp_path / "image") if more else None)
    assert {loss["code"] for loss in facts["losses"]} == {"time-changed"}


def test_the_report_of_a_part_says_which_bytes_of_the_image_it_is(
    rootfs: Path, tmp_path: Path
) -> None:
    whole = report("build", rootfs, "-o", tmp_path / "image")
    words = ("build", rootfs, "--part", "2/4", "-o", tmp_path / "part")
    facts = report(*words)
    assert_described(facts)
    size = (tmp_path / "part").stat().st_size
    assert facts["part"] == {"number": 2, "count": 4, "offset": size, "size": size}
    assert facts["size"] == whole["size"] == (tmp_path / "image").stat().st_size
    title = run(*words).stdout.splitlines()[0]
    assert title.startswith(f"{tmp_path}/part: ")
    assert f"({size:,} bytes), part 2 of 4 of " in title
    assert title.endswith(f"({whole['size']:,} bytes)")


def test_the_report_of_a_closure_keeps_to_the_schema(tmp_path: Path) -> None:
    make_closure(tmp_path)
    closure = ["--closure", tmp_path / "closure-info", "--store-dir", tmp_path / "store"]
    facts = report("nix", *closure, "--dedupe", "-o", tmp_path / "image")
    assert_described(facts)
    assert facts.keys() == SCHEMA["properties"].keys() - OF_BUILD


def test_the_library_reports_the_same(rootfs: Path) -> None:
    tree = Tree()
    tree.file("/file", b"text", mtime_ns=7 * 10**9)
    tree.symlink("/link", "file")
    own = plan(tree, Spec(epoch=5)).report().as_dict()
    facts = report("plan", rootfs, "--epoch", "5", "--all-times", "5")
    assert own.keys() == facts.keys() - {"version", "image", "seconds", "sources"}
    for name in ("size", "entries", "features", "space", "schema"):
        assert own[name] == facts[name], name
    json.dumps(own)


def test_every_code_of_a_loss_is_explained() -> None:
    section = PAGE.partition("## What is not kept")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE) == sorted(
        get_args(LossCode), key=lambda code: (code == "other", code)
    )


def test_every_loss_has_a_code() -> None:
    """``other`` is for callers of the library that report a loss without a code."""
    places = []
    for folder in (ROOT / "ext4writer", ROOT / "builder"):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "Loss":
                    given = len(node.args) + len(node.keywords)
                    if given < 3:
                        places.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not places


def test_the_exit_statuses_are_documented() -> None:
    section = PAGE.partition("## Exit status")[2]
    assert re.findall(r"^\| (\S.*?) \|", section, re.MULTILINE)[1:] == [
        *("0", str(FAILED), str(USAGE), f"{SIGNALLED} + N"),
    ]
