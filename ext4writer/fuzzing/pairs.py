"""A few images in which all pairs of what may go together occur."""

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
"""A name, and what it may be."""
Level = tuple[str, str]


class Corpus(NamedTuple):
    """Recipes, and which pairs they hold."""

    recipes: list[Recipe]
    pairs: int
    """Pairs of values that occur together in some image."""
    impossible: list[tuple[str, str]]
    """Pairs that were tried and go together in no image."""


FILES: dict[str, Entry] = {
    "large": Entry("file", "/large", {"size": 70_000}),
    "sparse": Entry("file", "/sparse", {"size": 10, "hole": 50_000}),
    "index": Entry("dir", "/index", {"names": 120, "length": 60}),
    "attributes": Entry("file", "/attributes", {"size": 1, "xattr": 600}),
    "link": Entry("symlink", "/link", {"length": 100}),
    "device": Entry("device", "/device", {"major": 1, "minor": 3}),
}


def factors(journal: bool = True) -> list[Factor]:
    """What is paired: sizes, each feature on or off, kinds of files."""
    found: list[Factor] = [
        ("block_size", ("1024", "2048", "4096")),
        ("inode_size", ("128", "256", "1024")),
        ("policy", ("default", "random:1", "interleaved", "slack")),
    ]
    usual = DEFAULT_FEATURES.names()
    for row in FEATURES:
        if row.support == "write" and row.name not in UNWANTED:
            words: tuple[str, ...] = (row.name, f"^{row.name}")
            if row.name not in usual:
                words = words[::-1]
            if row.name == "has_journal" and not journal:
                words = words[1:]
            found.append((f"feature {row.name}", words))
    found += [(f"file {name}", ("no", "yes")) for name in FILES]
    return found


def recipe_of(levels: dict[str, str]) -> Recipe:
    """The recipe of one choice for each factor."""
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
        spec["size"] = "4M"  # a journal has 1,024 blocks at least
    return Recipe(entries, spec, levels["policy"])


def _works(levels: dict[str, str]) -> bool:
    try:
        recipe = recipe_of(levels)
        plan(recipe.make_tree(), recipe.make_spec())
    except Ext4WriterError:
        return False
    return True


def corpus(attempts: int = 6, *, journal: bool = True) -> Corpus:
    """Make recipes until each pair that can occur does; ``attempts`` are made for each.

    Without a ``journal`` most images are far below 1 MiB.
    """
    all_factors = factors(journal)
    usual = {name: values[0] for name, values in all_factors}
    wanted = {
        frozenset(((first, one), (second, two)))
        for (first, ones), (second, twos) in combinations(all_factors, 2)
        for one in ones
        for two in twos
    }
    chance = Chance(1)
    recipes, impossible = [], []
    held = 0
    for pair in sorted(wanted, key=sorted):
        if pair not in wanted:
            continue
        levels = _filled(dict(pair), usual, all_factors, chance, attempts)
        if levels is None:
            first, second = sorted(f"{name}={value}" for name, value in pair)
            impossible.append((first, second))
            wanted.discard(pair)
            continue
        recipes.append(recipe_of(levels))
        covered = {frozenset(two) for two in combinations(levels.items(), 2)}
        held += len(wanted & covered)
        wanted -= covered
    return Corpus(recipes, held, impossible)


def _made_to_work(
    fixed: dict[str, str], usual: dict[str, str], all_factors: Sequence[Factor]
) -> dict[str, str] | None:
    """The usual choices with ``fixed`` ones, and one other choice for each that needs it.

    uninit_bg, for one, is only for images without metadata_csum. None if that is not enough.
    """
    levels = {**usual, **fixed}
    if _works(levels):
        return levels
    for name, value in fixed.items():
        alone = {**usual, name: value}
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
    """One choice with which ``levels`` work, of what is not ``fixed``; None if there is none."""
    for name, values in all_factors:
        if name not in fixed:
            for value in values:
                if value != levels[name] and _works({**levels, name: value}):
                    return {name: value}
    return None


def _filled(
    fixed: dict[str, str],
    usual: dict[str, str],
    all_factors: Sequence[Factor],
    chance: Chance,
    attempts: int,
) -> dict[str, str] | None:
    """All factors, with ``fixed`` ones among them, as mixed as can be; None if that cannot be."""
    levels = _made_to_work(fixed, usual, all_factors)
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
