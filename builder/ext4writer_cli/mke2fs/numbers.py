"""Numbers as strtoul(3) and mke2fs read them."""

from __future__ import annotations

from ext4writer.bits import MASK_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# No regular expressions: compiling one takes longer than reading all arguments without.
_DIGITS = {8: "01234567", 10: "0123456789", 16: "0123456789abcdefABCDEF"}
_OF_DECIMALS = frozenset("0123456789+-.eE")
_OF_HEX = frozenset("0123456789abcdefABCDEFxXpP+-.")
_BLANKS = " \t\n\r\f\v"
_SHIFTS = {"t": 40, "g": 30, "m": 20, "k": 10}


def strtoul(text: str, base: int = 0) -> tuple[int, str]:
    """Return the 64-bit number at the start of ``text``, and the text after it."""
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
    number = min(int(found, base), MASK_64)
    return -number & MASK_64 if sign == "-" else number, after


def _digits(text: str, base: int) -> tuple[str, str]:
    """Split ``text`` after its leading digits."""
    rest = text.lstrip(_DIGITS[base])
    return text[: len(text) - len(rest)], rest


def integer(text: str) -> int | None:
    """Return the integer ``text``; None if it is empty or has trailing characters."""
    number, rest = strtoul(text)
    return None if rest or not text else number


def floating(text: str) -> float | None:
    """Return the number ``text`` as strtod(3) reads it; None if it is invalid or not finite."""
    digits = text.lstrip(_BLANKS)
    is_hex = digits.lstrip("+-")[:2].lower() == "0x"
    if not digits or not (_OF_HEX if is_hex else _OF_DECIMALS).issuperset(digits):
        return None
    try:
        return float.fromhex(digits) if is_hex else float(digits)
    except (ValueError, OverflowError):
        return None


def options_in(text: str) -> Iterator[str]:
    """Yield the options of -E and -J, split at commas; an empty last one is dropped.

    Rules: e2fsprogs misc/mke2fs.c:parse_extended_opts and misc/util.c:parse_journal_opts.
    """
    while text:
        token, _, text = text.partition(",")
        yield token


def feature_words(text: str) -> Iterator[str]:
    """Yield the words of -O, which blanks and single commas separate.

    Rules: e2fsprogs lib/e2p/feature.c:e2p_edit_feature2.
    """
    while text:
        text = text.lstrip(_BLANKS)
        ends = (at for at, letter in enumerate(text) if letter == "," or letter in _BLANKS)
        end = next(ends, len(text))
        yield text[:end]
        text = text[end + 1 :]


def parse_num_blocks(text: str, log_block_size: int) -> int:
    """Return a number of blocks of 2^(10 + ``log_block_size``) bytes, or of bytes if that is < 0.

    A number without a suffix counts blocks, or bytes; ``s`` counts sectors, and ``k``, ``m``, ``g``
    and ``t`` are binary multiples of bytes. Returns 0 if ``text`` is not a number.
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
        return number << shift & MASK_64
    return (number << shift - 10 & MASK_64) >> log_block_size
