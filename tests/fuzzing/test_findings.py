"""Findings are minimized, and exported in three forms that work."""

from __future__ import annotations

import base64
import os
import re
import shlex
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from ext4writer import Ext4WriterError
from ext4writer.fuzzing import Recipe, random_recipe, witness
from ext4writer.fuzzing.entries import Entry
from ext4writer.fuzzing.minimize import minimize
from ext4writer_cli.cli import commands
from ext4writer_cli.fuzz.oracles import Oracle
from tests.judges.tools import require, run

pytestmark = pytest.mark.damaged

ROOT = Path(__file__).parents[2]
LARGE = Recipe(
    (
        Entry("file", "/a", {"size": 70_000, "fill": 3}),
        Entry("dir", "/d", {"names": 40}),
        Entry("file", "/d/b", {"size": 5000, "xattr": 100}),
    ),
    {"block_size": "2048", "journal": "none", "features": "^huge_file,^dir_nlink"},
    "random:4",
    ("superblock.s_wtime=add", "!inode[/d/b].i_links_count=7"),
)
CRASHING = """\
import os, signal, sys
image = open(sys.argv[1], "rb").read()
if int.from_bytes(image[1024 + 24 : 1024 + 28], "little") > 6:
    os.kill(os.getpid(), signal.SIGSEGV)
"""
FOUND = """\
ext4writer recipe 1
file /a size=5000
spec block_size=1024
policy gaps
override superblock.s_wtime=1
override superblock.s_log_block_size=77
"""


def call(*arguments: object, status: int = 0) -> str:
    done = CliRunner().invoke(commands, ["fuzz", *map(str, arguments)])
    assert done.exit_code == status, (done.output, done.exception)
    return done.output


def can_be_made(recipe: Recipe) -> bool:
    try:
        recipe.image()
    except Ext4WriterError:
        return False
    return True


def test_fields_layout_and_tree_become_small() -> None:
    def is_shown(recipe: Recipe) -> bool:
        return can_be_made(recipe) and any("links" in text for text in recipe.overrides)

    small = minimize(LARGE, is_shown)
    assert small == minimize(LARGE, is_shown)  # always the same
    assert str(small).splitlines()[1:] == [
        "dir /d",
        "file /d/b",
        "override inode[/d/b].i_links_count=0",
    ]


def test_minimizing_keeps_what_is_needed() -> None:
    asked: list[str] = []

    def is_shown(recipe: Recipe) -> bool:
        asked.append(str(recipe))
        return (
            can_be_made(recipe)
            and any(entry.numbers.get("size", 0) >= 1234 for entry in recipe.entries)
            and recipe.spec.get("block_size") == "2048"
            and recipe.policy != "default"
            and any(text.startswith("!") for text in recipe.overrides)
        )

    small = minimize(LARGE, is_shown)
    assert [dict(entry.numbers).get("size") for entry in small.entries].count(1234) == 1
    assert (dict(small.spec), small.policy) == ({"block_size": "2048"}, "random:4")
    assert [text[0] for text in small.overrides] == ["!"]
    assert len(asked) == len(set(asked)) < 300


def test_a_minimal_recipe_is_unchanged() -> None:
    small = Recipe(overrides=("superblock.s_wtime=0",))
    assert minimize(small, lambda recipe: recipe == small) == small
    assert minimize(random_recipe(3), lambda recipe: True) == Recipe()


def test_three_forms_that_show_the_same(tmp_path: Path) -> None:
    reader, recipe = tmp_path / "reader.py", tmp_path / "found.recipe"
    reader.write_text(CRASHING)
    recipe.write_text(FOUND)
    oracle = f"{sys.executable} {reader} {{}}"
    out = tmp_path / "small.recipe"
    told = call("minimize", recipe, "--oracle", oracle, "-o", out)
    assert told.splitlines() == ["ext4writer recipe 1", "override superblock.s_log_block_size=77"]
    assert out.read_text() == told
    small = Recipe.parse(told)

    script = tmp_path / "small.py"
    assert len(script.read_text().splitlines()) <= 10
    subprocess.run([sys.executable, script], check=True, cwd=tmp_path)
    assert (tmp_path / "image").read_bytes() == small.image()

    require("xxd")
    patched = tmp_path / "patched"
    patched.write_bytes(Recipe().image())
    subprocess.run(["xxd", "-r", tmp_path / "small.hex", patched], check=True)
    assert patched.read_bytes() == small.image()

    assert image_of(tmp_path / "small.syz") == small.image()
    call("minimize", recipe, "--oracle", oracle, "-o", out, status=1)  # nothing is overwritten
    clean = tmp_path / "clean.recipe"
    clean.write_text("ext4writer recipe 1\n")
    assert "triggers no such finding" in call("minimize", clean, "--oracle", oracle, status=2)


def image_of(program: Path) -> bytes:
    """The image in a syzkaller program, with the arguments of its filesystem.txt."""
    matched = re.fullmatch(
        r"syz_mount_image\$ext4\(&\(0x7f[0-9a-f]{10}\)='ext4\\x00', "
        r"&\(0x7f[0-9a-f]{10}\)='\./file0\\x00', 0x0, &\(0x7f[0-9a-f]{10}\), 0x1, "
        r"(0x[0-9a-f]+), &\(0x7f[0-9a-f]{10}\)=\"\$([A-Za-z0-9+/=]+)\"\)\n",
        program.read_text(),
    )
    assert matched
    packed = base64.b64decode(matched[2], validate=True)
    assert len(packed) == int(matched[1], 16)
    return zlib.decompress(packed)


@pytest.mark.parametrize("seed", [3, 21])
def test_a_patch_without_overrides_is_the_image(seed: int, tmp_path: Path) -> None:
    require("xxd")
    recipe = random_recipe(seed, overrides=0)
    patch = witness.hex_patch(recipe)
    (tmp_path / "PATCH").write_text(patch)
    command = patch.splitlines()[0].removeprefix("# ")
    subprocess.run(["sh", "-c", command], check=True, cwd=tmp_path)
    image = (tmp_path / "IMAGE").read_bytes()
    assert image == recipe.image()


FOUND_ROWS = re.findall(
    r"^\| ([^|]+?) \| [^|]+ \| (`.*`) \|$",
    (ROOT / "docs" / "fuzzing.md").read_text().partition("## What it found")[2],
    re.MULTILINE,
)


def test_findings_are_listed() -> None:
    assert len(FOUND_ROWS) > 7


@pytest.mark.parametrize("program, lines", FOUND_ROWS)
def test_a_recipe_of_a_listed_finding_works(program: str, lines: str, tmp_path: Path) -> None:
    """The installed release can build it, and crashes if it is the affected release."""
    recipe = Recipe.parse("\n".join(["ext4writer recipe 1", *re.findall(r"`([^`]*)`", lines)]))
    assert recipe.overrides
    image = tmp_path / "image"
    image.write_bytes(recipe.image())
    if "bg_flags=2" in lines and "1.47.0" in run(["e2fsck", "-V"]).stdout:
        assert Oracle.parse("e2fsck").ask(str(image)).answer == "crash"


@pytest.mark.slow
def test_the_way_from_nothing_to_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of docs/fuzzing.md as they are printed there."""
    page = (ROOT / "docs" / "fuzzing.md").read_text()
    section = page.partition("## From nothing to a bug")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) == 3 and all(line.startswith("ext4writer fuzz ") for line in lines)
    run, small, replay = (
        line.replace("python3 ", f"{shlex.quote(sys.executable)} ") for line in lines
    )
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    monkeypatch.chdir(tmp_path)
    told = call(*shlex.split(run)[2:], status=1)
    shown = re.search(r"```\n(\d+): python3 (.*)\n```", section)
    assert shown and f"{shown[1]}: " in told and shown[2] in told
    told = call(*shlex.split(small)[2:])
    assert re.search(r"```text\n(ext4writer recipe 1\n.*?)```", section, re.DOTALL)[1] == told
    assert "write(recipe.image())" in call(*shlex.split(replay)[2:])
    assert sorted(os.listdir()) == [
        *("campaign", "fixtures", "small.hex", "small.py", "small.recipe", "small.syz"),
    ]
    image = tmp_path / "small.img"
    call("replay", tmp_path / "small.recipe", "-o", image)
    with pytest.raises(subprocess.TimeoutExpired):
        reader = "fixtures/vulnerable/reader.py"
        subprocess.run([sys.executable, reader, image], timeout=2, stdout=subprocess.DEVNULL)
