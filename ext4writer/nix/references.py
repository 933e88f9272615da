"""Finds the store paths to which a store object refers: those whose hash occurs anywhere in it.

Nix does the same with the archive of a build's output (``src/libstore/references.cc``).
"""

from __future__ import annotations

from collections.abc import Iterable

from .store_paths import BASE32, HASH_LENGTH, hash_part

BLOCK = HASH_LENGTH // 2
"""A run of digits is examined in blocks of this size. Every hash in it includes an entire block."""

STEP_BYTES = 128 << 10
"""Number of bytes examined at a time; several times as many fit into the processor's cache."""

_IS_DIGIT = bytes(byte in BASE32.encode() for byte in range(256))
_ROW = b"\1" * HASH_LENGTH


class Candidates:
    """Store paths that may be referred to, found by any block of their hash."""

    def __init__(self, names: Iterable[str]) -> None:
        self.blocks: dict[bytes, list[tuple[int, bytes, str]]] = {}
        """Half of a hash -> (its offset in the hash, the hash, the name) for each such hash."""
        for name in names:
            digits = hash_part(name)
            for start in range(BLOCK + 1):
                block = digits[start : start + BLOCK]
                self.blocks.setdefault(block, []).append((start, digits, name))


class ReferenceScanner:
    """Scans the bytes of one archive in pieces; ``found`` has the names found so far."""

    def __init__(self, candidates: Candidates) -> None:
        self.found: set[str] = set()
        self._blocks = candidates.blocks
        self._tail = b""

    def feed(self, data: memoryview) -> None:
        """Scan the next bytes."""
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
        """Look for hashes in the run of digits from ``start`` to ``end``."""
        blocks = self._blocks
        for at in range(start, end - BLOCK + 1, BLOCK):
            found = blocks.get(piece[at : at + BLOCK])
            if found is not None:
                for within, digits, name in found:
                    if start + within <= at and piece.startswith(digits, at - within):
                        self.found.add(name)
