"""The hashes of directory entry names: legacy, half MD4 and TEA.

Each returns (hash, minor hash) as the kernel uses them: the lowest bit of the hash is zero, and the
value that means "end of directory" is replaced. Rules: e2fsprogs dirhash.c:ext2fs_dirhash and
fs/ext4/hash.c:__ext4fs_dirhash (which has the replacement).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from ..bits import MASK_32
from .dirhash_bulk import K2, K3, half_md4_lanes, legacy_lanes, tea_lanes
from .htree import (
    DX_HASH_HALF_MD4,
    DX_HASH_HALF_MD4_UNSIGNED,
    DX_HASH_LEGACY,
    DX_HASH_LEGACY_UNSIGNED,
    DX_HASH_TEA,
    DX_HASH_TEA_UNSIGNED,
)

Seed: TypeAlias = "tuple[int, int, int, int]"

_M = MASK_32  # applied in place below, since each name needs a few dozen masks
# fs/ext4/ext4.h:EXT4_HTREE_EOF_32BIT is 0x7fffffff, and hashes are stored shifted by one.
_END_OF_DIRECTORY = 0x7FFFFFFF << 1
_LAST_HASH = (0x7FFFFFFF - 1) << 1
# The initial state of MD4, used when the seed is all zero.
_DEFAULT_SEED: Seed = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
# The initial state of the oldest hash, which has no seed.
_LEGACY_STATE = (0x12A3FE2D, 0x37ABE8F9)
# Few enough names to stay in the cache between reading their lengths and reading their bytes.
_NAMES_AT_ONCE = 1 << 14

# For each step of half MD4: the index of the message word and the rotation.
_ROUND1 = tuple(zip(range(8), (3, 7, 11, 19) * 2, strict=True))
_ROUND2 = tuple(zip((1, 3, 5, 7, 0, 2, 4, 6), (3, 5, 9, 13) * 2, strict=True))
_ROUND3 = tuple(zip((3, 7, 2, 6, 1, 5, 0, 4), (3, 9, 11, 15) * 2, strict=True))


def legacy_hash(
    name: bytes,
    seed: Seed,  # noqa: ARG001 (one signature for all hashes)
    *,
    signed: bool,
) -> tuple[int, int]:
    """Return the oldest hash; it has no seed and no minor hash."""
    # dirhash.c:dx_hack_hash
    hash0, hash1 = _LEGACY_STATE
    for byte in name:
        if signed and byte >= 0x80:
            byte -= 0x100
        hashed = hash1 + (hash0 ^ byte * 7152373 & _M) & _M
        if hashed & 0x80000000:
            hashed = hashed - 0x7FFFFFFF & _M
        hash1, hash0 = hash0, hashed
    return _finish(hash0 << 1 & _M), 0


def half_md4_hash(name: bytes, seed: Seed, *, signed: bool) -> tuple[int, int]:
    """Return the default hash of ext4."""
    state = seed if any(seed) else _DEFAULT_SEED
    for start in range(0, len(name), 32):
        state = _half_md4_transform(state, _words(name[start:], 8, signed))
    return _finish(state[1]), state[2]


def tea_hash(name: bytes, seed: Seed, *, signed: bool) -> tuple[int, int]:
    """Return the hash based on the TEA cipher; it uses only the first half of the seed."""
    # dirhash.c:TEA_transform
    state0, state1, _, _ = seed if any(seed) else _DEFAULT_SEED
    for start in range(0, len(name), 16):
        a, b, c, d = _words(name[start:], 4, signed)
        b0, b1, total = state0, state1, 0
        for _ in range(16):
            total = total + 0x9E3779B9 & _M
            b0 = b0 + ((b1 << 4) + a ^ b1 + total ^ (b1 >> 5) + b) & _M
            b1 = b1 + ((b0 << 4) + c ^ b0 + total ^ (b0 >> 5) + d) & _M
        state0, state1 = state0 + b0 & _M, state1 + b1 & _M
    return _finish(state0), state1


def hash_keys(version: int, names: Sequence[bytes], seed: Seed) -> array[int]:
    """Return ``hash << 32 | minor hash`` of each name, in the order given.

    The leaves of an index hold the names in the order of these numbers. ``version`` also chooses
    between signed and unsigned characters, such as ``DX_HASH_TEA_UNSIGNED``. Raises ``ValueError``
    for siphash, which needs a key.
    """
    state = seed if any(seed) else _DEFAULT_SEED
    hash_some: Callable[[Sequence[bytes]], array[int]]
    if version in (DX_HASH_HALF_MD4, DX_HASH_HALF_MD4_UNSIGNED):
        hash_some = partial(half_md4_lanes, state=state, signed=version == DX_HASH_HALF_MD4)
    elif version in (DX_HASH_LEGACY, DX_HASH_LEGACY_UNSIGNED):
        hash_some = partial(legacy_lanes, state=_LEGACY_STATE, signed=version == DX_HASH_LEGACY)
    elif version in (DX_HASH_TEA, DX_HASH_TEA_UNSIGNED):
        hash_some = partial(tea_lanes, state=state[:2], signed=version == DX_HASH_TEA)
    else:
        raise ValueError(f"hash version {version} needs more than names and a seed")
    keys = array("Q")
    for low in range(0, len(names), _NAMES_AT_ONCE):
        keys.extend(hash_some(names[low : low + _NAMES_AT_ONCE]))
    if keys and max(keys) >> 32 == _END_OF_DIRECTORY:
        keys = array("Q", [_finish(key >> 32) << 32 | key & _M for key in keys])
    return keys


def hash_names(version: int, names: Sequence[bytes], seed: Seed) -> list[tuple[int, int]]:
    """Return (hash, minor hash) of ``names`` for a dx_root_info hash version."""
    return [(key >> 32, key & _M) for key in hash_keys(version, names, seed)]


def _finish(hashed: int) -> int:
    hashed &= ~1
    return _LAST_HASH if hashed == _END_OF_DIRECTORY else hashed


def _words(rest: bytes, number: int, signed: bool) -> list[int]:
    """Return ``number`` message words from the rest of a name, padded with its length."""
    # dirhash.c:str2hashbuf: the pad is the length of the rest, including bytes after these words
    pad = (len(rest) & 0xFF) * 0x01010101
    words = []
    for start in range(0, number * 4, 4):
        word = pad
        for byte in rest[start : min(start + 4, number * 4)]:
            if signed and byte >= 0x80:
                byte -= 0x100
            word = (word << 8) + byte & _M
        words.append(word)
    return words


def _half_md4_transform(state: Seed, words: Sequence[int]) -> Seed:
    # dirhash.c:halfMD4Transform
    a, b, c, d = state
    for index, shift in _ROUND1:
        a = a + (d ^ b & (c ^ d)) + words[index] & _M
        a, b, c, d = d, (a << shift | a >> 32 - shift) & _M, b, c
    for index, shift in _ROUND2:
        a = a + (b & c | (b ^ c) & d) + words[index] + K2 & _M
        a, b, c, d = d, (a << shift | a >> 32 - shift) & _M, b, c
    for index, shift in _ROUND3:
        a = a + (b ^ c ^ d) + words[index] + K3 & _M
        a, b, c, d = d, (a << shift | a >> 32 - shift) & _M, b, c
    return state[0] + a & _M, state[1] + b & _M, state[2] + c & _M, state[3] + d & _M
