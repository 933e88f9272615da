"""A map paints each block once, in the colour of its use."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import Spec, Tree, policy, write_image
from ext4writer.errors import DamageError, ImageError
from ext4writer.inspection.map import COLOURS, draw_html, draw_svg
from ext4writer.inspection.map.cells import LINES_MOST, Scale
from ext4writer.inspection.usage import DATA, FREE, LOST, usage
from ext4writer.read import open_image
from tests.builder.command import run
from tests.judges.tools import require

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</script><script>alert(1)<!--"


def some_tree() -> Tree:
    tree = Tree()
    for number in range(80):
        tree.file(f"/many/{number}", b"x" * number * 100, parents=True)
    tree.file("/big", b"y" * 700_000)
    tree.file("/a & b/" + HOSTILE.replace("/", "\\"), b"z" * 9000, parents=True)
    tree.symlink("/link", "t" * 300)
    tree.file("/attributes", b"a", xattrs={b"user.a": b"1" * 600})
    return tree


SPECS = {
    "default": Spec(),
    "1k": Spec(block_size=1024, free="1M"),
    "full": Spec(free=0, journal="none"),
    "random": Spec(block_size=1024, free=0, policy=policy("random:7")),
    "groups": Spec(size=400 << 20),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("map")
    for name, spec in SPECS.items():
        write_image(some_tree(), folder / name, spec)
    theirs = [("ext2", "-t ext2"), ("bigalloc", "-t ext4 -O bigalloc"), ("ext4", "-t ext4")]
    for name, options in theirs:
        made = [require("mke2fs"), "-q", "-F", "-b", "1024", *options.split(), folder / name, "40M"]
        subprocess.run(made, check=True, capture_output=True)
    return {name: folder / name for name in (*SPECS, *(name for name, _ in theirs))}


NAMES = (*SPECS, "ext2", "bigalloc", "ext4")


# -- users of blocks -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_each_block_has_one_use(name: str, images: dict[str, Path]) -> None:
    with open_image(images[name]) as image:
        found = usage(image)
        assert found.is_complete
        place = 0
        for use in found.uses:
            assert use.first == place, use
            place = use.end
        assert place == image.blocks_count
        free = sum(use.count for use in found.uses if use.kind == FREE)
        assert free == image.number("s_free_blocks_count")
        assert not any(use.kind == LOST for use in found.uses)


def test_owners_as_debugfs_has_them(images: dict[str, Path]) -> None:
    with open_image(images["random"]) as image:
        uses = [use for use in usage(image).uses if use.kind == DATA][::7]
    blocks = " ".join(str(use.first) for use in uses)
    done = subprocess.run(
        [require("debugfs"), "-R", f"icheck {blocks}", images["random"]],
        check=True,
        capture_output=True,
        text=True,
    )
    theirs = dict(tuple(map(int, row.split())) for row in done.stdout.splitlines()[1:])
    assert theirs == {use.first: use.ino for use in uses}


# -- the scale -------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    first=st.integers(0, 1),
    blocks=st.integers(1, 1 << 40),
    group_blocks=st.sampled_from([256, 1024, 8184, 8192, 32768, 65536 * 16]),
    places=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20),
)
def test_each_block_has_one_cell(
    first: int, blocks: int, group_blocks: int, places: list[float]
) -> None:
    scale = Scale.of(first, blocks, group_blocks)
    assert sum(map(scale.lines_of, range(scale.rows))) <= LINES_MOST
    for place in places:
        block = first + int(place * blocks)
        cell = scale.cell(block)
        low, high = scale.range_of(cell)
        assert low <= block < high <= first + blocks
        assert high == first + blocks or scale.cell(high) > cell


# -- what is drawn ---------------------------------------------------------------------------------


def areas(text: str) -> Counter[str]:
    """Class -> painted area, in square pixels."""
    found: Counter[str] = Counter()
    for path in ElementTree.fromstring(text).iter(f"{SVG}path"):
        for width, height in re.findall(r"h(\d+)v([\d.]+)h-\d+z", path.attrib["d"]):
            found[path.attrib["class"]] += round(int(width) * float(height))
    return found


def legend(text: str) -> dict[str, int]:
    """Label -> number of blocks."""
    rows = {}
    for label in ElementTree.fromstring(text).iter(f"{SVG}text"):
        for amount in label.iter(f"{SVG}tspan"):
            matched = re.match(r"([\d,]+) block", amount.text or "")
            if matched and label.text:
                rows[label.text.strip()] = int(matched[1].replace(",", ""))
    return rows


@pytest.mark.parametrize("name", ["default", "1k", "random"])
def test_areas_are_those_of_the_blocks(name: str, images: dict[str, Path]) -> None:
    with open_image(images[name]) as image:
        text = draw_svg(image, by="size")
        assert "A cell is 1 block " in text
        counts: Counter[str] = Counter()
        for use in usage(image).uses:
            counts[use.kind] += use.count
    one = 8 * 10
    painted, told = areas(text), legend(text)
    assert told.get("journal", 0) == counts["journal"]
    assert told["free"] == counts[FREE]
    assert sum(count for label, count in told.items() if label.startswith("files")) == counts[DATA]
    assert sum(told.values()) == sum(counts.values())
    # The journal is the fifth class; free space is below all others.
    assert painted["c4"] == counts["journal"] * one
    sizes = Counter({place: area for place, area in painted.items() if place in FILES})
    assert sum(sizes.values()) == counts[DATA] * one


FILES = {f"c{place}" for place in range(11, 16)}


@pytest.mark.parametrize("name", NAMES)
def test_both_drawings_of_all_colours(name: str, images: dict[str, Path]) -> None:
    with open_image(images[name]) as image:
        for by in COLOURS:
            text = draw_svg(image, by=by)
            assert text == draw_svg(image, by=by)
            ElementTree.fromstring(text)
            assert sum(legend(text).values()) == image.blocks_count
            assert "prefers-color-scheme:dark" in text
    with open_image(images[name]) as image, pytest.raises(ValueError, match="none of file"):
        draw_svg(image, by="taste")


def test_small_areas_are_visible(images: dict[str, Path]) -> None:
    with open_image(images["groups"]) as image:
        text = draw_svg(image)
    assert "a group 16 lines" not in text
    painted = areas(text)
    for label, place in (("superblock, descriptors", "c0"), ("bitmaps", "c2")):
        assert legend(text)[label]
        assert painted[place] >= 8


def facts(text: str) -> Any:
    matched = re.search(
        r'<script type="application/json" id="facts">(.*?)</script>', text, re.DOTALL
    )
    assert matched
    return json.loads(matched[1])


def test_the_page_lists_each_extent_and_runs_nothing_of_the_image(
    images: dict[str, Path],
) -> None:
    with open_image(images["random"]) as image:
        text = draw_html(image)
        big = image.lookup("/big")
        wanted = [(run.physical, run.length, run.logical) for run in big.runs()]
    found = facts(text)
    rows = [tuple(found["uses"][at : at + 5]) for at in range(0, len(found["uses"]), 5)]
    assert sorted((b, n, at) for b, n, kind, ino, at in rows if ino == big.ino) == sorted(wanted)
    assert found["names"][str(big.ino)] == "/big"
    assert any(name.endswith(HOSTILE.replace("/", "\\")) for name in found["names"].values())
    assert text.count("<script") == 2
    assert "alert(1)<" not in text
    assert set(re.findall(r"https?://[^\"' ]*", text)) == {"http://www.w3.org/2000/svg"}


def test_holes_of_the_file(images: dict[str, Path], tmp_path: Path) -> None:
    dense = tmp_path / "dense"
    dense.write_bytes(images["1k"].read_bytes())
    with open_image(dense) as image, open_image(images["1k"]) as sparse:
        assert "are holes" not in draw_svg(image)
        assert sum(end - start for start, end in image.store.stored(0, 1 << 40)) >= image.store.size
        text = draw_svg(sparse)
    assert "are holes" in text
    assert areas(text)["s"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damage_ends_in_a_drawing_or_an_error(images: dict[str, Path], data: st.DataObject) -> None:
    whole = bytearray(images["full"].read_bytes())
    for _ in range(4):
        place = data.draw(st.integers(1024, min(len(whole), 200_000) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    with (
        suppress(DamageError, ImageError),
        open_image(bytes(whole), on_damage=lambda _: None) as image,
    ):
        ElementTree.fromstring(draw_svg(image, by="directory"))


# -- the command -----------------------------------------------------------------------------------


def test_the_command(images: dict[str, Path], tmp_path: Path) -> None:
    source = images["1k"]
    for name, start in (("map.svg", "<svg"), ("map.html", "<!DOCTYPE html>")):
        done = run("map", source, "-o", tmp_path / name, "--color", "fragmentation")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (tmp_path / name).read_text().startswith(start)
    done = run("map", source, "-o", "-")
    assert ElementTree.fromstring(done.stdout).tag == f"{SVG}svg"
    before = source.read_bytes()
    assert run("map", source, "-o", source).returncode != 0
    assert source.read_bytes() == before
