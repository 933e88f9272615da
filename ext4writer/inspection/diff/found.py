"""What a comparison finds: differences by level and sort, all counted, some kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...late_dataclasses import NamedTuple

PATH, FIELD, PLACE = "path", "field", "place"
LEVELS = (PATH, FIELD, PLACE)


class Difference(NamedTuple):
    """One difference. Values are those of JSON; None where there is nothing."""

    level: str
    what: str
    """Its sort: ``added``, an attribute, ``record.field``, or what lies elsewhere."""
    where: str
    """A path as printable text, or the structure that is meant."""
    a: Any
    b: Any

    def as_json(self) -> dict[str, Any]:
        """Return the difference as values of JSON."""
        return self._asdict()


class Differences:
    """All that was found, at the levels that were wanted."""

    def __init__(self, levels: frozenset[str], most: int) -> None:
        self.levels = levels
        self.most = most
        self.counts: dict[tuple[str, str], int] = {}
        """(level, sort) -> how many there are, in the order in which they were met."""
        self.kept: dict[tuple[str, str], list[Difference]] = {}
        """(level, sort) -> the first of them."""
        self.content_left_out = 0
        """Files whose content was not compared, because damage maps more than the images have."""

    def add(self, level: str, what: str, where: str, a: Any, b: Any) -> None:
        """Count one difference, and keep it while there are few of its sort."""
        if level not in self.levels:
            return
        key = level, what
        self.counts[key] = self.counts.get(key, 0) + 1
        kept = self.kept.setdefault(key, [])
        if len(kept) < self.most:
            kept.append(Difference(level, what, where, a, b))

    def of_level(self, level: str) -> Iterator[tuple[str, int, list[Difference]]]:
        """Yield (sort, count, those kept) of one level."""
        for (found, what), count in self.counts.items():
            if found == level:
                yield what, count, self.kept[found, what]

    @property
    def are_equal(self) -> bool:
        """Whether nothing differs, and everything was compared."""
        return not self.counts and not self.content_left_out
