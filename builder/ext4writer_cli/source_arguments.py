"""What one SOURCE of the command line says: of which kind it is, where it lies, where it goes."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

STANDARD_INPUT = "-"
NO_OPTION = "\0"
"""Stands before a SOURCE that begins with a dash; no argument of a program can hold it."""

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
"""How a path of Windows begins; no name of an image begins with a slash."""

_DASHED = tuple(STANDARD_INPUT + mark for mark in ("::/", ":/", ",", "["))
"""How standard input begins where it is not ``-`` alone."""

FOUND = ""
"""The kind of a source without a prefix: what lies there tells whether it is a folder or a tar."""

TAKES_REFERENCE = {"oci": True, "docker-archive": True, "manifest": False, "image": True}
"""Prefix of a kind -> whether ``:REF`` may stand behind the path."""


class SourceArgument(NamedTuple):
    """One SOURCE, taken apart."""

    text: str
    """As it was given."""
    kind: str
    """A prefix without its colon, or ``FOUND``."""
    place: str
    """The path on the host, or ``-``."""
    reference: str | None = None
    """Which of several images."""
    target: bytes = b"/"
    """Where the source's root comes to in the image."""
    inside: str | None = None
    """Which folder of a container image is the source; for a path that is found later."""
    settings: tuple[tuple[str, str], ...] = ()
    """What is set for this source alone, by the names of options."""


def parse_source(text: str) -> SourceArgument:
    """Take ``[KIND:]PATH[:REF][:/INSIDE][,KEY=VALUE]...[::/TARGET]`` apart.

    ``ValueError`` with a reason if it is wrong. Where a path without a kind ends and the folder
    inside of it begins is found when it is read, as there may be colons in a path.
    The last ``::/`` begins the target. The path of a kind that takes a reference ends at the first
    colon, as in other programs, but that of a drive of Windows. A path that looks like something
    else can begin with ``./``.
    """
    text = text.removeprefix(NO_OPTION)
    source, separator, target = text.rpartition("::/")
    if not separator:
        source, target = text, ""
    settings: list[tuple[str, str]] = []
    if "=" in source and not os.path.lexists(source):
        from .source_settings import take_settings

        source, settings = take_settings(source)
    kind, colon, rest = source.partition(":")
    if not colon or kind not in TAKES_REFERENCE:
        if colon:
            from .foreign import check_prefix

            check_prefix(text)
        kind, rest = FOUND, source
    reference: str | None = None
    inside: str | None = None
    if TAKES_REFERENCE.get(kind):
        drive, rest = (rest[:2], rest[2:]) if _DRIVE.match(rest) else ("", rest)
        rest, colon, named = rest.partition(":")
        rest = drive + rest
        if named.startswith("/") or ":/" in named:
            named, _, inside = named.rpartition(":/") if ":/" in named else ("", "", named)
            colon = named
        if colon and not named:
            raise ValueError(f"{text!r} has a colon that no name of an image follows")
        reference = named or None
    if not rest:
        raise ValueError(
            "an empty name names no file" if kind == FOUND else f"{text!r} has no path"
        )
    return SourceArgument(
        text, kind, rest, reference, _target(text, target), inside, tuple(settings)
    )


def _target(text: str, target: str) -> bytes:
    names = [name for name in target.split("/") if name]
    if "." in names or ".." in names:
        raise ValueError(f"{text!r} goes to a folder with '.' or '..' in its path")
    return os.fsencode("/" + "/".join(names))


def mark(arguments: list[str]) -> list[str]:
    """Mark ``-::/TARGET`` and its like among ``arguments``, where it would look like an option."""
    return [NO_OPTION + text if text.startswith(_DASHED) else text for text in arguments]


def check_together(arguments: tuple[SourceArgument, ...]) -> None:
    """``ValueError`` if ``arguments`` cannot be read in one command."""
    if sum(argument.place == STANDARD_INPUT for argument in arguments) > 1:
        raise ValueError("standard input can be read only once, so '-' can stand only once")
