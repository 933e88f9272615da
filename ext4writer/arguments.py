"""Converts values from callers where their meaning is unambiguous.

Each function raises ``ValueError`` with a reason; its caller adds the name of the argument.
"""

from __future__ import annotations

import math
import operator
import re
from typing import Any

ID_MOST = (1 << 32) - 2
"""The largest user or group ID. The next one is ``(uid_t) -1``, which means "no change"
to chown(2) and is invalid in the kernel (include/linux/uidgid.h:uid_valid)."""


UNPAIRED_SURROGATE = "holds half of a surrogate pair, which UTF-8 cannot encode; give bytes"
"""The reason for refusing a str that cannot be encoded as bytes."""


def whole_number(given: Any, what: str) -> int:
    """``given`` as an int, if it is an int or a float without a fraction."""
    if isinstance(given, float) and given.is_integer():
        return int(given)
    if not isinstance(given, bool):
        try:
            return operator.index(given)
        except TypeError:
            pass
    raise ValueError(f"{given!r:.80} is no {what}")


GROUPED = "[1-9][0-9]{0,2}(?:,[0-9]{3}){1,6}"
"""Digits in groups of three, separated by commas, as reports print them."""


def count_of(given: Any) -> int:
    """A whole number, or its decimal digits, also in groups of three such as ``1,088``."""
    if isinstance(given, str) and re.fullmatch(GROUPED, given, re.ASCII):
        return int(given.replace(",", ""))
    return number_of(given)


def number_of(given: Any) -> int:
    """A whole number that is not a count, or its decimal digits."""
    if isinstance(given, str) and re.fullmatch("[0-9]{1,20}", given, re.ASCII):
        return int(given)
    return whole_number(given, "whole number")


def id_of(given: Any) -> int:
    """A user or group ID, or its decimal digits."""
    number = number_of(given)
    if not 0 <= number <= ID_MOST:
        raise ValueError(f"{number} is no user or group; they are 0 to {ID_MOST}")
    return number


MOST_SECONDS = 10**11
"""Some 3,000 years. A larger number must be milliseconds or nanoseconds given by mistake."""


def seconds_of(given: Any) -> int:
    """Seconds since 1970; fractions are rounded down. Nanoseconds are refused."""
    seconds = _seconds_of(given)
    if seconds > MOST_SECONDS:
        raise ValueError(
            f"{seconds} would be {seconds // 31_556_952:,} years; give seconds since 1970"
        )
    return seconds


def _seconds_of(given: Any) -> int:
    if isinstance(given, str) and re.fullmatch("-?[0-9]{1,20}", given, re.ASCII):
        return int(given)
    if isinstance(given, float) and math.isfinite(given):
        return math.floor(given)
    return whole_number(given, "number of seconds since 1970")


LEAST_FLOAT_NS = 10**14
"""A bit more than a day in nanoseconds. A smaller float is taken for a mistake: seconds and
milliseconds since 1970, such as ``time.time()`` returns, are floats of that size."""


def nanoseconds_of(given: Any) -> int:
    """Nanoseconds since 1970; fractions are rounded down. Refuses floats that look like seconds."""
    if isinstance(given, float) and math.isfinite(given):
        if 0 < abs(given) < LEAST_FLOAT_NS:
            raise ValueError(
                f"{given!r} nanoseconds would be only {abs(given) / 1e9:.3f} seconds from 1970; "
                f"give int(seconds * 10**9) for a time in seconds"
            )
        return math.floor(given)
    return whole_number(given, "number of nanoseconds since 1970")


def mode_of(given: Any) -> int:
    """Permission bits; a str is octal, as for chmod(1)."""
    if isinstance(given, str):
        if re.fullmatch("(0o?)?[0-7]{1,4}", given, re.ASCII):
            return int(given.removeprefix("0o"), 8)
        raise ValueError(f"{given!r} is not up to four octal digits, such as '755'")
    return whole_number(given, "number, such as 0o755")


def bytes_of(given: Any) -> bytes:
    """Bytes; a str is UTF-8, with the escapes of ``os.fsdecode``."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, str):
        try:
            return given.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ValueError(f"{given!r:.80} {UNPAIRED_SURROGATE}") from None
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    raise ValueError(f"{given!r:.80} is neither bytes nor str")


def buffer_of(given: Any) -> Any:
    """``given``, if it is bytes or another object with the buffer interface."""
    try:
        memoryview(given).release()
    except TypeError:
        raise ValueError(f"{given!r:.80} is neither bytes nor a buffer") from None
    return given


def writable_buffer_of(given: Any) -> Any:
    """``given``, if it is a buffer whose bytes can be changed."""
    with memoryview(buffer_of(given)) as view:
        if view.readonly:
            raise ValueError(f"{given!r:.80} cannot be changed; give a bytearray")
    return given


def bytes_in(given: Any) -> memoryview:
    """The memory of an object that :func:`buffer_of` accepts, as bytes whatever its items are."""
    view = memoryview(given)
    if not view.c_contiguous:
        raise ValueError(f"{given!r:.80} has gaps between its bytes")
    # An empty view cannot be cast.
    return view.cast("B") if view.nbytes else memoryview(b"")


def text_of(given: Any) -> str:
    """``given``, if it is a str that can be encoded as bytes."""
    if not isinstance(given, str):
        raise ValueError(f"{given!r:.80} is no str")
    bytes_of(given)
    return given


def path_of(given: Any) -> Any:
    """``given``, if it is a path of the host: a str, bytes or an object with ``__fspath__``."""
    problem = path_problem(given)
    if problem is not None:
        raise ValueError(f"{given!r:.80} {problem}")
    return given


def path_problem(given: Any) -> str | None:
    """Why ``given`` is not a path of the host; None if it is one."""
    raw = given.__fspath__() if hasattr(type(given), "__fspath__") else given
    if not isinstance(raw, str | bytes):
        return "is no path"
    try:
        return "holds a NUL byte, which no path can" if b"\0" in bytes_of(raw) else None
    except ValueError:
        return UNPAIRED_SURROGATE


def flag(given: Any) -> bool:
    """True or False; other values are refused, even those that count as true or false."""
    if isinstance(given, bool):
        return given
    raise ValueError(f"{given!r:.80} is neither True nor False")
