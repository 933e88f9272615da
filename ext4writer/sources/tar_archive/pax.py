"""Records of PAX extended headers. POSIX.1-2017, pax, "pax Extended Header"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...units import NANOSECONDS
from .header import FieldError

IDLE = (
    *(b"comment", b"charset", b"hdrcharset", b"uname", b"gname"),
    *(b"GNU.sparse.", b"GNU.dumpdir", b"LIBARCHIVE.symlinktype"),
)
"""Prefixes of keywords without information that a tree could represent."""

_TIME = re.compile(rb"(-?)(\d{1,30})(?:\.(\d*))?")
_DECIMAL = re.compile(rb"-?\d{1,30}")


def records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (keyword, value) of each record in ``data``, which consists of records only.

    Raises :class:`FieldError` for a record with a wrong length, equals sign or final newline.
    """
    position = 0
    while position < len(data):
        blank = data.find(b" ", position, position + 20)
        digits = data[position:blank] if blank > 0 else b""
        if not digits.isdigit():
            if not data[position:].strip(b"\0"):
                return  # some writers pad the block and count the padding
            raise FieldError(f"its extended header has no length at byte {position}")
        end = position + int(digits)
        equals = data.find(b"=", blank, end)
        if end > len(data) or equals < 0 or data[end - 1 : end] != b"\n":
            raise FieldError(f"its extended header has a wrong record at byte {position}")
        yield data[blank + 1 : equals], data[equals + 1 : end - 1]
        position = end


def time_ns(value: bytes, name: str) -> int:
    """A time in decimal seconds as nanoseconds, rounded down; raises :class:`FieldError`."""
    match = _TIME.fullmatch(value)
    if match is None:
        raise FieldError(f"its {name} is not a time: {value[:40]!r}")
    sign, seconds, fraction = match.groups()
    fraction = fraction or b""
    time = int(seconds) * NANOSECONDS + int(fraction[:9].ljust(9, b"0"))
    if not sign:
        return time
    return -time - (1 if fraction[9:].strip(b"0") else 0)


def integer(value: bytes, name: str) -> int:
    """The value of a decimal number; raises :class:`FieldError` if it is malformed."""
    if _DECIMAL.fullmatch(value) is None:
        raise FieldError(f"its {name} is not a number: {value[:40]!r}")
    return int(value)
