"""Names of store paths, and lists of them.

The rules are those of Nix: ``src/libstore/path.cc`` (checkName, StorePath) and
``src/libstore/store-dir-config.cc`` (parseStorePath).
"""

from __future__ import annotations

import os
import re

from ..documents import DOCUMENT_BYTES, read_document
from ..errors import SourceError
from .errors import NixError

STORE = "/nix/store"
"""The folder of every store path on a running system, wherever it is stored on a host or image."""

BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"
"""Nix's base-32 digits, without e, o, u and t (``src/libutil/hash.cc``)."""

HASH_LENGTH = 32
NAME_MAX = 211

_BASE_NAME = re.compile(rf"[{BASE32}]{{{HASH_LENGTH}}}-[0-9A-Za-z+\-._?=]{{1,{NAME_MAX}}}")


def base_name(path: str, where: str) -> str:
    """The base name of the store path ``path``; raises ``NixError`` with ``where`` for other paths.

    Paths below a store object are not accepted.
    """
    folder, _, name = path.rpartition("/")
    if folder != STORE:
        raise NixError(where, f"{path!r} is not a path directly below {STORE}")
    check_base_name(name, where)
    return name


def check_base_name(name: str, where: str) -> None:
    """Raise ``NixError`` with ``where`` unless ``name`` is a valid base name of a store path."""
    if not is_base_name(name):
        raise NixError(
            where,
            f"{name!r} is not the name of a store path: {HASH_LENGTH} digits of a hash, '-', name",
        )


def is_base_name(name: str) -> bool:
    """Whether ``name`` is a valid base name of a store path."""
    return _BASE_NAME.fullmatch(name) is not None


def hash_part(name: str) -> bytes:
    """The hash digits of a store path, by which references to it are found."""
    return name[:HASH_LENGTH].encode()


def full_path(name: str) -> str:
    """The store path with the base name ``name``."""
    return f"{STORE}/{name}"


def read_lines(path: str, most: int = DOCUMENT_BYTES) -> list[str]:
    """The lines of a text file of at most ``most`` bytes.

    Raises ``NixError`` if it cannot be read or its last line is cut short.
    """
    try:
        data = read_document(path, most)
    except SourceError as error:
        raise NixError(path, error.problem) from error
    return split_lines(data, path)


def split_lines(data: bytes, where: str) -> list[str]:
    """The lines of a text; raises ``NixError`` with ``where`` if its last line is cut short."""
    lines = os.fsdecode(data).split("\n")
    if lines.pop():
        raise NixError(where, f"line {len(lines) + 1} has no end; the file was cut short")
    return lines


def read_list(path: str) -> list[str]:
    """The base names of the store paths in a file with one path per line, sorted, each once."""
    names = {base_name(line, f"{path}:{number}") for number, line in enumerate(read_lines(path), 1)}
    return sorted(names)
