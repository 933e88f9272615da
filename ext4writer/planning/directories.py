"""Distributes the names of a directory over blocks: in linear order, or under a hash index.

Rules: Documentation/filesystems/ext4/directory.rst, and fs/ext4/namei.c for the index.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..arithmetic import ceil_div
from ..bits import high_32
from ..errors import display_path
from ..late_dataclasses import NamedTuple
from ..ondisk.dirent import EXT4_DIR_PAD, EXT4_NAME_LEN, rec_len
from ..ondisk.format import Format
from ..ondisk.htree import DX_HASH_HALF_MD4, node_limit, root_limit, stored_hash_version
from ..ondisk.inode import (
    EXT4_INDEX_FL,
    EXT4_INLINE_DOTDOT_SIZE,
    EXT4_MIN_INLINE_DATA_SIZE,
)
from .policy import LayoutPolicy

if TYPE_CHECKING:
    from ..ondisk.dirhash import Seed

DOT_ENTRIES = rec_len(1) + rec_len(2)
LEAST_RECORD = rec_len(1)
"""Bytes of the shortest entry."""
HASH_END = 0xFFFFFFFC
"""Greater hashes mark the end of a directory (fs/ext4/ext4.h:EXT4_HTREE_EOF_32BIT)."""

_WORDS = bytes(rec_len(length) // EXT4_DIR_PAD for length in range(256))
"""By the length of a name in bytes: the length of its entry, in 4-byte words to fit into a byte."""

NAMES_PER_BUCKET = 2048
"""Names sorted at a time: few enough for them and their keys to fit into the cache."""


class DirectoryTooLargeError(Exception):
    """The index would need more levels than the format allows."""


class FoldedNameError(Exception):
    """A name that is not allowed in a directory with casefold; the text follows its path."""

    def __init__(self, name: bytes, problem: str) -> None:
        super().__init__(problem)
        self.name = name


class Slack(NamedTuple):
    """Unused bytes in a block of entries, part of the record of an entry."""

    after: int
    """The entry of the block that they follow, counting ``.`` and ``..``; -1: before the first."""
    size: int
    """In bytes; after the last entry, all remaining bytes of the block."""
    name: bytes
    """Name of a deleted entry that is still there; empty if there is none."""


NO_SLACK: Mapping[int, tuple[Slack, ...]] = MappingProxyType({})


class LinearDirectory(NamedTuple):
    """Blocks of entries. ``order`` has the position of each entry among the sorted names.

    Block ``i`` holds the entries ``order[starts[i]:starts[i + 1]]``; in block 0, ``.`` and ``..``
    come before them. Blocks after the last start are empty.
    """

    order: Sequence[int]
    starts: Sequence[int]
    blocks: int
    flags: int = 0
    """Its bits of ``i_flags``, without those of the mapping."""
    slack: Mapping[int, tuple[Slack, ...]] = NO_SLACK
    """By block of entries, counted from 0; only blocks with slack before their last entry, or with
    a deleted name."""


class IndexedDirectory(NamedTuple):
    """A hashed index: block 0 is its root, then come the inner nodes, then the leaves.

    Leaf ``i`` holds the entries ``order[starts[i]:starts[i + 1]]``, as positions among the sorted
    names. ``hashes[i]`` is the hash in its index entry (0 for the first leaf), with the
    continuation bit if the previous leaf ends with the same hash.
    """

    order: Sequence[int]
    starts: Sequence[int]
    hashes: Sequence[int]
    levels: tuple[int, ...]
    """The number of inner nodes on each level below the root, from the top down. The blocks are in
    this order, too."""
    per_node: int
    """The number of children of each inner node, except the last of a level."""
    hash_version: int
    """As the root stores it."""
    flags: int = EXT4_INDEX_FL
    slack: Mapping[int, tuple[Slack, ...]] = NO_SLACK
    """By leaf, as in a :class:`LinearDirectory`."""

    @property
    def leaves(self) -> int:
        """The number of leaves."""
        return len(self.hashes)

    @property
    def nodes(self) -> int:
        """The number of inner nodes on all levels."""
        return sum(self.levels)

    @property
    def blocks(self) -> int:
        """Blocks of the directory: root, inner nodes and leaves."""
        return 1 + self.nodes + self.leaves

    def children(self, block: int) -> list[tuple[int, int]]:
        """Return (hash, logical block) of each child of an index block; block 0 is the root."""
        level, first, count = 0, 0, 1
        while block >= first + count:
            # The root is a level with one node.
            first += count
            count = self.levels[level]
            level += 1
        below = self.levels[level] if level < len(self.levels) else self.leaves
        # The number of leaves below each child.
        span = self.per_node ** (len(self.levels) - level)
        position = block - first
        children = range(below)
        if level:
            children = children[position * self.per_node : (position + 1) * self.per_node]
        end = first + count
        return [(self.hashes[child * span], end + child) for child in children]


class InlineDirectory(NamedTuple):
    """Entries inside the inode: some in ``i_block``, the others in the value of ``system.data``.

    ``order`` has the position of each entry among the sorted names; the first ``in_i_block`` of
    them are in ``i_block``. No entry spans both parts.
    """

    order: Sequence[int]
    in_i_block: int
    value_bytes: int
    """0 if all are in ``i_block``."""

    @property
    def blocks(self) -> int:
        """0: such a directory has no blocks."""
        return 0

    @property
    def flags(self) -> int:
        """Its bits of ``i_flags``, without that of inline data."""
        return 0

    @property
    def size_bytes(self) -> int:
        """i_size."""
        return EXT4_MIN_INLINE_DATA_SIZE + self.value_bytes


DirectoryPlan = LinearDirectory | IndexedDirectory | InlineDirectory


class DirectoryRules(NamedTuple):
    """What is allowed in a directory; most directories of an image share their rules."""

    format: Format
    hash_seed: Seed
    hash_version: int = DX_HASH_HALF_MD4
    casefold: bool = False
    """Whether names that differ only in case are equal, and have equal hashes."""
    strict: bool = False
    """Whether a directory with casefold rejects names that are not valid UTF-8."""
    max_levels: int | None = None
    """The most levels of an index, root included; 0: no index, None: what the format allows."""

    @property
    def levels(self) -> int:
        """The most levels that an index may have."""
        most = self.format.htree_levels
        return most if self.max_levels is None else min(most, self.max_levels)

    def keys(self, names: list[bytes]) -> array[int]:
        """Return the hash of each name, as sort keys."""
        if self.casefold:
            names = _folded(names)
        from ..ondisk.dirhash import hash_keys  # imported late: few directories are that large

        return hash_keys(self.hash_version, names, self.hash_seed)

    def check_names(self, names: list[bytes]) -> None:
        """Raise :class:`FoldedNameError` for a name that is not allowed or equals another one."""
        if not self.casefold:
            return
        forms = _folded(names)
        if self.strict:
            # fs/ext4/namei.c:ext4_add_entry
            for name in names:
                if not name.isascii() and _casefold(name) is None:
                    raise FoldedNameError(
                        name,
                        "is not valid UTF-8, which its directory with the flag casefold requires "
                        "since encoding_flags is strict",
                    )
        if len(set(forms)) == len(names):
            return
        known: dict[bytes, bytes] = {}
        for name, form in zip(names, forms, strict=True):
            other = known.setdefault(form, name)
            if other is not name:
                raise FoldedNameError(
                    name,
                    f"and {display_path(other)} are the same name in their directory, which has "
                    "the flag casefold; rename one, or remove the flag",
                )

    @property
    def capacity(self) -> int:
        """Bytes for entries in a block of entries."""
        return self.format.block_size - self.format.dir_tail_size

    @property
    def certain_names(self) -> int:
        """The number of names that fit into one block whatever their lengths."""
        return (self.capacity - DOT_ENTRIES) // rec_len(EXT4_NAME_LEN)


class DirectoryRulebook(NamedTuple):
    """The rules of every directory of an image."""

    usual: DirectoryRules
    others: Mapping[int, DirectoryRules] = MappingProxyType({})
    """By node index: the rules of directories that differ."""

    def of(self, index: int) -> DirectoryRules:
        """Return the rules of the directory at ``index``."""
        return self.others.get(index, self.usual)


def plan_directory(
    names: list[bytes],
    lengths: bytes | bytearray,
    rules: DirectoryRules,
    policy: LayoutPolicy,
    *,
    least_blocks: int = 1,
) -> DirectoryPlan:
    """Distribute ``names`` (sorted as bytes) with ``lengths`` (in bytes) over blocks.

    Empty blocks follow, up to ``least_blocks`` in all, for ``lost+found``; they alone do not cause
    an index. Raises :class:`DirectoryTooLargeError` if no allowed index can hold the names.
    """
    capacity = rules.capacity
    room = capacity - DOT_ENTRIES
    words = lengths.translate(_WORDS)
    total = sum(words) * EXT4_DIR_PAD
    if total <= room and policy.sequential:
        return LinearDirectory(range(len(names)), (0, len(names)), least_blocks)
    estimate = ceil_div(total + DOT_ENTRIES, capacity)
    if rules.levels and policy.indexed(estimate):
        return _plan_index(names, words, rules, policy)
    order: Sequence[int] = range(len(names))
    ordered = policy.entry_order(names)
    if ordered is not names:
        positions = {name: position for position, name in enumerate(names)}
        order = array("I", map(positions.__getitem__, ordered))
        words = bytes(map(len, ordered)).translate(_WORDS)
    starts = _fill_blocks(words, capacity, policy, room)
    slack = NO_SLACK
    if not policy.sequential:
        starts = _with_empty_blocks(starts, policy)
        slack = _choose_slack(words, starts, capacity, policy, has_dots=True)
    return LinearDirectory(order, starts, max(least_blocks, len(starts) - 1), slack=slack)


def plan_inline_directory(
    names: list[bytes], lengths: bytes | bytearray, value_most: int, policy: LayoutPolicy
) -> InlineDirectory | None:
    """Distribute ``names`` over ``i_block`` and ``value_most`` bytes; None if they do not fit.

    ``i_block`` begins with the inode number of the parent, and there is no ``.``. As when the
    kernel adds names one by one, a name goes into ``i_block`` if it still fits there.
    """
    in_i_block = EXT4_MIN_INLINE_DATA_SIZE - EXT4_INLINE_DOTDOT_SIZE
    if len(names) * rec_len(1) > in_i_block + value_most:
        return None
    total = sum(lengths.translate(_WORDS)) * EXT4_DIR_PAD
    if total > in_i_block + value_most or not policy.inline(total):
        return None
    order: Sequence[int] = range(len(names))
    if not policy.sequential:
        positions = {name: position for position, name in enumerate(names)}
        order = array("I", map(positions.__getitem__, policy.entry_order(names)))
    if total <= in_i_block:
        return InlineDirectory(order, len(names), 0)
    first, second, used = array("I"), array("I"), 0
    for position in order:
        length = rec_len(lengths[position])
        if used + length <= in_i_block:
            used += length
            first.append(position)
        else:
            second.append(position)
    if total - used > value_most:
        return None
    return InlineDirectory(first + second, len(first), total - used)


def _plan_index(
    names: list[bytes], words: bytes | bytearray, rules: DirectoryRules, policy: LayoutPolicy
) -> IndexedDirectory:
    keys = rules.keys(names)
    order = _sorted_positions(keys)
    ordered_words = bytes(map(words.__getitem__, order))
    starts = _fill_blocks(ordered_words, rules.capacity, policy, rules.capacity)
    hashes = array("I", [0])
    for start in starts[1:-1]:
        # The high half of a key is the hash; the index does not store the minor hash.
        first, before = high_32(keys[order[start]]), high_32(keys[order[start - 1]])
        # fs/ext4/namei.c:do_split, "continued": the low bit means that the last leaf has it, too.
        hashes.append(first | (first == before))
    slack = NO_SLACK
    if not policy.sequential:
        lasts = [high_32(keys[order[end - 1]]) if names else 0 for end in starts[1:]]
        starts, hashes = _with_empty_leaves(starts, hashes, lasts, policy)
        slack = _choose_slack(ordered_words, starts, rules.capacity, policy, has_dots=False)
    fmt = rules.format
    most_at_root = root_limit(fmt.block_size, fmt.metadata_csum)
    most_per_node = node_limit(fmt.block_size, fmt.metadata_csum)
    at_root = policy.index_entries(most_at_root)
    per_node = policy.index_entries(most_per_node)
    levels = _index_levels(len(hashes), at_root, per_node)
    while 1 + len(levels) > rules.levels:
        if (at_root, per_node) == (most_at_root, most_per_node):
            raise DirectoryTooLargeError
        at_root, per_node = min(2 * at_root, most_at_root), min(2 * per_node, most_per_node)
        levels = _index_levels(len(hashes), at_root, per_node)
    version = stored_hash_version(rules.hash_version)
    return IndexedDirectory(order, starts, hashes, tuple(levels), per_node, version, slack=slack)


def _with_empty_blocks(starts: Sequence[int], policy: LayoutPolicy) -> array[int]:
    """Return ``starts`` with empty blocks after the others, as many as ``policy`` chooses."""
    found = array("I", starts[:1])
    for end in starts[1:]:
        found.append(end)
        found.extend([end] * policy.empty_blocks())
    return found


def _with_empty_leaves(
    starts: array[int], hashes: array[int], lasts: Sequence[int], policy: LayoutPolicy
) -> tuple[array[int], array[int]]:
    """Insert empty leaves where there are unused hashes between two leaves for them.

    ``lasts`` has the greatest hash of each leaf.
    """
    new_starts, new_hashes = starts[:1], array("I")
    for leaf, (end, last) in enumerate(zip(starts[1:], lasts, strict=True)):
        new_starts.append(end)
        new_hashes.append(hashes[leaf])
        # Bit 0 of a hash marks entries that continue in the next leaf, so hashes are even.
        free = last + 2 & ~1
        until = hashes[leaf + 1] & ~1 if leaf + 1 < len(hashes) else HASH_END
        for hashed in range(free, until, 2)[: policy.empty_blocks()]:
            new_starts.append(end)
            new_hashes.append(hashed)
    return new_starts, new_hashes


def _choose_slack(
    words: bytes | bytearray,
    starts: Sequence[int],
    capacity: int,
    policy: LayoutPolicy,
    *,
    has_dots: bool,
) -> Mapping[int, tuple[Slack, ...]]:
    """Ask ``policy`` where the free bytes of each block are, and which names they hold."""
    found: dict[int, tuple[Slack, ...]] = {}
    for block, (start, end) in enumerate(pairwise(starts)):
        dots = 2 if has_dots and not block else 0
        # A longer record of . would be a problem (e2fsck/pass2.c:check_dot, PR_2_SPLIT_DOT).
        first = 1 if dots else -1
        room = capacity - sum(words[start:end]) * EXT4_DIR_PAD - (DOT_ENTRIES if dots else 0)
        slack = []
        last = dots + end - start - 1
        for entry in range(first, last + 1):
            size = room if entry == last else policy.record_slack(room)
            if entry < 0 and entry < last and size < LEAST_RECORD:
                continue  # too small for a record, and there is no record before it
            room -= size
            name = policy.deleted_name(size) if size >= LEAST_RECORD else b""
            if rec_len(len(name)) > size:
                name = b""
            if name or (size and entry < last):
                slack.append(Slack(entry, size, name))
        if slack:
            found[block] = tuple(slack)
    return found


def _index_levels(leaves: int, at_root: int, per_node: int) -> list[int]:
    """Return the number of nodes on each level below the root, from the top down."""
    levels: list[int] = []
    while leaves > at_root:
        leaves = ceil_div(leaves, per_node)
        levels.insert(0, leaves)
    return levels


def _folded(names: list[bytes]) -> list[bytes]:
    """Return the form of each name that is compared and hashed."""
    # fs/ext4/hash.c:ext4fs_dirhash does not change invalid UTF-8.
    return [name if (form := _casefold(name)) is None else form for name in names]


def _casefold(name: bytes) -> bytes | None:
    from ..ondisk.casefold import casefold  # imported late: few trees need its tables

    return casefold(name)


def _sorted_positions(keys: array[int]) -> array[int]:
    """Return the positions of ``keys``, sorted by key; the sort is stable.

    The 64-bit keys are first put into buckets by their highest bits.
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
    """Return the index of the first entry of each block, followed by the number of entries."""
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
