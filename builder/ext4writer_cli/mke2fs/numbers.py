"""Numbers as strtoul(3) and mke2fs read them."""

from __future__ import annotations

import re

_NUMBER = re.compile(
    r"\s*(?P<sign>[+-]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*))"
)
_DECIMAL = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_SHIFTS = {"t": 40, "g": 30, "m": 20, "k": 10}
_MASK = (1 << 64) - 1


def strtoul(text: str, base: int = 0) -> tuple[int, str]:
    """Return the number at the start of ``text``, of 64 bits, and what follows it."""
    if base == 8:
        matched = re.match(r"\s*([0-7]*)", text)
        assert matched is not None
        return int(matched[1] or "0", 8), text[matched.end() :]
    found = _NUMBER.match(text)
    if found is None:
        return 0, text
    if found["hex"] is not None:
        number = int(found["hex"], 16)
    elif found["octal"] is not None:
        number = int(found["octal"], 8)
    else:
        number = int(found["decimal"])
    number = min(number, _MASK)
    return -number & _MASK if found["sign"] == "-" else number, text[found.end() :]


def whole(text: str) -> int | None:
    """Return the number that ``text`` is; None if anything follows it, or nothing is there."""
    number, rest = strtoul(text)
    return None if rest or not text else number


def decimal(text: str) -> float | None:
    """Return the number that ``text`` is, as strtod(3) reads decimal ones; None if it is none."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def parse_num_blocks(text: str, log_block_size: int) -> int:
    """Return the number of blocks of 2 to the power of 10 + ``log_block_size`` bytes.

    A number without suffix is one of blocks, ``s`` is sectors, and ``k``, ``m``, ``g`` and ``t``
    are bytes; below 0 the result is in bytes. 0 is returned for what is no number.
    """
    # e2fsprogs lib/e2p/parse_num.c:parse_num_blocks2
    number, rest = strtoul(text)
    if not rest:
        return number
    if rest == "s":
        return number << 9 if log_block_size < 0 else number >> 1 + log_block_size
    shift = _SHIFTS.get(rest.lower())
    if shift is None:
        return 0
    if log_block_size < 0:
        return number << shift & _MASK
    return (number << shift - 10 & _MASK) >> log_block_size
