"""How the names of a directory are spread over blocks: one after the other, or under a hash index.

Rules: Documentation/filesystems/ext4/directory.rst; the index as fs/ext4/namei.c walks it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from ..ondisk.dirent import EXT4_DIR_PAD, EXT4_NAME_LEN, rec_len
from ..ondisk.dirhash import Seed, hash_keys
from ..ondisk.format import Format
from ..ondisk.htree import DX_HASH_HALF_MD4, node_limit, root_limit
from .policy import LayoutPolicy

DOT_ENTRIES = rec_len(1) + rec_len(2)
LOST_AND_FOUND_BYTES = 16 * 1024
"""misc/mke2fs.c:create_lost_and_found makes it this large, so that e2fsck need not allocate."""

_WORDS = bytes(rec_len(length) // EXT4_DIR_PAD for length in range(256))
"""By the length of a name: length of its entry, in words of four bytes so that it fits a byte."""

NAMES_PER_BUCKET = 2048
"""Names that are sorted at once: few enough for the cache, and for their keys as objects."""


class DirectoryTooLargeError(Exception):
    """The index would need a third level; ``names`` is how many names there are."""


class LinearDirectory(NamedTuple):
    """Blocks of entries. ``order`` holds the position of each among the sorted names.

    Block ``i`` holds the entries ``order[starts[i]:starts[i + 1]]``, the first one ``.`` and ``..``
    before them; blocks beyond the last start hold nothing.
    """

    order: Sequence[int]
    starts: Sequence[int]
    blocks: int


class IndexedDirectory(NamedTuple):
    """A hashed index: block 0 is its root, then ``nodes`` inner nodes, then the leaves.

    Leaf ``i`` holds the entries ``order[starts[i]:starts[i + 1]]``, as positions among the sorted
    names; ``hashes[i]`` is what its index entry says, with the continuation bit where its first
    hash also ends the leaf before (0 for the first).
    """

    order: Sequence[int]
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


class DirectoryRules(NamedTuple):
    """What the blocks of all directories of an image have in common."""

    format: Format
    hash_seed: Seed
    hash_version: int = DX_HASH_HALF_MD4

    @property
    def capacity(self) -> int:
        """Bytes for entries in a block that is all entries."""
        return self.format.block_size - self.format.dir_tail_size

    @property
    def certain_names(self) -> int:
        """So many names fit one block however long they are."""
        return (self.capacity - DOT_ENTRIES) // rec_len(EXT4_NAME_LEN)


def plan_directory(
    names: list[bytes],
    lengths: bytes | bytearray,
    rules: DirectoryRules,
    policy: LayoutPolicy,
    *,
    least_blocks: int = 1,
) -> DirectoryPlan:
    """Spread ``names`` (sorted as bytes), which have these ``lengths``, over blocks.

    ``least_blocks`` asks for empty blocks behind the entries, for ``lost+found``; they alone do
    not make the directory an indexed one.
    Raises :class:`DirectoryTooLargeError` if two levels of index cannot hold them.
    """
    capacity = rules.capacity
    room = capacity - DOT_ENTRIES
    words = lengths.translate(_WORDS)
    total = sum(words) * EXT4_DIR_PAD
    if total <= room and policy.sequential:
        return LinearDirectory(range(len(names)), (0, len(names)), least_blocks)
    estimate = -(-(total + DOT_ENTRIES) // capacity)
    if rules.format.dir_index and policy.indexed(estimate):
        return _plan_index(names, words, rules, policy)
    order: Sequence[int] = range(len(names))
    ordered = policy.entry_order(names)
    if ordered is not names:
        positions = {name: position for position, name in enumerate(names)}
        order = array("I", map(positions.__getitem__, ordered))
        words = bytes(map(len, ordered)).translate(_WORDS)
    starts = _fill_blocks(words, capacity, policy, room)
    return LinearDirectory(order, starts, max(least_blocks, len(starts) - 1))


def _plan_index(
    names: list[bytes], words: bytes | bytearray, rules: DirectoryRules, policy: LayoutPolicy
) -> IndexedDirectory:
    keys = hash_keys(rules.hash_version, names, rules.hash_seed)
    order = _sorted_positions(keys)
    ordered_words = bytes(map(words.__getitem__, order))
    starts = _fill_blocks(ordered_words, rules.capacity, policy, rules.capacity)
    hashes = array("I", [0])
    for start in starts[1:-1]:
        first, before = keys[order[start]] >> 32, keys[order[start - 1]] >> 32
        # fs/ext4/namei.c:do_split, "continued": the low bit says that the hash began before.
        hashes.append(first | (first == before))
    leaves = len(hashes)
    at_root = root_limit(rules.format.block_size, rules.format.metadata_csum)
    per_node = node_limit(rules.format.block_size, rules.format.metadata_csum)
    if leaves <= at_root:
        nodes = 0
    else:
        nodes = -(-leaves // per_node)
        if nodes > at_root:
            raise DirectoryTooLargeError
    return IndexedDirectory(order, starts, hashes, nodes, per_node)


def _sorted_positions(keys: array[int]) -> array[int]:
    """The positions of all ``keys``, by ascending key; equal keys stay as they are.

    Keys of 64 bits are first sorted into buckets by their highest ones.
    """
    bits = (len(keys) // NAMES_PER_BUCKET).bit_length()
    buckets = [array("I") for _ in range(1 << bits)]
    if bits:
        puts = [bucket.append for bucket in buckets]
        shift = 64 - bits
        for position, key in enumerate(keys):
            puts[key >> shift](position)
    else:
        buckets[0].extend(range(len(keys)))
    order = array("I")
    for bucket in buckets:
        order.extend(sorted(bucket, key=keys.__getitem__))
    return order


def _fill_blocks(
    words: bytes | bytearray, capacity: int, policy: LayoutPolicy, first_room: int
) -> array[int]:
    """Index of the first entry of each block, and at the end the count of entries."""
    starts = array("I", [0])
    ends = array("I", accumulate(words))
    if policy.sequential:
        limit = first_room // EXT4_DIR_PAD
        while True:
            start = starts[-1]
            base = ends[start - 1] if start else 0
            end = bisect_right(ends, base + limit, start)
            if end == len(words):
                break
            starts.append(end)
            limit = capacity // EXT4_DIR_PAD
    else:
        limit = policy.leaf_bytes(first_room)
        hard_limit = first_room
        base = 0
        for position, end in enumerate(ends):
            length, used = words[position] * EXT4_DIR_PAD, (end - base) * EXT4_DIR_PAD
            if used > limit and (used > hard_limit or used > length):
                starts.append(position)
                base = end - words[position]
                hard_limit = capacity
                limit = policy.leaf_bytes(capacity)
    starts.append(len(words))
    return starts
