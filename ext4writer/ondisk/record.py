"""Record: one fixed-size on-disk structure, declared once with the types of construct.

Everything else is derived from the declaration: the struct format, field offsets, packers, parsing,
the parts of a number that is stored in two fields, and docs/format.md. This happens on first use,
which keeps importing a declaration cheap.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast

from ..bits import ones
from ..errors import RecordError
from ..late_dataclasses import NamedTuple
from .declaration import Array, Bytes, Named, Number, Padding, Struct, Word

Value: TypeAlias = "int | bytes | Sequence[int]"
ReadBuffer: TypeAlias = "bytes | bytearray | memoryview"
WriteBuffer: TypeAlias = "bytearray | memoryview"
Column: TypeAlias = "array[int] | memoryview"

Unit: TypeAlias = Literal[
    "",  # a plain number, or plain bytes
    "count",
    "block",  # the number of a block in the file system
    "file block",  # the number of a block in a file, a directory or the journal
    "blocks",
    "clusters",
    "bytes",
    "KiB",
    "sectors",  # of 512 bytes
    "offset",  # in bytes; the text states the base
    "log2",
    "percent",
    "seconds",  # a duration
    "time",  # seconds since 1970
    "time extra",  # two more bits of seconds, and nanoseconds
    "inode",
    "inodes",
    "group",
    "groups",
    "entries",
    "user",
    "group id",
    "project",
    "mode",
    "flags",
    "features",
    "code",  # one of the values that have names
    "magic",
    "hash",
    "checksum",
    "uuid",
    "text",  # ends at the first zero byte
    "reserved",
]
"""What a field counts or identifies."""

_NO_NAMES: Mapping[int, str] = MappingProxyType({})


class Meaning(NamedTuple):
    """The meaning of a field; its offset and type are in :class:`Field`.

    It does not affect how the field is packed.
    """

    text: str = ""
    """A description in one line."""
    unit: Unit = ""
    high: str = ""
    """The field with the upper bits of this one, if the structure is large enough to have it."""
    whole: str = ""
    """The name of the number in both fields; by default the field's own name without ``_lo``."""
    when: str = ""
    """The condition for the field to exist: a feature, any of ``a|b``, or a size or version."""
    zero: str = ""
    """Why this library's images have 0 here."""
    writes: str = ""
    """What this library's images have here, unless the text states it."""
    names: Mapping[int, str] = _NO_NAMES
    """The names of values (``code``) or bits (``flags``)."""
    limits: tuple[int, int] | None = None
    """The least and the greatest value that the kernel accepts, if they are always the same."""


def field(
    name: str,
    word: Word,
    text: str,
    unit: Unit = "",
    *,
    high: str = "",
    whole: str = "",
    when: str = "",
    zero: str = "",
    writes: str = "",
    names: Mapping[int, str] = _NO_NAMES,
    limits: tuple[int, int] | None = None,
) -> Named:
    """Return a field of a declaration: the type ``word`` with a name and a meaning."""
    meaning = Meaning(text, unit, high, whole, when, zero, writes, names, limits)
    return Named(name, word, meaning)


class Field(NamedTuple):
    """The layout of one field. ``offset`` and ``size`` are in bytes.

    ``format`` is the struct letter of one item, and ``count`` the number of items.
    """

    name: str
    offset: int
    size: int
    format: str
    count: int  # type: ignore[assignment]  # hides tuple.count on purpose

    @property
    def is_bytes(self) -> bool:
        """True for a byte array, whose value is one ``bytes`` object."""
        return self.format.endswith("s")

    @property
    def is_array(self) -> bool:
        """True for an array of integers, whose value is a sequence."""
        return self.count > 1


class _Layout:
    """The parts of a record that are derived from its declaration."""

    def __init__(self, record: str, declared: Struct, size: int) -> None:
        fields: dict[str, Field] = {}
        meanings: dict[str, Meaning] = {}
        orders: set[str] = set()
        offset = 0
        for subcon in declared.subcons:
            name, word, meaning = None, subcon, Meaning()
            if isinstance(subcon, Named):
                name, word, meaning = subcon.name, subcon.word, subcon.meaning
            if isinstance(word, Padding):
                offset += word.length
                continue
            if name is None or name in fields:
                raise ValueError(f"{record}: the field at offset {offset} has no unique name")
            letter, width, count = _item(word, orders)
            fields[name] = Field(name, offset, width * count, letter, count)
            meanings[name] = meaning
            offset += width * count
        if offset != size or len(orders) > 1:
            raise ValueError(f"{record}: {offset} bytes declared, {size} expected; order {orders}")
        self.size = size
        self.order = orders.pop() if orders else "<"
        self.fields = fields
        self.meanings = meanings
        self.wholes = _wholes(meanings)
        self.split = {
            whole: _Split(parts[0], parts[1] if len(parts) > 1 else "", low, ones(low))
            for whole, parts in self.wholes.items()
            if parts != (whole,)
            for low in (8 * fields[parts[0]].size,)
        }
        """The numbers that are stored in two fields, or in a field of another name."""
        self.slots = {name: number for number, name in enumerate(fields)}
        self.items: dict[str, struct.Struct] = {
            name: struct.Struct(
                self.order + (field.format if field.count == 1 else f"{field.count}{field.format}")
            )
            for name, field in fields.items()
        }
        # A byte array or an integer array is one "Ns" slot; its value is encoded before packing.
        self.composite = frozenset(n for n, f in fields.items() if f.is_bytes or f.is_array)
        self.defaults: list[Any] = [
            bytes(field.size) if name in self.composite else 0 for name, field in fields.items()
        ]
        self.struct = struct.Struct(self.format(list(fields)))

    def format(self, names: Sequence[str]) -> str:
        """Return the struct format of the structure, with pad bytes for all but ``names``."""
        parts = [self.order]
        end = 0
        for name in names:
            field = self.fields[name]
            if field.offset < end:
                raise ValueError(f"{name} is not in offset order, or given twice")
            if field.offset > end:
                parts.append(f"{field.offset - end}x")
            parts.append(f"{field.size}s" if name in self.composite else field.format)
            end = field.offset + field.size
        if end < self.size:
            parts.append(f"{self.size - end}x")
        return "".join(parts)


class _Split(NamedTuple):
    """The fields of a number: one for its lowest ``bits`` bits, and one for the others, if any."""

    low: str
    high: str
    """Empty if all bits are in one field."""
    bits: int
    mask: int


def _wholes(meanings: Mapping[str, Meaning]) -> dict[str, tuple[str, ...]]:
    """Name of a number -> its fields, the lowest part first."""
    higher = {meaning.high for meaning in meanings.values() if meaning.high in meanings}
    wholes: dict[str, tuple[str, ...]] = {}
    for name, meaning in meanings.items():
        if name not in higher:
            parts = (name, meaning.high) if meaning.high in meanings else (name,)
            wholes[meaning.whole or name.removesuffix("_lo")] = parts
    return wholes


FEW_ROWS = 6
"""Columns with at most this many numbers are written one number at a time."""

_RowWriter: TypeAlias = tuple[int, list[tuple[Callable[..., None], int, int, int]]]

HOST_IS_BIG_ENDIAN = array("H", [1]).tobytes()[0] == 0


def _little_endian(column: Column) -> memoryview:
    """The bytes of a column in little-endian order."""
    if HOST_IS_BIG_ENDIAN:
        swapped = array(memoryview(column).format, column)
        swapped.byteswap()
        column = swapped
    return memoryview(column).cast("B")


def _item(word: Word, orders: set[str]) -> tuple[str, int, int]:
    """Return (letter, width, count) of a type, and add its byte order to ``orders``."""
    if isinstance(word, Bytes):
        return f"{word.length}s", word.length, 1
    if isinstance(word, Array):
        letter, width, _ = _item(word.item, orders)
        return letter, width, word.count
    if isinstance(word, Number):
        if word.width > 1:
            orders.add(word.order)
        return word.letter, word.width, 1
    raise ValueError(f"a record cannot hold {word!r}")


class Record:
    """One fixed-size structure of the format, with the kernel's field names."""

    def __init__(self, name: str, declared: Struct, *, size: int, doc: str = "") -> None:
        self.name = name
        self.declared = declared
        self.size = size
        self.doc = doc

    def __repr__(self) -> str:
        return f"<Record {self.name}, {self.size} bytes>"

    @cached_property
    def _layout(self) -> _Layout:
        return _Layout(self.name, self.declared, self.size)

    @cached_property
    def declaration(self) -> Any:
        """The declaration as a Struct of construct, which this loads."""
        return self.declared.made()

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """All named fields in offset order, without padding."""
        return MappingProxyType(self._layout.fields)

    @cached_property
    def meanings(self) -> Mapping[str, Meaning]:
        """The meaning of each field, in the order of :attr:`fields`."""
        return MappingProxyType(self._layout.meanings)

    @cached_property
    def wholes(self) -> Mapping[str, tuple[str, ...]]:
        """Each number -> the fields that hold it, lowest part first; most numbers have one."""
        return MappingProxyType(self._layout.wholes)

    def offset(self, field: str) -> int:
        """Return the byte offset of ``field`` inside the structure."""
        return self._field(field).offset

    def parts(self, whole: str) -> tuple[str, ...]:
        """Return the fields of a number, lowest part first; ``i_size`` has two that are apart."""
        try:
            return self._layout.wholes[whole]
        except KeyError:
            raise self._error(whole, "no such number") from None

    def split(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return ``values`` with each number of two parts replaced by its parts."""
        result: dict[str, Value] = {}
        split = self._layout.split
        for name, value in values.items():
            if name not in split:
                result[name] = value
                continue
            low, high, bits, mask = split[name]
            if not high or not isinstance(value, int):
                result[low] = value
                continue
            result[low], result[high] = value & mask, value >> bits
        return result

    def join(
        self, values: Mapping[str, int | bytes | list[int]]
    ) -> dict[str, int | bytes | list[int]]:
        """Return a result of :meth:`parse` with the parts of each number joined."""
        result: dict[str, int | bytes | list[int]] = {}
        for whole, parts in self._layout.wholes.items():
            value = values[parts[0]]
            if len(parts) > 1:
                high = cast(int, values[parts[1]])
                value = cast(int, value) | high << 8 * self._layout.fields[parts[0]].size
            result[whole] = value
        return result

    def number(self, buffer: ReadBuffer, offset: int, whole: str) -> int:
        """Return one number, joined from its parts, of a structure at ``offset`` of ``buffer``."""
        value, shift = 0, 0
        for part in self.parts(whole):
            value |= cast(int, self.get(buffer, offset, part)) << shift
            shift += 8 * self._layout.fields[part].size
        return value

    def putter(self, whole: str) -> Callable[[WriteBuffer, int, int], None]:
        """Return a fast :meth:`put` for one number of two parts.

        The function raises ``struct.error`` for a number that is too large.
        """
        low, high = self.parts(whole)
        items, fields = self._layout.items, self._layout.fields
        put_low, low_at = items[low].pack_into, fields[low].offset
        put_high, high_at = items[high].pack_into, fields[high].offset
        bits = 8 * fields[low].size
        mask = ones(bits)

        def put(buffer: WriteBuffer, offset: int, number: int) -> None:
            put_low(buffer, offset + low_at, number & mask)
            put_high(buffer, offset + high_at, number >> bits)

        return put

    def put(self, buffer: WriteBuffer, offset: int, whole: str, number: int) -> None:
        """Write one number into all its parts; bits that no part can hold are dropped."""
        for part in self.parts(whole):
            bits = 8 * self._layout.fields[part].size
            self.set(buffer, offset, part, number & ones(bits))
            number >>= bits

    def pack(self, values: Mapping[str, Value]) -> bytes:
        """Return the packed structure; fields not given are zero.

        Raises :class:`RecordError` for an unknown field or a value that does not fit.
        """
        layout = self._layout
        slots, composite = layout.slots, layout.composite
        arguments = layout.defaults.copy()
        for name, value in values.items():
            try:
                slot = slots[name]
            except KeyError:
                raise self._error(name, "no such field") from None
            arguments[slot] = self._encode(name, value) if name in composite else value
        try:
            return layout.struct.pack(*arguments)
        except (struct.error, TypeError):
            for name, value in values.items():
                self._encode(name, value)
            raise

    def pack_into(self, buffer: WriteBuffer, offset: int, values: Mapping[str, Value]) -> None:
        """Write the packed structure at ``offset`` of ``buffer``."""
        self._check_room(buffer, offset)
        buffer[offset : offset + self.size] = self.pack(values)

    def packer(self, *fields: str, trailing: int = 0) -> Callable[..., bytes]:
        """Return a fast function that packs the named fields, given by position.

        With ``trailing``, one more value follows the structure, padded to that size with zeros.

        The names must be in offset order, else ``ValueError`` is raised. All other bytes are zero.
        Byte arrays and integer arrays are given as the bytes of the entire array; their length is
        NOT checked, and a value out of range raises ``struct.error``. The last name may be that of
        a number whose two parts are adjacent.
        """
        tail = f"{trailing}s" if trailing else ""
        last = fields[-1] if fields else ""
        if last in self._layout.fields or last not in self._layout.wholes or trailing:
            return self._struct_of(fields, tail).pack
        parts = sorted(self.parts(last), key=self.offset)
        pack = self._struct_of([*fields[:-1], *parts]).pack
        low = self.parts(last)[0]
        bits = 8 * self._layout.fields[low].size
        mask = ones(bits)
        if parts[0] == low:
            return lambda *values: pack(*values[:-1], values[-1] & mask, values[-1] >> bits)
        return lambda *values: pack(*values[:-1], values[-1] >> bits, values[-1] & mask)

    def unpacker(self, *fields: str) -> Callable[[ReadBuffer, int], tuple[Any, ...]]:
        """Return a fast function of (buffer, offset) that returns the named fields as a tuple.

        The names must be in offset order, else ``ValueError`` is raised. Integer arrays are
        returned as bytes. A structure that extends past the buffer raises ``struct.error``.
        """
        return self._struct_of(fields).unpack_from

    def packer_into(self, *fields: str) -> Callable[..., None]:
        """Return a fast function of (buffer, offset, values...) that writes the named fields.

        The values are as for :meth:`packer`. It writes the entire structure; bytes of other fields
        become zero.
        """
        return self._struct_of(fields).pack_into

    def _struct_of(self, fields: Sequence[str], tail: str = "") -> struct.Struct:
        for name in fields:
            self._field(name)
        return struct.Struct(self._layout.format(fields) + tail)

    def pack_columns(
        self, count: int, columns: Mapping[tuple[str, ...], Column], stride: int | None = None
    ) -> bytearray:
        """Return ``count`` packed structures, one every ``stride`` bytes; all other bytes are zero.

        By default the structures are adjacent. Each column holds one number for every structure.
        Its key lists the integer fields that store the number: one, or several with the lowest part
        first. High bits that do not fit the fields are dropped.
        """
        stride = stride or self.size
        table = bytearray(count * stride)
        for names, column in columns.items():
            if len(column) != count:
                raise self._error(names[0], f"{count} values expected, {len(column)} given")
            if count:
                self.write_column(table, 0, stride, names, column)
        return table

    def write_column(
        self,
        buffer: WriteBuffer,
        offset: int,
        stride: int,
        names: tuple[str, ...],
        column: Column,
    ) -> None:
        """Write one column as :meth:`pack_columns` does, into existing structures.

        The first structure is at byte ``offset`` of ``buffer``, and the others follow every
        ``stride`` bytes. Only the named fields change.
        """
        count = len(column)
        if count <= FEW_ROWS:
            # Preparing strided copies costs more than writing a few rows.
            bits, parts = self._row_writers.get(names) or self._row_writer(names)
            if bits <= 8 * column.itemsize:
                for put, place, shift, mask in parts:
                    at = offset + place
                    for number in column:
                        put(buffer, at, number >> shift & mask)
                        at += stride
                return
        raw, width = _little_endian(column), memoryview(column).itemsize
        byte = 0
        with memoryview(buffer).cast("B") as table:
            for name in names:
                field = self._field(name)
                size, letter = field.size, cast("Literal['B', 'H', 'I', 'Q']", field.format)
                start, end = offset + field.offset, offset + field.offset + (count - 1) * stride
                if (
                    self._layout.order == "<"
                    and size <= width - byte
                    and not (start % size or stride % size or len(table) % size or byte % size)
                ):
                    # Copy entire fields: both sides hold little-endian bytes, and a copy between
                    # equal casts swaps none of them.
                    with table.cast(letter) as wide, raw.cast(letter) as values:
                        first, step = start // size, stride // size
                        wide[first : end // size + 1 : step] = values[byte // size :: width // size]
                    byte += size
                    continue
                for place in range(min(size, width - byte)):
                    at = place if self._layout.order == "<" else size - 1 - place
                    table[start + at : end + at + 1 : stride] = raw[byte::width]
                    byte += 1

    @cached_property
    def _row_writers(self) -> dict[tuple[str, ...], _RowWriter]:
        return {}

    def _row_writer(self, names: tuple[str, ...]) -> _RowWriter:
        """Return the total bits of ``names``, and for each (function, offset, shift, mask)."""
        fields = [self._field(name) for name in names]
        parts, bits = [], 0
        for field in fields:
            width = 8 * field.size
            pack_into = self._layout.items[field.name].pack_into
            parts.append((pack_into, field.offset, bits, ones(width)))
            bits += width
        made = self._row_writers[names] = bits, parts
        return made

    def parse(self, buffer: ReadBuffer, offset: int = 0) -> dict[str, int | bytes | list[int]]:
        """Return all fields of the structure at byte ``offset`` of ``buffer``."""
        self._check_room(buffer, offset)
        layout = self._layout
        result = dict(zip(layout.fields, layout.struct.unpack_from(buffer, offset), strict=True))
        for name in layout.composite:
            if layout.fields[name].is_array:
                result[name] = list(layout.items[name].unpack(result[name]))
        return result

    def get(self, buffer: ReadBuffer, offset: int, field: str) -> int | bytes | list[int]:
        """Return one field of the packed structure at ``offset`` of ``buffer``."""
        row = self._field(field)
        self._check_room(buffer, offset)
        items = self._layout.items[field].unpack_from(buffer, offset + row.offset)
        value: int | bytes | list[int] = list(items) if row.is_array else items[0]
        return value

    def set(self, buffer: WriteBuffer, offset: int, field: str, value: Value) -> None:
        """Change one field of the packed structure at ``offset`` of ``buffer``."""
        row = self._field(field)
        self._check_room(buffer, offset)
        start = offset + row.offset
        buffer[start : start + row.size] = self._encode(field, value)

    def build(self, values: Mapping[str, Value]) -> bytes:
        """Return the packed structure as construct builds it: the slow reference."""
        complete: dict[str, Any] = {}
        for name, row in self.fields.items():
            zero: Value = bytes(row.size) if row.is_bytes else [0] * row.count
            complete[name] = zero if row.is_bytes or row.is_array else 0
        for name, value in values.items():
            self._encode(name, value)
            complete[name] = value
        built: bytes = self.declaration.build(complete)
        return built

    def _field(self, name: str) -> Field:
        try:
            return self._layout.fields[name]
        except KeyError:
            raise self._error(name, "no such field") from None

    def _encode(self, name: str, value: Any) -> bytes:
        """Return the bytes of one field, or raise RecordError."""
        row = self._field(name)
        try:
            if row.is_bytes:
                raw = bytes(memoryview(value))
                if len(raw) != row.size:
                    raise self._error(name, f"{row.size} bytes expected, {len(raw)} given")
                return raw
            items = self._layout.items[name]
            if not row.is_array:
                return items.pack(value)
            if len(value) != row.count:
                raise self._error(name, f"{row.count} values expected, {len(value)} given")
            return items.pack(*value)
        except (struct.error, TypeError) as problem:
            raise self._error(name, f"{value!r} does not fit: {problem}") from None

    def _check_room(self, buffer: ReadBuffer, offset: int) -> None:
        if offset < 0 or offset + self.size > len(buffer):
            raise self._error(
                "*",
                f"{self.size} bytes at offset {offset} do not fit a buffer of {len(buffer)} bytes",
            )

    def _error(self, field: str, problem: str) -> RecordError:
        return RecordError(self.name, field, problem)
