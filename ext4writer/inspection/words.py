"""Turns the values of fields into words, by the units in their declarations."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ..errors import display_path
from ..nodes import if_to_dt
from ..ondisk.features import FeatureSet
from ..ondisk.record import Meaning

Value = int | bytes | Sequence[int]

_DAYS_IN_400_YEARS = 146097
_TYPES = {1: "p", 2: "c", 4: "d", 6: "b", 8: "-", 10: "l", 12: "s"}


def many(count: int, what: str) -> str:
    """Return a count with its noun; ``what`` is the plural."""
    return f"{count:,} {what}" if count != 1 else f"1 {what.removesuffix('s')}"


def iso_time(seconds: int, nanoseconds: int | None = None) -> str | None:
    """Return seconds since 1970 as UTC in ISO 8601; 0 without nanoseconds means never: None."""
    if not seconds and nanoseconds is None:
        return None
    days, rest = divmod(seconds, 86400)
    year, month, day = _civil(days)
    fraction = "" if nanoseconds is None else f".{nanoseconds:09}"
    hours, minutes = divmod(rest // 60, 60)
    return f"{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{rest % 60:02}{fraction}Z"


def _civil(days: int) -> tuple[int, int, int]:
    """Convert days since 1970 to (year, month, day); the calendar repeats every 400 years."""
    days += 719468  # count from 0000-03-01: a leap day is then the last day of its year
    era, day = divmod(days, _DAYS_IN_400_YEARS)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    return era * 400 + year + (month >= 10), month + (3 if month < 10 else -9), day + 1


def time_ns(nanoseconds: int | None) -> str | None:
    """Return nanoseconds since 1970 as UTC in ISO 8601; None stays None."""
    return None if nanoseconds is None else iso_time(*divmod(nanoseconds, 10**9))


def text_of(value: Value) -> str:
    """Return the bytes before the first zero as printable text."""
    assert isinstance(value, bytes)
    return display_path(value.partition(b"\0")[0])


def mode_words(mode: int) -> str:
    """Return a mode as ``ls -l`` shows it."""
    letters = ["rwx"[place % 3] if mode >> 8 - place & 1 else "-" for place in range(9)]
    for bit, place, both, alone in (
        (0o4000, 2, "s", "S"),
        (0o2000, 5, "s", "S"),
        (0o1000, 8, "t", "T"),
    ):
        if mode & bit:
            letters[place] = both if letters[place] == "x" else alone
    return _TYPES.get(if_to_dt(mode), "?") + "".join(letters)


def flag_words(value: int, meaning: Meaning) -> str:
    """Return the names of the bits that are set, and the unnamed ones as a number."""
    names = [name for bit, name in meaning.names.items() if value & bit]
    rest = value & ~sum(meaning.names)
    if rest:
        names.append(f"{rest:#x}")
    return ", ".join(names) or "none"


def feature_words(value: int, field: str) -> str:
    """Return the names of the features in one feature word of a superblock."""
    return ", ".join(FeatureSet(**{field.removeprefix("s_feature_"): value}).names()) or "none"


def words(value: Value, meaning: Meaning, block_size: int = 0, *, field: str = "") -> str:
    """Return the meaning of a field's value; empty if it is only the number itself.

    Times must be unsigned seconds, as in the superblock and the journal.
    """
    unit = meaning.unit
    if isinstance(value, bytes):
        if unit == "text":
            return text_of(value)
        return str(UUID(bytes=value)) if unit == "uuid" and len(value) == 16 else ""
    if not isinstance(value, int):
        return ""
    if unit == "features":
        return feature_words(value, field)
    if unit == "flags":
        return flag_words(value, meaning) if meaning.names else ""
    if unit in ("code", "magic"):
        return meaning.names.get(value, "unknown" if meaning.names else "")
    if unit == "time":
        return iso_time(value) or "never"
    if unit == "mode":
        return mode_words(value)
    if unit == "blocks" and block_size:
        return f"{value * block_size} bytes"
    if unit == "block" and block_size and value:
        return f"at byte {value * block_size}"
    if unit == "log2":
        return f"2^{value}" if value else "1"
    if unit == "sectors":
        return f"{value * 512} bytes"
    return ""
