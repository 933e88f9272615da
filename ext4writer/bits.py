"""Parts of numbers: halves that a format stores in two fields, powers of two, single bits.

Loops over all inodes, names or extents spell these out, with a comment, since a call would cost
more than the rest.
"""

from __future__ import annotations

MASK_32 = (1 << 32) - 1
MASK_64 = (1 << 64) - 1


def ones(count: int) -> int:
    """The ``count`` lowest bits set: their mask, and the largest number that they can hold."""
    return (1 << count) - 1


def run_of_bits(start: int, length: int) -> int:
    """``length`` bits set, starting at bit ``start``: the bits of a run of clusters in a bitmap."""
    return ones(length) << start


def low_16(value: int) -> int:
    """The lower 16 bits: the value of a 16-bit field ``_lo``, or a truncated checksum."""
    return value & 0xFFFF


def high_16(value: int) -> int:
    """The bits above the lower 16: the value of the field ``_hi`` that extends a 16-bit field."""
    return value >> 16


def low_32(value: int) -> int:
    """The lower 32 bits: the value of a 32-bit field ``_lo``."""
    return value & MASK_32


def high_32(value: int) -> int:
    """The bits above the lower 32: the field ``_hi`` or ``_high`` that extends a 32-bit field."""
    return value >> 32


def joined_16(low: int, high: int) -> int:
    """The number whose lower 16 bits and upper bits are stored in two fields."""
    return low | high << 16


def joined_32(low: int, high: int) -> int:
    """The number whose lower 32 bits and upper bits are stored in two fields."""
    return low | high << 32


def le16(data: bytes | bytearray | memoryview, at: int = 0) -> int:
    """The 16-bit number at byte ``at``, little-endian like all fields of ext4."""
    return int.from_bytes(data[at : at + 2], "little")


def le32(data: bytes | bytearray | memoryview, at: int = 0) -> int:
    """The 32-bit number at byte ``at``, little-endian like all fields of ext4."""
    return int.from_bytes(data[at : at + 4], "little")


def is_power_of_two(value: int) -> bool:
    """Whether exactly one bit is set: subtracting 1 clears that bit and only sets lower ones."""
    return value > 0 and not value & (value - 1)


def log2(value: int) -> int:
    """The exponent of a power of two; for other numbers, that of the next lower power."""
    return value.bit_length() - 1


def splitmix64(state: int) -> tuple[int, int]:
    """The next state of the generator, and its next 64 random bits: the same on every Python."""
    # Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014), mix64variant13
    state = (state + 0x9E3779B97F4A7C15) & MASK_64
    mixed = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & MASK_64
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & MASK_64
    return state, mixed ^ mixed >> 31


def lowest_bit(bits: int) -> int:
    """The index of the lowest set bit: the only one that ``bits`` and ``-bits`` both have."""
    return log2(bits & -bits)
