"""Checks that the columns of a loaded plan are consistent."""

from __future__ import annotations

from ..planning.layout import ImagePlan
from ..tree import RegularFile


def check_plan(plan: ImagePlan) -> None:
    """Raise ``ValueError`` for inconsistent lengths, indexes or block numbers."""
    _check_table(plan)
    _check_places(plan)
    groups = plan.geometry.groups
    for name, column in plan.groups._asdict().items():
        _expect(len(column) == groups, f"{name} has {len(column)} values for {groups} groups")
    _expect(
        sum(plan.space.values()) == plan.size_bytes == plan.blocks_count * plan.block_size,
        "the sizes contradict each other",
    )


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _check_table(plan: ImagePlan) -> None:
    table = plan.table
    count = len(table.types)
    for name in ("nodes", "parents", "links", "inos", "modes", "uids", "gids", "mtimes", "sizes"):
        _expect(len(getattr(table, name)) == count, f"{name} does not have {count} values")
    _expect(count > 0 and max(table.parents) < count, "a parent is missing")
    _expect(
        len(table.directories) == len(table.names) == len(table.children),
        "the numbers of directories and of their lists of names differ",
    )
    _expect(max(table.inos) <= plan.inodes_count, "an inode number is too large")
    for names, children in zip(table.names, table.children, strict=True):
        _expect(len(names) == len(children), "the numbers of names and of children differ")
        _expect(not children or 0 <= min(children) <= max(children) < count, "a child is missing")
    for node, size in zip(table.nodes, table.sizes, strict=True):
        if isinstance(node, RegularFile):
            _expect(node.content.size == size, "the sizes of a file and of its content differ")


def _check_places(plan: ImagePlan) -> None:
    count, end = len(plan.table.types), plan.blocks_count
    counts, starts = plan.demand.counts, plan.placement.starts
    _expect(len(counts) == len(plan.demand.clusters) == len(starts) == count, "places are missing")
    reach = max(map(int.__add__, starts, counts), default=0)
    runs = [run for some in plan.placement.runs.values() for run in some]
    runs += [run for file in plan.placement.system.values() for run in file.runs]
    reach = max([reach, *(run.physical + run.length for run in runs)])
    reach = max([reach, *plan.placement.xattr_blocks])
    _expect(reach <= end, f"blocks are used up to {reach}, but there are only {end}")
