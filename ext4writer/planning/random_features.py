"""Random features that are compatible with each other."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import lru_cache

from ..errors import SpecError
from ..late_dataclasses import NamedTuple
from ..ondisk.features import FEATURES, Feature, FeatureSet, feature

UNWANTED = ("journal_dev", "encrypt", "casefold", "large_dir")
"""Features that need options, or change nothing in a small image."""
TOGGLED = tuple(row.name for row in FEATURES if row.support == "write" and row.name not in UNWANTED)
_OFTEN, _EITHER = 6, 2


def feature_words(row: Feature, *, without: bool) -> str:
    """Return words for mke2fs -O: a feature with what it needs, or its removal with its users."""
    if without:
        needing = [other.name for other in FEATURES if row.name in other.needs]
        return ",".join(f"^{name}" for name in (row.name, *needing))
    against = [*row.conflicts, *(one.name for one in FEATURES if row.name in one.conflicts)]
    return ",".join([row.name, *row.needs, *(f"^{name}" for name in against)])


def random_features(
    usual: FeatureSet, below: Callable[[int], int], kept: Container[str] = ()
) -> list[str]:
    """Return words such as ``quota`` and ``^extent,^bigalloc``, to apply in order.

    ``below(n)`` returns a random number from 0 to n - 1. Features in ``kept`` do not change. The
    features are compatible after each word.
    """
    features = usual
    words: list[str] = []
    for name in TOGGLED:
        if below(_OFTEN):
            continue
        is_added = not below(_EITHER)
        if name in kept or is_added is (name in features.names()):
            continue
        changed = _changed(features, name, is_added)
        if changed is not None and not any(each in kept for each in changed.differing):
            features = changed.features
            words.append(changed.words)
    return words


class _Changed(NamedTuple):
    features: FeatureSet
    differing: frozenset[str]
    words: str
    """The changes, including implied ones, as mke2fs -O accepts them."""


@lru_cache(maxsize=1024)
def _changed(features: FeatureSet, name: str, is_added: bool) -> _Changed | None:
    """Turn ``name`` on or off in ``features``; return None if they are not compatible then."""
    text = feature_words(feature(name), without=not is_added)
    changed = FeatureSet.parse(text, base=features)
    try:
        changed.check()
    except SpecError:
        return None
    after = {*changed.names()}
    differing = after ^ {*features.names()}
    others = sorted(differing - {name})
    words = ",".join(each if each in after else f"^{each}" for each in (name, *others))
    return _Changed(changed, frozenset(differing), words)
