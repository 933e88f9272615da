"""Creates Nix's database of a store, ``/nix/var/nix/db``, from a registration.

The tables are those of ``src/libstore/schema.sql``; their rows follow
``src/libstore/local-store.cc``, addValidPath and registerValidPaths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from struct import unpack_from

from .errors import NixError
from .registration import PathInfo
from .store_paths import full_path

SCHEMA_VERSION = b"10"
"""Content of the file ``schema`` (``src/libstore/local-store.hh``, nixSchemaVersion)."""

REGISTRATION_SECONDS = 1
"""Registration time of every path, in seconds since 1970, as for all files of the store."""

PAGE_BYTES = 4096
FILE_HEADER_BYTES = 100
PAGE_HEADERS = {2: 12, 5: 12, 10: 8, 13: 8}
"""Type of a b-tree page -> bytes of its header."""

_SCHEMA = (
    (
        "CREATE TABLE ValidPaths (id integer primary key autoincrement not null, "
        "path text unique not null, hash text not null, registrationTime integer not null, "
        "deriver text, narSize integer, ultimate integer, sigs text, ca text)"
    ),
    (
        "CREATE TABLE Refs (referrer integer not null, reference integer not null, "
        "primary key (referrer, reference), "
        "foreign key (referrer) references ValidPaths(id) on delete cascade, "
        "foreign key (reference) references ValidPaths(id) on delete restrict)"
    ),
    "CREATE INDEX IndexReferrer on Refs(referrer)",
    "CREATE INDEX IndexReference on Refs(reference)",
    (
        "CREATE TRIGGER DeleteSelfRefs before delete on ValidPaths begin "
        "delete from Refs where referrer = old.id and reference = old.id; end"
    ),
    (
        "CREATE TABLE DerivationOutputs (drv integer not null, id text not null, "
        "path text not null, primary key (drv, id), "
        "foreign key (drv) references ValidPaths(id) on delete cascade)"
    ),
    "CREATE INDEX IndexDerivationOutputs on DerivationOutputs(path)",
)

_HEADER_FIELDS = {
    24: 1,  # file change counter
    40: len(_SCHEMA),  # schema cookie
    92: 1,  # version-valid-for, which must equal the change counter
    96: 3_040_001,  # SQLITE_VERSION_NUMBER of the last writer; for information only
}
"""Byte offset -> fixed value of those big-endian 32-bit header fields that depend on the library
or on how the file was created (https://www.sqlite.org/fileformat.html, section 1.3)."""


def make_database(
    infos: Mapping[str, PathInfo], outputs: Mapping[str, Iterable[tuple[str, str]]]
) -> bytes:
    """The content of ``db.sqlite`` for ``infos``; the same bytes for the same paths.

    ``outputs`` maps derivations among them to the (symbolic name, path) of each output. Raises
    :class:`NixError` if this Python lacks the module sqlite3.
    """
    try:
        import sqlite3
    except ImportError:
        raise NixError(
            "the Nix database", "cannot be created: this Python has no module sqlite3"
        ) from None
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for pragma in (
            f"page_size = {PAGE_BYTES}",
            "encoding = 'UTF-8'",
            "auto_vacuum = NONE",
            # Otherwise old content of a page may remain in its unused part.
            "secure_delete = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        for statement in _SCHEMA:
            connection.execute(statement)
        _fill(connection.executemany, infos, outputs)
        connection.execute("COMMIT")
        # Store each table in consecutive pages, regardless of the order of insertions.
        connection.execute("VACUUM")
        data = bytearray(connection.serialize())
    finally:
        connection.close()
    for offset, value in _HEADER_FIELDS.items():
        data[offset : offset + 4] = value.to_bytes(4, "big")
    for start in range(0, len(data), PAGE_BYTES):
        _clear_unused(data, start)
    return bytes(data)


def _clear_unused(data: bytearray, start: int) -> None:
    """Zero the unallocated space of a page, between cell pointers and cells, and its freeblocks.

    Otherwise it would contain leftovers from the library's memory (the same document, section 1.6).
    """
    header = start + (FILE_HEADER_BYTES if start == 0 else 0)
    if data[header] not in PAGE_HEADERS:
        return
    free, cells, content = unpack_from(">3H", data, header + 1)
    pointers_end = header + PAGE_HEADERS[data[header]] + 2 * cells
    content_start = start + (content or 1 << 16)
    data[pointers_end:content_start] = bytes(content_start - pointers_end)
    while free:
        following, length = unpack_from(">2H", data, start + free)
        data[start + free + 4 : start + free + length] = bytes(length - 4)
        free = following


def _fill(
    insert_all: Callable[[str, Iterable[tuple[object, ...]]], object],
    infos: Mapping[str, PathInfo],
    outputs: Mapping[str, Iterable[tuple[str, str]]],
) -> None:
    ids = {name: number for number, name in enumerate(sorted(infos), 1)}
    insert_all(
        "INSERT INTO ValidPaths (id, path, hash, registrationTime, deriver, narSize) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (
            (
                number,
                full_path(name),
                f"sha256:{infos[name].nar_hash.hex()}",
                REGISTRATION_SECONDS,
                _optional_path(infos[name].deriver),
                infos[name].nar_size,
            )
            for name, number in ids.items()
        ),
    )
    insert_all(
        "INSERT INTO Refs (referrer, reference) VALUES (?, ?)",
        sorted((ids[name], ids[other]) for name in ids for other in infos[name].references),
    )
    insert_all(
        "INSERT INTO DerivationOutputs (drv, id, path) VALUES (?, ?, ?)",
        sorted((ids[name], output, path) for name in outputs for output, path in outputs[name]),
    )


def _optional_path(name: str | None) -> str | None:
    return None if name is None else full_path(name)
