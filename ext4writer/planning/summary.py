"""The counts that group descriptors store."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

from ..arithmetic import ceil_div
from ..ondisk.superblock import EXT4_GOOD_OLD_FIRST_INO
from ..spans import Span
from .geometry import Geometry
from .inodes import InodeTable
from .layout import GroupCounts


def count_groups(geometry: Geometry, free_ranges: Sequence[Span], table: InodeTable) -> GroupCounts:
    """Count free clusters, free inodes and directories of every group."""
    groups, per_group = geometry.groups, geometry.inodes_per_group
    free_blocks = array("I", bytes(4 * groups))
    fmt = geometry.format
    per_bitmap, origin = fmt.clusters_per_group, fmt.first_data_cluster
    whole_groups = array("I", [per_bitmap]) * groups
    for first, stop in free_ranges:
        group, start = divmod(first - origin, per_bitmap)
        last, end = divmod(stop - origin, per_bitmap)
        if group == last:
            free_blocks[group] += end - start
            continue
        free_blocks[group] += per_bitmap - start
        if last - group > 1:
            free_blocks[group + 1 : last] = whole_groups[: last - group - 1]
        if end:
            free_blocks[last] += end
    free_inodes = array("I", [per_group]) * groups
    itable_unused = array("I", [per_group]) * groups
    used_dirs = array("I", bytes(4 * groups))
    inos = table.inos
    reserved = EXT4_GOOD_OLD_FIRST_INO - 1
    for group in range(ceil_div(table.last_ino, per_group)):
        base = group * per_group
        low = bisect_left(inos, base + 1)
        high = bisect_left(inos, base + per_group + 1)
        ordinary = high - bisect_left(inos, max(base, reserved) + 1, low, high)
        used_reserved = max(0, min(reserved - base, per_group))
        nameless = table.nameless_in(range(base + 1, base + per_group + 1))
        free_inodes[group] -= ordinary + used_reserved + len(nameless)
        last = max(inos[high - 1] if high > low else base, base + used_reserved, *nameless)
        itable_unused[group] -= last - base
    for index in table.directories:
        used_dirs[(inos[index] - 1) // per_group] += 1
    return GroupCounts(free_blocks, free_inodes, used_dirs, itable_unused)
