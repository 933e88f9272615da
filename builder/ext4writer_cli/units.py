"""Numbers of bytes as people write and read them."""

from __future__ import annotations

BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` means; raises ``ValueError`` with a reason otherwise."""
    from ext4writer.units import parse_size  # late, so that help does not load the library

    return parse_size(text)


def size_text(size: int) -> str:
    """The shortest text that :func:`parse_size` takes for ``size``, such as ``32K``."""
    power = 0
    while size and size % 1024 == 0 and power < len(BINARY_UNITS):
        size, power = size // 1024, power + 1
    return f"{size}{BINARY_UNITS[power - 1][0] if power else ''}"


def human_bytes(count: int) -> str:
    """Return ``count`` with the unit that leaves one to four digits before the point."""
    if count < 1024:
        return f"{count} bytes"
    amount, power = count / 1024, 0
    while amount >= 1023.95 and power < len(BINARY_UNITS) - 1:
        amount, power = amount / 1024, power + 1
    return f"{amount:.1f} {BINARY_UNITS[power]}"
