"""Parses the description of a store object in a binary cache, a file ``HASH.narinfo``.

It consists of lines ``Key: value`` (``src/libstore/nar-info.cc``). Signatures are ignored: anyone
with write access to the folder is trusted, as with a store.
"""

from __future__ import annotations

from ..late_dataclasses import dataclass
from .errors import NixError
from .hashes import parse_sha256
from .registration import PathInfo, parse_number
from .store_paths import base_name, check_base_name, read_lines

KEYS = ("StorePath", "URL", "Compression", "FileHash", "FileSize", "NarHash", "NarSize")
"""The keys that are used, in addition to References; each may occur only once."""

NARINFO_BYTES = 16 << 20
"""Most bytes of a narinfo, enough for a quarter of a million references."""

DEFAULT_COMPRESSION = "bzip2"
"""The compression if a narinfo names none."""


@dataclass(frozen=True, slots=True)
class NarInfo:
    """One object of a cache; ``url`` is relative to the cache, ``file_size`` in bytes."""

    info: PathInfo
    url: str
    compression: str
    file_hash: bytes | None
    file_size: int | None


def read_narinfo(path: str) -> NarInfo:
    """Parse a narinfo file; raises ``NixError`` with the file for anything invalid."""
    values: dict[str, str] = {}
    references: list[str] | None = None
    for number, line in enumerate(read_lines(path, NARINFO_BYTES), 1):
        where = f"{path}:{number}"
        key, colon, value = line.partition(": ")
        if not colon and line != "References:":
            raise NixError(where, f"{line!r} is not a line of the form 'Key: value'")
        key = key.removesuffix(":")
        if key in values or (key == "References" and references is not None):
            raise NixError(where, f"has {key!r} a second time")
        if key == "References":
            references = value.split()
            for name in references:
                check_base_name(name, where)
        elif key in KEYS:
            values[key] = value
    for key in ("StorePath", "URL", "NarHash", "NarSize"):
        if not values.get(key):
            raise NixError(path, f"has no {key!r}")
    name = base_name(values["StorePath"], path)
    info = PathInfo(
        name,
        _hash(values["NarHash"], path),
        _number(values["NarSize"], path),
        tuple(sorted(set(references or ()))),
    )
    url = values["URL"]
    if url.startswith("/") or ":" in url or "\0" in url or ".." in url.split("/"):
        raise NixError(path, f"its URL {url!r} is not in the cache")
    file_hash, file_size = values.get("FileHash"), values.get("FileSize")
    return NarInfo(
        info,
        url,
        values.get("Compression") or DEFAULT_COMPRESSION,
        _hash(file_hash, path) if file_hash else None,
        _number(file_size, path) if file_size else None,
    )


def _hash(text: str, where: str) -> bytes:
    try:
        return parse_sha256(text)
    except ValueError as error:
        raise NixError(where, str(error)) from None


def _number(text: str, where: str) -> int:
    try:
        return parse_number(text)
    except ValueError:
        raise NixError(where, f"{text!r} is not a size in bytes") from None
