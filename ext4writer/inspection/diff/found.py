"""The results of a comparison: differences by level and sort, all counted, some kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...late_dataclasses import NamedTuple

PATH, FIELD, PLACE = "path", "field", "place"
LEVELS = (PATH, FIELD, PLACE)


class Difference(NamedTuple):
    """One difference. ``a`` and ``b`` are JSON values; None if an image has nothing there."""

    level: str
    what: str
    """The sort: ``added``, an attribute, ``record.field``, or the kind of data stored elsewhere."""
    where: str
    """A path as printable text, or the name of a structure."""
    a: Any
    b: Any

    def as_json(self) -> dict[str, Any]:
        """Return the difference as JSON values."""
        return self._asdict()


class Differences:
    """All differences at the requested levels."""

    def __init__(self, levels: frozenset[str], most: int) -> None:
        self.levels = levels
        self.most = most
        self.counts: dict[tuple[str, str], int] = {}
        """(level, sort) -> number of differences, in the order in which they were found."""
        self.kept: dict[tuple[str, str], list[Difference]] = {}
        """(level, sort) -> the first differences."""
        self.content_left_out = 0
        """The number of files whose content was not compared because of damage."""

    def add(self, level: str, what: str, where: str, a: Any, b: Any) -> None:
        """Count one difference; keep it if there are still few of its sort."""
        if level not in self.levels:
            return
        key = level, what
        self.counts[key] = self.counts.get(key, 0) + 1
        kept = self.kept.setdefault(key, [])
        if len(kept) < self.most:
            kept.append(Difference(level, what, where, a, b))

    def of_level(self, level: str) -> Iterator[tuple[str, int, list[Difference]]]:
        """Yield (sort, count, differences that were kept) for one level."""
        for (found, what), count in self.counts.items():
            if found == level:
                yield what, count, self.kept[found, what]

    @property
    def are_equal(self) -> bool:
        """Whether everything was compared and nothing differs."""
        return not self.counts and not self.content_left_out
