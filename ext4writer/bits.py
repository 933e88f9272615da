"""The parts of numbers: halves that a format keeps in two fields, powers of two, single bits.

Loops that handle every inode, name or extent spell these out, since a call would cost more than the
rest; they say so.
"""

from __future__ import annotations

MASK_32 = (1 << 32) - 1
MASK_64 = (1 << 64) - 1


def ones(count: int) -> int:
    """``count`` lowest bits set: the mask for them, and the largest number that they hold."""
    return (1 << count) - 1


def run_of_bits(start: int, length: int) -> int:
    """``length`` bits set from bit ``start`` on, as a run of clusters has them in a bitmap."""
    return ones(length) << start


def low_16(value: int) -> int:
    """The lower 16 bits: what a field ``_lo`` of 16 bits keeps, and a checksum cut to one."""
    return value & 0xFFFF


def high_16(value: int) -> int:
    """What is above the lower 16 bits: the field ``_hi`` beside one of 16 bits."""
    return value >> 16


def low_32(value: int) -> int:
    """The lower 32 bits: what a field ``_lo`` of 32 bits keeps."""
    return value & MASK_32


def high_32(value: int) -> int:
    """What is above the lower 32 bits: the field ``_hi`` or ``_high`` beside one of 32 bits."""
    return value >> 32


def joined_16(low: int, high: int) -> int:
    """The number whose lower 16 bits and rest stand in two fields."""
    return low | high << 16


def joined_32(low: int, high: int) -> int:
    """The number whose lower 32 bits and rest stand in two fields."""
    return low | high << 32


def le16(data: bytes | bytearray | memoryview, at: int = 0) -> int:
    """The number of 16 bits at byte ``at``, its lowest byte first, as all of ext4 has it."""
    return int.from_bytes(data[at : at + 2], "little")


def le32(data: bytes | bytearray | memoryview, at: int = 0) -> int:
    """The same of 32 bits."""
    return int.from_bytes(data[at : at + 4], "little")


def is_power_of_two(value: int) -> bool:
    """Whether one bit is set: taking 1 away clears it, and changes all below it alone."""
    return value > 0 and not value & (value - 1)


def log2(value: int) -> int:
    """The exponent of a power of two; of another number, that of the power below it."""
    return value.bit_length() - 1


def splitmix64(state: int) -> tuple[int, int]:
    """The next state of a generator, and its next 64 random bits: the same on every Python."""
    # Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014), mix64variant13
    state = (state + 0x9E3779B97F4A7C15) & MASK_64
    mixed = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & MASK_64
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & MASK_64
    return state, mixed ^ mixed >> 31


def lowest_bit(bits: int) -> int:
    """The number of the lowest bit that is set; its two's complement shares it alone."""
    return log2(bits & -bits)
