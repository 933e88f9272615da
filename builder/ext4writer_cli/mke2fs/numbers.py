"""Numbers as strtoul(3) and mke2fs read them."""

from __future__ import annotations

# No regular expressions: to compile one takes longer than all else that is done with arguments.
_DIGITS = {8: "01234567", 10: "0123456789", 16: "0123456789abcdefABCDEF"}
_OF_DECIMALS = frozenset("0123456789+-.eE")
_SHIFTS = {"t": 40, "g": 30, "m": 20, "k": 10}
_MASK = (1 << 64) - 1


def strtoul(text: str, base: int = 0) -> tuple[int, str]:
    """Return the number at the start of ``text``, of 64 bits, and what follows it."""
    rest = text.lstrip()
    if base == 8:
        digits, rest = _digits(rest, 8)
        return int(digits or "0", 8), rest
    sign = rest[:1] if rest[:1] in ("+", "-") else ""
    rest = rest.removeprefix(sign)
    found, after = "", ""
    if rest[:2] in ("0x", "0X"):
        base = 16
        found, after = _digits(rest[2:], base)
    if not found:
        base = 8 if rest.startswith("0") else 10
        found, after = _digits(rest, base)
    if not found:
        return 0, text
    number = min(int(found, base), _MASK)
    return -number & _MASK if sign == "-" else number, after


def _digits(text: str, base: int) -> tuple[str, str]:
    """The digits at the start of ``text``, and what follows them."""
    rest = text.lstrip(_DIGITS[base])
    return text[: len(text) - len(rest)], rest


def whole(text: str) -> int | None:
    """Return the number that ``text`` is; None if anything follows it, or nothing is there."""
    number, rest = strtoul(text)
    return None if rest or not text else number


def decimal(text: str) -> float | None:
    """Return the number that ``text`` is, as strtod(3) reads decimal ones; None if it is none."""
    digits = text.lstrip(" \t\n\r\f\v")
    if not digits or not _OF_DECIMALS.issuperset(digits):
        return None
    try:
        return float(digits)
    except ValueError:
        return None


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
