"""The checksum functions, and simple properties of the checksums."""

from __future__ import annotations

import builtins
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer.ondisk import checksum
from ext4writer.ondisk.checksum import (
    bitmap_checksum,
    crc16,
    crc32c,
    crc32c_python,
    filesystem_seed,
    group_desc_checksum,
    group_desc_crc16,
    inode_seed,
    set_dir_block_checksum,
    set_dir_block_checksums,
    set_dx_node_checksum,
    set_extent_block_checksum,
    set_inode_checksum,
    set_inode_checksums,
)

from ..judges import tools

M = 0xFFFFFFFF
DIGITS = b"123456789"


def test_published_vectors() -> None:
    """RFC 3720 B.4 inverts before and after; the others are from the catalogue of CRCs."""
    for function in (crc32c, crc32c_python):
        assert function(M, DIGITS) ^ M == 0xE3069283
        assert function(M, bytes(32)) ^ M == 0x8A9136AA
        assert function(M, b"\xff" * 32) ^ M == 0x62A8AB43
        assert function(M, bytes(range(32))) ^ M == 0x46DD794E
        assert function(7, b"") == 7
    assert crc16(0, DIGITS) == 0xBB3D
    assert crc16(0xFFFF, DIGITS) == 0x4B37


@settings(deadline=None)
@given(st.integers(0, M), st.binary(max_size=200))
def test_fallback_equals_the_wheel(seed: int, data: bytes) -> None:
    wheel = tools.require_module("crc32c", "crc32c").crc32c
    expected = wheel(data, seed ^ M) ^ M
    assert crc32c_python(seed, data) == expected
    assert crc32c(seed, data) == expected
    assert crc32c_python(seed, memoryview(bytearray(data))) == expected


@settings(deadline=None)
@given(st.integers(0, M), st.binary(max_size=40), st.binary(max_size=40))
def test_seeds_continue(seed: int, head: bytes, tail: bytes) -> None:
    assert crc32c(crc32c(seed, head), tail) == crc32c(seed, head + tail)
    half = seed & 0xFFFF
    assert crc16(crc16(half, head), tail) == crc16(half, head + tail)


def test_missing_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_wheel(name: str, *rest: Any, **more: Any) -> Any:
        if name == "crc32c":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_wheel)
    monkeypatch.setattr(checksum, "find_spec", lambda _name: None)
    monkeypatch.setattr(checksum, "_standard", None)
    assert crc32c(M, DIGITS) ^ M == 0xE3069283
    assert checksum._standard is checksum._inverted


def test_seeds() -> None:
    uuid = bytes(range(16))
    assert filesystem_seed(uuid) == crc32c(M, uuid)
    assert inode_seed(5, 12, 0x01020304) == crc32c(5, b"\x0c\0\0\0\4\3\2\1")
    assert bitmap_checksum(5, b"\xff\0") == crc32c(5, b"\xff\0")


@pytest.mark.parametrize("size", [32, 64])
def test_descriptor_checksums_do_not_count_themselves(size: int) -> None:
    desc = bytearray(range(size))
    before = group_desc_checksum(5, 3, desc), group_desc_crc16(bytes(16), 3, desc)
    desc[30:32] = b"\xaa\xbb"
    assert (group_desc_checksum(5, 3, desc), group_desc_crc16(bytes(16), 3, desc)) == before
    assert all(0 <= value < 65536 for value in before)
    assert group_desc_checksum(5, 4, desc) != before[0]


@pytest.mark.parametrize(
    ("size", "extra", "high"),
    [
        (128, 0, False),
        (256, 0, False),
        (256, 3, False),
        (256, 4, True),
        (256, 32, True),
        (1024, 32, True),
    ],
)
def test_high_half_of_an_inode(size: int, extra: int, high: bool) -> None:
    buffer = bytearray(b"\x11" * (size + 7))
    if size > 128:
        buffer[7 + 0x80 : 7 + 0x84] = extra.to_bytes(2, "little") + b"\x11\x11"
    original = bytes(buffer)
    set_inode_checksum(buffer, 7, size, 5, 12, 9)
    once = bytes(buffer)
    set_inode_checksum(memoryview(buffer), 7, size, 5, 12, 9)
    assert buffer == once
    changed = {index - 7 for index in range(len(once)) if once[index] != original[index]}
    assert changed <= {0x7C, 0x7D, 0x82, 0x83}
    if size > 128:
        assert (once[7 + 0x82 : 7 + 0x84] != b"\x11\x11") == high


def test_checksums_refuse_blocks_without_space_for_them() -> None:
    block = bytearray(1024)
    block[4:6] = (85).to_bytes(2, "little")
    with pytest.raises(ValueError, match="eh_max 85"):
        set_extent_block_checksum(block, 0, 1024, 5)
    block[8:12] = b"\x7f\0\x01\0"
    with pytest.raises(ValueError, match="limit 127"):
        set_dx_node_checksum(block, 0, 1024, 5)
    block[8:12] = b"\x02\0\x03\0"
    with pytest.raises(ValueError, match="count 3"):
        set_dx_node_checksum(block, 0, 1024, 5)


INOS = st.lists(st.integers(1, M), max_size=5)


@settings(deadline=None)
@given(st.sampled_from([128, 256, 1024]), st.integers(0, M), INOS, st.integers(0, 3), st.data())
def test_many_inodes_are_checksummed_like_one(
    size: int, seed: int, inos: list[int], before: int, data: st.DataObject
) -> None:
    total = before + len(inos) * size
    table = bytearray(data.draw(st.binary(min_size=total, max_size=total)))
    # With and without space for the high half, in one table.
    for position in range(len(inos) if size > 128 else 0):
        at = before + position * size + 128
        extra = data.draw(st.sampled_from([0, 3, 4, 32, 256]))
        table[at : at + 2] = extra.to_bytes(2, "little")
    expected = bytearray(table)
    for position, ino in enumerate(inos):
        set_inode_checksum(expected, before + position * size, size, seed, ino)
    set_inode_checksums(table, before, size, seed, inos)
    assert table == expected


@settings(deadline=None)
@given(st.sampled_from([1024, 4096]), st.integers(0, M), INOS, st.randoms(use_true_random=False))
def test_many_leaves_are_checksummed_like_one(
    size: int, seed: int, inos: list[int], source: random.Random
) -> None:
    blocks = bytearray(source.randbytes(len(inos) * size))
    expected = bytearray(blocks)
    for position, ino in enumerate(inos):
        set_dir_block_checksum(expected, position * size, size, inode_seed(seed, ino, 0))
    set_dir_block_checksums(memoryview(blocks), size, seed, inos)
    assert blocks == expected


def test_many_are_checksummed_without_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    with_wheel, without = bytearray(b"x" * 512), bytearray(b"x" * 512)
    set_inode_checksums(with_wheel, 0, 256, 7, [11, 12])
    monkeypatch.setattr(checksum, "_standard", checksum._inverted)
    set_inode_checksums(without, 0, 256, 7, [11, 12])
    assert with_wheel == without
