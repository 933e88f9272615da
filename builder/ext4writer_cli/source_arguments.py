"""Parses a SOURCE of the command line: its kind, its path, and its target in the image."""

from __future__ import annotations

import os
import re

from ext4writer.late_dataclasses import NamedTuple

STANDARD_INPUT = "-"
NO_OPTION = "\0"
"""Marks a SOURCE that begins with a dash; no program argument can contain a null byte."""

_DRIVE = r"[A-Za-z]:[\\/]"
"""The start of a Windows path; no name of a container image begins with a slash."""

_DASHED = tuple(STANDARD_INPUT + mark for mark in ("::/", ":/", ",", "["))
"""The start of a SOURCE that is standard input with a suffix."""

NO_PREFIX = ""
"""The kind of a source without a prefix: a directory, a tar archive or an ext4 image."""

TAKES_REFERENCE = {"oci": True, "docker-archive": True, "manifest": False, "image": True}
"""Prefix -> whether ``:REF`` may follow the path."""


class SourceArgument(NamedTuple):
    """A parsed SOURCE."""

    text: str
    """The argument as given."""
    kind: str
    """The prefix without its colon, or ``NO_PREFIX``."""
    place: str
    """The path on the host, or ``-``."""
    reference: str | None = None
    """The name of a container image, or the number of a partition."""
    target: bytes = b"/"
    """The absolute path in the image where the root of the source goes."""
    inside: str | None = None
    """The directory of a container image to use; for other kinds it is split off later."""
    settings: tuple[tuple[str, str], ...] = ()
    """Settings of this source alone, by the names of options."""


def parse_source(text: str) -> SourceArgument:
    """Parse ``[KIND:]PATH[:REF][:/INSIDE][,KEY=VALUE]...[::/TARGET]``.

    Raises ``ValueError`` with a reason. The last ``::/`` begins the target. A target that looks as
    if settings follow it must end with a slash; then they are part of its name. For a kind that
    accepts a reference, the path ends at the first colon, as in other programs; the colon of a
    Windows drive does not count. A path without a prefix may contain colons, so its end is found
    when it is read. A path that looks like something else can be given with a leading ``./``.
    """
    text = text.removeprefix(NO_OPTION)
    source, separator, target = text.rpartition("::/")
    if not separator:
        source, target = text, ""
    settings: list[tuple[str, str]] = []
    if "=" in source and not os.path.lexists(source):
        from .source_settings import parse_settings

        source, settings = parse_settings(source)
    kind, colon, rest = source.partition(":")
    if not colon or kind not in TAKES_REFERENCE:
        if colon:
            from .foreign import check_prefix

            check_prefix(text)
        kind, rest = NO_PREFIX, source
    reference: str | None = None
    inside: str | None = None
    if TAKES_REFERENCE.get(kind):
        drive, rest = (rest[:2], rest[2:]) if re.match(_DRIVE, rest) else ("", rest)
        rest, colon, named = rest.partition(":")
        rest = drive + rest
        if named.startswith("/") or ":/" in named:
            named, _, inside = named.rpartition(":/") if ":/" in named else ("", "", named)
            colon = named
        if colon and not named:
            raise ValueError(f"{text!r} has a colon without a name of an image after it")
        reference = named or None
    if not rest:
        raise ValueError(
            "a file name cannot be empty" if kind == NO_PREFIX else f"{text!r} has no path"
        )
    return SourceArgument(
        text, kind, rest, reference, _target(text, target), inside, tuple(settings)
    )


def _target(text: str, target: str) -> bytes:
    if "=" in target and not target.endswith("/"):
        from .source_settings import parse_settings

        folder, settings = parse_settings(target)
        if settings:
            before = text.removesuffix(f"::/{target}")
            moved = "".join(f",{key}={value}" for key, value in settings)
            raise ValueError(
                f"{text!r} has settings after its folder: write {f'{before}{moved}::/{folder}'!r}, "
                "or append a slash if the folder has that name"
            )
    names = [name for name in target.split("/") if name]
    if "." in names or ".." in names:
        raise ValueError(f"{text!r} goes to a folder with '.' or '..' in its path")
    return os.fsencode("/" + "/".join(names))


def mark(arguments: list[str]) -> list[str]:
    """Mark arguments such as ``-::/TARGET``, which would look like options."""
    return [NO_OPTION + text if text.startswith(_DASHED) else text for text in arguments]


def check_together(arguments: tuple[SourceArgument, ...]) -> None:
    """Raise ``ValueError`` if one command cannot read all ``arguments``."""
    if sum(argument.place == STANDARD_INPUT for argument in arguments) > 1:
        raise ValueError("standard input can be read only once, so only one SOURCE can be '-'")
