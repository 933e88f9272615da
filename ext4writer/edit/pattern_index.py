"""Which of thousands of patterns match a path, without trying them all.

Every pattern begins with bytes that each path which it matches begins with too. A path is looked
up by its own beginnings, so that a pattern costs nothing where it cannot match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class Pattern(NamedTuple):
    """A regular expression that matches at the start of a path and has no group that captures."""

    number: int
    """Its place in the order of all."""
    prefix: bytes
    """What a path that it matches begins with."""
    expression: bytes


class _Bucket:
    """The patterns of one prefix, the last first."""

    __slots__ = ("_all", "_compiled", "patterns")

    def __init__(self) -> None:
        self.patterns: list[Pattern] = []
        self._all: re.Pattern[bytes] | None = None
        self._compiled: list[re.Pattern[bytes]] = []

    def last_match(self, path: bytes) -> int:
        """Index in ``patterns`` of the first that matches, which is the last given; -1 if none."""
        if self._all is None:
            self.patterns.sort(key=lambda pattern: -pattern.number)
            self._all = re.compile(
                b"|".join(b"(" + each.expression + b")" for each in self.patterns), re.DOTALL
            )
        found = self._all.match(path)
        return -1 if found is None else (found.lastindex or 0) - 1

    def all_matches(self, path: bytes) -> list[int]:
        """Numbers of all that match."""
        first = self.last_match(path)
        if first < 0:
            return []
        found = [self.patterns[first].number]
        if first + 1 < len(self.patterns):
            if not self._compiled:
                self._compiled = [re.compile(one.expression, re.DOTALL) for one in self.patterns]
            found += [
                self.patterns[at].number
                for at in range(first + 1, len(self.patterns))
                if self._compiled[at].match(path)
            ]
        return found


class _Tails:
    """The buckets whose prefixes end inside of a name, in one folder."""

    __slots__ = ("buckets", "lengths")

    def __init__(self) -> None:
        self.buckets: dict[bytes, _Bucket] = {}
        self.lengths: list[int] = []

    def add(self, tail: bytes) -> _Bucket:
        bucket = self.buckets.get(tail)
        if bucket is None:
            bucket = self.buckets[tail] = _Bucket()
            self.lengths = sorted({*self.lengths, len(tail)})
        return bucket

    def of(self, name: bytes) -> list[_Bucket]:
        """The buckets whose tails ``name`` begins with."""
        buckets = self.buckets
        found = [buckets.get(name[:length]) for length in self.lengths if length <= len(name)]
        return [bucket for bucket in found if bucket is not None]


class PatternIndex:
    """Answers for many paths; it is fast where those of one folder follow each other."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._tails: dict[bytes, _Tails] = {}
        """By folder, with a slash behind it or empty."""
        for pattern in patterns:
            cut = pattern.prefix.rfind(b"/") + 1
            tails = self._tails.setdefault(pattern.prefix[:cut], _Tails())
            tails.add(pattern.prefix[cut:]).patterns.append(pattern)
        self._longest = max(map(len, self._tails), default=0)
        self._folder: bytes | None = None
        self._above: list[_Bucket] = []
        self._inside: _Tails | None = None

    def __bool__(self) -> bool:
        return bool(self._tails)

    def last_match(self, path: bytes) -> int:
        """The greatest number of a pattern that matches ``path``; -1 if there is none."""
        best = -1
        for bucket in self._candidates(path):
            at = bucket.last_match(path)
            if at >= 0 and bucket.patterns[at].number > best:
                best = bucket.patterns[at].number
        return best

    def all_matches(self, path: bytes) -> list[int]:
        """The numbers of all patterns that match ``path``, in no useful order."""
        found: list[int] = []
        for bucket in self._candidates(path):
            found += bucket.all_matches(path)
        return found

    def _candidates(self, path: bytes) -> list[_Bucket]:
        cut = path.rfind(b"/") + 1
        folder = path[:cut]
        if folder != self._folder:
            self._enter(folder)
        if self._inside is None:
            return self._above
        return self._above + self._inside.of(path[cut:])

    def _enter(self, folder: bytes) -> None:
        """Find what the paths in ``folder`` have in common."""
        self._folder = folder
        self._inside = self._tails.get(folder)
        self._above = []
        start = 0
        # Below the longest folder of a pattern nothing is found, however deep the path goes.
        while start < len(folder) and start <= self._longest:
            end = folder.find(b"/", start) + 1
            # A name that leads to the folder; in front of a path is the root or nothing.
            tails = self._tails.get(folder[:start])
            if tails is not None:
                self._above += tails.of(folder[start : end - 1])
            start = end
