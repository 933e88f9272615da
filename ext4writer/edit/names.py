"""Numbers of users and groups from files such as passwd(5) and group(5)."""

from __future__ import annotations

from ..arguments import ID_MOST
from ..errors import SourceError


def read_names(text: bytes, name: str | bytes) -> dict[bytes, int]:
    """Map the first field of each line of ``text`` to its third, a number.

    Both passwd(5) and group(5) are of that form. The first of two lines with one name counts, as
    in the C library. :class:`SourceError` with ``name`` and the line for one that is not so.
    """
    numbers: dict[bytes, int] = {}
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        fields = line.split(b":")
        if len(fields) < 3 or not fields[2].isdigit() or int(fields[2][:11]) > ID_MOST:
            raise SourceError(name, f"line {number}: it is not NAME:PASSWORD:NUMBER:...")
        numbers.setdefault(fields[0], int(fields[2]))
    return numbers
