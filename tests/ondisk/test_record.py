"""Record: the derived packer equals construct, and invalid values are refused."""

from __future__ import annotations

import importlib
import pkgutil
import struct
from array import array
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import ondisk
from ext4writer.errors import RecordError
from ext4writer.ondisk.declaration import Int8ub, Int16ub, Int16ul, Int32ub, Padding, Struct
from ext4writer.ondisk.dirent import DIR_ENTRY_2
from ext4writer.ondisk.extent import EXTENT, EXTENT_IDX
from ext4writer.ondisk.features import feature
from ext4writer.ondisk.group_desc import GROUP_DESC, GROUP_DESC_32
from ext4writer.ondisk.inode import INODE, INODE_128
from ext4writer.ondisk.journal import JOURNAL_SUPERBLOCK
from ext4writer.ondisk.record import Field, Record, field
from ext4writer.ondisk.superblock import SUPERBLOCK

from ..makers import docs_update
from .catalogue import RECORDS


def _value(field: Field) -> st.SearchStrategy[Any]:
    if field.is_bytes:
        return st.binary(min_size=field.size, max_size=field.size)
    bits = 8 * field.size // field.count
    number = st.integers(0, 2**bits - 1)
    if field.is_array:
        return st.lists(number, min_size=field.count, max_size=field.count)
    return number


def _values(record: Record) -> st.SearchStrategy[dict[str, Any]]:
    optional = {name: _value(field) for name, field in record.fields.items()}
    return st.fixed_dictionaries({}, optional=optional)


RECORD_AND_VALUES = st.sampled_from(sorted(RECORDS)).flatmap(
    lambda name: st.tuples(st.just(RECORDS[name]), _values(RECORDS[name]))
)


def test_all_modules_were_searched() -> None:
    assert len(RECORDS) == 45
    for info in pkgutil.iter_modules(ondisk.__path__):
        assert importlib.import_module(f"{ondisk.__name__}.{info.name}").__doc__


@settings(deadline=None)
@given(RECORD_AND_VALUES)
def test_pack_equals_construct_and_parse_inverts_it(case: tuple[Record, dict[str, Any]]) -> None:
    record, values = case
    packed = record.pack(values)
    assert packed == record.build(values)
    parsed = record.parse(packed)
    assert values.items() <= parsed.items()
    assert list(parsed) == list(record.fields)
    assert record.pack(parsed) == packed
    reference = dict(record.declaration.parse(packed))
    reference.pop("_io", None)
    assert parsed == reference


@settings(deadline=None)
@given(RECORD_AND_VALUES, st.integers(0, 9))
def test_one_field_at_a_time(case: tuple[Record, dict[str, Any]], offset: int) -> None:
    record, values = case
    buffer = bytearray(b"\xaa" * offset + bytes(record.size) + b"\xaa" * 3)
    for name, value in values.items():
        record.set(buffer, offset, name, value)
        assert record.get(buffer, offset, name) == value
    assert buffer == b"\xaa" * offset + record.pack(values) + b"\xaa" * 3
    other = bytearray(b"\xaa" * len(buffer))
    record.pack_into(memoryview(other), offset, values)
    assert other == buffer
    assert record.parse(buffer, offset) == record.parse(record.pack(values))


@settings(deadline=None)
@given(RECORD_AND_VALUES)
def test_packer_accepts_positional_values(case: tuple[Record, dict[str, Any]]) -> None:
    record, values = case
    names = [name for name in record.fields if name in values]
    order = record._layout.order
    arguments = []
    for name in names:
        field = record.fields[name]
        value = values[name]
        if field.is_array:
            value = struct.pack(f"{order}{field.count}{field.format}", *value)
        arguments.append(value)
    packed = record.pack(values)
    assert record.packer(*names)(*arguments) == packed
    buffer = bytearray(b"\xff" * (record.size + 3))
    record.packer_into(*names)(buffer, 2, *arguments)
    assert buffer == b"\xff\xff" + packed + b"\xff"


def test_packer_requires_offset_order() -> None:
    with pytest.raises(ValueError, match="i_mode"):
        INODE.packer("i_uid", "i_mode")
    with pytest.raises(ValueError, match="twice"):
        INODE.packer("i_mode", "i_mode")
    with pytest.raises(RecordError):
        INODE.packer("i_mode", "i_nothing")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("i_nothing", 1),
        ("i_mode", 0x10000),
        ("i_mode", -1),
        ("i_mode", 1.5),
        ("i_mode", b"\0\0"),
        ("i_mode", None),
        ("i_block", bytes(59)),
        ("i_block", bytes(61)),
        ("i_block", 0),
        ("i_block", [0] * 60),
    ],
)
def test_bad_values_name_record_and_field(field: str, value: Any) -> None:
    buffer = bytearray(INODE.size)
    for call in (
        lambda: INODE.pack({"i_uid": 0, field: value}),
        lambda: INODE.pack_into(buffer, 0, {field: value}),
        lambda: INODE.build({field: value}),
        lambda: INODE.set(buffer, 0, field, value),
    ):
        with pytest.raises(RecordError) as caught:
            call()
        assert (caught.value.record, caught.value.field) == ("inode", field)
    assert buffer == bytes(INODE.size)


@pytest.mark.parametrize("value", [[0] * 3, [0] * 5, [0, 0, 0, 2**32], 7, ["a"] * 4, bytes(16)])
def test_bad_arrays(value: Any) -> None:
    with pytest.raises(RecordError, match=r"superblock\.s_hash_seed"):
        SUPERBLOCK.pack({"s_hash_seed": value})


def test_buffers_too_small() -> None:
    for offset in (-1, 1):
        buffer = bytearray(INODE.size)
        for call in (
            lambda: INODE.parse(buffer, offset),  # noqa: B023
            lambda: INODE.get(buffer, offset, "i_mode"),  # noqa: B023
            lambda: INODE.set(buffer, offset, "i_mode", 0),  # noqa: B023
            lambda: INODE.pack_into(buffer, offset, {}),  # noqa: B023
        ):
            with pytest.raises(RecordError):
                call()
        assert len(buffer) == INODE.size


def test_big_endian_and_padding() -> None:
    assert JOURNAL_SUPERBLOCK.pack({"h_magic": 0xC03B3998})[:4] == b"\xc0\x3b\x39\x98"
    padded = Record(
        "padded",
        Struct(
            field("a", Int8ub, ""),
            Padding(3),
            field("b", Int32ub, ""),
            field("gap", Padding(2), ""),
        ),
        size=10,
    )
    assert list(padded.fields) == ["a", "b"]
    assert padded.offset("b") == 4
    assert padded.pack({"a": 1, "b": 2}) == b"\1\0\0\0\0\0\0\2\0\0"
    assert padded.pack({"b": 2}) == padded.build({"b": 2})


@pytest.mark.parametrize(
    "declaration",
    [
        Struct(field("a", Int16ul, "")),
        Struct(field("a", Int16ul, ""), field("b", Int16ub, "")),
        Struct(field("a", Int16ul, ""), Int16ul),
        Struct(field("a", Int16ul, ""), field("a", Int16ul, "")),
        Struct(field("a", Struct(), "")),
    ],
)
def test_bad_declarations(declaration: Struct) -> None:
    with pytest.raises(ValueError, match=r"bad|cannot hold"):
        Record("bad", declaration, size=4).fields  # noqa: B018


@given(
    numbers=st.lists(st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 2**32 - 1)), max_size=5)
)
def test_columns_are_packed_like_consecutive_structures(
    numbers: list[tuple[int, int]],
) -> None:
    blocks = array("Q", [block for block, _ in numbers])
    counts = array("I", [count for _, count in numbers])
    table = GROUP_DESC.pack_columns(
        len(numbers),
        {
            ("bg_block_bitmap_lo", "bg_block_bitmap_hi"): blocks,
            ("bg_free_blocks_count_lo", "bg_free_blocks_count_hi"): counts,
            ("bg_checksum",): counts,
        },
    )
    assert table == b"".join(
        GROUP_DESC.pack(
            {
                "bg_block_bitmap_lo": block & 0xFFFFFFFF,
                "bg_block_bitmap_hi": block >> 32,
                "bg_free_blocks_count_lo": count & 0xFFFF,
                "bg_free_blocks_count_hi": count >> 16,
                "bg_checksum": count & 0xFFFF,
            }
        )
        for block, count in numbers
    )


def test_columns_of_big_endian_structures() -> None:
    table = JOURNAL_SUPERBLOCK.pack_columns(2, {("s_maxlen",): array("I", [1, 0x01020304])})
    assert [JOURNAL_SUPERBLOCK.get(table, at * 1024, "s_maxlen") for at in (0, 1)] == [
        1,
        0x01020304,
    ]


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(RecordError, match="3 values expected, 2 given"):
        GROUP_DESC.pack_columns(3, {("bg_flags",): array("H", [1, 2])})


@given(
    numbers=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5),
    offset=st.integers(0, 9),
    gap=st.integers(0, 9),
    typecode=st.sampled_from("HIQ"),
)
def test_a_column_leaves_the_bytes_around_it_unchanged(
    numbers: list[int], offset: int, gap: int, typecode: str
) -> None:
    column = array(typecode, [0])
    column = array(typecode, [number % (1 << 8 * column.itemsize) for number in numbers])
    stride = INODE.size + gap
    table = bytearray(b"x" * (offset + len(numbers) * stride))
    expected = bytearray(table)
    for row, number in enumerate(column):
        at = offset + row * stride
        INODE.set(expected, at, "i_size_lo", number & 0xFFFFFFFF)
        if column.itemsize > 4:
            INODE.set(expected, at, "i_size_high", number >> 32)
        if column.itemsize < 4:
            # A column that is narrower than its field leaves the other bytes unchanged.
            INODE.set(expected, at, "i_size_lo", 0x78780000 | number)
    INODE.write_column(table, offset, stride, ("i_size_lo", "i_size_high"), column)
    assert table == expected


def test_bytes_after_a_structure() -> None:
    pack = DIR_ENTRY_2.packer("inode", "rec_len", "name_len", "file_type", trailing=8)
    header = DIR_ENTRY_2.pack({"inode": 12, "rec_len": 16, "name_len": 5, "file_type": 1})
    assert pack(12, 16, 5, 1, b"hello") == header + b"hello\0\0\0"


def test_the_page_is_generated_from_the_declarations() -> None:
    assert docs_update.PAGE.read_text() == docs_update.page(), "python -m tests.makers.docs_update"
    described = [source for source, _ in docs_update.CHAPTERS.values()]
    assert {record.name for source in described for record in docs_update._records(source)} == set(
        RECORDS
    )


SIZES_AND_VERSIONS = {
    "revision 1",
    "inode size > 128",
    "journal superblock v2",
    "journal 64bit",
    "journal csum_v2",
    "journal csum_v3",
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=list(RECORDS))
def test_every_field_says_what_it_is(record: Record) -> None:
    for name, meaning in record.meanings.items():
        field = record.fields[name]
        assert meaning.text and "\n" not in meaning.text, name
        for word in filter(None, meaning.when.split("|")):
            assert word in SIZES_AND_VERSIONS or feature(word), name
        assert not (meaning.zero and meaning.writes), name
        top = (1 << 8 * (field.size // field.count)) - 1
        assert all(0 <= value <= top for value in meaning.names), name
        assert meaning.names or meaning.unit != "magic", name
        if meaning.limits:
            assert 0 <= meaning.limits[0] <= meaning.limits[1] <= top, name
        if meaning.high in record.fields:
            assert record.meanings[meaning.high].unit == meaning.unit, name


def _big(record: Record, whole: str) -> st.SearchStrategy[int]:
    bits = 8 * sum(record.fields[part].size for part in record.parts(whole))
    return st.integers(0, (1 << bits) - 1)


WHOLES = [
    (record, whole)
    for record in RECORDS.values()
    for whole, parts in record.wholes.items()
    if len(parts) > 1
]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_number_in_two_fields_is_split_and_joined(data: st.DataObject) -> None:
    record, whole = data.draw(st.sampled_from(WHOLES))
    number = data.draw(_big(record, whole))
    packed = record.pack(record.split({whole: number}))
    low, high = record.parts(whole)
    bits = 8 * record.fields[low].size
    assert record.get(packed, 0, low) == number & (1 << bits) - 1
    assert record.get(packed, 0, high) == number >> bits
    assert record.number(packed, 0, whole) == number
    assert record.join(record.parse(packed))[whole] == number
    buffer = bytearray(record.size + 1)
    record.put(buffer, 1, whole, number)
    assert buffer[1:] == packed
    buffer[1:] = bytes(record.size)
    record.putter(whole)(buffer, 1, number)
    assert buffer[1:] == packed
    column = record.pack_columns(1, {record.parts(whole): array("Q", [number])})
    assert column == packed


def test_kernel_names_of_both_halves() -> None:
    assert SUPERBLOCK.parts("s_blocks_count") == ("s_blocks_count_lo", "s_blocks_count_hi")
    assert SUPERBLOCK.parts("s_mtime") == ("s_mtime", "s_mtime_hi")
    assert INODE.parts("i_size") == ("i_size_lo", "i_size_high")
    assert INODE.parts("i_uid") == ("i_uid", "l_i_uid_high")
    assert INODE.parts("i_file_acl") == ("i_file_acl_lo", "l_i_file_acl_high")
    assert INODE.parts("i_checksum") == ("l_i_checksum_lo", "i_checksum_hi")
    assert INODE_128.parts("i_checksum") == ("l_i_checksum_lo",)
    assert GROUP_DESC_32.parts("bg_inode_table") == ("bg_inode_table_lo",)
    assert EXTENT.parts("ee_start") == ("ee_start_lo", "ee_start_hi")
    with pytest.raises(RecordError):
        INODE.parts("i_nothing")
    # No field is missing: everything that looks like a half is declared as one.
    halves = {part for record, whole in WHOLES for part in record.parts(whole)}
    loose = {
        f"{record.name}.{name}"
        for record in RECORDS.values()
        for name in record.fields
        if name.endswith(("_hi", "_high")) and name not in halves
    }
    assert not loose


def test_a_packer_accepts_a_split_number_last() -> None:
    pack = EXTENT.packer("ee_block", "ee_len", "ee_start")
    assert pack(1, 2, 0x123456789ABC) == bytes.fromhex("01000000 0200 3412 bc9a7856")
    pack = EXTENT_IDX.packer("ei_block", "ei_leaf")
    assert pack(1, 0x123456789ABC) == bytes.fromhex("01000000 bc9a7856 3412 0000")
    with pytest.raises(struct.error):
        pack(1, 1 << 48)
