"""Numbers of bytes as people write and read them."""

from __future__ import annotations

import re

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` means; ``ValueError`` with a reason if it means none."""
    matched = re.fullmatch(r"([0-9]{1,20})([KMGT]?)", text.upper(), re.ASCII)
    if matched is None:
        raise ValueError(
            f"{text!r} is not a size; write bytes, or a number with K, M, G or T, such as 64M"
        )
    return int(matched[1]) * UNITS[matched[2]]


def human_bytes(count: int) -> str:
    """Return ``count`` with the unit that leaves one to four digits before the point."""
    if count < 1024:
        return f"{count} bytes"
    amount, power = count / 1024, 0
    while amount >= 1023.95 and power < len(BINARY_UNITS) - 1:
        amount, power = amount / 1024, power + 1
    return f"{amount:.1f} {BINARY_UNITS[power]}"
