"""Solves for a CRC that covers itself.

If the count of an index node exceeds its limit, the entries overlap the tail, and dt_checksum is
part of the data that it covers (fs/ext4/namei.c:ext4_dx_csum). The right value is the solution of
linear equations: each bit of a CRC is a sum, modulo 2, of bits of the data and a constant.
"""

from __future__ import annotations

from ..ondisk.checksum import crc32c

_BITS = 32


def crc_over_itself(crc: int, after: bytes) -> int | None:
    """Return a number that equals the CRC-32C of its own four bytes followed by ``after``.

    ``crc`` is the CRC of the preceding bytes. Returns None if there is no such number.
    """

    def summed(number: int) -> int:
        return crc32c(crc32c(crc, number.to_bytes(4, "little")), after)

    constant = summed(0)
    # x = constant + linear(x) is one equation for each bit; the columns are those of linear + 1.
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
    """Reduce ``column`` by the pivots; return the rest, and the bits of x that produce it."""
    for length in range(column.bit_length(), 0, -1):
        pivot = pivots.get(length)
        if pivot is not None and column >> length - 1 & 1:
            column ^= pivot[0]
            chosen ^= pivot[1]
    return column, chosen
