"""The smallest recipe that still shows something: fields first, layout next, then the tree.

Hypothesis shrinks it: what may be taken away or made smaller is a strategy, whose largest example
is the recipe as it was. So this module needs the package hypothesis, which the extra
``ext4writer[hypothesis]`` brings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from ..late_dataclasses import replace
from .entries import Entry
from .recipe import Recipe

Item = TypeVar("Item")
Test = Callable[[Recipe], bool]

NEARLY_ALWAYS = 1 << 24
"""One in this number of examples is smaller than the recipe by chance, before shrinking."""
EXAMPLES = 50
"""The first ones are nearly always the whole recipe, which shows it."""

_SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=EXAMPLES,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    verbosity=Verbosity.quiet,
)


def minimize(recipe: Recipe, is_shown: Test) -> Recipe:
    """Take away and make smaller what is not needed for ``is_shown``, until nothing is left to do.

    ``is_shown`` must be true for ``recipe``, and false for a recipe whose image cannot be made. It
    is asked once for each recipe, so that a test which cannot make up its mind does no harm. The
    result follows from the recipe, the answers and the release of hypothesis.
    """
    answers = {str(recipe): True}

    def ask(candidate: Recipe) -> bool:
        text = str(candidate)
        if text not in answers:
            answers[text] = is_shown(candidate)
        return answers[text]

    while True:
        before = recipe
        for step in (_overrides, _layout, _tree):
            recipe = _shrunk(step(recipe), recipe, ask)
        if recipe == before:
            return recipe


def _shrunk(smaller: st.SearchStrategy[Recipe], whole: Recipe, is_shown: Test) -> Recipe:
    """The smallest example that shows it."""
    try:
        return find(smaller, is_shown, settings=_SETTINGS)
    except NoSuchExample:
        return whole


def _up_to(draw: st.DrawFn, most: int) -> int:
    """A number up to ``most``: this one at first, and then as small as can be."""
    return min(draw(st.integers(0, most + NEARLY_ALWAYS)), most)


def _some_of(draw: st.DrawFn, items: tuple[Item, ...]) -> tuple[Item, ...]:
    """All items at first, then as few as can be."""
    return tuple(item for item in items if _up_to(draw, 1))


@st.composite
def _overrides(draw: st.DrawFn, recipe: Recipe) -> Recipe:
    """Fewer fields that are wrong; checksums that are right; values that are plain."""
    kept = []
    for text in _some_of(draw, recipe.overrides):
        field, equals, value = text.removeprefix("!").partition("=")
        values = ("0", "1", value) if field[-1:] not in "+-^" and equals else (value,)
        plain = values[_up_to(draw, len(values) - 1)]
        stale = "!" if text.startswith("!") and _up_to(draw, 1) else ""
        kept.append(f"{stale}{field}{equals}{plain}")
    return replace(recipe, overrides=tuple(kept))


@st.composite
def _layout(draw: st.DrawFn, recipe: Recipe) -> Recipe:
    """No policy, fewer options, fewer features."""
    policy = recipe.policy
    if policy != "default" and not _up_to(draw, 1):
        policy = "default"
    spec = dict(_some_of(draw, tuple(recipe.spec.items())))
    if "features" in spec:
        words = _some_of(draw, tuple(spec["features"].split(",")))
        spec["features"] = ",".join(words)
        if not words:
            del spec["features"]
    return replace(recipe, policy=policy, spec=spec)


@st.composite
def _tree(draw: st.DrawFn, recipe: Recipe) -> Recipe:
    """Fewer files, which have less."""
    entries = _some_of(draw, recipe.entries)
    return replace(recipe, entries=tuple(_entry(draw, entry) for entry in entries))


def _entry(draw: st.DrawFn, entry: Entry) -> Entry:
    numbers: Mapping[str, int] = dict(_some_of(draw, tuple(entry.numbers.items())))
    return entry._replace(numbers={name: _up_to(draw, number) for name, number in numbers.items()})
