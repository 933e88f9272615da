"""The hashes of many names in parallel: big integers as vectors of 64-bit lanes.

Lane k of every big integer belongs to name k and holds a 32-bit word in its lower half, so one
addition, mask or shift works on thousands of names at the speed of C. The upper half takes carries
and rotations and is masked away.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain, islice

from .record import HOST_IS_BIG_ENDIAN

# Lanes per vector: enough to hide the interpreter's overhead, few enough to stay in the cache.
_LANES = 2048

K2 = 0x5A827999
K3 = 0x6ED9EBA1
_SHIFTS1 = (3, 7, 11, 19) * 2
_SHIFTS2 = (3, 5, 9, 13) * 2
_SHIFTS3 = (3, 9, 11, 15) * 2
_ORDER2 = (1, 3, 5, 7, 0, 2, 4, 6)
_ORDER3 = (3, 7, 2, 6, 1, 5, 0, 4)


Groups = list[tuple[int, list[bytes]]]
"""Pairs of a length in bytes and the names of that length."""


def half_md4_lanes(
    names: Sequence[bytes], state: tuple[int, int, int, int], signed: bool
) -> array[int]:
    """Return ``hash << 32 | minor hash`` of each name; the lowest bit of the hash is zero."""
    empty = (state[1] & ~1) << 32 | state[2]
    return _in_lanes(names, partial(_half_md4, state=state, signed=signed), 32, empty)


def tea_lanes(names: Sequence[bytes], state: tuple[int, int], signed: bool) -> array[int]:
    """The same for the hash based on TEA."""
    empty = (state[0] & ~1) << 32 | state[1]
    return _in_lanes(names, partial(_tea, state=state, signed=signed), 16, empty)


def legacy_lanes(names: Sequence[bytes], state: tuple[int, int], signed: bool) -> array[int]:
    """The same for the oldest hash; minor hashes are 0."""
    empty = (state[0] << 1 & 0xFFFFFFFE) << 32
    return _in_lanes(names, partial(_legacy, state=state, signed=signed), 1, empty)


def _in_lanes(
    names: Sequence[bytes], hash_run: Callable[[Groups, int], array[int]], chunk: int, empty: int
) -> array[int]:
    """Hash ``names`` in runs of names with equally many chunks of ``chunk`` bytes.

    ``hash_run`` returns the keys of the names of a run, given their number; ``empty`` is the key of
    the empty name.
    """
    by_length: defaultdict[int, array[int]] = defaultdict(lambda: array("I"))
    for position, length in enumerate(map(len, names)):
        by_length[length].append(position)
    order = array("I", chain.from_iterable(by_length[length] for length in sorted(by_length)))
    counts = {length: len(positions) for length, positions in by_length.items()}
    del by_length
    keys = array("Q", [empty]) * len(names)
    done = counts.get(0, 0)
    for run in _runs(counts, chunk):
        number = sum(count for _, count in run)
        positions = order[done : done + number]
        queue = map(names.__getitem__, positions)
        groups = [(length, list(islice(queue, count))) for length, count in run]
        for position, key in zip(positions, hash_run(groups, number), strict=True):
            keys[position] = key
        done += number
    return keys


def _runs(counts: Mapping[int, int], chunk: int) -> Iterable[list[tuple[int, int]]]:
    """Yield runs of (name length, count): at most _LANES names, all with equally many chunks."""
    run: list[tuple[int, int]] = []
    room, chunks = _LANES, 0
    for length in sorted(counts):
        if length == 0:
            continue
        left = counts[length]
        if run and -(-length // chunk) != chunks:
            yield run
            run, room = [], _LANES
        chunks = -(-length // chunk)
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


def _half_md4(
    groups: Groups, number: int, *, state: tuple[int, int, int, int], signed: bool
) -> array[int]:
    ones = _ones(number)
    a, b, c, d = (word * ones for word in state)
    for words in _chunks(groups, ones, 8, signed):
        a, b, c, d = _transform((a, b, c, d), words, ones)
    return _keys(b, c, number)


def _tea(groups: Groups, number: int, *, state: tuple[int, int], signed: bool) -> array[int]:
    # dirhash.c:TEA_transform
    ones = _ones(number)
    mask, shifted = 0xFFFFFFFF * ones, 0x07FFFFFF * ones
    first, second = (word * ones for word in state)
    for a, b, c, d in _chunks(groups, ones, 4, signed):
        b0, b1, total = first, second, 0
        for _ in range(16):
            total = total + 0x9E3779B9 & 0xFFFFFFFF
            sums = total * ones
            b0 = b0 + ((b1 << 4) + a ^ b1 + sums ^ (b1 >> 5 & shifted) + b) & mask
            b1 = b1 + ((b0 << 4) + c ^ b0 + sums ^ (b0 >> 5 & shifted) + d) & mask
        first, second = first + b0 & mask, second + b1 & mask
    return _keys(first, second, number)


def _legacy(groups: Groups, number: int, *, state: tuple[int, int], signed: bool) -> array[int]:
    # dirhash.c:dx_hack_hash; all names of a run have one length.
    [(length, names)] = groups
    ones = _ones(number)
    mask = 0xFFFFFFFF * ones
    text = b"".join(names)
    fix_signs = signed and not text.isascii()
    hash0, hash1 = (word * ones for word in state)
    lanes = bytearray(8 * number)
    for index in range(length):
        lanes[::8] = text[index::length]
        byte = int.from_bytes(lanes, "little")
        product = byte * 7152373
        if fix_signs:
            product = product + (byte >> 7 & ones) * (-256 * 7152373 & 0xFFFFFFFF) & mask
        hashed = hash1 + (hash0 ^ product) & mask
        hashed -= (hashed >> 31 & ones) * 0x7FFFFFFF
        hash1, hash0 = hash0, hashed
    return _keys(hash0 << 1 & mask, 0, number)


def _keys(hashed: int, minor: int, number: int) -> array[int]:
    """``hash << 32 | minor hash`` of each lane."""
    low = 0xFFFFFFFE * _ones(number)
    keys = array("Q", ((hashed & low) << 32 | minor).to_bytes(8 * number, "little"))
    if HOST_IS_BIG_ENDIAN:
        keys.byteswap()
    return keys


def _chunks(groups: Groups, ones: int, number: int, signed: bool) -> Iterable[list[int]]:
    """Yield the ``number`` message words of each chunk of every name."""
    joined = [(length, len(names), b"".join(names)) for length, names in groups]
    fix_signs = signed and not all(text.isascii() for _, _, text in joined)
    for start in range(0, joined[0][0], 4 * number):
        words = _words(joined, start, ones, number)
        yield [_sign_extend(word, ones) for word in words] if fix_signs else words


def _words(joined: list[tuple[int, int, bytes]], start: int, ones: int, number: int) -> list[int]:
    """Return the message words of the chunk that begins at byte ``start`` of every name."""
    # Two words share a lane here, because converting bytes to an integer is expensive.
    buffers = [bytearray() for _ in range(number // 2)]
    for length, count, text in joined:
        rest = length - start
        pad = bytes([rest & 0xFF]) * (8 * count)
        used = min(rest, 4 * number)
        for pair, buffer in enumerate(buffers):
            base = len(buffer)
            buffer += pad
            end = len(buffer)
            for index in range(8 * pair, min(8 * pair + 8, used)):
                # Words are big-endian; the last word of a name is filled from the right.
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
    """Return the words as C builds them from signed characters: each byte >= 0x80 borrows one."""
    borrow = (word & 0x80808080 * ones) << 1
    return (word + (ones << 34)) - borrow & 0xFFFFFFFF * ones


def _transform(
    state: tuple[int, int, int, int], words: list[int], ones: int
) -> tuple[int, int, int, int]:
    """Return the next state; e2fsprogs dirhash.c:halfMD4Transform in lanes."""
    mask = 0xFFFFFFFF * ones
    a, b, c, d = state
    # cd is c ^ d, which is b ^ c of the previous step. The last & drops bits of the upper half.
    cd = c ^ d
    for word, shift in zip(words, _SHIFTS1, strict=True):
        turned = (a + (d ^ b & cd) + word & mask) << shift
        cd = b ^ c
        a, b, c, d = d, (turned | turned >> 32) & mask, b, c
    constant = K2 * ones
    for index, shift in zip(_ORDER2, _SHIFTS2, strict=True):
        bc = b ^ c
        turned = (a + (c ^ bc & cd) + words[index] + constant & mask) << shift
        cd = bc
        a, b, c, d = d, (turned | turned >> 32) & mask, b, c
    constant = K3 * ones
    for index, shift in zip(_ORDER3, _SHIFTS3, strict=True):
        turned = (a + (b ^ cd) + words[index] + constant & mask) << shift
        cd = b ^ c
        a, b, c, d = d, (turned | turned >> 32) & mask, b, c
    a0, b0, c0, d0 = state
    return a + a0 & mask, b + b0 & mask, c + c0 & mask, d + d0 & mask
