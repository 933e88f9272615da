"""Glob patterns as archive tools have them, matched as bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from ..errors import SpecError

Match = Callable[[bytes, bytes], bool]
"""(path from the root without a leading slash, its last component) -> does it match?"""


def matcher(patterns: Iterable[str | bytes]) -> Match | None:
    """Compile ``patterns`` into one question; None if there are none.

    A pattern without a slash is compared with the name, at any depth; one with a slash with the
    whole path from the root. ``*`` and ``?`` stop at a slash, ``**`` does not, ``[a-z]`` and
    ``[!a-z]`` are sets, a backslash takes the next character as it is. A slash at the start only
    anchors the pattern; one at the end does not count. :class:`SpecError` for a pattern that is
    empty or whose set makes no sense.
    """
    if isinstance(patterns, str | bytes):
        patterns = [patterns]
    names: list[bytes] = []
    paths: list[bytes] = []
    for pattern in patterns:
        raw = pattern if isinstance(pattern, bytes) else os.fsencode(pattern)
        wanted = raw.rstrip(b"/")
        if not wanted:
            raise SpecError("exclude", f"the pattern {pattern!r} is empty")
        if b"/" in wanted:
            paths.append(_translate(wanted.lstrip(b"/")))
        else:
            names.append(_translate(wanted))
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
                raise SpecError("exclude", f"the pattern {pattern!r} is wrong: {error}") from None
            return piece, end + 1
    return re.escape(character), index + 1


def _any_of(expressions: list[bytes]) -> re.Pattern[bytes] | None:
    if not expressions:
        return None
    return re.compile(b"|".join(b"(?:" + one + b")" for one in expressions), re.DOTALL)
