"""Times, from the kernel's own table, and device numbers."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext4writer.ondisk.inode import (
    MAX_TIME_NS,
    MAX_TIME_NS_NO_EXTRA,
    MIN_TIME_NS,
    MIN_TIME_NS_NO_EXTRA,
    decode_device,
    decode_time,
    encode_device,
    encode_time,
    encode_times,
)

NS = 10**9

# fs/ext4/inode-test.c:inode_test_xtimestamp_decoding: low word, extra word, seconds, nanoseconds
TIMES = [
    (0x80000000, 0, -0x80000000, 0),
    (0xFFFFFFFF, 0, -1, 0),
    (0x00000000, 0, 0, 0),
    (0x7FFFFFFF, 0, 0x7FFFFFFF, 0),
    (0x80000000, 1, 0x80000000, 0),
    (0xFFFFFFFF, 1, 0xFFFFFFFF, 0),
    (0x00000000, 1, 0x100000000, 0),
    (0x7FFFFFFF, 1, 0x17FFFFFFF, 0),
    (0x80000000, 2, 0x180000000, 0),
    (0xFFFFFFFF, 2, 0x1FFFFFFFF, 0),
    (0x00000000, 2, 0x200000000, 0),
    (0x7FFFFFFF, 2, 0x27FFFFFFF, 0),
    (0x7FFFFFFF, 6, 0x27FFFFFFF, 1),
    (0x00000000, 3, 0x300000000, 0),
    (0x7FFFFFFF, 3, 0x37FFFFFFF, 0),
]


@pytest.mark.parametrize(("low", "extra", "seconds", "nanoseconds"), TIMES)
def test_kernel_times(low: int, extra: int, seconds: int, nanoseconds: int) -> None:
    assert encode_time(seconds * NS + nanoseconds, True) == (low, extra)
    assert decode_time(low, extra) == seconds * NS + nanoseconds


def test_all_nanosecond_bits_are_read() -> None:
    assert decode_time(0, 0xFFFFFFFF) == 0x300000000 * NS + (1 << 30) - 1


@given(st.integers(MIN_TIME_NS, MAX_TIME_NS))
def test_times_with_extra(ns: int) -> None:
    low, extra = encode_time(ns, True)
    assert 0 <= low < 2**32
    assert 0 <= extra < 2**32
    assert decode_time(low, extra) == ns


@given(st.integers(MIN_TIME_NS_NO_EXTRA, MAX_TIME_NS_NO_EXTRA))
def test_times_without_extra(ns: int) -> None:
    low, extra = encode_time(ns, False)
    assert extra == 0
    assert decode_time(low) == ns // NS * NS


@pytest.mark.parametrize(
    ("ns", "extra"),
    [
        (MIN_TIME_NS - 1, True),
        (MAX_TIME_NS + 1, True),
        (MIN_TIME_NS_NO_EXTRA - 1, False),
        (MAX_TIME_NS_NO_EXTRA + 1, False),
    ],
)
def test_times_out_of_range(ns: int, extra: bool) -> None:
    with pytest.raises(ValueError, match=r"\d s "):
        encode_time(ns, extra)


@pytest.mark.parametrize(
    ("major", "minor", "words"),
    [
        (1, 3, (0x0103, 0)),
        (255, 255, (0xFFFF, 0)),
        (256, 0, (0, 0x10000)),
        (8, 256, (0, 0x100800)),
        (0xFFF, 0xFFFFF, (0, 0xFFFFFFFF)),
        (0, 0, (0, 0)),
    ],
)
def test_devices(major: int, minor: int, words: tuple[int, int]) -> None:
    assert encode_device(major, minor) == words
    assert decode_device(*words) == (major, minor)


@given(st.integers(0, 0xFFF), st.integers(0, 0xFFFFF))
def test_large_devices_are_encoded_as_linux_does(major: int, minor: int) -> None:
    words = encode_device(major, minor)
    assert decode_device(*words) == (major, minor)
    if words[1]:
        assert words[1] == os.makedev(major, minor) & 0xFFFFFFFF


@pytest.mark.parametrize("device", [(-1, 0), (0, -1), (0x1000, 0), (0, 0x100000)])
def test_devices_out_of_range(device: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="device"):
        encode_device(*device)


@given(st.lists(st.integers(MIN_TIME_NS, MAX_TIME_NS), min_size=1, max_size=5), st.booleans())
def test_many_times_are_encoded_like_one(times: list[int], extra: bool) -> None:
    if not extra:
        times = [min(time, MAX_TIME_NS_NO_EXTRA) for time in times]
    # Alone, and among more distinct times than are encoded one by one.
    for column in (times, times + [number * NS + number for number in range(100)]):
        low, high = encode_times(column, extra)
        assert list(zip(low, high, strict=True)) == [encode_time(time, extra) for time in column]


@pytest.mark.parametrize("time", [MIN_TIME_NS - 1, MAX_TIME_NS + 1])
@pytest.mark.parametrize("others", [0, 100])
def test_many_times_are_refused_like_one(time: int, others: int) -> None:
    with pytest.raises(ValueError, match="before 1901 or after 2446"):
        encode_times([*range(others), time], True)
