"""Places that an image keeps from an earlier one; hints.py finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..late_dataclasses import NamedTuple
from ..spans import Run

Piece = tuple[int, int, int]
"""First logical cluster, clusters, first physical cluster."""


class Kept(NamedTuple):
    """Places in clusters. Those of one owner ascend by their logical clusters."""

    nodes: Mapping[int, Sequence[Piece]] = {}
    """By node index."""
    maps: Mapping[int, Sequence[int]] = {}
    """By node index: the blocks of mappings, each in a cluster of its own."""
    system: Mapping[int, Sequence[Piece]] = {}
    """By inode number: files without a name."""
    system_maps: Mapping[int, Sequence[int]] = {}
    xattrs: Mapping[int, int] = {}
    """By the number of a block of attributes."""

    def of_system(self, wanted: Mapping[int, Sequence[Run]]) -> Kept:
        """The same with those files without a name alone whose clusters ``wanted`` gives."""
        system = {ino: common(wanted[ino], self.system.get(ino, ())) for ino in wanted}
        maps = {ino: self.system_maps.get(ino, ()) for ino in wanted}
        return self._replace(system=system, system_maps=maps)


def common(wanted: Sequence[Run], pieces: Sequence[Piece]) -> list[Piece]:
    """The parts of ``pieces`` whose logical clusters are in ``wanted``; both ascend."""
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
