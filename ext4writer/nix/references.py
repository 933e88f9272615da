"""Finds which store paths a store object refers to: those whose hash stands somewhere in it.

Nix does the same with the archive of what a build made (``src/libstore/references.cc``).
"""

from __future__ import annotations

from collections.abc import Iterable

from .store_paths import BASE32, HASH_LENGTH, hash_part

BLOCK = HASH_LENGTH // 2
"""Every hash covers a whole block, wherever it begins in a row of digits."""

STEP_BYTES = 128 << 10
"""What is looked at in one go; it fits the processor's cache several times."""

_IS_DIGIT = bytes(byte in BASE32.encode() for byte in range(256))
_ROW = b"\1" * HASH_LENGTH


class Candidates:
    """Store paths that may be referred to, found by any block of their hash."""

    def __init__(self, names: Iterable[str]) -> None:
        self.blocks: dict[bytes, list[tuple[int, bytes, str]]] = {}
        """Half of a hash -> (where it stands in the hash, the hash, the name) of each such hash."""
        for name in names:
            digits = hash_part(name)
            for start in range(BLOCK + 1):
                block = digits[start : start + BLOCK]
                self.blocks.setdefault(block, []).append((start, digits, name))


class ReferenceScanner:
    """Takes the bytes of one archive in pieces; ``found`` holds the names that were seen."""

    def __init__(self, candidates: Candidates) -> None:
        self.found: set[str] = set()
        self._blocks = candidates.blocks
        self._tail = b""

    def feed(self, data: memoryview) -> None:
        """Look through the next bytes."""
        for start in range(0, len(data), STEP_BYTES):
            self._step(data[start : start + STEP_BYTES])

    def _step(self, data: memoryview) -> None:
        piece = b"".join((self._tail, data))
        self._tail = piece[1 - HASH_LENGTH :]
        digits = piece.translate(_IS_DIGIT)
        start = digits.find(_ROW)
        while start >= 0:
            end = digits.find(b"\0", start + HASH_LENGTH)
            if end < 0:
                end = len(piece)
            self._look(piece, start, end)
            start = digits.find(_ROW, end)

    def _look(self, piece: bytes, start: int, end: int) -> None:
        """Look for hashes in the row of digits from ``start`` to ``end``."""
        blocks = self._blocks
        for at in range(start, end - BLOCK + 1, BLOCK):
            found = blocks.get(piece[at : at + BLOCK])
            if found is not None:
                for within, digits, name in found:
                    if start + within <= at and piece.startswith(digits, at - within):
                        self.found.add(name)
