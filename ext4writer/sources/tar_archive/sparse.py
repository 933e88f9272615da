"""Sparse maps: GNU's old form, and its three forms in PAX headers.

GNU tar manual, "Storing Sparse Files" and "Old GNU Format"; tar/sparse.c names the records.
A map is a flat list of the offset and the length of each data segment, in bytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping

from .header import BLOCK, FieldError, number

SIZE_MAX = (1 << 63) - 1
NO_SIZE = "has a map of holes and no size"


def checked_map(pairs: Iterable[int], size: int, data_bytes: int) -> array[int]:
    """``pairs`` without empty segments.

    Raises :class:`FieldError` if a segment begins before the end of the previous one or ends after
    ``size``, or if the lengths do not add up to ``data_bytes``.
    """
    segments = array("Q")
    end = total = 0
    numbers = iter(pairs)
    for start in numbers:
        length = next(numbers, None)
        if length is None:
            raise FieldError("its map of holes ends in the middle of a pair")
        if length < 0 or start < end or start + length > size:
            raise FieldError(
                f"its map of holes has {length} bytes at {start}, out of order or past its size"
            )
        if length:
            segments.append(start)
            segments.append(length)
        end = start + length
        total += length
    if total != data_bytes:
        raise FieldError(f"its map of holes has {total} bytes of data; {data_bytes} are there")
    return segments


def old_gnu_map(header: bytes, read_block: Callable[[], bytes]) -> tuple[int, list[int]]:
    """Size in bytes and map of a member of type ``S``; ``read_block`` reads each extension block.

    Raises :class:`FieldError`.
    """
    pairs = list(_old_pairs(header, 386, 4))
    more = header[482]
    while more:
        block = read_block()
        pairs += _old_pairs(block, 0, 21)
        more = block[504]
    return number(header[483:495], "size"), pairs


def _old_pairs(block: bytes, start: int, count: int) -> Iterator[int]:
    for position in range(start, start + 24 * count, 24):
        field = block[position : position + 24]
        if not field.strip(b"\0 "):
            return
        yield number(field[:12], "map of holes")
        yield number(field[12:], "map of holes")


def real_size(records: Mapping[bytes, bytes]) -> int | None:
    """The size in bytes of a sparse file according to ``records``; None for other files.

    An empty value deletes a record (POSIX.1-2017, pax). Raises :class:`FieldError` for a map
    without a size, since the archived bytes are then not the file's content.
    """
    value = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
    if value:
        return decimal(value)
    if records.get(b"GNU.sparse.map") or records.get(b"GNU.sparse.major") not in (None, b"", b"0"):
        raise FieldError(NO_SIZE)
    return None


def listed_map(value: bytes) -> list[int]:
    """The map in a ``GNU.sparse.map`` record: decimal numbers separated by commas."""
    return [decimal(one) for one in value.split(b",")] if value else []


def leading_map(read: Callable[[], bytes]) -> tuple[list[int], int]:
    """The map before the data in form 1.0, and its size in bytes.

    ``read`` reads the next block. Raises :class:`FieldError`.
    """
    taken = BLOCK
    text = read()
    lines: list[bytes] = []
    rest = b""
    count: int | None = None
    while True:
        *found, rest = (rest + text).split(b"\n")
        lines += found
        if count is None and lines:
            count = 1 + 2 * decimal(lines[0])
        if count is not None and len(lines) >= count:
            return [decimal(line) for line in lines[1:count]], taken
        if len(rest) > BLOCK:
            raise FieldError("its map of holes is malformed")
        text = read()
        taken += BLOCK


def decimal(value: bytes) -> int:
    """The value of a number in a map; raises :class:`FieldError` if it is malformed."""
    if not value.isdigit() or len(value) > 19:
        raise FieldError(f"its map of holes has {value[:40]!r} instead of a number")
    return int(value)
