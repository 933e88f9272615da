"""Recipes give the same bytes everywhere, and everyone accepts the shapes."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import Spec, SpecError, Tree, plan, write_image
from ext4writer.damage import reseal, strategies
from ext4writer.fuzzing import Recipe, RecipeError, mutate, random_recipe
from ext4writer.fuzzing.entries import Entry
from ext4writer.fuzzing.pairs import corpus
from ext4writer.fuzzing.shapes import shapes
from ext4writer.ondisk.inode import EXT4_EA_INODE_FL
from ext4writer.read import open_image
from ext4writer_cli.cli import commands
from ext4writer_cli.fuzz.campaign import ask_all, reason_to_keep
from ext4writer_cli.fuzz.oracles import Oracle, Verdict
from tests.builder.command import MAIN
from tests.builder.command import run as command
from tests.judges import debugfs
from tests.judges.fsck import assert_clean
from tests.judges.tools import require, run

# All images are judged here, as a campaign's oracles judge them.
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
    for shape in SHAPES.values():
        # The smallest journal has 1024 blocks, and these images contain little else.
        image = shape.recipe.image()
        assert shape.image_bytes() == len(image)
        with open_image(image) as opened:
            journal = opened.superblock["s_journal_inum"]
        most = (4 << 20) if shape.name == "policy-journal-larger" else (7 << 18)
        assert len(image) < (most if journal else 1 << 20), shape.name


def test_five_levels_of_extents_and_three_of_an_index_in_shapes(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(SHAPES["policy-deep-extents"].recipe.image())
    assert {each.depth for each in debugfs.ex(image, "/large")} == {5}
    image.write_bytes(SHAPES["policy-loose-extents"].recipe.image())
    assert {each.depth for each in debugfs.ex(image, "/fragments")} == {2}
    assert_clean(image)  # without any option
    image.write_bytes(SHAPES["policy-deep-index"].recipe.image())
    tree = debugfs.htree(image, "/dir")
    assert tree is not None and tree.levels == 3


def test_a_shape_contains_something_for_its_policy_to_choose() -> None:
    idle = []
    for name, shape in SHAPES.items():
        layout = plan(shape.recipe.make_tree(), shape.recipe.make_spec())
        idle += [name for loss in layout.losses if loss.code == "policy-unused"]
    assert not idle


def test_a_shape_differs_from_the_default_layout() -> None:
    """Images do not contain the names of policies, so any difference is the policy's choice."""
    recipes = {name: s.recipe for name, s in SHAPES.items() if name.startswith("policy-")}
    assert len(recipes) > 50
    alike = [
        name
        for name, recipe in recipes.items()
        if recipe.image() == replace(recipe, policy="default").image()
    ]
    assert alike == ["policy-mmp-never-opened"]  # an image with mmp records this anyway


def test_a_shape_matches_the_name_of_its_policy(tmp_path: Path) -> None:
    """Layouts that are not dense need space."""
    for name, least in (("one-block-runs", 60), ("short-runs", 5), ("interleaved", 5)):
        image = tmp_path / name
        image.write_bytes(SHAPES[f"policy-{name}"].recipe.image())
        shown = run(["debugfs", "-R", "ex /large", image]).stdout
        assert shown.count(" - ") >= least, shown


def test_pinned_recipes_give_their_bytes() -> None:
    """``python -m tests.makers.recipes_update`` pins them again."""
    for text, digest in json.loads(FIXTURE.read_text()).items():
        assert hashlib.sha256(Recipe.parse(text).image()).hexdigest() == digest, text


@pytest.mark.parametrize("seed", range(0, 200, 8))
def test_a_recipe_without_overrides_is_right(seed: int) -> None:
    recipe = random_recipe(seed, overrides=0)
    assert Recipe.parse(str(recipe)) == recipe
    answers = {verdict.answer for verdict in judged(recipe)}
    assert answers == {"clean"}, recipe


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
def test_judges_agree_on_images_of_past_disagreements(lines: str) -> None:
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
        "ext4writer recipe 1\nfile /f size=16777217\n",
        "ext4writer recipe 1\ndir /d names=5001\n",
        "ext4writer recipe 1\nspec owner=1\n",
        "ext4writer recipe 1\nnonsense /f\n",
        "ext4writer recipe 1\noverride what\n",
    ],
)
def test_malformed_recipes_are_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.parse(text)


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("spec block_size=1024\n# other\nspec block_size=2048", "block_size"),
        ("spec label=a\n\nspec label=a", "label"),
        ("policy gaps\nfile /f\npolicy linear:1", "the policy"),
        ("policy default\nfile /f\npolicy gaps", "the policy"),
    ],
)
def test_duplicate_lines_of_a_recipe_are_refused(lines: str, what: str) -> None:
    problem = f"^line 4: {what} is already in line 2; keep one of the two$"
    with pytest.raises(RecipeError, match=problem):
        Recipe.parse(f"ext4writer recipe 1\n{lines}\n")


def test_options_are_numbers_that_can_be() -> None:
    for text, words in (("block_size=x", "'x' is not"), ("block_size=1_0", "'1_0' is not an")):
        with pytest.raises(SpecError, match=f"^block_size: {words}"):
            Recipe.parse(f"ext4writer recipe 1\nspec {text}").image()
    recipe = Recipe.parse("ext4writer recipe 1\nspec inodes=200")
    with open_image(recipe.image()) as opened:
        assert opened.superblock["s_inodes_count"] == 208
    assert {verdict.answer for verdict in judged(recipe)} == {"clean"}


def test_numbers_of_entries_have_a_maximum() -> None:
    assert Recipe.parse("ext4writer recipe 1\ndevice /d minor=1048575\n").image()
    with pytest.raises(RecipeError, match="minor=1048576 of /d is too large"):
        Recipe((Entry("device", "/d", {"minor": 1 << 20}),)).image()


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


def test_a_shape_stores_two_equal_values_in_separate_inodes() -> None:
    for name, count in (("xattr-inodes", 1), ("xattr-inodes-apart", 2)):
        with open_image(SHAPES[f"policy-{name}"].recipe.image()) as opened:
            holders = [one for one in opened.inodes() if one.flags & EXT4_EA_INODE_FL and one.links]
            assert [one.size for one in holders] == [300] * count


def test_recipes_of_seeds_keep_their_policies() -> None:
    """An additional policy among those drawn would change the recipes of all seeds."""
    found = [random_recipe(seed).policy for seed in (41, 49, 51)]
    assert found == ["xattrs-unshared", "xattr-inodes", "nothing-inline"]


def test_the_corpus_holds_all_pairs() -> None:
    made = corpus(attempts=2)
    assert made.pairs > 3000 and len(made.recipes) < 400
    assert made.recipes[0].image()
    # Only incompatible pairs are missing; others may need a third choice.
    assert ("block_size=1024", "feature sparse_super=^sparse_super") not in made.impossible
    assert [pair for pair in made.impossible if "feature uninit_bg=uninit_bg" in pair] == [
        ("feature metadata_csum=metadata_csum", "feature uninit_bg=uninit_bg"),
        ("feature metadata_csum_seed=metadata_csum_seed", "feature uninit_bg=uninit_bg"),
    ]


# -- the commands ----------------------------------------------------------------------------------


def test_images_can_be_built_repeatedly(tmp_path: Path) -> None:
    call("make", "--seed", "5:8", "-o", tmp_path / "made")
    assert sorted(os.listdir(tmp_path / "made"))[:2] == ["5.img", "5.recipe"]
    call("replay", tmp_path / "made" / "6.recipe", "-o", tmp_path / "again.img")
    assert (tmp_path / "again.img").read_bytes() == (tmp_path / "made" / "6.img").read_bytes()
    call("make", "--seed", "5:8", "-o", tmp_path / "made", status=1)
    call("replay", tmp_path / "made" / "6.img", "--syz", status=1)
    assert "syz_mount_image" in call("replay", tmp_path / "made" / "6.recipe", "--syz")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits the size of files of a process")
def test_no_partial_file_stays(tmp_path: Path) -> None:
    recipe, image = tmp_path / "recipe", tmp_path / "image"
    recipe.write_text("ext4writer recipe 1\nfile /f size=1000000\n")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    done = command("fuzz", "replay", recipe, "-o", image, script=limit + MAIN)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{image}: cannot be written: " in done.stderr
    assert not image.exists()


def test_existing_outputs_are_reported_before_any_work(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe"
    recipe.write_text("ext4writer recipe 1\noverride superblock.s_magic=1\n")
    (tmp_path / "small.hex").write_text("mine")
    asked = ("minimize", recipe, "--oracle", "false {}", "-o", tmp_path / "small.recipe")
    done = command("fuzz", *asked)
    assert done.returncode == 1
    assert "small.hex: exists already; choose another name" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["recipe", "small.hex"]


def test_shapes_and_oracles_are_listed(tmp_path: Path) -> None:
    assert f"{len(SHAPES)} shapes" in call("shapes")
    call("shapes", "empty", "-o", tmp_path)
    assert (tmp_path / "empty.img").read_bytes() == SHAPES["empty"].recipe.image()
    assert "e2fsck" in call("oracles")
    call("shapes", "no-such-shape", status=2)
