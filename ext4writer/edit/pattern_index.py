"""Finds which of thousands of patterns match a path, without trying them all.

Every pattern has a literal prefix (possibly empty), shared by all paths it matches. Patterns are
looked up by the prefixes of a path, so a pattern that cannot match costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ..late_dataclasses import NamedTuple
from .automaton import Automaton, Expression

FEW = 8
"""Up to this many simple patterns with one prefix are matched by ``re``."""


class Pattern(NamedTuple):
    """A pattern for paths."""

    number: int
    """Its index among all patterns."""
    prefix: bytes
    """The common prefix of all paths that it matches."""
    rest: Expression | Callable[[bytes], bool]
    """Matches the path starting at ``start``; or a function of the entire path."""
    simple: bytes | None = None
    """The same as ``rest`` in the syntax of ``re``, if that needs linear time; None otherwise."""
    start: int | None = None
    """Offset in bytes of the part that ``rest`` matches; None means the length of ``prefix``."""


class Matcher(Protocol):
    """Matches paths against several patterns."""

    def last_match(self, path: bytes) -> int:
        """The highest number of a matching pattern; -1 if none matches."""
        ...

    def all_matches(self, path: bytes) -> list[int]:
        """The numbers of all matching patterns, in no particular order."""
        ...


class _Few:
    """A few simple patterns, for which ``re`` in C is faster than an automaton in Python."""

    def __init__(self, start: int, patterns: Sequence[Pattern]) -> None:
        """``patterns`` are ascending by number."""
        self._start = start
        self._numbers = [pattern.number for pattern in reversed(patterns)]
        self._each = [_simple(pattern) for pattern in reversed(patterns)]
        # ``re`` chooses the first matching alternative, so the last pattern comes first.
        whole = b"|".join(b"(" + each + b")" for each in self._each)
        self._match = re.compile(whole, re.DOTALL).match
        self._compiled: list[re.Pattern[bytes]] = []

    def last_match(self, path: bytes) -> int:
        found = self._match(path, self._start)
        return -1 if found is None else self._numbers[(found.lastindex or 0) - 1]

    def all_matches(self, path: bytes) -> list[int]:
        found = self._match(path, self._start)
        if found is None:
            return []
        at = found.lastindex or 0
        all_found = [self._numbers[at - 1]]
        if at < len(self._numbers):
            if not self._compiled:
                self._compiled = [re.compile(each, re.DOTALL) for each in self._each]
            all_found += [
                number
                for number, each in zip(self._numbers[at:], self._compiled[at:], strict=True)
                if each.match(path, self._start)
            ]
        return all_found


def _simple(pattern: Pattern) -> bytes:
    assert pattern.simple is not None
    return rb"(?:%b)\Z" % pattern.simple


class _Many:
    """Any patterns, combined in one automaton."""

    def __init__(self, start: int, patterns: Sequence[Pattern]) -> None:
        """``patterns`` are ascending by number."""
        self._start = start
        self._numbers = [pattern.number for pattern in patterns]
        self._automaton = Automaton(
            [pattern.rest for pattern in patterns if isinstance(pattern.rest, Expression)]
        )

    def last_match(self, path: bytes) -> int:
        found = self._automaton.matches(path[self._start :])
        return self._numbers[found[-1]] if found else -1

    def all_matches(self, path: bytes) -> list[int]:
        return [self._numbers[at] for at in self._automaton.matches(path[self._start :])]


class _Function:
    """A pattern given as a function."""

    def __init__(self, number: int, matches: Callable[[bytes], bool]) -> None:
        self._number = number
        self._matches = matches

    def last_match(self, path: bytes) -> int:
        return self._number if self._matches(path) else -1

    def all_matches(self, path: bytes) -> list[int]:
        return [self._number] if self._matches(path) else []


class _Bucket:
    """The patterns with one prefix."""

    __slots__ = ("_matchers", "_patterns")

    def __init__(self) -> None:
        self._patterns: list[Pattern] = []
        self._matchers: list[Matcher] | None = None

    def add(self, pattern: Pattern) -> None:
        self._patterns.append(pattern)

    def last_match(self, path: bytes) -> int:
        """The highest number of a matching pattern; -1 if none matches."""
        matchers = self._matchers
        if matchers is None:
            matchers = self._matchers = self._compile()
        best = -1
        for matcher in matchers:
            found = matcher.last_match(path)
            if found > best:
                best = found
        return best

    def all_matches(self, path: bytes) -> list[int]:
        """The numbers of all matching patterns, in no particular order."""
        matchers = self._matchers
        if matchers is None:
            matchers = self._matchers = self._compile()
        found: list[int] = []
        for matcher in matchers:
            found += matcher.all_matches(path)
        return found

    def _compile(self) -> list[Matcher]:
        matchers: list[Matcher] = []
        by_start: dict[int, list[Pattern]] = {}
        for pattern in sorted(self._patterns, key=lambda one: one.number):
            if isinstance(pattern.rest, Expression):
                start = len(pattern.prefix) if pattern.start is None else pattern.start
                by_start.setdefault(start, []).append(pattern)
            else:
                matchers.append(_Function(pattern.number, pattern.rest))
        for start, patterns in by_start.items():
            few = [pattern for pattern in patterns if pattern.simple is not None]
            if len(few) > FEW:
                few = []
            many = [pattern for pattern in patterns if pattern not in few]
            if few:
                matchers.append(_Few(start, few))
            if many:
                matchers.append(_Many(start, many))
        return matchers


class _Tails:
    """The buckets with prefixes that end in one directory; a tail is the part of a name there."""

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
        """The buckets whose tails are prefixes of ``name``."""
        buckets = self.buckets
        found = [buckets.get(name[:length]) for length in self.lengths if length <= len(name)]
        return [bucket for bucket in found if bucket is not None]


def matcher_of(patterns: Iterable[Pattern]) -> Matcher | None:
    """The fastest matcher for ``patterns``, ascending by number; None if there are none."""
    patterns = list(patterns)
    if not patterns:
        return None
    whole = [
        pattern._replace(simple=re.escape(pattern.prefix) + pattern.simple)
        for pattern in patterns
        if pattern.simple is not None and pattern.start is None
    ]
    return _Few(0, whole) if len(whole) == len(patterns) <= FEW else PatternIndex(patterns)


class PatternIndex:
    """Matches many paths; fast if paths in the same directory are consecutive."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._tails: dict[bytes, _Tails] = {}
        """Directory (empty or with a final slash) -> the buckets in it."""
        for pattern in patterns:
            cut = pattern.prefix.rfind(b"/") + 1
            tails = self._tails.setdefault(pattern.prefix[:cut], _Tails())
            tails.add(pattern.prefix[cut:]).add(pattern)
        self._longest = max(map(len, self._tails), default=0)
        self._folder: bytes | None = None
        self._above: list[_Bucket] = []
        self._inside: _Tails | None = None

    def __bool__(self) -> bool:
        return bool(self._tails)

    def last_match(self, path: bytes) -> int:
        """The highest number of a pattern that matches ``path``; -1 if none matches."""
        best = -1
        for bucket in self._candidates(path):
            best = max(best, bucket.last_match(path))
        return best

    def all_matches(self, path: bytes) -> list[int]:
        """The numbers of all patterns that match ``path``, in no particular order."""
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
        """Find the buckets for all paths in ``folder``."""
        self._folder = folder
        self._inside = self._tails.get(folder)
        self._above = []
        start = 0
        # There are no patterns below the longest directory, however deep the path is.
        while start < len(folder) and start <= self._longest:
            end = folder.find(b"/", start) + 1
            # For each component: the buckets of its parent, which for the first is empty or "/".
            tails = self._tails.get(folder[:start])
            if tails is not None:
                self._above += tails.of(folder[start : end - 1])
            start = end
