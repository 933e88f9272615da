"""Clusters that an image keeps from an earlier one; hints.py finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..late_dataclasses import NamedTuple
from ..spans import Run

Piece = tuple[int, int, int]
"""First logical cluster, clusters, first physical cluster."""


class Kept(NamedTuple):
    """Kept clusters. Those of one owner ascend by their logical clusters."""

    nodes: Mapping[int, Sequence[Piece]] = {}
    """By node index."""
    maps: Mapping[int, Sequence[int]] = {}
    """By node index: the blocks of mappings, each in its own cluster."""
    system: Mapping[int, Sequence[Piece]] = {}
    """By inode number: system files."""
    system_maps: Mapping[int, Sequence[int]] = {}
    """By inode number: the blocks of their mappings."""
    xattrs: Mapping[int, int] = {}
    """By the number of an attribute block."""

    def of_system(self, wanted: Mapping[int, Sequence[Run]]) -> Kept:
        """Return a copy with only those system files, and their clusters, that are ``wanted``."""
        system = {ino: common(wanted[ino], self.system.get(ino, ())) for ino in wanted}
        maps = {ino: self.system_maps.get(ino, ()) for ino in wanted}
        return self._replace(system=system, system_maps=maps)


def common(wanted: Sequence[Run], pieces: Sequence[Piece]) -> list[Piece]:
    """Return the parts of ``pieces`` whose logical clusters are in ``wanted``; both ascend."""
    found: list[Piece] = []
    position = 0
    for first, length in wanted:
        end = first + length
        while position < len(pieces):
            logical, count, physical = pieces[position]
            low, high = max(first, logical), min(end, logical + count)
            if low < high:
                found.append((low, high - low, physical + low - logical))
            if logical + count > end:
                break
            position += 1
    return found
