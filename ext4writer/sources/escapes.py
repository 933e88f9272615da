"""The escapes of the two kinds of manifests, for bytes that would end a word."""

from __future__ import annotations

import re

_VIS = re.compile(
    rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|M-([\x21-\x7e])|M\^([?-_])|\^([?-_])|(.)|\Z)",
    re.DOTALL,
)
_VIS_LETTERS = {
    b"a": b"\a",
    b"b": b"\b",
    b"e": b"\x1b",
    b"E": b"\x1b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"s": b" ",
    b"t": b"\t",
    b"v": b"\v",
    b"$": b"",
}

_DUMP = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([\\nrt])|.|\Z)", re.DOTALL)
_DUMP_LETTERS = {b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def unvis(word: bytes) -> bytes:
    """Decode vis(3) in any of its styles; ``ValueError`` for an escape that none of them writes.

    These are octal numbers, C escapes such as ``\\s``, ``\\^C`` for control characters, ``\\M-c``
    and ``\\M^C`` for bytes of at least 0x80, ``\\$`` for nothing, and escaped punctuation
    (unvis(3)).
    """
    return _VIS.sub(_unvis_one, word) if b"\\" in word else word


def _unvis_one(found: re.Match[bytes]) -> bytes:
    octal, hexadecimal, meta, meta_control, control, other = found.groups()
    if octal is not None:
        value = int(octal, 8)
        if value > 0xFF:
            raise ValueError(f"the escape \\{octal.decode()} is not a byte")
        return bytes((value,))
    if hexadecimal is not None:
        return bytes.fromhex(hexadecimal.decode())
    if meta is not None:
        return bytes((meta[0] | 0x80,))
    if meta_control is not None:
        return bytes((_control(meta_control[0]) | 0x80,))
    if control is not None:
        return bytes((_control(control[0]),))
    if other in _VIS_LETTERS:
        return _VIS_LETTERS[other]
    if other is None or other.isalnum() or not 0x21 <= other[0] <= 0x7E:
        raise ValueError(f"the escape {found[0]!r} is unknown")
    return other


def _control(letter: int) -> int:
    """The control character written as ^ and ``letter``; ^? is DEL."""
    return 0x7F if letter == ord("?") else letter & 0x1F


def undump(word: bytes) -> bytes:
    """Decode the escapes of composefs-dump(5); ``ValueError`` for any other escape."""
    return _DUMP.sub(_undump_one, word) if b"\\" in word else word


def _undump_one(found: re.Match[bytes]) -> bytes:
    if found[1] is not None:
        return bytes.fromhex(found[1].decode())
    if found[2] is not None:
        return _DUMP_LETTERS[found[2]]
    raise ValueError(f"the escape {found[0]!r} is unknown")


def vis(word: bytes) -> bytes:
    """``word`` for an mtree file: bytes that end a word or form a pattern as three octal digits."""
    return _UNSAFE_IN_MTREE.sub(lambda found: b"\\%03o" % found[0][0], word)


_UNSAFE_IN_MTREE = re.compile(rb"[^!-~]|[#*=?\[\\,]")


def dump_escape(word: bytes, *, equals: bool = False) -> bytes:
    """``word`` for a dump as composefs-info writes it; ``equals`` also escapes ``=``."""
    unsafe = _UNSAFE_IN_KEY if equals else _UNSAFE_IN_DUMP
    return unsafe.sub(lambda found: _TO_DUMP.get(found[0], b"\\x%02x" % found[0][0]), word)


_TO_DUMP = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}
_UNSAFE_IN_DUMP = re.compile(rb"[^!-~]|\\")
_UNSAFE_IN_KEY = re.compile(rb"[^!-~]|[\\=]")
