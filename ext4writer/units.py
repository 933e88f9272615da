"""Parses and formats sizes in bytes and percentages, as people write and read them."""

from __future__ import annotations

import re

from .arguments import GROUPED
from .arithmetic import ceil_div, round_up
from .errors import counted

_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}

BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
KIB = 1024
SECTOR = 512
"""Bytes of a sector, the unit of disks and of i_blocks."""
NANOSECONDS = 10**9
"""Nanoseconds in a second."""

# Not compiled here: most programs never use them, and compiling takes long.
_SIZE = (
    rf"(?ai)(?P<whole>[0-9]{{1,20}}|{GROUPED})(?:\.(?P<part>[0-9]{{1,20}}))?"
    r"(?:(?P<letter>[KMGTP]?)|\s?(?P<unit>[KMGTP])IB|\s?BYTES?)"
)
_WITH_BYTES = rf"(?ai)(?P<short>[^()]{{1,60}}) \((?P<bytes>[0-9]{{1,20}}|{GROUPED}) BYTES?\)"
_PERCENT = r"(?a)(?P<number>[0-9]{1,6}(?:\.[0-9]{1,6})?)\s?%"


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` means, such as ``4096``, ``64M``, ``1.5G`` or ``317.4 MiB``.

    A size as reports print it, ``20.5 MiB (21,483,520 bytes)``, means its exact number of bytes.
    Units are powers of 1024. A fraction of a byte is rounded up. With a unit, the result is rounded
    up to whole sectors, since the size of every image is whole sectors. Raises ``ValueError``, with
    a reason, for any other text; that includes ``64MB``, on which programs do not agree.
    """
    cell = re.fullmatch(_WITH_BYTES, text) if text.endswith(")") else None
    if cell is not None:
        size = int(cell["bytes"].replace(",", ""))
        if abs(parse_size(cell["short"]) - size) > size // 10:  # more than rounding explains
            raise ValueError(f"{text!r} is not a size: {size} bytes are {human_bytes(size)}")
        return size
    matched = re.fullmatch(_SIZE, text)
    if matched is None:
        raise ValueError(
            f"{text!r} is not a size; write bytes, or a number with K, M, G or T, such as 64M, "
            "1.5G or 64MiB"
        )
    power = _POWERS[(matched["letter"] or matched["unit"] or "").upper()]
    part = matched["part"] or ""
    number = int(matched["whole"].replace(",", "") + part)
    divisor: int = 10 ** len(part)
    size = ceil_div(number << 10 * power, divisor)
    return round_up(size, SECTOR) if power else size


def human_bytes(count: int) -> str:
    """Return ``count`` bytes in the unit that leaves one to four digits before the point."""
    if count < 1024:
        return counted(count, "byte", "bytes")
    amount, power = count / 1024, 0
    while amount >= 1023.95 and power < len(BINARY_UNITS) - 1:
        amount, power = amount / 1024, power + 1
    return f"{amount:.1f} {BINARY_UNITS[power]}"


def exact_bytes(count: int) -> str:
    """``count`` bytes rounded and exactly: ``20.5 MiB (21,483,520 bytes)``."""
    short = human_bytes(count)
    return short if count < 1024 else f"{short} ({count:,} bytes)"


def parse_percent(text: str) -> float | None:
    """Return the number before the percent sign of ``text``; None if it does not end in one.

    Raises ``ValueError``, with a reason, for a percent sign without a number.
    """
    if not text.endswith("%"):
        return None
    matched = re.fullmatch(_PERCENT, text)
    if matched is None:
        raise ValueError(f"{text!r} is not a percentage, such as 10%")
    return float(matched["number"])
