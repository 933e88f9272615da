"""The smallest recipe that still shows something: fields first, layout next, then the tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .entries import Entry
from .recipe import Recipe

Test = Callable[[Recipe], bool]
Step = Callable[[Recipe], Iterator[Recipe]]


def minimize(recipe: Recipe, is_shown: Test) -> Recipe:
    """Take away and make smaller what is not needed for ``is_shown``, until nothing is left to do.

    ``is_shown`` must be true for ``recipe``, and false for a recipe whose image cannot be made.
    """
    steps = (_fewer_overrides, _plainer_layout, _fewer_entries, _smaller_numbers)
    while True:
        before = recipe
        for step in steps:
            recipe = _exhausted(recipe, step, is_shown)
        if recipe == before:
            return recipe


def _exhausted(
    recipe: Recipe, step: Callable[[Recipe], Iterator[Recipe]], is_shown: Test
) -> Recipe:
    """Take the first smaller recipe of ``step`` that still shows it, again and again."""
    while True:
        smaller = next((each for each in step(recipe) if each != recipe and is_shown(each)), None)
        if smaller is None:
            return recipe
        recipe = smaller


def _fewer_overrides(recipe: Recipe) -> Iterator[Recipe]:
    for number in range(len(recipe.overrides)):
        rest = recipe.overrides[:number] + recipe.overrides[number + 1 :]
        yield replace(recipe, overrides=rest)


def _plainer_layout(recipe: Recipe) -> Iterator[Recipe]:
    if recipe.policy != "default":
        yield replace(recipe, policy="default")
    for name in recipe.spec:
        yield replace(recipe, spec={key: one for key, one in recipe.spec.items() if key != name})
    words = recipe.spec.get("features", "").split(",")
    for word in words if len(words) > 1 else ():
        kept = ",".join(each for each in words if each != word)
        yield replace(recipe, spec={**recipe.spec, "features": kept})


def _fewer_entries(recipe: Recipe) -> Iterator[Recipe]:
    count = len(recipe.entries)
    size = count
    while size:
        for start in range(0, count, size):
            rest = recipe.entries[:start] + recipe.entries[start + size :]
            yield replace(recipe, entries=rest)
        size //= 2


def _smaller_numbers(recipe: Recipe) -> Iterator[Recipe]:
    for position, entry in enumerate(recipe.entries):
        for key, value in entry.numbers.items():
            without = {name: one for name, one in entry.numbers.items() if name != key}
            yield _with_entry(recipe, position, entry._replace(numbers=without))
            for smaller in (0, 1, value // 2, value - 1):
                if smaller < value:
                    numbers = {**entry.numbers, key: smaller}
                    yield _with_entry(recipe, position, entry._replace(numbers=numbers))


def _with_entry(recipe: Recipe, position: int, entry: Entry) -> Recipe:
    entries = list(recipe.entries)
    entries[position] = entry
    return replace(recipe, entries=tuple(entries))
