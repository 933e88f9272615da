"""Reads and writes registrations of closures, the input of ``nix-store --load-db``.

A record has one line for each of: path, hash of the NAR, size of the NAR, deriver (may be empty),
number of references, and each reference (``src/libstore/path-info.cc``, decodeValidPathInfo).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from ..checked import checked
from ..late_dataclasses import dataclass, field
from .errors import NixError
from .hashes import parse_sha256, to_base32
from .store_paths import base_name, full_path, read_lines, split_lines

HEAD_LINES = 5
"""Number of lines of a record before its references."""

NUMBER_MAX = (1 << 63) - 1
"""The largest number in Nix's database, and the most bytes of a file."""

_NUMBER = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PathInfo:
    """The record of one store object; ``nar_size`` is in bytes, ``references`` are sorted names."""

    name: str
    nar_hash: bytes
    nar_size: int
    references: tuple[str, ...]
    deriver: str | None = field(default=None, compare=False)
    """Base name of the derivation that built it, if a registration has it."""


@dataclass(frozen=True, slots=True)
class Registration:
    """All records by base name, and the text for the image."""

    infos: Mapping[str, PathInfo]
    text: bytes

    @property
    def nar_size(self) -> int:
        """The total size of all archives in bytes."""
        return sum(info.nar_size for info in self.infos.values())


@checked()
def read_registration(path: str) -> Registration:
    """Parse the registration in the file ``path``; raises ``NixError`` with the line or store path.

    Every reference must be registered, too. A record may occur twice if both are equal; it is in
    the text once.
    """
    return _parse(read_lines(path), path)


def parse_registration(text: bytes, where: str) -> Registration:
    """Parse the text of a registration; ``where`` is its name in errors."""
    return _parse(split_lines(text, where), where)


def _parse(lines: list[str], path: str) -> Registration:
    # The output of closureInfo ends with an empty line in some releases, though no record does.
    while lines and not lines[-1]:
        lines.pop()
    infos: dict[str, PathInfo] = {}
    kept: list[str] = []
    position = 0
    while position < len(lines):
        info, following = _record(lines, position, path)
        if info.name not in infos:
            infos[info.name] = info
            kept += lines[position:following]
        elif infos[info.name] != info:
            raise NixError(
                f"{path}:{position + 1}",
                f"{full_path(info.name)} is registered twice, with different values",
            )
        position = following
    check_closed(infos)
    return Registration(infos, os.fsencode("".join(f"{line}\n" for line in kept)))


def _record(lines: list[str], start: int, path: str) -> tuple[PathInfo, int]:
    """Parse the record that begins at line ``start``; also return the index of the next line."""

    def where(line: int) -> str:
        return f"{path}:{line + 1}"

    if start + HEAD_LINES > len(lines):
        raise NixError(where(start), "the record of this path is cut short")
    name = base_name(lines[start], where(start))
    try:
        nar_hash = parse_sha256(lines[start + 1])
    except ValueError as error:
        raise NixError(where(start + 1), f"{error}, which {lines[start]} needs") from None
    nar_size = _number(lines[start + 2], where(start + 2), "size in bytes")
    deriver = base_name(lines[start + 3], where(start + 3)) if lines[start + 3] else None
    count = _number(lines[start + 4], where(start + 4), "count of references")
    first = start + HEAD_LINES
    if first + count > len(lines):
        raise NixError(
            where(start + 4),
            f"{lines[start]} has {count} references, but only {len(lines) - first} lines follow; "
            "the count is wrong or the file was cut short",
        )
    references = [base_name(lines[line], where(line)) for line in range(first, first + count)]
    if len(set(references)) != count:
        raise NixError(where(start + 4), f"{lines[start]} has a reference twice")
    info = PathInfo(name, nar_hash, nar_size, tuple(sorted(references)), deriver)
    return info, first + count


def _number(text: str, where: str, what: str) -> int:
    try:
        return parse_number(text)
    except ValueError:
        raise NixError(where, f"{text!r} is not a {what}") from None


def parse_number(text: str) -> int:
    """The value of a number in the form Nix writes it; ``ValueError`` for other text."""
    if _NUMBER.fullmatch(text) is None or int(text) > NUMBER_MAX:
        raise ValueError(text)
    return int(text)


def check_closed(infos: Mapping[str, PathInfo]) -> None:
    """Raise ``NixError`` for the first path with a reference to a path not among ``infos``."""
    for info in infos.values():
        for reference in info.references:
            if reference not in infos:
                raise NixError(
                    full_path(info.name),
                    f"refers to {full_path(reference)}, which is not registered",
                )


def check_same(names: Iterable[str], infos: Mapping[str, PathInfo]) -> None:
    """Raise ``NixError`` for the first path that is listed or registered, but not both."""
    listed = set(names)
    for name in sorted(listed ^ infos.keys()):
        if name in listed:
            raise NixError(full_path(name), "is listed, but not registered")
        raise NixError(full_path(name), "is registered, but not listed")


def write_registration(infos: Mapping[str, PathInfo]) -> Registration:
    """The registration of ``infos`` in the form of closureInfo: sorted and without derivers."""
    lines = []
    for name in sorted(infos):
        info = infos[name]
        lines += [
            full_path(name),
            f"sha256:{to_base32(info.nar_hash)}",
            str(info.nar_size),
            "",
            str(len(info.references)),
            *map(full_path, info.references),
        ]
    return Registration(dict(infos), "".join(f"{line}\n" for line in lines).encode())
