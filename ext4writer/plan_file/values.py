"""Converts values to JSON and columns of bytes.

Numbers, texts and None are represented by themselves in JSON, everything else by an object with one
key, its tag. Bytes, arrays and long lists of bytes or numbers are stored in a separate block, and
the JSON contains their places in it. So a hundred thousand entries need only a few objects.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any
from uuid import UUID

Json = Any

LEAST_PACKED = 8
"""The minimum number of values in a column."""

CODES = {code: array(code).itemsize for code in "BHIQbhiq"}
"""Type code of a column -> bytes of a value; the sizes are the same on every host."""


Classes = Mapping[type, tuple[str, Callable[[Any], Sequence[Any]]]]


class UnsavableError(Exception):
    """A value that is valid only in this process, with the reason."""


class Packer:
    """Converts values to JSON, and collects the block of bytes that belongs to it.

    ``classes`` maps a class to its name and a function that returns the values of an object's
    fields. Objects of ``shared`` classes are stored once; values refer to them.
    """

    def __init__(self, classes: Classes, shared: Classes) -> None:
        self.block = bytearray()
        self.objects: list[Json] = []
        """The shared objects, each after those to which it refers itself."""
        self._classes = classes
        self._shared = shared
        self._numbers: dict[object, int] = {}

    def value(self, value: Any) -> Json:
        """Return ``value`` as JSON; raise :class:`UnsavableError` if that is impossible."""
        if value is None or type(value) in (bool, int, str, float):
            return value
        known = self._classes.get(type(value))
        if known is not None:
            name, fields = known
            return {name: [self.value(field) for field in fields(value)]}
        if type(value) in self._shared:
            return {"ref": self.number_of(value)}
        packer = _PACKERS.get(type(value))
        if packer is not None:
            return packer(self, value)
        if isinstance(value, Enum):
            return self.value(value.value)
        raise UnsavableError(f"{type(value).__name__} objects exist only in this process")

    def number_of(self, value: Any) -> int:
        """Return the number of a shared object; store it if it is new."""
        number = self._numbers.get(value)
        if number is None:
            name, fields = self._shared[type(value)]
            made = {name: [self.value(field) for field in fields(value)]}
            number = self._numbers[value] = len(self.objects)
            self.objects.append(made)
        return number

    def values(self, values: list[Any]) -> Json:
        """Return a list as JSON; a column if all values are bytes, integers or shared objects."""
        kinds = set(map(type, values)) if len(values) >= LEAST_PACKED else set()
        if kinds == {bytes}:
            return {"texts": [self.column(map(len, values)), self.add(b"".join(values))]}
        if kinds == {int}:
            return {"ints": self.column(values)}
        if len(kinds) == 1 and kinds <= self._shared.keys():
            return {"refs": self.column(map(self.number_of, values))}
        return {"list": [self.value(value) for value in values]}

    def add(self, data: bytes | bytearray | memoryview) -> Json:
        """Append ``data`` to the block; return its place, [start, length] in bytes."""
        start = len(self.block)
        self.block += data
        return [start, len(data)]

    def column(self, values: Iterable[int]) -> Json:
        """Return integers of any size as JSON; a column if they fit into 64 bits."""
        numbers = values if isinstance(values, array) else list(values)
        if len(numbers) < LEAST_PACKED and not isinstance(numbers, array):
            return {"list": [self.value(value) for value in numbers]}
        if not isinstance(numbers, array):
            if not set(map(type, numbers)) <= {int}:
                return {"list": [self.value(value) for value in numbers]}
            low, high = min(numbers), max(numbers)
            fits = [code for code, size in CODES.items() if _fits(code, size, low, high)]
            if not fits:
                return {"list": numbers}
            numbers = array(fits[0], numbers)
        return {"array": [*self._array(numbers)]}

    def _array(self, values: array[Any]) -> tuple[str, Json]:
        code: str = values.typecode
        if CODES.get(code) != values.itemsize:
            signed = code.islower()
            [code] = [
                one
                for one, size in CODES.items()
                if size == values.itemsize and one.islower() == signed
            ]
        if sys.byteorder == "big":
            values = values[:]
            values.byteswap()
        return code, self.add(values.tobytes())


def _fits(code: str, size: int, low: int, high: int) -> bool:
    bits = 8 * size
    if code.islower():
        return -(1 << bits - 1) <= low and high < 1 << bits - 1
    return low >= 0 and high < 1 << bits


def _pack_mapping(packer: Packer, values: Mapping[Any, Any]) -> Json:
    return {"dict": [packer.value(list(values)), packer.value(list(values.values()))]}


_PACKERS: dict[type, Callable[[Packer, Any], Json]] = {
    bytes: lambda packer, value: {"bytes": packer.add(value)},
    bytearray: lambda packer, value: {"bytearray": packer.add(value)},
    array: lambda packer, value: packer.column(value),
    list: lambda packer, value: packer.values(value),
    tuple: lambda packer, value: {"tuple": packer.value(list(value))},
    range: lambda _packer, value: {"range": [value.start, value.stop, value.step]},
    dict: _pack_mapping,
    MappingProxyType: _pack_mapping,
    UUID: lambda _packer, value: {"uuid": value.hex},
}


class Unpacker:
    """Converts JSON back to values; ``classes`` maps a name to a function of the fields' values.

    Raises ``ValueError``, ``TypeError``, ``LookupError`` or ``OverflowError`` for data that no
    :class:`Packer` created.
    """

    def __init__(
        self, block: memoryview, objects: list[Json], classes: Mapping[str, Callable[..., Any]]
    ) -> None:
        self._block = block
        self._classes = classes
        self._objects: list[Any] = []
        for made in objects:
            self._objects.append(self.value(made))

    def value(self, packed: Json) -> Any:
        """Return the value that ``packed`` represents."""
        if packed is None or type(packed) in (bool, int, str, float):
            return packed
        [(tag, stored)] = packed.items()
        unpacker = _UNPACKERS.get(tag)
        if unpacker is not None:
            return unpacker(self, stored)
        return self._classes[tag](*[self.value(field) for field in stored])

    def object(self, number: int) -> Any:
        """Return the shared object with this number."""
        if number < 0:
            raise LookupError("a reference is negative")
        return self._objects[number]

    def at(self, place: Json) -> memoryview:
        """Return the bytes at a place in the block, [start, length] in bytes."""
        start, length = place
        if not 0 <= start <= start + length <= len(self._block):
            raise ValueError(f"{length} bytes at {start} are outside of the block")
        return self._block[start : start + length]

    def column(self, stored: Json) -> array[Any]:
        """Return a column as an array."""
        code, place = stored
        if code not in CODES:
            raise ValueError(f"{code!r} is not a type code of a column")
        values = array(code)
        values.frombytes(self.at(place))
        if sys.byteorder == "big":
            values.byteswap()
        return values

    def texts(self, stored: Json) -> list[bytes]:
        """Return a list of byte strings."""
        lengths = list(self.value(stored[0]))
        joined = bytes(self.at(stored[1]))
        if min(lengths, default=0) < 0 or sum(lengths) != len(joined):
            raise ValueError("the lengths of byte strings are wrong")
        ends = accumulate(lengths, initial=0)
        return [joined[low:high] for low, high in pairwise(ends)]


_UNPACKERS: dict[str, Callable[[Unpacker, Json], Any]] = {
    "bytes": lambda unpacker, stored: bytes(unpacker.at(stored)),
    "bytearray": lambda unpacker, stored: bytearray(unpacker.at(stored)),
    "array": lambda unpacker, stored: unpacker.column(stored),
    "list": lambda unpacker, stored: [unpacker.value(value) for value in stored],
    "ints": lambda unpacker, stored: list(unpacker.value(stored)),
    "texts": lambda unpacker, stored: unpacker.texts(stored),
    "tuple": lambda unpacker, stored: tuple(unpacker.value(stored)),
    "range": lambda _unpacker, stored: range(*stored),
    "dict": lambda unpacker, stored: dict(zip(*map(unpacker.value, stored), strict=True)),
    "uuid": lambda _unpacker, stored: UUID(hex=stored),
    "ref": lambda unpacker, stored: unpacker.object(stored),
    "refs": lambda unpacker, stored: list(map(unpacker.object, unpacker.value(stored))),
}
