"""The Merkle tree of fs-verity: hashes of data blocks, hashes of blocks of hashes, up to one root.

Rules: Documentation/filesystems/fsverity.rst, "Merkle tree", and
fs/verity/open.c:fsverity_init_merkle_tree_params, which defines the order of the levels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, ClassVar

from ..arithmetic import ceil_div, round_up
from ..bits import is_power_of_two, log2
from ..errors import SpecError
from ..late_dataclasses import dataclass
from .verity import ALGORITHMS, FSVERITY_DESCRIPTOR, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE, SALT_MAX


@dataclass(frozen=True)
class MerkleTree:
    """The parameters of a tree. ``block_size`` is in bytes; ``salt`` has at most 32 bytes.

    Raises :class:`SpecError` for parameters that fs-verity does not support.
    """

    algorithm: str = "sha256"
    block_size: int = 4096
    salt: bytes = b""

    SALT_MOST: ClassVar[int] = SALT_MAX
    PADS_SALT: ClassVar[bool] = True
    """Whether the salt is padded, as in fs/verity/hash_algs.c:fsverity_prepare_hash_state."""

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise SpecError("verity", f"{self.algorithm!r} is none of {', '.join(ALGORITHMS)}")
        size = self.block_size
        if not MIN_BLOCK_SIZE <= size <= MAX_BLOCK_SIZE or not is_power_of_two(size):
            raise SpecError(
                "verity",
                f"blocks cannot have {size} bytes; give a power of two from {MIN_BLOCK_SIZE} "
                f"to {MAX_BLOCK_SIZE}",
            )
        if len(self.salt) > self.SALT_MOST:
            raise SpecError(
                "verity", f"the salt has {len(self.salt)} bytes; the maximum is {self.SALT_MOST}"
            )

    @cached_property
    def digest_size(self) -> int:
        """Bytes of one hash."""
        return hashlib.new(self.algorithm).digest_size

    @cached_property
    def hashes_per_block(self) -> int:
        return self.block_size // self.digest_size

    @cached_property
    def _salted(self) -> Any:
        """The state of the hash after the salt, from which each block is hashed."""
        state = hashlib.new(self.algorithm)
        unit = state.block_size if self.PADS_SALT else 1
        state.update(self.salt.ljust(round_up(len(self.salt), unit), b"\0"))
        return state

    @cached_property
    def zero_hash(self) -> bytes:
        """The hash of a block of zeros."""
        return self.hash_block(bytes(self.block_size))

    def level_blocks(self, size: int) -> list[int]:
        """The number of blocks in each level of the tree of ``size`` bytes, lowest level first."""
        blocks = ceil_div(size, self.block_size)
        levels = []
        while blocks > 1:
            blocks = ceil_div(blocks, self.hashes_per_block)
            levels.append(blocks)
        return levels

    def tree_size(self, size: int) -> int:
        """The size in bytes of the tree of ``size`` bytes of content."""
        return sum(self.level_blocks(size)) * self.block_size

    def build(self, pieces: Iterable[bytes | bytearray | memoryview]) -> tuple[bytes, bytes]:
        """Return the tree as it is stored, the root's level first, and the hash of the root.

        ``pieces`` are the content in order; each but the last is a whole number of blocks.
        """
        builder = TreeBuilder(self)
        for piece in pieces:
            builder.add(piece)
        return builder.finish()

    def hash_block(self, block: bytes | memoryview) -> bytes:
        """The hash of one complete block."""
        state = self._salted.copy()
        state.update(block)
        digest: bytes = state.digest()
        return digest

    def hashes(self, piece: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Yield the hash of each block of ``piece``, padding an incomplete last one with zeros."""
        view = memoryview(piece)
        for first in range(0, len(view), self.block_size):
            block = view[first : first + self.block_size]
            if len(block) < self.block_size:
                yield self.hash_block(bytes(block).ljust(self.block_size, b"\0"))
            else:
                yield self.hash_block(block)

    def descriptor(self, size: int, root_hash: bytes, signature: bytes = b"") -> bytes:
        """The ``fsverity_descriptor`` of a file of ``size`` bytes, followed by its signature."""
        return self._descriptor(size, root_hash, len(signature)) + signature

    def file_digest(self, size: int, root_hash: bytes) -> bytes:
        """The digest that ``fsverity measure`` prints: the hash of the unsigned descriptor."""
        return hashlib.new(self.algorithm, self._descriptor(size, root_hash, 0)).digest()

    def _descriptor(self, size: int, root_hash: bytes, sig_size: int) -> bytes:
        return FSVERITY_DESCRIPTOR.pack(
            {
                "version": 1,
                "hash_algorithm": ALGORITHMS[self.algorithm],
                "log_blocksize": log2(self.block_size),
                "salt_size": len(self.salt),
                "sig_size": sig_size,
                "data_size": size,
                "root_hash": root_hash.ljust(64, b"\0"),
                "salt": self.salt.ljust(SALT_MAX, b"\0"),
            }
        )


class TreeBuilder:
    """Builds the tree of content that arrives piece by piece.

    Without ``keeps_lowest``, the result of :meth:`finish` lacks the blocks of the lowest level,
    which are nearly all of the tree.
    """

    def __init__(self, tree: MerkleTree, *, keeps_lowest: bool = True) -> None:
        self._tree = tree
        self._keeps_lowest = keeps_lowest
        self._open: list[bytearray] = []
        """For each level, the lowest first: the hashes of the block that is not full yet."""
        self._closed: list[bytearray] = []
        """For each level: all full blocks."""
        self._counts: list[int] = []
        """For each level: the number of hashes so far."""

    def add(self, piece: bytes | bytearray | memoryview) -> None:
        """Add content: a whole number of blocks, except at its end."""
        for digest in self._tree.hashes(piece):
            self._put(0, digest)

    def add_zeros(self, blocks: int) -> None:
        """Add ``blocks`` blocks of zeros, whose hash is computed only once."""
        for _ in range(blocks):
            self._put(0, self._tree.zero_hash)

    def finish(self) -> tuple[bytes, bytes]:
        """Return the tree as it is stored, the root's level first, and the hash of the root."""
        if not self._open:  # fsverity.rst: the root hash of an empty file is all zeros
            return b"", bytes(self._tree.digest_size)
        level = 0
        while self._counts[level] > 1:
            if self._open[level]:
                self._close(level)
            level += 1
        return b"".join(reversed(self._closed)), bytes(self._open[level])

    def _put(self, level: int, digest: bytes) -> None:
        if level == len(self._open):
            self._open.append(bytearray())
            self._closed.append(bytearray())
            self._counts.append(0)
        block = self._open[level]
        block += digest
        self._counts[level] += 1
        if len(block) == self._tree.block_size:
            self._close(level)

    def _close(self, level: int) -> None:
        block = bytes(self._open[level]).ljust(self._tree.block_size, b"\0")
        self._open[level].clear()
        if level or self._keeps_lowest:
            self._closed[level] += block
        self._put(level + 1, self._tree.hash_block(block))
