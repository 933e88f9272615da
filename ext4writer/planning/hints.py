"""The layout of another image, for an image that differs from it as little as possible.

It is plain data here; ``ext4writer.delta`` reads it. A node of the tree corresponds to a file of
the other image if both have the same path and kind. It then keeps its inode number, and each of
its blocks that still exists keeps its place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..arithmetic import ceil_div
from ..errors import SpecError
from ..late_dataclasses import NamedTuple, replace
from ..nodes import DT_DIR
from ..ondisk.format import Format
from ..spans import Run, Span
from .kept import Kept, Piece, common

if TYPE_CHECKING:
    from ..nodes import Node
    from .inodes import InodeTable
    from .spec import Spec


class Place(NamedTuple):
    """The number, kind and blocks of one inode of the other image."""

    ino: int
    kind: int
    """Its bits of ``S_IFMT``."""
    runs: tuple[tuple[int, int, int], ...] = ()
    """(first logical block, blocks, first physical block) of its data, ascending."""
    map_blocks: tuple[int, ...] = ()
    """The blocks of its mapping, in the mapping's order."""
    xattr_block: int = 0
    """Its attribute block; 0 if it has none."""


class Hints(NamedTuple):
    """The layout of the other image."""

    block_size: int
    blocks_per_cluster: int
    size: int
    """In bytes."""
    blocks_per_group: int
    """In blocks."""
    inodes_per_group: int
    reserved_gdt_blocks: int
    uuid: UUID
    hash_seed: UUID
    files: Mapping[bytes, Place]
    """By absolute path."""
    system: Mapping[int, Place]
    """System files by inode number; the MMP block has the number 0."""

    def keeper(self) -> Keeper:
        """Return an object that finds the inode numbers and blocks to keep."""
        return Keeper(self)

    def identity(self, spec: Spec, fmt: Format) -> Spec:
        """Return ``spec`` with UUID, hash seed and group size of the other image, if not given.

        Checksums depend on the UUID, and indexed directories on the hash seed. Raises
        :class:`SpecError` for other sizes of blocks or clusters, and for a policy.
        """
        if spec.block_size != self.block_size:
            raise SpecError(
                "base",
                f"has blocks of {self.block_size} bytes and this image {spec.block_size}; "
                f"choose a block_size of {self.block_size}",
                "block_size",
            )
        if fmt.blocks_per_cluster != self.blocks_per_cluster:
            raise SpecError(
                "base",
                f"has clusters of {self.blocks_per_cluster * self.block_size} bytes and this image "
                f"{fmt.cluster_size}; choose the same cluster_size, with bigalloc",
                "cluster_size",
            )
        if spec.policy is not None and spec.policy.name != "default":
            problem = "determines the layout, and so does policy; leave one out"
            raise SpecError("base", problem, "policy")
        changes: dict[str, Any] = {}
        if spec.uuid is None and spec.identity == "attributes":
            changes["uuid"] = self.uuid
        if spec.hash_seed is None:
            changes["hash_seed"] = self.hash_seed
        per_group = self.blocks_per_group // self.blocks_per_cluster
        if spec.blocks_per_group is None and per_group != 8 * self.block_size:
            changes["blocks_per_group"] = per_group
        return replace(spec, **changes) if changes else spec

    def geometry(self, spec: Spec, fmt: Format, size: int, used_inodes: int) -> Spec:
        """Return ``spec`` for an image of ``size`` bytes with groups like those of the other."""
        changes: dict[str, Any] = {"size": size}
        if fmt.resize_inode and spec.reserved_gdt_blocks is None and spec.grow_to is None:
            changes["reserved_gdt_blocks"] = self.reserved_gdt_blocks
        if spec.inodes is None and spec.free_inodes is None:
            groups = fmt.groups_for(size // self.block_size)
            inodes = self.inodes_per_group * groups
            if inodes >= used_inodes:
                changes["inodes"] = inodes
        return replace(spec, **changes)


class Keeper:
    """Finds the nodes of a tree that the other image has, and what they keep."""

    def __init__(self, hints: Hints) -> None:
        self.hints = hints
        self._places: dict[Node, Place] = {}

    def numbers(self, table: InodeTable, special: int, first: int) -> list[int]:
        """Return the inode numbers, ``first`` or higher, of nodes after the first ``special`` ones.

        New nodes get the lowest numbers that no other node keeps.
        """
        found, files = self._places, self.hints.files
        taken: dict[int, Node] = {}
        fixed = set(table.nodes[:special])
        root = table.nodes[0]
        if b"/" in files:
            found[root] = files[b"/"]
        folders = {0: b"/"}
        for index, names, children in zip(
            table.directories, table.names, table.children, strict=True
        ):
            folder = folders.pop(index)
            for name, child in zip(names, children, strict=True):
                node, path = table.nodes[child], folder + name
                if table.types[child] == DT_DIR:
                    folders[child] = path + b"/"
                place = files.get(path)
                if place is None or node in found or place.kind != node.file_type:
                    continue
                if node not in fixed:
                    if place.ino < first or place.ino in taken:
                        continue
                    taken[place.ino] = node
                found[node] = place
        free = (number for number in _from(first) if number not in taken)
        return [found[node].ino if node in found else next(free) for node in table.nodes[special:]]

    def kept(
        self,
        table: InodeTable,
        wanted: Iterable[tuple[int, Sequence[Run]]],
        xattr_blocks: Mapping[int, int],
    ) -> Kept:
        """Return the clusters that nodes keep.

        ``wanted`` yields (node index, its runs of logical clusters); ``xattr_blocks`` has the
        numbers of attribute blocks by node index.
        """
        ratio = self.hints.blocks_per_cluster
        nodes: dict[int, list[Piece]] = {}
        maps: dict[int, Sequence[int]] = {}
        for index, stretches in wanted:
            place = self._places.get(table.nodes[index])
            if place is None:
                continue
            pieces = common(stretches, _in_clusters(place.runs, ratio))
            if pieces:
                nodes[index] = pieces
                maps[index] = [block // ratio for block in place.map_blocks]
        xattrs: dict[int, int] = {}
        for index, number in xattr_blocks.items():
            place = self._places.get(table.nodes[index])
            if place is not None and place.xattr_block:
                xattrs.setdefault(number, place.xattr_block // ratio)
        system = {ino: _in_clusters(place.runs, ratio) for ino, place in self.hints.system.items()}
        system_maps = {
            ino: [block // ratio for block in place.map_blocks]
            for ino, place in self.hints.system.items()
        }
        return Kept(nodes, maps, system, system_maps, xattrs)


def _from(number: int) -> Iterator[int]:
    while True:
        yield number
        number += 1


def _in_clusters(runs: Iterable[tuple[int, int, int]], ratio: int) -> list[Piece]:
    """Convert (first logical block, blocks, first physical block) to pieces in clusters."""
    if ratio == 1:
        return list(runs)
    pieces: list[Piece] = []
    for logical, length, physical in runs:
        if (logical - physical) % ratio:
            continue  # not aligned to a cluster: fs/ext4/extents.c, EXT4_LBLK_COFF
        first, end = logical // ratio, ceil_div(logical + length, ratio)
        done = pieces[-1][0] + pieces[-1][1] if pieces else 0
        skipped = max(0, done - first)
        if first + skipped < end:
            pieces.append((first + skipped, end - first - skipped, physical // ratio + skipped))
    return pieces


def without(wanted: Sequence[Run], kept: Sequence[Piece]) -> Iterator[Run]:
    """Yield the parts of ``wanted`` that are not in ``kept``, a subset of it; both ascend."""
    position = 0
    for first, length in wanted:
        end = first + length
        while position < len(kept) and kept[position][0] < end:
            logical, count, _ = kept[position]
            if first < logical:
                yield Run(first, logical - first)
            first = logical + count
            position += 1
        if first < end:
            yield Run(first, end - first)


class Settled(NamedTuple):
    """What can be kept."""

    kept: Kept
    free: list[Span]
    """The remaining free ranges."""
    clusters: int
    """The number of kept clusters."""
    high_water: int
    """The cluster after the last kept one."""


_NODES, _SYSTEM, _MAPS, _SYSTEM_MAPS, _XATTRS = range(5)


def settle(kept: Kept, free: Iterable[Span]) -> Settled:
    """Take the kept clusters that are free, each only once, out of ``free``, which ascends.

    A mapping keeps its blocks only if some of its data keeps its clusters.
    """
    spans = list(free)
    claims = sorted(_claims(kept))
    nodes: dict[int, list[Piece]] = {}
    system: dict[int, list[Piece]] = {}
    maps: dict[int, list[tuple[int, int]]] = {}
    system_maps: dict[int, list[tuple[int, int]]] = {}
    xattrs: dict[int, int] = {}
    left: list[Span] = []
    clusters = high_water = 0
    taken: list[tuple[int, int, int, int, int]] = []
    for claim in claims:
        first, count = claim[:2]
        if first >= high_water and _holds(spans, first, first + count):
            taken.append(claim)
            high_water = first + count
    for first, count, kind, number, logical in taken:
        if kind == _NODES:
            nodes.setdefault(number, []).append((logical, count, first))
        elif kind == _SYSTEM:
            system.setdefault(number, []).append((logical, count, first))
    high_water = 0
    ends = iter(spans)
    low, end = next(ends, (0, 0))
    for first, count, kind, number, logical in taken:
        if kind == _MAPS:
            if number not in nodes:
                continue
            maps.setdefault(number, []).append((logical, first))
        elif kind == _SYSTEM_MAPS:
            system_maps.setdefault(number, []).append((logical, first))
        elif kind == _XATTRS:
            xattrs[number] = first
        while first >= end:
            if low < end:
                left.append(Span(low, end))
            low, end = next(ends)
        if low < first:
            left.append(Span(low, first))
        low = high_water = first + count
        clusters += count
    if low < end:
        left.append(Span(low, end))
    left += ends
    for pieces in (*nodes.values(), *system.values()):
        pieces.sort()
    found = Kept(nodes, _in_order(maps), system, _in_order(system_maps), xattrs)
    return Settled(found, left, clusters, high_water)


def _in_order(blocks: Mapping[int, list[tuple[int, int]]]) -> dict[int, list[int]]:
    return {number: [first for _, first in sorted(some)] for number, some in blocks.items()}


def _claims(kept: Kept) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (first cluster, clusters, kind of owner, its number, first logical cluster)."""
    for kind, owners in ((_NODES, kept.nodes), (_SYSTEM, kept.system)):
        for number, pieces in owners.items():
            for logical, count, first in pieces:
                yield first, count, kind, number, logical
    for kind, mapped in ((_MAPS, kept.maps), (_SYSTEM_MAPS, kept.system_maps)):
        for number, blocks in mapped.items():
            for position, cluster in enumerate(blocks):
                yield cluster, 1, kind, number, position
    for number, cluster in kept.xattrs.items():
        yield cluster, 1, _XATTRS, number, 0


def _holds(spans: Sequence[Span], first: int, end: int) -> bool:
    """Whether one of the ascending ``spans`` contains everything from ``first`` to ``end``."""
    # The last span that starts at ``first`` or before: no end reaches 2^64.
    place = bisect_right(spans, (first, 1 << 64)) - 1
    return place >= 0 and end <= spans[place][1]
