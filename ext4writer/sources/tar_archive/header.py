"""The header block of a tar archive: fields, numbers and checksum.

POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format" and "Extensions
to the Archive Format"; tar(5) of libarchive.
"""

from __future__ import annotations

import struct
import zlib

from ...bits import low_16

BLOCK = 512

HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")
"""name mode uid gid size mtime chksum typeflag linkname magic+version uname gname devmajor devminor
prefix padding."""

USTAR = b"ustar\0"
GNU = b"ustar  \0"
STAR_END = b"tar\0"
"""At byte 508 of a header written by star, which has a shorter prefix followed by two times."""

_CHECKSUM_START, _CHECKSUM_END = 148, 156
_packed = HEADER.pack
_ADLER_BASE = 65521
_LOW = bytes(range(128))


class FieldError(ValueError):
    """A header field, or a record of an extended header, is invalid."""


def has_checksum(block: bytes) -> bool:
    """Whether the checksum in ``block`` is right: the sum of its bytes, with blanks in its place.

    Old programs summed signed bytes; both sums are valid.
    """
    field = block[_CHECKSUM_START:_CHECKSUM_END]
    try:
        stored = number(field, "checksum")
    except FieldError:
        return False
    # The low half of an adler32 is the sum of the bytes plus one, and it is computed in C.
    total = low_16(zlib.adler32(block)) - low_16(zlib.adler32(field)) + 8 * 32
    if (total - stored) % _ADLER_BASE == 0:
        return True
    high = len(block.translate(None, _LOW)) - len(field.translate(None, _LOW))
    return (total - 256 * high - stored) % _ADLER_BASE == 0


def number(field: bytes, name: str) -> int:
    """The value of a numeric field: octal digits, or a binary number marked by the first bit.

    An empty field is 0. Raises :class:`FieldError` with the field's ``name`` for anything else.
    """
    first = field[0]
    if first & 0x80:
        # GNU: 0x80 marks a positive and 0xff a negative big-endian number.
        if first == 0x80:
            return int.from_bytes(field[1:], "big")
        if first == 0xFF:
            return int.from_bytes(field, "big", signed=True)
        raise FieldError(f"its {name} is not a number: {field!r}")
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    if digits.isdigit():
        try:
            return int(digits, 8)
        except ValueError:
            pass
    raise FieldError(f"its {name} is not an octal number: {field!r}")


def text(field: bytes) -> bytes:
    """The bytes of a field up to the first NUL."""
    return field.partition(b"\0")[0]


def ustar_block(
    name: bytes,
    numbers: tuple[int, int, int, int, int],
    kind: bytes,
    link: bytes = b"",
    device: tuple[int, int] | None = None,
) -> bytes:
    """A POSIX header; ``numbers`` are mode, owner, group, size in bytes, and time in seconds.

    Names must be ASCII. Names and numbers must fit into their fields.
    """
    mode, uid, gid, size, mtime = numbers
    major, minor = (b"", b"") if device is None else (b"%07o" % number for number in device)
    head = (name, b"%07o" % mode, b"%07o" % uid, b"%07o" % gid, b"%011o" % size, b"%011o" % mtime)
    tail = (kind, link, USTAR + b"00", b"", b"", major, minor, b"", b"")
    block = _packed(*head, b" " * (_CHECKSUM_END - _CHECKSUM_START), *tail)
    # The low half of an adler32 is the sum of the bytes plus one.
    return _packed(*head, b"%06o\0 " % (low_16(zlib.adler32(block)) - 1), *tail)
