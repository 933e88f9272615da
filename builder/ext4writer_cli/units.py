"""Numbers of bytes as people write them, on pages of help that load no library."""

from __future__ import annotations

UNITS = "KMGTP"


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` means; raises ``ValueError`` with a reason otherwise."""
    from ext4writer.units import parse_size  # late, so that help does not load the library

    return parse_size(text)


def size_text(size: int) -> str:
    """The shortest text that :func:`parse_size` takes for ``size``, such as ``32K``."""
    power = 0
    while size and size % 1024 == 0 and power < len(UNITS):
        size, power = size // 1024, power + 1
    return f"{size}{UNITS[power - 1] if power else ''}"
