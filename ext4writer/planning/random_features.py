"""Features at random, as far as they go together."""

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
    """What turns a feature on, with what it needs, or off with what needs it; as mke2fs -O."""
    if without:
        needing = [other.name for other in FEATURES if row.name in other.needs]
        return ",".join(f"^{name}" for name in (row.name, *needing))
    against = [*row.conflicts, *(one.name for one in FEATURES if row.name in one.conflicts)]
    return ",".join([row.name, *row.needs, *(f"^{name}" for name in against)])


def random_features(
    usual: FeatureSet, below: Callable[[int], int], kept: Container[str] = ()
) -> list[str]:
    """Words such as ``quota`` and ``^extent,^bigalloc``, to be taken one after the other.

    ``below`` gives the numbers: any one from 0 up to its argument, which is not reached. What is in
    ``kept`` stays as it is. After each word the features go together.
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
    """What mke2fs -O takes, with all that differs."""


@lru_cache(maxsize=1024)
def _changed(features: FeatureSet, name: str, is_added: bool) -> _Changed | None:
    """``features`` with ``name`` turned on or off; None if they do not go together then."""
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
