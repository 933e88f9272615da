"""Reads a binary cache in a folder: closures of store paths, and the files of their archives."""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from ..progress import Cancel, check_cancelled
from .errors import NixError
from .narinfo import NarInfo, read_narinfo
from .store_paths import HASH_LENGTH, STORE, full_path, read_lines

CACHE_INFO = "nix-cache-info"


def cache_folder(place: str) -> str:
    """The folder at ``place``, a path or a ``file://`` URL; ``NixError`` if it is not a cache."""
    try:
        parts = urlsplit(place)
    except ValueError as error:
        raise NixError(place, f"is neither a folder nor a URL: {error}") from None
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        place = unquote(parts.path)
    elif "://" in place:
        raise NixError(
            place, "only a folder or a file:// URL can be read; fetch it with nix copy --to file://"
        )
    if not os.path.isdir(place):
        raise NixError(place, "is not a folder, so it cannot be a binary cache")
    _check_store(place)
    return place


def _check_store(folder: str) -> None:
    """Refuse a cache of another store: its files refer to paths that the image does not have."""
    path = os.path.join(folder, CACHE_INFO)
    if not os.path.exists(path):
        raise NixError(folder, f"has no file {CACHE_INFO}, so it is not a binary cache")
    for line in read_lines(path):
        key, _, value = line.partition(":")
        if key == "StoreDir" and value.strip() != STORE:
            raise NixError(path, f"is a cache of the store {value.strip()!r}, not of {STORE}")


def narinfo_path(folder: str, name: str) -> str:
    """The path of the narinfo for the store path with the base name ``name``."""
    return os.path.join(folder, f"{name[:HASH_LENGTH]}.narinfo")


def read_cache(
    folder: str, roots: Iterable[str], cancel: Cancel | None = None
) -> dict[str, NarInfo]:
    """The narinfos of the closure of ``roots`` in the cache ``folder``, sorted by base name.

    Raises ``NixError`` for a path that the cache does not have, with a path that refers to it.
    """
    found: dict[str, NarInfo] = {}
    pending: list[tuple[str, str | None]] = [(name, None) for name in roots]
    while pending:
        check_cancelled(cancel)
        name, referrer = pending.pop()
        if name in found:
            continue
        path = narinfo_path(folder, name)
        if not os.path.exists(path):
            reason = f"; {full_path(referrer)} refers to it" if referrer is not None else ""
            raise NixError(full_path(name), f"is missing in the cache {folder}{reason}")
        described = read_narinfo(path)
        if described.info.name != name:
            raise NixError(
                path, f"describes {full_path(described.info.name)} instead of {full_path(name)}"
            )
        found[name] = described
        pending += [(reference, name) for reference in described.info.references]
    return dict(sorted(found.items()))
