"""Pseudorandom numbers and bytes that are the same on every machine and with every Python."""

from __future__ import annotations

from functools import cached_property

MASK = (1 << 64) - 1
BLOCK = 1 << 20
TABLES = 64


class Numbers:
    """The generator SplitMix64."""

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK

    def next(self) -> int:
        """A 64-bit number."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & MASK
        return mixed ^ (mixed >> 31)

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit - 1``."""
        return self.next() * limit >> 64

    def between(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, inclusive."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        """True with this probability."""
        return self.below(100) < percent

    def pick(self, classes: tuple[tuple[int, int, int], ...]) -> int:
        """A number from one of ``classes``, each of which is (percent, low, high)."""
        drawn = self.below(100)
        for percent, low, high in classes:
            drawn -= percent
            if drawn < 0:
                return self.between(low, high)
        raise AssertionError("the classes are less than a hundred percent")

    def word(self, alphabet: str, length: int) -> str:
        """``length`` letters."""
        return "".join(alphabet[self.below(len(alphabet))] for _ in range(length))


class Bytes:
    """File content without zero bytes.

    All content is cut from one block of words. Substituting byte values turns it into many blocks,
    so that a compressor finds repeated words, as in real files, but no repeated files.
    """

    def __init__(self, seed: int) -> None:
        self.numbers = Numbers(seed)

    @cached_property
    def block(self) -> bytes:
        """The block twice, so that a piece can start anywhere."""
        numbers = self.numbers
        letters = "etaoinshrdlucmfwypvbgk"
        words = [
            numbers.word(letters, numbers.between(2, 11)).encode() + b" " for _ in range(1 << 12)
        ]
        text = b"".join(words[numbers.below(len(words))] for _ in range(BLOCK // 4))
        return text[:BLOCK] * 2

    @cached_property
    def tables(self) -> list[bytes]:
        """Permutations of the byte values that map zero to itself."""
        tables = []
        for _ in range(TABLES):
            values = list(range(1, 256))
            for last in range(len(values) - 1, 0, -1):
                other = self.numbers.below(last + 1)
                values[last], values[other] = values[other], values[last]
            tables.append(bytes([0, *values]))
        return tables

    def take(self, size: int) -> bytes:
        """Return ``size`` bytes, different ones in every call."""
        pieces = []
        while size > 0:
            count = min(size, BLOCK)
            start = self.numbers.below(BLOCK)
            table = self.tables[self.numbers.below(TABLES)]
            pieces.append(self.block[start : start + count].translate(table))
            size -= count
        return b"".join(pieces)
