"""Mappings: exactly the requested blocks are filled, and i_block leads to every run."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import DEFAULT_FEATURES
from ext4writer.ondisk.extent import EXTENT, EXTENT_HEADER, EXTENT_IDX
from ext4writer.ondisk.features import TYPES
from ext4writer.ondisk.format import Format
from ext4writer.planning.mapping import I_BLOCK_BYTES, MappedRun, mapping_of

FORMATS = {size: Format.of(DEFAULT_FEATURES, size, 256) for size in (1024, 4096, 65536)}


def walked(node: bytes, blocks: dict[int, bytes], met: list[int]) -> Iterator[MappedRun]:
    """The runs below a node, decoded by the format; the tree's own blocks are added to ``met``."""
    head = EXTENT_HEADER.parse(node)
    assert head["eh_magic"] == 0xF30A
    assert isinstance(head["eh_entries"], int) and isinstance(head["eh_max"], int)
    assert head["eh_entries"] <= head["eh_max"] <= (len(node) - 12) // 12
    for number in range(head["eh_entries"]):
        at = 12 + 12 * number
        if head["eh_depth"]:
            child = EXTENT_IDX.number(node, at, "ei_leaf")
            met.append(child)
            below = list(walked(blocks[child], blocks, met))
            assert EXTENT_IDX.get(node, at, "ei_block") == below[0].logical
            assert EXTENT_HEADER.get(blocks[child], 0, "eh_depth") == head["eh_depth"] - 1
            yield from below
        else:
            fields = EXTENT.parse(node, at)
            assert isinstance(fields["ee_block"], int) and isinstance(fields["ee_len"], int)
            physical = EXTENT.number(node, at, "ee_start")
            yield MappedRun(fields["ee_block"], fields["ee_len"], physical)


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from(list(FORMATS)),
    count=st.one_of(st.integers(0, 400), st.sampled_from([84, 85, 336, 337, 340 * 4, 7056, 28225])),
    high=st.integers(0, 1 << 40),
)
def test_extents_can_be_read_back(size: int, count: int, high: int) -> None:
    mapping = mapping_of(FORMATS[size])
    runs = [MappedRun(3 * n, 1 + n % 2, high + 7 * n) for n in range(count)]
    blocks = [1 << 41 | n for n in range(mapping.metadata_blocks(runs))]
    units = list(mapping.units(12, runs, blocks))
    assert [unit.offset for unit in units] == [block * size for block in blocks]
    assert [unit.number for unit in units] == list(range(1, len(blocks) + 1))
    made = {unit.offset // size: bytes(unit.make()) for unit in units if unit.make is not None}
    assert all(len(data) == size for data in made.values())
    i_block = mapping.i_block(runs, blocks)
    assert len(i_block) == I_BLOCK_BYTES
    met: list[int] = []
    assert list(walked(i_block, made, met)) == runs
    assert sorted(met) == blocks


MAPS = {size: Format.of(TYPES["ext2"], size, 128) for size in (1024, 4096)}


def mapped(words: bytes, level: int, first: int, blocks: dict[int, bytes]) -> dict[int, int]:
    """The position of each block of a file, by one level of a block map."""
    found: dict[int, int] = {}
    for number, (word,) in enumerate(struct.iter_unpack("<I", words)):
        if word and not level:
            found[first + number] = word
        elif word:
            child = blocks.pop(word)
            below = mapped(child, level - 1, first + number * (len(child) // 4) ** level, blocks)
            assert below, "it covers holes alone"
            found |= below
    return found


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from(list(MAPS)),
    spans=st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, 30),
                st.sampled_from([11, 255, 267, 268, 1035, 1036, 65803, 65804, 1049611, 1049612]),
                st.integers(0, 2_000_000),
            ),
            st.integers(1, 300),
        ),
        max_size=6,
    ),
)
def test_block_maps_can_be_read_back(size: int, spans: list[tuple[int, int]]) -> None:
    runs: list[MappedRun] = []
    end = 0
    for logical, length in sorted(spans):
        if logical >= end:
            runs.append(MappedRun(logical, length, 1000 + 3 * logical))
            end = logical + length
    mapping = mapping_of(MAPS[size])
    blocks = [1 << 31 | n for n in range(mapping.metadata_blocks(runs))]
    units = list(mapping.units(12, runs, blocks))
    assert [unit.offset for unit in units] == [block * size for block in blocks]
    made = {unit.offset // size: bytes(unit.make()) for unit in units if unit.make is not None}
    i_block = mapping.i_block(runs, blocks)
    assert len(i_block) == I_BLOCK_BYTES
    found = mapped(i_block[:48], 0, 0, made)
    first = 12
    for level in range(1, 4):
        word = i_block[44 + 4 * level : 48 + 4 * level]
        found |= mapped(word, level, first, made)
        first += (size // 4) ** level
    assert not made
    assert found == {run.logical + n: run.physical + n for run in runs for n in range(run.length)}


def test_plain_runs_of_block_maps() -> None:
    mapping = mapping_of(MAPS[1024])
    lengths, starts = array("Q", [0, 1, 12, 7]), array("Q", [0, 9, (1 << 32) - 12, 5])
    view = bytearray(b"".join(b"\xaa" * 20 + mapping.plain_i_block() for _ in lengths))
    mapping.write_plain_runs(memoryview(view), 20, 80, lengths, starts)
    for number, (length, start) in enumerate(zip(lengths, starts, strict=True)):
        row = bytes(view[80 * number : 80 * number + 80])
        assert row == b"\xaa" * 20 + mapping.i_block(
            [MappedRun(0, length, start)][: bool(length)], ()
        )


def test_the_longest_file_of_a_block_map() -> None:
    """The kernel's limits for 1 to 4 KiB, as listed in Documentation/filesystems/ext2.rst."""
    huge = TYPES["ext2"].with_("huge_file")
    reached = 12 + 256 + 256**2 + 256**3
    assert mapping_of(Format.of(TYPES["ext2"], 1024, 128)).max_blocks == reached
    # Without huge_file, i_blocks counts up to 2 TiB, including the map's own blocks.
    most = mapping_of(Format.of(TYPES["ext2"], 4096, 128)).max_blocks
    own = 1 + (1 + 1024) + 1 + 511 + 522_751
    assert 0 <= (1 << 29) - 1 - most - own < 2048
    assert mapping_of(Format.of(huge, 4096, 128)).max_blocks == 12 + 1024 + 1024**2 + 1024**3


@pytest.mark.parametrize("size", FORMATS)
def test_runs_planned_together_equal_runs_planned_alone(size: int) -> None:
    mapping = mapping_of(FORMATS[size])
    lengths, starts = array("Q", [0, 1, 32768, 7]), array("Q", [0, 9, 1 << 40, 5])
    view = bytearray(b"".join(b"\xaa" * 20 + mapping.plain_i_block() for _ in lengths))
    mapping.write_plain_runs(memoryview(view), 20, 80, lengths, starts)
    for number, (length, start) in enumerate(zip(lengths, starts, strict=True)):
        alone = mapping.i_block([MappedRun(0, length, start)] if length else [], ())
        assert view[80 * number : 80 * number + 20] == b"\xaa" * 20
        assert list(walked(bytes(view[80 * number + 20 : 80 * number + 80]), {}, [])) == list(
            walked(alone, {}, [])
        )


def test_long_runs_are_split_and_joined_again() -> None:
    mapping = mapping_of(FORMATS[4096])
    cut = mapping.split(5, 100_000, 1000)
    assert [run.length for run in cut] == [32768, 32768, 32768, 1696]
    assert mapping.join(cut) == cut
    pieces = [
        piece
        for run in cut
        for piece in (
            run._replace(length=run.length // 2),
            MappedRun(
                run.logical + run.length // 2,
                run.length - run.length // 2,
                run.physical + run.length // 2,
            ),
        )
    ]
    assert mapping.join(pieces) == cut
