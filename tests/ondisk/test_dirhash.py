"""Directory hashes: the kernel's vectors, debugfs as a judge, and bulk compared with scalar."""

from __future__ import annotations

import random
import re
import struct
import uuid
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer.ondisk import dirhash, dirhash_bulk
from ext4writer.ondisk.dirhash import (
    half_md4_hash,
    hash_keys,
    hash_names,
    legacy_hash,
    tea_hash,
)

from ..judges import tools

ZERO = (0, 0, 0, 0)
ONES = (0x11111111, 0x22222222, 0x33333333, 0x44444444)
HIGH = b"\x80\x81\x82\x83\x84"
DIGITS = b"123456789012345678901234567890123"
LEGACY, HALF_MD4, TEA, LEGACY_U, HALF_MD4_U, TEA_U = range(6)

# fs/ext4/hash-test.c:ext4_dirhash_test_cases
VECTORS = [
    (LEGACY, b"abc", ZERO, 0x75AFD992, 0),
    (LEGACY_U, b"abc", ZERO, 0x75AFD992, 0),
    (HALF_MD4, b"abc", ZERO, 0xD196A868, 0xC420EB28),
    (HALF_MD4_U, b"abc", ZERO, 0xD196A868, 0xC420EB28),
    (TEA, b"abc", ZERO, 0xB1435EC4, 0x3F7EAA0E),
    (TEA_U, b"abc", ZERO, 0xB1435EC4, 0x3F7EAA0E),
    (HALF_MD4, b"", ZERO, 0xEFCDAB88, 0x98BADCFE),
    (HALF_MD4, DIGITS[:31], ZERO, 0xC4DB1F78, 0xEA23921B),
    (HALF_MD4, DIGITS[:32], ZERO, 0xFA6CC63E, 0x2F77BD1C),
    (HALF_MD4, DIGITS[:33], ZERO, 0xDC0C2DEC, 0x5CA23365),
    (HALF_MD4_U, DIGITS[:31], ZERO, 0xC4DB1F78, 0xEA23921B),
    (HALF_MD4_U, DIGITS[:32], ZERO, 0xFA6CC63E, 0x2F77BD1C),
    (HALF_MD4_U, DIGITS[:33], ZERO, 0xDC0C2DEC, 0x5CA23365),
    (TEA, b"123456789abcdef", ZERO, 0xA562903A, 0x6174A00F),
    (TEA, b"1234567890abcdef", ZERO, 0x8449F258, 0x49A16D46),
    (TEA, b"123456789abcdefgh", ZERO, 0xF32EC10C, 0x58CEAE61),
    (HALF_MD4, b"same-name", ONES, 0x8AEBF604, 0x66CE48FE),
    (HALF_MD4, HIGH, ZERO, 0x8BAB0498, 0xC326632D),
    (HALF_MD4_U, HIGH, ZERO, 0xBC48596E, 0xDE0FAD41),
    (TEA, HIGH, ZERO, 0x21E3A154, 0x90112C3D),
    (TEA_U, HIGH, ZERO, 0x9B648616, 0x011DD507),
]


@pytest.mark.parametrize(("version", "name", "seed", "hashed", "minor"), VECTORS)
def test_kernel_vectors(
    version: int, name: bytes, seed: tuple[int, int, int, int], hashed: int, minor: int
) -> None:
    assert hash_names(version, [name], seed) == [(hashed, minor)]
    scalar = (legacy_hash, half_md4_hash, tea_hash)[version % 3]
    assert scalar(name, seed, signed=version < 3) == (hashed, minor)


def test_unknown_versions() -> None:
    for version in (6, 7, -1):
        with pytest.raises(ValueError, match="hash version"):
            hash_names(version, [b"a"], ZERO)


WORD = st.integers(0, 2**32 - 1)
SEED = st.one_of(st.just(ZERO), st.tuples(WORD, WORD, WORD, WORD))
NAME = st.one_of(
    st.binary(max_size=255),
    st.binary(max_size=40),
    st.text("abc.-_09", max_size=64).map(str.encode),
)


def _both(keys: Iterable[int]) -> list[tuple[int, int]]:
    """The hash and the minor hash in each key."""
    return [(key >> 32, key & 0xFFFFFFFF) for key in keys]


def _scalar(
    version: int, names: Iterable[bytes], seed: tuple[int, int, int, int]
) -> list[tuple[int, int]]:
    hash_one = (legacy_hash, half_md4_hash, tea_hash)[version % 3]
    return [hash_one(name, seed, signed=version < 3) for name in names]


@settings(deadline=None)
@given(st.lists(NAME, max_size=60), SEED, st.integers(0, 5))
def test_bulk_equals_scalar(
    names: list[bytes], seed: tuple[int, int, int, int], version: int
) -> None:
    assert _both(hash_keys(version, names, seed)) == _scalar(version, names, seed)


@pytest.mark.parametrize("lanes", [1, 3, 2048])
@pytest.mark.parametrize("version", range(6))
def test_bulk_at_every_length(monkeypatch: pytest.MonkeyPatch, lanes: int, version: int) -> None:
    monkeypatch.setattr(dirhash_bulk, "_LANES", lanes)
    source = random.Random(4)
    names = [source.randbytes(length) for length in range(256) for _ in range(2)]
    names += [bytes([source.randrange(128)]) * length for length in range(256)]
    source.shuffle(names)
    assert _both(hash_keys(version, names, ONES)) == _scalar(version, names, ONES)


def test_bulk_with_more_names_than_lanes() -> None:
    names = [b"libfoo-%d.so" % number for number in range(5000)]
    picked = range(0, 5000, 37)
    hashes = _both(hash_keys(HALF_MD4, names, ONES))
    assert [hashes[number] for number in picked] == [
        half_md4_hash(names[number], ONES, signed=True) for number in picked
    ]
    assert all(not hashed & 1 for hashed, _ in hashes)


def test_end_of_directory_is_replaced() -> None:
    """fs/ext4/hash.c: no hash may equal the value that marks the end of a directory."""
    seed = (1, 0xFFFFFFFF, 2, 3)
    # The hash of an empty name is the second word of the seed.
    assert half_md4_hash(b"", seed, signed=True) == (0xFFFFFFFC, 2)
    assert _both(hash_keys(HALF_MD4, [b"", b"a"], seed))[0] == (0xFFFFFFFC, 2)
    assert tea_hash(b"", (0xFFFFFFFE, 5, 0, 0), signed=True) == (0xFFFFFFFC, 5)
    assert dirhash._finish(0xFFFFFFFD) == 0xFFFFFFFC


def test_debugfs_agrees(tmp_path: Path) -> None:
    source = random.Random(9)
    alphabet = "abcXYZ0189._~+@\xe9\u20ac"
    names = ["a", ".x", "lost+found", "x" * 255, "\xe9" * 127, "y" * 32, "z" * 33, "u\xe9" * 20]
    names += ["".join(source.choices(alphabet, k=source.randint(1, 70))) for _ in range(40)]
    ident = uuid.UUID("01234567-89ab-cdef-0011-223344556677")
    seed = struct.unpack("<IIII", ident.bytes)
    commands = []
    expected = []
    for version in range(6):
        for name in names:
            commands.append(f"dx_hash -h HASHALG_{version} -s {ident} {name}\n")
            expected += hash_names(version, [name.encode()], seed)
    script = tmp_path / "commands"
    script.write_text("".join(commands), "utf-8")
    output = tools.run(["debugfs", "-f", script]).stdout
    found = re.findall(r" is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)", output)
    assert [(int(hashed, 16), int(minor, 16)) for hashed, minor in found] == expected
