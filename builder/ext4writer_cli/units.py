"""Numbers of bytes as people write them; help pages can use this without loading the library."""

from __future__ import annotations

UNITS = "KMGTP"


def parse_size(text: str) -> int:
    """Return the number of bytes that ``text`` means; raises ``ValueError`` with a reason."""
    from ext4writer.units import parse_size  # late, so that help does not load the library

    return parse_size(text)


def size_text(size: int) -> str:
    """Return the shortest text for ``size`` bytes that :func:`parse_size` accepts, as ``32K``."""
    power = 0
    while size and size % 1024 == 0 and power < len(UNITS):
        size, power = size // 1024, power + 1
    return f"{size}{UNITS[power - 1] if power else ''}"
