"""A checksum among the bytes that it covers.

Where a node of an index counts more entries than it has room for, they reach over its tail, and
dt_checksum is a part of what is summed (fs/ext4/namei.c:ext4_dx_csum). One that is right can be
solved for: each bit of a CRC is a sum, modulo 2, of bits of the data and of a constant.
"""

from __future__ import annotations

from ..ondisk.checksum import crc32c

_BITS = 32


def crc_over_itself(crc: int, after: bytes) -> int | None:
    """The number that is the CRC-32C of itself, as four bytes, and ``after``, begun with ``crc``.

    None where there is no such number.
    """

    def summed(number: int) -> int:
        return crc32c(crc32c(crc, number.to_bytes(4, "little")), after)

    constant = summed(0)
    # x = constant + changes(x) is one equation for each bit; here as columns of (changes + 1)(x).
    pivots: dict[int, tuple[int, int]] = {}
    for place in range(_BITS):
        chosen = 1 << place
        column = summed(chosen) ^ constant ^ chosen
        column, chosen = _reduced(column, chosen, pivots)
        if column:
            pivots[column.bit_length()] = column, chosen
    left, number = _reduced(constant, 0, pivots)
    return None if left else number


def _reduced(column: int, chosen: int, pivots: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """``column`` without what columns before can take away, and the bits that it is made of."""
    for length in range(column.bit_length(), 0, -1):
        pivot = pivots.get(length)
        if pivot is not None and column >> length - 1 & 1:
            column ^= pivot[0]
            chosen ^= pivot[1]
    return column, chosen
