"""Tar archives, written block by block, including some that no program would write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

BLOCK = 512
END = bytes(2 * BLOCK)
POSIX = b"ustar\x0000"
GNU = b"ustar  \0"
V7 = bytes(8)

FIELDS = {
    "name": (0, 100),
    "mode": (100, 8),
    "uid": (108, 8),
    "gid": (116, 8),
    "size": (124, 12),
    "mtime": (136, 12),
    "chksum": (148, 8),
    "typeflag": (156, 1),
    "linkname": (157, 100),
    "magic": (257, 8),
    "uname": (265, 32),
    "gname": (297, 32),
    "devmajor": (329, 8),
    "devminor": (337, 8),
    "prefix": (345, 155),
}
"""Offset and size of each field (POSIX.1-2017, pax, "ustar Interchange Format")."""

DEFAULTS: dict[str, bytes | int] = {
    "name": b"file",
    "mode": 0o644,
    "uid": 0,
    "gid": 0,
    "size": 0,
    "mtime": 0,
    "typeflag": b"0",
    "magic": POSIX,
}


def padded(data: bytes) -> bytes:
    """``data``, padded to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def octal(value: int, width: int) -> bytes:
    """A numeric field: digits and a NUL."""
    return b"%0*o\0" % (width - 1, value)


def base256(value: int, width: int) -> bytes:
    """A numeric field in GNU's binary form."""
    if value < 0:
        return value.to_bytes(width, "big", signed=True)
    return b"\x80" + value.to_bytes(width - 1, "big")


def checksummed(block: bytearray, *, signed: bool = False) -> bytes:
    """``block`` with its checksum."""
    block[148:156] = b" " * 8
    total = sum(byte - 256 if signed and byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % total
    return bytes(block)


def header(
    *, signed: bool = False, at: Mapping[int, bytes] | None = None, **fields: bytes | int
) -> bytes:
    """One header block. An integer becomes octal digits; ``at`` writes bytes anywhere."""
    block = bytearray(BLOCK)
    for name, value in {**DEFAULTS, **fields}.items():
        start, width = FIELDS[name]
        raw = octal(value, width) if isinstance(value, int) else value
        assert len(raw) <= width, name
        block[start : start + len(raw)] = raw
    for start, raw in (at or {}).items():
        block[start : start + len(raw)] = raw
    if "chksum" in fields:
        return bytes(block)
    return checksummed(block, signed=signed)


def member(name: bytes, data: bytes = b"", **fields: bytes | int) -> bytes:
    """A header and the padded data."""
    return header(**{"name": name, "size": len(data), **fields}) + padded(data)


def directory(name: bytes, **fields: bytes | int) -> bytes:
    """A directory of mode 755."""
    return header(**{"name": name, "typeflag": b"5", "mode": 0o755, **fields})


def link(name: bytes, target: bytes, **fields: bytes | int) -> bytes:
    """A hard link."""
    return header(name=name, typeflag=b"1", linkname=target, **fields)


def record(keyword: bytes, value: bytes) -> bytes:
    """One record of an extended header, which starts with its own length."""
    body = b" " + keyword + b"=" + value + b"\n"
    length = len(body)
    while length != len(body) + len(b"%d" % length):
        length = len(body) + len(b"%d" % length)
    return b"%d" % length + body


Records = Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]]


def pax(records: Records, typeflag: bytes = b"x") -> bytes:
    """An extended header that holds ``records``."""
    pairs = records.items() if isinstance(records, Mapping) else records
    data = b"".join(record(keyword, value) for keyword, value in pairs)
    return member(b"PaxHeaders/x", data, typeflag=typeflag)


def long_name(name: bytes, typeflag: bytes = b"L") -> bytes:
    """GNU's member that holds a long name (``L``) or link target (``K``)."""
    return member(b"././@LongLink", name + b"\0", typeflag=typeflag, magic=GNU)


def archive(*members: bytes) -> bytes:
    """All members, followed by the end mark."""
    return b"".join(members) + END
