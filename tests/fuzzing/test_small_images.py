"""The images that ``fuzz make`` writes take little space on a disk."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ext4writer import Spec, Tree, write_image
from ext4writer.damage import patch
from ext4writer.fuzzing import Recipe, random_image
from ext4writer.read import open_image
from ext4writer_cli.cli import commands

# All images are judged like those of other seeds.
pytestmark = pytest.mark.damaged

KIB = 1024


def call(*arguments: object) -> None:
    done = CliRunner().invoke(commands, ["fuzz", *map(str, arguments)])
    assert not done.exit_code, (done.output, done.exception)


def allocated(image: Path) -> int:
    """The space of a file on the disk, in bytes."""
    return 512 * image.stat().st_blocks


def test_seeds_take_little_space_with_and_without_a_journal(tmp_path: Path) -> None:
    call("make", "--seed", "0:40", "--overrides", 0, "-o", tmp_path)
    sizes: dict[bool, list[int]] = {True: [], False: []}
    for image in tmp_path.glob("*.img"):
        with open_image(image, on_damage=lambda _: None) as opened:
            sizes[opened.format.has_journal].append(allocated(image))
    assert min(sizes[True]) < 100 * KIB
    assert min(sizes[False]) < 40 * KIB


@pytest.mark.parametrize(
    ("spec", "most"),
    [({"journal": "1M"}, 100 * KIB), ({"journal": "none"}, 40 * KIB)],
    ids=["with a journal", "without"],
)
def test_the_smallest_image(spec: dict[str, str], most: int, tmp_path: Path) -> None:
    """A journal has at least 1,024 blocks of 1 KiB, and nearly all are holes."""
    recipe, image = tmp_path / "recipe", tmp_path / "image"
    recipe.write_text(str(Recipe(spec={"block_size": "1024", **spec})))
    call("replay", recipe, "-o", image)
    assert allocated(image) < most
    with open_image(image) as opened:
        assert opened.format.has_journal is (spec["journal"] != "none")
        assert image.stat().st_size == opened.blocks_count * opened.block_size


def peak(work: Callable[[], object]) -> int:
    """The maximum number of bytes that ``work`` allocates at a time."""
    work()  # loads modules and fills caches
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


SMALL, MIB = 40 * KIB, 1 << 20


def test_building_an_image_holds_it_once_in_memory() -> None:
    """Getting new memory from the kernel takes longer than the rest of a small image."""
    with_journal = Recipe(spec={"block_size": "1024", "journal": "1M"})
    size = len(with_journal.image())
    assert size > MIB
    assert peak(with_journal.image) < size + size // 2
    assert peak(lambda: write_image(Tree(), bytearray(), Spec(size=8 * MIB))) < 12 * MIB
    # Next to the original, patching holds a copy in between and the result.
    image = with_journal.image()
    assert peak(lambda: patch(image, ["superblock.s_state=0"])) < 2 * size + size // 2


def test_a_small_image_needs_no_large_buffer() -> None:
    text = f"ext4writer recipe 1\nfile /a size={SMALL}\nspec block_size=1024\nspec journal=none\n"
    recipe = Recipe.parse(text)
    assert len(recipe.image()) > SMALL
    assert peak(recipe.image) < MIB


def test_images_leave_no_reference_cycles() -> None:
    """Reference cycles keep objects until then: the tree, the plan, and the patched image."""
    seeds = range(100, 130)
    for seed in seeds:
        random_image(seed)
    gc.collect()
    gc.disable()
    try:
        for seed in seeds:
            random_image(seed)
        assert not gc.collect()
    finally:
        gc.enable()
