"""Recipes make the same bytes everywhere, and shapes are what everyone accepts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import Ext4WriterError, Spec, Tree, write_image
from ext4writer.damage import reseal, strategies
from ext4writer.fuzzing import Recipe, RecipeError, mutate, random_recipe, witness
from ext4writer.fuzzing.entries import Entry
from ext4writer.fuzzing.minimize import minimize
from ext4writer.fuzzing.pairs import corpus
from ext4writer.fuzzing.shapes import shapes
from ext4writer_cli.cli import commands
from ext4writer_cli.fuzz.campaign import ask_all, reason_to_keep
from ext4writer_cli.fuzz.oracles import Oracle, Verdict
from tests.judges.tools import require

# All images are judged here, as oracles of a campaign judge them.
pytestmark = pytest.mark.damaged

FIXTURE = Path(__file__).parents[2] / "fixtures" / "recipes.json"
SHAPES = {shape.name: shape for shape in shapes()}


def judged(recipe: Recipe) -> tuple[Verdict, ...]:
    require("e2fsck")
    return ask_all(recipe, [Oracle.parse("e2fsck"), Oracle.parse("check"), Oracle.parse("read")])


def call(*arguments: object, status: int = 0) -> str:
    done = CliRunner().invoke(commands, ["fuzz", *map(str, arguments)])
    assert done.exit_code == status, (done.output, done.exception)
    return done.output


@pytest.mark.parametrize("name", SHAPES)
def test_everyone_accepts_a_shape(name: str) -> None:
    verdicts = judged(SHAPES[name].recipe)
    assert {verdict.answer for verdict in verdicts} == {"clean"}, verdicts


def test_there_are_many_shapes_and_most_are_small() -> None:
    assert len(SHAPES) >= 60
    # A journal of the least size has 1024 blocks.
    recipes = [shape.recipe for shape in SHAPES.values()]
    sizes = [len(recipe.image()) for recipe in recipes if recipe.spec.get("journal") != "1M"]
    assert sum(size < 1 << 20 for size in sizes) > len(sizes) - 8


def test_pinned_recipes_give_their_bytes() -> None:
    """``python -m tests.makers.recipes_update`` pins them anew."""
    for text, digest in json.loads(FIXTURE.read_text()).items():
        assert hashlib.sha256(Recipe.parse(text).image()).hexdigest() == digest, text


@pytest.mark.parametrize("seed", range(0, 200, 8))
def test_a_recipe_without_overrides_is_right(seed: int) -> None:
    recipe = random_recipe(seed, overrides=0)
    assert Recipe.parse(str(recipe)) == recipe
    options = "deep-extents" in recipe.policy
    answers = {verdict.answer for verdict in judged(recipe)}
    assert answers == {"clean"} or options, recipe


@pytest.mark.parametrize("seed", range(1000, 1040))
def test_oracles_agree_on_wrong_images(seed: int) -> None:
    recipe = random_recipe(seed, overrides=3)
    verdicts = judged(recipe)
    assert not any(verdict.is_bad for verdict in verdicts), (str(recipe), verdicts)


@pytest.mark.parametrize(
    "lines",
    [
        "spec features=^has_journal\noverride inode[8].i_dtime=5",
        "spec features=^has_journal\noverride inode[9].i_dtime=5",
        "spec features=^has_journal\noverride inode[8].l_i_blocks_high=1",
        "override superblock.s_journal_uuid=sub",
    ],
)
def test_judges_agree_where_they_once_did_not(lines: str) -> None:
    recipe = Recipe.parse(f"ext4writer recipe 1\n{lines}\n")
    verdicts = judged(recipe)
    assert not reason_to_keep(verdicts, [Oracle.parse("e2fsck"), Oracle.parse("check")]), verdicts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ext4writer recipe 2\n",
        "ext4writer recipe 1\nfile relative\n",
        "ext4writer recipe 1\nfile /f size=x\n",
        "ext4writer recipe 1\nfile /f colour=1\n",
        "ext4writer recipe 1\nspec owner=1\n",
        "ext4writer recipe 1\nnonsense /f\n",
        "ext4writer recipe 1\noverride what\n",
    ],
)
def test_texts_that_are_no_recipes(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.parse(text)


def test_the_smallest_recipe_that_shows_it() -> None:
    large = Recipe(
        (
            Entry("file", "/a", {"size": 70_000, "fill": 3}),
            Entry("dir", "/d", {"names": 40}),
            Entry("file", "/d/b", {"size": 5000, "xattr": 100}),
        ),
        {"block_size": "2048", "journal": "none", "features": "^huge_file,^dir_nlink"},
        "random:4",
        ("superblock.s_wtime=add", "inode[/d/b].i_links_count=7"),
    )

    def is_shown(recipe: Recipe) -> bool:
        try:
            return b"\7" in recipe.image() and any("links" in text for text in recipe.overrides)
        except Ext4WriterError:
            return False

    small = minimize(large, is_shown)
    assert small.overrides == ("inode[/d/b].i_links_count=7",)
    assert (small.policy, dict(small.spec)) == ("default", {})
    assert [entry.path for entry in small.entries] == ["/d", "/d/b"]
    assert not any(entry.numbers for entry in small.entries)


def test_a_script_makes_the_image_again(tmp_path: Path) -> None:
    recipe = random_recipe(3)
    subprocess.run([sys.executable, "-c", witness.script(recipe)], check=True, cwd=tmp_path)
    assert (tmp_path / "image").read_bytes() == recipe.image()
    assert len(witness.script(recipe).splitlines()) < 30
    assert witness.hex_patch(recipe).count("->") >= 1
    assert witness.syz_program(recipe).startswith("syz_mount_image$ext4(")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 64), size=st.integers(0, 70_000), data=st.binary(max_size=300))
def test_mutations_keep_checksums_right(seed: int, size: int, data: bytes) -> None:
    image = bytearray()
    write_image(Tree(), image, Spec(size="64K", journal="none", block_size=1024))
    changed = mutate(bytes(image), seed, size)
    assert len(changed) == min(size, len(image))
    if size >= len(image):
        assert reseal(changed) == changed
        assert mutate(bytes(image), seed, size) == changed
    assert len(mutate(data, seed, size)) == min(size, len(data))


@settings(max_examples=25, deadline=None)
@given(recipe=strategies.recipes(), override=strategies.overrides(), tree=strategies.trees())
def test_strategies_draw_what_can_be_made(recipe: Recipe, override: str, tree: Tree) -> None:
    assert recipe.image()
    assert "=" in override
    assert tree.root is not None


def test_a_crash_or_a_difference_is_kept() -> None:
    e2fsck, check = Oracle.parse("e2fsck"), Oracle.parse("check")
    clean, wrong = Verdict("e2fsck", "clean"), Verdict("check", "problems")
    assert "e2fsck calls it clean" in reason_to_keep([clean, wrong], [e2fsck, check])
    assert not reason_to_keep([clean, Verdict("check", "clean")], [e2fsck, check])
    assert "signal 11" in reason_to_keep([Verdict("x", "crash", "signal 11")], [e2fsck])
    with pytest.raises(ValueError, match="neither one of"):
        Oracle.parse("no braces")


def test_oracles_have_limits(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x")
    assert Oracle.parse("sh -c 'sleep 5' {}").ask(str(image), seconds=0.3).answer == "hang"
    assert Oracle.parse("sh -c 'kill -SEGV $$' {}").ask(str(image)).answer == "crash"
    assert Oracle.parse("false {}").ask(str(image)).answer == "error"
    assert Oracle.parse("no-such-program {}").ask(str(image)).answer == "missing"
    hungry = f"{sys.executable} -c 'bytes(1<<33)' {{}}"
    assert Oracle.parse(hungry).ask(str(image)).answer == "error"


def test_the_corpus_holds_all_pairs() -> None:
    made = corpus(attempts=2)
    assert made.pairs > 3000 and len(made.recipes) < 400
    assert made.recipes[0].image()


# -- the commands ----------------------------------------------------------------------------------


def test_images_are_made_and_made_again(tmp_path: Path) -> None:
    call("make", "--seed", "5:8", "-o", tmp_path / "made")
    assert sorted(os.listdir(tmp_path / "made"))[:2] == ["5.img", "5.recipe"]
    call("replay", tmp_path / "made" / "6.recipe", "-o", tmp_path / "again.img")
    assert (tmp_path / "again.img").read_bytes() == (tmp_path / "made" / "6.img").read_bytes()
    call("make", "--seed", "5:8", "-o", tmp_path / "made", status=1)
    assert "syz_mount_image" in call("replay", tmp_path / "made" / "6.recipe", "--syz")


def test_a_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    require("e2fsck")
    folder = tmp_path / "campaign"
    arguments = ["--oracle", "check", "--oracle", "false {}", "-o", folder, "--workers", 2]
    call("run", "--seeds", "0:6", *arguments)
    first = (folder / "results.jsonl").read_text()
    assert len(first.splitlines()) == 6
    (folder / "results.jsonl").write_text(first[:-20])  # as if it was killed
    call("run", "--seeds", "0:8", *arguments)
    seeds = set()
    for line in (folder / "results.jsonl").read_text().splitlines():
        if line.endswith("}"):
            try:
                seeds.add(json.loads(line)["seed"])
            except ValueError:
                continue
    assert seeds == set(range(8))


def test_what_crashes_is_found_and_made_small(tmp_path: Path) -> None:
    """A reader that believes the count of a file's links."""
    reader = tmp_path / "reader.py"
    reader.write_text(
        "import os, signal, sys\n"
        "image = open(sys.argv[1], 'rb').read()\n"
        "if int.from_bytes(image[1024 + 24 : 1024 + 28], 'little') > 6:\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    oracle = f"{sys.executable} {reader} {{}}"
    recipe = tmp_path / "found.recipe"
    recipe.write_text(
        "ext4writer recipe 1\nfile /a size=5000\nspec block_size=1024\npolicy gaps\n"
        "override superblock.s_wtime=1\noverride superblock.s_log_block_size=77\n"
    )
    told = call("minimize", recipe, "--oracle", oracle, "-o", tmp_path / "small.recipe")
    assert told.splitlines() == ["ext4writer recipe 1", "override superblock.s_log_block_size=77"]
    clean = tmp_path / "clean.recipe"
    clean.write_text("ext4writer recipe 1\n")
    assert "shows nothing" in call("minimize", clean, "--oracle", oracle, status=2)


def test_the_way_from_nothing_to_a_bug(tmp_path: Path) -> None:
    """The commands of docs/fuzzing.md, with fewer seeds."""
    reader = Path(__file__).parents[2] / "fixtures" / "vulnerable" / "reader.py"
    oracle = f"{sys.executable} {reader} {{}}"
    folder = tmp_path / "campaign"
    options = ["--overrides", 3, "--timeout", 2, "-o", folder, "--oracle", oracle]
    # Which seeds show it depends on the features that there are to choose from.
    for first in range(0, 600, 30):
        arguments = ["run", "--seeds", f"{first}:{first + 30}", *options, "--workers", "2"]
        done = CliRunner().invoke(commands, ["fuzz", *map(str, arguments)])
        if done.exit_code:
            break
    assert (done.exit_code, "hang" in done.output) == (1, True), done.output
    found = min(folder.glob("*.recipe"))
    small = tmp_path / "small.recipe"
    call("minimize", found, "--timeout", 2, "--oracle", oracle, "-o", small)
    assert len(small.read_text().splitlines()) <= len(found.read_text().splitlines())
    assert "write(recipe.image())" in call("replay", small, "--script")
    image = tmp_path / "small.img"
    call("replay", small, "-o", image)
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, reader, image], timeout=2, stdout=subprocess.DEVNULL)


def test_shapes_and_oracles_are_listed(tmp_path: Path) -> None:
    assert f"{len(SHAPES)} shapes" in call("shapes")
    call("shapes", "empty", "-o", tmp_path)
    assert (tmp_path / "empty.img").read_bytes() == SHAPES["empty"].recipe.image()
    assert "e2fsck" in call("oracles")
    call("shapes", "no-such-shape", status=2)
