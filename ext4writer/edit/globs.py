"""Glob patterns as archive tools have them, matched as bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..errors import SpecError

Match = Callable[[bytes, bytes], bool]
"""(path from the root without a leading slash, its last component) -> does it match?"""

Patterns = Iterable[str | bytes] | Match
"""Globs, or what stands for them."""


class Glob(NamedTuple):
    """One pattern, compiled."""

    whole: bool
    """Whether it is compared with the whole path, and not with the name alone."""
    expression: bytes
    """A regular expression for the whole of either."""
    prefix: bytes
    """What all that it matches begins with."""
    literal: bool
    """Whether it matches ``prefix`` and nothing else."""

    def matches(self, path: bytes, name: bytes) -> bool:
        """Whether it matches the entry ``name`` at ``path``, which has no slash in front."""
        subject = path if self.whole else name
        return re.fullmatch(self.expression, subject, re.DOTALL) is not None


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
    expression = _translate(wanted)
    plain = _PLAIN.match(wanted)
    assert plain is not None
    prefix = re.sub(rb"\\(.)", rb"\1", plain[0], flags=re.DOTALL)
    return Glob(whole, expression, prefix, plain.end() == len(wanted))


_PLAIN = re.compile(rb"(?:[^*?[\\]|\\.)*", re.DOTALL)


def matcher(patterns: Patterns) -> Match | None:
    """Compile ``patterns`` (see :func:`parse_glob`) into one question; None if there are none.

    What is such a question already comes back as it is. :class:`SpecError` for a pattern that is
    none.
    """
    if callable(patterns):
        return patterns
    if isinstance(patterns, str | bytes):
        patterns = [patterns]
    names: list[bytes] = []
    paths: list[bytes] = []
    for pattern in patterns:
        try:
            glob = parse_glob(pattern)
        except ValueError as error:
            raise SpecError("exclude", str(error)) from None
        (paths if glob.whole else names).append(glob.expression)
    match_name = _any_of(names)
    match_path = _any_of(paths)
    if match_name is None and match_path is None:
        return None

    def match(path: bytes, name: bytes) -> bool:
        return (match_name is not None and match_name.fullmatch(name) is not None) or (
            match_path is not None and match_path.fullmatch(path) is not None
        )

    return match


def _translate(pattern: bytes) -> bytes:
    """Return the regular expression of one glob."""
    out = bytearray()
    index = 0
    while index < len(pattern):
        if pattern.startswith(b"**/", index) and (index == 0 or pattern[index - 1] == ord("/")):
            out += rb"(?:.*/)?"
            index += 3
        elif pattern.startswith(b"**", index):
            out += rb".*"
            index += 2
        else:
            piece, index = _translate_one(pattern, index)
            out += piece
    return bytes(out)


def _translate_one(pattern: bytes, index: int) -> tuple[bytes, int]:
    character = pattern[index : index + 1]
    if character == b"*":
        return rb"[^/]*", index + 1
    if character == b"?":
        return rb"[^/]", index + 1
    if character == b"\\" and index + 1 < len(pattern):
        return re.escape(pattern[index + 1 : index + 2]), index + 2
    if character == b"[":
        start = index + 1
        negated = pattern[start : start + 1] in (b"!", b"^")
        start += negated
        # A bracket right after the opening one belongs to the set.
        end = pattern.find(b"]", start + 1)
        if end > 0:
            inside = re.sub(rb"([\\\[\]^&~|])", rb"\\\1", pattern[start:end])
            # The look-ahead keeps a set from matching a slash.
            piece = rb"(?!/)[" + (b"^" if negated else b"") + inside + b"]"
            try:
                re.compile(piece)
            except re.error as error:
                raise ValueError(f"the pattern {pattern!r} is wrong: {error}") from None
            return piece, end + 1
    return re.escape(character), index + 1


def _any_of(expressions: list[bytes]) -> re.Pattern[bytes] | None:
    if not expressions:
        return None
    return re.compile(b"|".join(b"(?:" + one + b")" for one in expressions), re.DOTALL)
