"""How the names of a directory are spread over blocks: one after the other, or under a hash index.

Rules: Documentation/filesystems/ext4/directory.rst; the index as fs/ext4/namei.c walks it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ..ondisk.dirent import DIR_ENTRY_TAIL, rec_len
from ..ondisk.dirhash import Seed, hash_names
from ..ondisk.htree import DX_HASH_HALF_MD4, node_limit, root_limit
from .policy import LayoutPolicy

DOT_ENTRIES = rec_len(1) + rec_len(2)
LOST_AND_FOUND_BYTES = 16 * 1024
"""misc/mke2fs.c:create_lost_and_found makes it this large, so that e2fsck need not allocate."""

_REC_LEN = [rec_len(length) for length in range(256)]


class DirectoryTooLargeError(Exception):
    """The index would need a third level; ``names`` is how many names there are."""


@dataclass(frozen=True, slots=True)
class LinearDirectory:
    """Blocks of entries in the order of ``names``.

    Block ``i`` holds ``names[starts[i]:starts[i + 1]]``, the first one ``.`` and ``..`` before
    them; blocks beyond the last start hold nothing.
    """

    names: Sequence[bytes]
    starts: Sequence[int]
    blocks: int


@dataclass(frozen=True, slots=True)
class IndexedDirectory:
    """A hashed index: block 0 is its root, then ``nodes`` inner nodes, then the leaves.

    Leaf ``i`` holds ``names[starts[i]:starts[i + 1]]``; ``hashes[i]`` is what its index entry says,
    with the continuation bit where its first hash also ends the leaf before (0 for the first).
    """

    names: Sequence[bytes]
    starts: Sequence[int]
    hashes: Sequence[int]
    nodes: int
    leaves_per_node: int

    @property
    def leaves(self) -> int:
        return len(self.hashes)

    @property
    def blocks(self) -> int:
        return 1 + self.nodes + self.leaves


DirectoryPlan = LinearDirectory | IndexedDirectory


@dataclass(frozen=True, slots=True)
class DirectoryRules:
    """What the blocks of all directories of an image have in common."""

    block_size: int
    csum: bool
    indexing: bool
    hash_seed: Seed
    hash_version: int = DX_HASH_HALF_MD4

    @property
    def capacity(self) -> int:
        """Bytes for entries in a block that is all entries."""
        return self.block_size - (DIR_ENTRY_TAIL.size if self.csum else 0)


def plan_directory(
    names: list[bytes], rules: DirectoryRules, policy: LayoutPolicy, *, least_blocks: int = 1
) -> DirectoryPlan:
    """Spread ``names`` (sorted as bytes) over blocks.

    ``least_blocks`` asks for empty blocks behind the entries, for ``lost+found``; they alone do
    not make the directory an indexed one.
    Raises :class:`DirectoryTooLargeError` if two levels of index cannot hold them.
    """
    capacity = rules.capacity
    room = capacity - DOT_ENTRIES
    lengths = list(map(_REC_LEN.__getitem__, map(len, names)))
    total = sum(lengths)
    if total <= room and policy.sequential:
        return LinearDirectory(names, (0, len(names)), least_blocks)
    estimate = -(-(total + DOT_ENTRIES) // capacity)
    if rules.indexing and policy.indexed(estimate):
        return _plan_index(names, rules, policy)
    names = policy.entry_order(names)
    lengths = list(map(_REC_LEN.__getitem__, map(len, names)))
    starts = _fill_blocks(lengths, capacity, policy, room)
    return LinearDirectory(names, starts, max(least_blocks, len(starts) - 1))


def _plan_index(
    names: list[bytes], rules: DirectoryRules, policy: LayoutPolicy
) -> IndexedDirectory:
    order = sorted(zip(hash_names(rules.hash_version, names, rules.hash_seed), names, strict=True))
    ordered = [name for _, name in order]
    lengths = list(map(_REC_LEN.__getitem__, map(len, ordered)))
    starts = _fill_blocks(lengths, rules.capacity, policy, rules.capacity)
    hashes = array("I", [0])
    for start in starts[1:-1]:
        first, before = order[start][0][0], order[start - 1][0][0]
        # fs/ext4/namei.c:do_split, "continued": the low bit says that the hash began before.
        hashes.append(first | (first == before))
    leaves = len(hashes)
    at_root = root_limit(rules.block_size, rules.csum)
    per_node = node_limit(rules.block_size, rules.csum)
    if leaves <= at_root:
        nodes = 0
    else:
        nodes = -(-leaves // per_node)
        if nodes > at_root:
            raise DirectoryTooLargeError
    return IndexedDirectory(ordered, starts, hashes, nodes, per_node)


def _fill_blocks(
    lengths: list[int], capacity: int, policy: LayoutPolicy, first_room: int
) -> array[int]:
    """Index of the first entry of each block, and at the end the count of entries."""
    starts = array("I", [0])
    sequential = policy.sequential
    ends = list(accumulate(lengths))
    limit = first_room if sequential else policy.leaf_bytes(first_room)
    hard_limit = first_room
    base = 0
    for position, end in enumerate(ends):
        used = end - base
        if used > limit and (used > hard_limit or used > lengths[position]):
            starts.append(position)
            base = end - lengths[position]
            hard_limit = capacity
            limit = capacity if sequential else policy.leaf_bytes(capacity)
    starts.append(len(lengths))
    return starts
