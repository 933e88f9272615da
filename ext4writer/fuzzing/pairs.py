"""A small corpus of images that covers all possible pairs of options, features and files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ..api import plan
from ..errors import Ext4WriterError
from ..late_dataclasses import NamedTuple
from ..ondisk.features import DEFAULT_FEATURES, FEATURES
from ..planning.random_features import UNWANTED
from .chance import Chance
from .entries import Entry
from .recipe import Recipe

Factor = tuple[str, tuple[str, ...]]
"""A name, and its possible values; the first is the default."""
Level = tuple[str, str]


class Corpus(NamedTuple):
    """Recipes, and the pairs that they cover."""

    recipes: list[Recipe]
    pairs: int
    """The number of pairs of values that occur together in an image."""
    impossible: list[tuple[str, str]]
    """Pairs that were tried, but are valid in no image."""


FILES: dict[str, Entry] = {
    "large": Entry("file", "/large", {"size": 70_000}),
    "sparse": Entry("file", "/sparse", {"size": 10, "hole": 50_000}),
    "index": Entry("dir", "/index", {"names": 120, "length": 60}),
    "attributes": Entry("file", "/attributes", {"size": 1, "xattr": 600}),
    "link": Entry("symlink", "/link", {"length": 100}),
    "device": Entry("device", "/device", {"major": 1, "minor": 3}),
}


def factors(journal: bool = True) -> list[Factor]:
    """Return the factors to pair: sizes, policies, features on or off, kinds of files."""
    found: list[Factor] = [
        ("block_size", ("1024", "2048", "4096")),
        ("inode_size", ("128", "256", "1024")),
        ("policy", ("default", "random:1", "interleaved", "slack")),
    ]
    defaults = DEFAULT_FEATURES.names()
    for row in FEATURES:
        if row.support == "write" and row.name not in UNWANTED:
            words: tuple[str, ...] = (row.name, f"^{row.name}")
            if row.name not in defaults:
                words = words[::-1]
            if row.name == "has_journal" and not journal:
                words = words[1:]
            found.append((f"feature {row.name}", words))
    found += [(f"file {name}", ("no", "yes")) for name in FILES]
    return found


def recipe_of(levels: dict[str, str]) -> Recipe:
    """Return the recipe for ``levels``: factor -> value."""
    words = [value for name, value in levels.items() if name.startswith("feature ")]
    entries = tuple(entry for name, entry in FILES.items() if levels.get(f"file {name}") == "yes")
    spec = {
        "block_size": levels["block_size"],
        "inode_size": levels["inode_size"],
        "features": ",".join(words),
    }
    if "^has_journal" in words:
        spec["journal"] = "none"
    else:
        spec["size"] = "4M"  # a journal has at least 1,024 blocks
    return Recipe(entries, spec, levels["policy"])


def _works(levels: dict[str, str]) -> bool:
    try:
        recipe = recipe_of(levels)
        plan(recipe.make_tree(), recipe.make_spec())
    except Ext4WriterError:
        return False
    return True


def corpus(attempts: int = 6, *, journal: bool = True) -> Corpus:
    """Generate recipes until every possible pair occurs.

    For each recipe, ``attempts`` rounds vary the values outside of its pair. Without ``journal``,
    most images are much smaller than 1 MiB.
    """
    all_factors = factors(journal)
    defaults = {name: values[0] for name, values in all_factors}
    wanted = {
        frozenset(((first, one), (second, two)))
        for (first, ones), (second, twos) in combinations(all_factors, 2)
        for one in ones
        for two in twos
    }
    chance = Chance(1)
    recipes, impossible = [], []
    pairs = 0
    for pair in sorted(wanted, key=sorted):
        if pair not in wanted:
            continue
        levels = _filled(dict(pair), defaults, all_factors, chance, attempts)
        if levels is None:
            first, second = sorted(f"{name}={value}" for name, value in pair)
            impossible.append((first, second))
            wanted.discard(pair)
            continue
        recipes.append(recipe_of(levels))
        covered = {frozenset(two) for two in combinations(levels.items(), 2)}
        pairs += len(wanted & covered)
        wanted -= covered
    return Corpus(recipes, pairs, impossible)


def _made_valid(
    fixed: dict[str, str], defaults: dict[str, str], all_factors: Sequence[Factor]
) -> dict[str, str] | None:
    """Return the default values with ``fixed`` ones, and others that these require.

    For example, uninit_bg requires an image without metadata_csum. Returns None if changing one
    value for each fixed one is not enough.
    """
    levels = {**defaults, **fixed}
    if _works(levels):
        return levels
    for name, value in fixed.items():
        alone = {**defaults, name: value}
        if not _works(alone):
            helper = _helper(alone, {*fixed}, all_factors)
            levels.update(helper or {})
    if _works(levels):
        return levels
    helper = _helper(levels, {*fixed}, all_factors)
    return None if helper is None else {**levels, **helper}


def _helper(
    levels: dict[str, str], fixed: set[str], all_factors: Sequence[Factor]
) -> dict[str, str] | None:
    """Return one change of a factor not in ``fixed`` that makes ``levels`` valid, or None."""
    for name, values in all_factors:
        if name not in fixed:
            for value in values:
                if value != levels[name] and _works({**levels, name: value}):
                    return {name: value}
    return None


def _filled(
    fixed: dict[str, str],
    defaults: dict[str, str],
    all_factors: Sequence[Factor],
    chance: Chance,
    attempts: int,
) -> dict[str, str] | None:
    """Return random values for all factors, including the ``fixed`` ones; None if impossible."""
    levels = _made_valid(fixed, defaults, all_factors)
    if levels is None:
        return None
    for _ in range(attempts):
        for name, values in all_factors:
            if name in fixed or not chance.often(2):
                continue
            candidate = {**levels, name: chance.one_of(values)}
            if candidate != levels and _works(candidate):
                levels = candidate
    return levels
