"""Glob patterns as archive tools have them, matched as bytes, in a time that is linear."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..errors import SpecError
from .automaton import ANY_BYTE, Builder, Expression, set_for_re
from .pattern_index import Pattern, matcher_of

Match = Callable[[bytes, bytes], bool]
"""(path from the root without a leading slash, its last component) -> does it match?"""

Patterns = Iterable[str | bytes] | Match
"""Globs, or what stands for them."""


class Glob(NamedTuple):
    """One pattern, compiled."""

    whole: bool
    """Whether it is compared with the whole path, and not with the name alone."""
    prefix: bytes
    """What all that it matches begins with."""
    rest: Expression
    """What the rest must match as a whole."""
    simple: bytes | None
    """The same for ``re``, if that needs a time that is linear: with one star at most."""
    literal: bool
    """Whether it matches ``prefix`` and nothing else."""


def parse_glob(pattern: str | bytes) -> Glob:
    """Compile ``pattern``; ``ValueError`` for one that is empty or whose set makes no sense.

    A pattern without a slash is compared with the name, at any depth; one with a slash with the
    whole path from the root. ``*`` and ``?`` stop at a slash, ``**`` does not, ``[a-z]`` and
    ``[!a-z]`` are sets, a backslash takes the next character as it is. A slash at the start only
    anchors the pattern; one at the end does not count.
    """
    raw = pattern if isinstance(pattern, bytes) else os.fsencode(pattern)
    wanted = raw.rstrip(b"/")
    if not wanted:
        raise ValueError(f"the pattern {pattern!r} is empty")
    whole = b"/" in wanted
    wanted = wanted.lstrip(b"/")
    plain = _PLAIN.match(wanted)
    assert plain is not None
    prefix = re.sub(rb"\\(.)", rb"\1", plain[0], flags=re.DOTALL)
    try:
        rest, simple = _compiled(wanted, plain.end())
    except ValueError as error:
        raise ValueError(f"the pattern {pattern!r} is wrong: {error}") from None
    return Glob(whole, prefix, rest, simple, plain.end() == len(wanted))


_PLAIN = re.compile(rb"(?:[^*?[\\]|\\.)*", re.DOTALL)
_SLASH = 1 << ord("/")
_IN_NAME = ANY_BYTE & ~_SLASH


class GlobSet:
    """Globs that a path is compared with all at once."""

    def __init__(self, globs: Iterable[Glob]) -> None:
        names: list[Pattern] = []
        paths: list[Pattern] = []
        for number, glob in enumerate(globs):
            pattern = Pattern(number, glob.prefix, glob.rest, glob.simple)
            (paths if glob.whole else names).append(pattern)
        self._names = matcher_of(names)
        self._paths = matcher_of(paths)

    def last_match(self, path: bytes, name: bytes) -> int:
        """The greatest number of a glob that matches; -1 if none does.

        ``path`` has no slash in front, and ``name`` is its last component.
        """
        best = -1 if self._names is None else self._names.last_match(name)
        return best if self._paths is None else max(best, self._paths.last_match(path))

    def all_matches(self, path: bytes, name: bytes) -> list[int]:
        """The numbers of all globs that match, in no useful order."""
        found = [] if self._names is None else self._names.all_matches(name)
        return found if self._paths is None else found + self._paths.all_matches(path)


def matcher(patterns: Patterns) -> Match | None:
    """Compile ``patterns`` (see :func:`parse_glob`) into one question; None if there are none.

    What is such a question already comes back as it is. :class:`SpecError` for a pattern that is
    none.
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
    wanted = GlobSet(globs)

    def match(path: bytes, name: bytes) -> bool:
        return wanted.last_match(path, name) >= 0

    return match


def _compiled(pattern: bytes, index: int) -> tuple[Expression, bytes | None]:
    """The expression of what stands in one glob from ``index`` on; and for ``re`` if it can be."""
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
    """The bytes of which one must stand here, and where the pattern goes on."""
    character = pattern[index : index + 1]
    if character == b"?":
        return _IN_NAME, index + 1
    if character == b"\\" and index + 1 < len(pattern):
        return 1 << pattern[index + 1], index + 2
    if character == b"[":
        start = index + 1
        negated = pattern[start : start + 1] in (b"!", b"^")
        start += negated
        # A bracket right after the opening one belongs to the set.
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
            raise ValueError(f"{shown!r} is no range, because it ends before it begins")
        choice |= (1 << last + 1) - (1 << first)
    return choice
