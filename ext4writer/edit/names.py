"""Numbers of users and groups from files such as passwd(5) and group(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..bits import MASK_32

_BLANKS = b" \t\n\v\f\r"
_INTEGER = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)(?=:|$)")


def read_names(text: bytes, *, has_group: bool = False) -> dict[bytes, int]:
    """Map the first field of each line of ``text`` to its third, a 32-bit number.

    Lines are parsed as glibc parses group(5), or with ``has_group`` passwd(5), where the number of
    a group must follow. Comments and malformed lines are skipped. In NIS lines, with names that
    begin with ``+`` or ``-``, an omitted number is 0. The first of several lines with one name
    counts. The numbers may include 4294967295, which is not a valid user.

    Sources: glibc nss/nss_files/files-parse.c, pwd/fgetpwent_r.c, grp/fgetgrent_r.c.
    """
    numbers: dict[bytes, int] = {}
    for name, number in _entries(text, 2 if has_group else 1):
        numbers.setdefault(name, number)
    return numbers


def _entries(text: bytes, count: int) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the first of ``count`` numbers of each line that has them."""
    for raw in text.split(b"\n"):
        line = raw.partition(b"\0")[0].lstrip(_BLANKS)
        if not line or line.startswith(b"#"):
            continue
        name, _, rest = line.partition(b":")
        is_of_nis = name.startswith((b"+", b"-"))
        if is_of_nis and not rest:
            yield name, 0
            continue
        rest = rest.partition(b":")[2]  # the password
        found = []
        for _ in range(count):
            number = _integer(rest)
            if number is None and is_of_nis and rest.startswith(b":"):
                number = 0
            if number is None:
                break
            found.append(number)
            rest = rest.partition(b":")[2]
        else:
            yield name, found[0]


def _integer(field: bytes) -> int | None:
    """The value of ``field`` as parsed by strtoul(3), at most 32 bits; None if that fails."""
    matched = _INTEGER.match(field)
    if matched is None:
        return None
    digits = matched[2].lstrip(b"0")
    if not digits:
        return 0
    if matched[1] == b"-" or len(digits) > 10 or int(digits) > MASK_32:
        return None
    return int(digits)
