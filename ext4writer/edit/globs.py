"""Glob patterns as in archive tools, matched as bytes in linear time."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from ..arguments import path_of
from ..errors import SpecError
from ..late_dataclasses import NamedTuple
from .automaton import ANY_BYTE, Builder, Expression, set_for_re
from .pattern_index import Pattern, matcher_of

Match = Callable[[bytes, bytes], bool]
"""(path from the root without a leading slash, its last component) -> whether it matches."""

Patterns = Iterable[str | bytes] | Match
"""Globs, or a function that matches paths."""


class Glob(NamedTuple):
    """One pattern, compiled."""

    whole: bool
    """Whether it is matched against the entire path instead of the name."""
    prefix: bytes
    """The common prefix of everything it matches."""
    rest: Expression
    """Matches the rest after the prefix."""
    simple: bytes | None
    """The same in the syntax of ``re``, if that needs linear time: with at most one star."""
    literal: bool
    """Whether it matches only ``prefix``."""


def parse_glob(pattern: str | bytes) -> Glob:
    """Compile ``pattern``; raises ``ValueError`` if it is empty or has an invalid set.

    A pattern without a slash matches the name, at any depth; a pattern with a slash matches the
    entire path from the root. ``*`` and ``?`` do not match a slash, ``**`` does. ``[a-z]`` and
    ``[!a-z]`` are sets, and a backslash escapes the next character. A leading slash only anchors
    the pattern; a final slash is ignored.
    """
    raw = os.fsencode(path_of(pattern))
    glob = raw.rstrip(b"/")
    if not glob:
        raise ValueError(f"the pattern {pattern!r} is empty")
    whole = b"/" in glob
    glob = glob.lstrip(b"/")
    plain = _PLAIN.match(glob)
    assert plain is not None
    prefix = re.sub(rb"\\(.)", rb"\1", plain[0], flags=re.DOTALL)
    try:
        rest, simple = _compiled(glob, plain.end())
    except ValueError as error:
        raise ValueError(f"the pattern {pattern!r} is wrong: {error}") from None
    return Glob(whole, prefix, rest, simple, plain.end() == len(glob))


_PLAIN = re.compile(rb"(?:[^*?[\\]|\\.)*", re.DOTALL)
_SLASH = 1 << ord("/")
_IN_NAME = ANY_BYTE & ~_SLASH


class GlobSet:
    """Matches a path against many globs in one step."""

    def __init__(self, globs: Iterable[Glob]) -> None:
        names: list[Pattern] = []
        paths: list[Pattern] = []
        for number, glob in enumerate(globs):
            pattern = Pattern(number, glob.prefix, glob.rest, glob.simple)
            (paths if glob.whole else names).append(pattern)
        self._names = matcher_of(names)
        self._paths = matcher_of(paths)

    def last_match(self, path: bytes, name: bytes) -> int:
        """The highest number of a matching glob; -1 if none matches.

        ``path`` has no leading slash, and ``name`` is its last component.
        """
        best = -1 if self._names is None else self._names.last_match(name)
        return best if self._paths is None else max(best, self._paths.last_match(path))

    def all_matches(self, path: bytes, name: bytes) -> list[int]:
        """The numbers of all matching globs, in no particular order."""
        found = [] if self._names is None else self._names.all_matches(name)
        return found if self._paths is None else found + self._paths.all_matches(path)


def matcher(patterns: Patterns) -> Match | None:
    """Compile ``patterns`` (see :func:`parse_glob`) into one function; None if there are none.

    A function is returned unchanged. Raises :class:`SpecError` for an invalid pattern.
    """
    if callable(patterns):
        return patterns
    if isinstance(patterns, str | bytes):
        patterns = [patterns]
    globs = []
    for pattern in patterns:
        try:
            globs.append(parse_glob(pattern))
        except ValueError as error:
            raise SpecError("exclude", str(error)) from None
    if not globs:
        return None
    glob_set = GlobSet(globs)

    def match(path: bytes, name: bytes) -> bool:
        return glob_set.last_match(path, name) >= 0

    return match


def _compiled(pattern: bytes, index: int) -> tuple[Expression, bytes | None]:
    """Compile ``pattern`` starting at ``index``; also return its form for ``re``, if any."""
    builder = Builder()
    simple: list[bytes] = []
    stars = 0
    whole = builder.nothing()
    while index < len(pattern):
        if pattern.startswith(b"**", index):
            at_start = index == 0 or pattern[index - 1] == ord("/")
            piece = builder.repeat(builder.one(ANY_BYTE), 0, None)
            index += 2
            stars += 1
            written = b".*"
            if at_start and pattern.startswith(b"/", index):
                piece = builder.repeat(builder.then(piece, builder.one(_SLASH)), 0, 1)
                index += 1
                written = b"(?:.*/)?"
        elif pattern.startswith(b"*", index):
            piece = builder.repeat(builder.one(_IN_NAME), 0, None)
            index += 1
            stars += 1
            written = b"[^/]*"
        else:
            choice, index = _choice(pattern, index)
            piece = builder.one(choice)
            written = set_for_re(choice)
        whole = builder.then(whole, piece)
        simple.append(written)
    return builder.finish(whole), b"".join(simple) if stars < 2 else None


def _choice(pattern: bytes, index: int) -> tuple[int, int]:
    """The set of bytes that one element of a glob matches, and the index after it."""
    character = pattern[index : index + 1]
    if character == b"?":
        return _IN_NAME, index + 1
    if character == b"\\" and index + 1 < len(pattern):
        return 1 << pattern[index + 1], index + 2
    if character == b"[":
        start = index + 1
        negated = pattern[start : start + 1] in (b"!", b"^")
        start += negated
        # A closing bracket immediately after the opening one is a member of the set.
        end = pattern.find(b"]", start + 1)
        if end > 0:
            choice = _ranges(pattern[start:end])
            return (~choice if negated else choice) & _IN_NAME, end + 1
    return 1 << pattern[index], index + 1


def _ranges(inside: bytes) -> int:
    """The bytes of a set such as ``a-z_``."""
    choice = 0
    at = 0
    while at < len(inside):
        first = last = inside[at]
        at += 1
        if inside[at : at + 1] == b"-" and at + 1 < len(inside):
            last = inside[at + 1]
            at += 2
        if first > last:
            shown = bytes((first, ord("-"), last))
            raise ValueError(f"{shown!r} is not a range, because it ends before it begins")
        choice |= (1 << last + 1) - (1 << first)
    return choice
