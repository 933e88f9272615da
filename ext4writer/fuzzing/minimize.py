"""Reduces a recipe that shows a bug: first its overrides, then its layout, then its tree.

Hypothesis does the shrinking, with a strategy whose largest example is the original recipe. So this
module needs the package hypothesis, which the extra ``ext4writer[hypothesis]`` installs.
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
"""Before shrinking, about one example in this number is smaller than the recipe by chance."""
EXAMPLES = 50
"""Enough: the first examples are nearly always the complete recipe, which shows the bug."""

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
    """Remove and reduce everything that ``is_shown`` does not need, until nothing changes.

    ``is_shown`` must be true for ``recipe``, and false for a recipe whose image cannot be built. It
    is called only once for each recipe, so a flaky test does no harm. The result depends only on
    the recipe, the answers and the release of hypothesis.
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
    """Return the smallest example for which ``is_shown`` is true."""
    try:
        return find(smaller, is_shown, settings=_SETTINGS)
    except NoSuchExample:
        return whole


def _up_to(draw: st.DrawFn, most: int) -> int:
    """Draw a number up to ``most``: nearly always ``most`` at first; shrinks towards 0."""
    return min(draw(st.integers(0, most + NEARLY_ALWAYS)), most)


def _some_of(draw: st.DrawFn, items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Draw some items: nearly always all at first; shrinks towards none."""
    return tuple(item for item in items if _up_to(draw, 1))


@st.composite
def _overrides(draw: st.DrawFn, recipe: Recipe) -> Recipe:
    """Draw recipes with fewer overrides, right checksums and simple values."""
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
    """Draw recipes without policy, with fewer options and fewer features."""
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
    """Draw recipes with fewer and smaller files."""
    entries = _some_of(draw, recipe.entries)
    return replace(recipe, entries=tuple(_entry(draw, entry) for entry in entries))


def _entry(draw: st.DrawFn, entry: Entry) -> Entry:
    numbers: Mapping[str, int] = dict(_some_of(draw, tuple(entry.numbers.items())))
    return entry._replace(numbers={name: _up_to(draw, number) for name, number in numbers.items()})
