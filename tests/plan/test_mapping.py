"""Mappings: what is asked for is what is filled, and every run is found again from i_block."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import DEFAULT_FEATURES
from ext4writer.ondisk.extent import EXTENT, EXTENT_HEADER, EXTENT_IDX
from ext4writer.ondisk.format import Format
from ext4writer.plan.mapping import I_BLOCK_BYTES, Run, mapping_of

FORMATS = {size: Format.of(DEFAULT_FEATURES, size, 256) for size in (1024, 4096, 65536)}


def walked(node: bytes, blocks: dict[int, bytes], met: list[int]) -> Iterator[Run]:
    """The runs below a node, by what the format says; the tree's own blocks go to ``met``."""
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
            yield Run(fields["ee_block"], fields["ee_len"], physical)


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from(list(FORMATS)),
    count=st.one_of(st.integers(0, 400), st.sampled_from([84, 85, 336, 337, 340 * 4, 7056, 28225])),
    high=st.integers(0, 1 << 40),
)
def test_extents_are_found_again(size: int, count: int, high: int) -> None:
    mapping = mapping_of(FORMATS[size])
    runs = [Run(3 * n, 1 + n % 2, high + 7 * n) for n in range(count)]
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


@pytest.mark.parametrize("size", FORMATS)
def test_plain_runs_are_what_each_alone_would_be(size: int) -> None:
    mapping = mapping_of(FORMATS[size])
    lengths, starts = array("Q", [0, 1, 32768, 7]), array("Q", [0, 9, 1 << 40, 5])
    view = bytearray(b"".join(b"\xaa" * 20 + mapping.plain_i_block() for _ in lengths))
    mapping.write_plain_runs(memoryview(view), 20, 80, lengths, starts)
    for number, (length, start) in enumerate(zip(lengths, starts, strict=True)):
        alone = mapping.i_block([Run(0, length, start)] if length else [], ())
        assert view[80 * number : 80 * number + 20] == b"\xaa" * 20
        assert list(walked(bytes(view[80 * number + 20 : 80 * number + 80]), {}, [])) == list(
            walked(alone, {}, [])
        )


def test_long_runs_are_cut_and_joined_again() -> None:
    mapping = mapping_of(FORMATS[4096])
    cut = mapping.split(5, 100_000, 1000)
    assert [run.length for run in cut] == [32768, 32768, 32768, 1696]
    assert mapping.join(cut) == cut
    pieces = [
        piece
        for run in cut
        for piece in (
            run._replace(length=run.length // 2),
            Run(
                run.logical + run.length // 2,
                run.length - run.length // 2,
                run.physical + run.length // 2,
            ),
        )
    ]
    assert mapping.join(pieces) == cut
