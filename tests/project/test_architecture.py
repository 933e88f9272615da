"""docs/architecture.md is true: it lists every module, its names exist, its counts are right."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
LIBRARY = ROOT / "ext4writer"
APART = ("damage", "fuzzing")
"""Packages that write images with any feature, by its name."""


def modules_on_the_page() -> set[str]:
    start = PAGE.index("    ext4writer/\n")
    block = PAGE[start : PAGE.index("`tests/` mirrors the packages")]
    return set(re.findall(r"[\w-]+\.(?:py|nix)", block))


def test_every_module_is_on_the_page_and_no_other() -> None:
    folders = (LIBRARY, ROOT / "builder/ext4writer_cli", ROOT / "builder/nix")
    there = {
        path.name
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in (".py", ".nix") and not path.name.startswith("__")
    }
    named = {name for name in modules_on_the_page() if not name.startswith("__")}
    assert there - named == set(), "the page lacks these"
    assert named - there == set(), "these no longer exist"


def test_names_on_the_page_exist() -> None:
    sources = "".join(
        path.read_text()
        for folder in ("ext4writer", "builder", "tests")
        for path in (ROOT / folder).rglob("*.py")
    )
    sources += (ROOT / "Makefile").read_text()
    words = set(re.findall(r"\w+", sources)) | {path.stem for path in ROOT.glob("tests/**/*.py")}
    for quoted in re.findall(r"`([^`\n]+)`", PAGE.replace("\n    ", "\n")):
        for word in re.findall(r"[A-Za-z_]\w*", quoted):
            known = word in words or (ROOT / word).exists() or (LIBRARY / word).exists()
            assert known, f"{word} in `{quoted}`"


def lines_with(*names: str) -> dict[str, int]:
    """File -> lines of the library that contain one of ``names``."""
    found: Counter[str] = Counter()
    pattern = re.compile("|".join(rf"\b(?:needs_)?{name}\b" for name in names))
    for path in LIBRARY.rglob("*.py"):
        place = path.relative_to(LIBRARY)
        if place.parts[0] not in APART:
            found[str(place)] += sum(
                bool(pattern.search(line)) for line in path.read_text().splitlines()
            )
    return {path: count for path, count in found.items() if count}


@pytest.mark.parametrize(
    ("feature", "fields"), [("stable_inodes", ()), ("metadata_csum_seed", ("s_checksum_seed",))]
)
def test_a_feature_costs_what_the_page_says(feature: str, fields: tuple[str, ...]) -> None:
    table = PAGE[PAGE.index(f"| `{feature}` | lines |") :]
    table = table[: table.index("\n\n")]
    said = {path: int(lines) for path, lines in re.findall(r"\| `([\w/.]+)` \| (\d+) \|", table)}
    assert said
    assert said == lines_with(feature, *fields)


def test_the_tests_mirror_the_packages() -> None:
    """Each package has a folder of tests; modules outside packages are tested in ``tree``."""
    packages = {path.parent.name for path in LIBRARY.glob("*/*.py")}
    there = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert packages - there == set()
    assert there - packages <= {"api", "builder", "forked", "project", "tree", "guest"}
