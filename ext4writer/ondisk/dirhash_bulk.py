"""Half MD4 of many names at once: big integers as vectors of 64-bit lanes.

Lane k of every big integer belongs to name k and holds a 32-bit word in its low half, so one
addition, mask or shift works on thousands of names at the speed of C. The high half takes carries
and rotations and is masked away.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice

from .record import HOST_IS_BIG_ENDIAN

# Lanes per vector: enough to hide the interpreter, few enough to stay in the cache.
_LANES = 2048

_K2 = 0x5A827999
_K3 = 0x6ED9EBA1
_SHIFTS1 = (3, 7, 11, 19) * 2
_SHIFTS2 = (3, 5, 9, 13) * 2
_SHIFTS3 = (3, 9, 11, 15) * 2
_ORDER2 = (1, 3, 5, 7, 0, 2, 4, 6)
_ORDER3 = (3, 7, 2, 6, 1, 5, 0, 4)


def half_md4_lanes(
    names: Sequence[bytes], state: tuple[int, int, int, int], signed: bool
) -> array[int]:
    """Return ``hash << 32 | minor hash`` of each name, the low bit of the hash zero."""
    by_length: defaultdict[int, array[int]] = defaultdict(lambda: array("I"))
    for position, length in enumerate(map(len, names)):
        by_length[length].append(position)
    order = array("I", chain.from_iterable(by_length[length] for length in sorted(by_length)))
    counts = {length: len(positions) for length, positions in by_length.items()}
    del by_length
    keys = array("Q", [(state[1] & ~1) << 32 | state[2]]) * len(names)
    done = counts.get(0, 0)
    for run in _runs(counts):
        number = sum(count for _, count in run)
        positions = order[done : done + number]
        queue = map(names.__getitem__, positions)
        groups = [(length, list(islice(queue, count))) for length, count in run]
        for position, key in zip(
            positions, _hash_lanes(groups, number, state, signed), strict=True
        ):
            keys[position] = key
        done += number
    return keys


def _runs(counts: Mapping[int, int]) -> Iterable[list[tuple[int, int]]]:
    """Yield runs of (name length, how many): at most _LANES names of one number of chunks."""
    run: list[tuple[int, int]] = []
    room, chunks = _LANES, 0
    for length in sorted(counts):
        if length == 0:
            continue
        left = counts[length]
        if run and (length + 31) // 32 != chunks:
            yield run
            run, room = [], _LANES
        chunks = (length + 31) // 32
        while left:
            taken = min(left, room)
            run.append((length, taken))
            left -= taken
            room -= taken
            if not room:
                yield run
                run, room = [], _LANES
    if run:
        yield run


@lru_cache(maxsize=8)
def _ones(number: int) -> int:
    """Return the vector that holds 1 in each of ``number`` lanes."""
    return int.from_bytes(b"\1\0\0\0\0\0\0\0" * number, "little")


def _hash_lanes(
    groups: list[tuple[int, list[bytes]]],
    number: int,
    state: tuple[int, int, int, int],
    signed: bool,
) -> array[int]:
    """Return ``hash << 32 | minor hash`` of ``number`` names that have equally many chunks."""
    joined = [(length, len(names), b"".join(names)) for length, names in groups]
    fix_signs = signed and not all(text.isascii() for _, _, text in joined)
    ones = _ones(number)
    a, b, c, d = (word * ones for word in state)
    for start in range(0, joined[0][0], 32):
        words = _words(joined, start, ones)
        if fix_signs:
            words = [_sign_extend(word, ones) for word in words]
        a, b, c, d = _transform((a, b, c, d), words, ones)
    low = 0xFFFFFFFE * ones
    keys = array("Q", ((b & low) << 32 | c).to_bytes(8 * number, "little"))
    if HOST_IS_BIG_ENDIAN:
        keys.byteswap()
    return keys


def _words(joined: list[tuple[int, int, bytes]], start: int, ones: int) -> list[int]:
    """Return the eight message words of the 32-byte chunk at ``start`` of every name."""
    # Two words share a lane here, because converting bytes to an integer is expensive.
    buffers = [bytearray() for _ in range(4)]
    for length, count, text in joined:
        rest = length - start
        pad = bytes([rest & 0xFF]) * (8 * count)
        used = min(rest, 32)
        for pair, buffer in enumerate(buffers):
            base = len(buffer)
            buffer += pad
            end = len(buffer)
            for index in range(8 * pair, min(8 * pair + 8, used)):
                # A word is big endian; a word that the name ends in is filled from the right.
                within = min(used - (index & ~3), 4)
                place = (index & 4) + within - 1 - (index & 3)
                buffer[base + place : end : 8] = text[start + index :: length]
    mask = 0xFFFFFFFF * ones
    words = []
    for buffer in buffers:
        both = int.from_bytes(buffer, "little")
        words += [both & mask, both >> 32 & mask]
    return words


def _sign_extend(word: int, ones: int) -> int:
    """Return the words as C makes them of signed characters: each byte >= 0x80 borrows one."""
    borrow = (word & 0x80808080 * ones) << 1
    return (word + (ones << 34)) - borrow & 0xFFFFFFFF * ones


def _transform(
    state: tuple[int, int, int, int], words: list[int], ones: int
) -> tuple[int, int, int, int]:
    """Return the next state; e2fsprogs dirhash.c:halfMD4Transform in lanes."""
    mask = 0xFFFFFFFF * ones
    a, b, c, d = state
    # cd is c ^ d: the b ^ c of the step before. The last & drops what left the low half.
    cd = c ^ d
    for word, shift in zip(words, _SHIFTS1, strict=True):
        turned = (a + (d ^ b & cd) + word & mask) << shift
        cd = b ^ c
        a, b, c, d = d, (turned | turned >> 32) & mask, b, c
    constant = _K2 * ones
    for index, shift in zip(_ORDER2, _SHIFTS2, strict=True):
        bc = b ^ c
        turned = (a + (c ^ bc & cd) + words[index] + constant & mask) << shift
        cd = bc
        a, b, c, d = d, (turned | turned >> 32) & mask, b, c
    constant = _K3 * ones
    for index, shift in zip(_ORDER3, _SHIFTS3, strict=True):
        turned = (a + (b ^ cd) + words[index] + constant & mask) << shift
        cd = b ^ c
        a, b, c, d = d, (turned | turned >> 32) & mask, b, c
    a0, b0, c0, d0 = state
    return a + a0 & mask, b + b0 & mask, c + c0 & mask, d + d0 & mask
