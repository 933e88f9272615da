"""Mutates any image and sets its checksums, for fuzzers that change bytes."""

from __future__ import annotations

from ..checked import checked
from ..damage import reseal_into
from .chance import Chance

MOST_CHANGES = 4
INTERESTING = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)


@checked()
def mutate(data: bytes | bytearray, seed: int, max_size: int) -> bytes:
    """Change ``data`` in a few places determined by ``seed``, and set all checksums.

    :mod:`.afl` and :func:`custom_mutator` are the forms that AFL++ and atheris require. Bytes that
    are not an image are changed, too. The result has at most ``max_size`` bytes. Never raises an
    error because of the content.
    """
    chance = Chance(seed)
    changed = bytearray(data[:max_size])
    if not changed:
        return bytes(changed)
    touched: list[int] = []
    for _ in range(1 + chance.below(MOST_CHANGES)):
        width = chance.one_of((1, 2, 4))
        offset = _place(chance, len(changed))
        end = min(offset + width, len(changed))
        kind = chance.below(4)
        before = int.from_bytes(changed[offset:end], "little")
        limit = 1 << 8 * (end - offset)
        if kind == 0:
            value = before ^ 1 << chance.below(8 * (end - offset))
        elif kind == 1:
            value = before + chance.one_of((-1, 1, 16, -16, 2017))
        elif kind == 2:
            value = chance.one_of(INTERESTING)
        else:
            value = chance.below(limit)
        changed[offset:end] = (value % limit).to_bytes(end - offset, "little")
        touched += range(offset, end)
    reseal_into(changed, touched)
    return bytes(changed)


@checked()
def custom_mutator(data: bytes, max_size: int, seed: int) -> bytes:
    """Call :func:`mutate`; for ``atheris.Setup(custom_mutator=...)``."""
    return mutate(data, seed, max_size)


def _place(chance: Chance, size: int) -> int:
    """Return a random offset, more often in the superblock and in the first 128 KiB."""
    if chance.below(3) == 0 and size > 2048:
        return 1024 + chance.below(1024)
    if chance.below(2) == 0:
        return chance.below(min(size, 1 << 17))
    return chance.below(size)
