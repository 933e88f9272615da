from __future__ import annotations

import pytest

from ext4writer.units import exact_bytes, human_bytes, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1K", 1 << 10),
        ("1k", 1 << 10),
        ("64M", 64 << 20),
        ("3g", 3 << 30),
        ("20T", 20 << 40),
        ("007", 7),
        ("1.5G", 3 << 29),
        ("1MiB", 1 << 20),
        ("317.4 MiB", 332_818_432),
        ("332,861,440 bytes", 332_861_440),
        ("1,088", 1088),
        ("1,088 KiB", 1088 << 10),
        ("1,024.5K", 1_049_088),
        ("20.5 MiB (21,483,520 bytes)", 21_483_520),
        ("20.5 MiB (21483520 bytes)", 21_483_520),
        ("1 byte", 1),
    ],
)
def test_sizes_accept_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "M", "1s", "-1", "+1", "1 M", "1MB", "0x10", "1_000", "٣", "9" * 99),
        *("1,08", "1,0880", "1088,", ",088", "0,088", "1,088,0 KiB", "1.088,5", "1,,088"),
        *("20.5 MiB (21,483,520)", "20.5 MiB (483,520 bytes)", "(5 bytes)", "x (5 bytes)"),
    ],
)
def test_text_that_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 60, "1024.0 PiB"),
    ],
)
def test_people_read_one_decimal(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1075, 12345, 5 << 30, (1 << 40) + 7])
def test_what_reports_print_can_be_typed(count: int) -> None:
    assert parse_size(f"{count:,} bytes") == parse_size(exact_bytes(count)) == count
    assert abs(parse_size(human_bytes(count)) - count) <= count / 20
