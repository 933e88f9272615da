"""Rounding: division of sizes and counts, and multiples of a unit.

Loops over all files of a tree spell these out, since a call would cost more than the rest.
"""

from __future__ import annotations


def ceil_div(value: int, divisor: int) -> int:
    """``value / divisor``, rounded up: how many units of ``divisor`` hold ``value``."""
    return -(-value // divisor)


def round_up(value: int, unit: int) -> int:
    """The least multiple of ``unit`` that is not below ``value``."""
    return -(-value // unit) * unit


def round_down(value: int, unit: int) -> int:
    """The greatest multiple of ``unit`` that is not above ``value``."""
    return value // unit * unit


def padding(size: int, unit: int) -> int:
    """How many bytes follow ``size`` bytes up to the next multiple of ``unit``."""
    return -size % unit
