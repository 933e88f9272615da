"""Quota files, with the space and inodes that each owner uses."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

from ..arithmetic import ceil_div
from ..ondisk.quota import (
    DEFAULT_GRACE,
    ENTRIES_PER_BLOCK,
    QT_BLKSIZE,
    QT_REFERENCES,
    QT_TREEOFF,
    QUOTA_BLOCK_HEADER,
    QUOTA_ENTRY,
    QUOTA_HEADER,
    QUOTA_INFO,
    QuotaKind,
    QuotaTree,
)
from ..ondisk.record import HOST_IS_BIG_ENDIAN
from ..ondisk.units import Unit, UnitKind
from ..planning.layout import ImagePlan
from ..planning.placement import PlacedFile
from ..planning.system_files import SystemFile
from ..planning.system_files.quota import quota_ids, quota_kind_of
from ..units import KIB


def quota_units(layout: ImagePlan, file: SystemFile, placed: PlacedFile) -> Iterator[Unit]:
    """Yield the blocks of a quota file."""
    size = layout.block_size

    @cache
    def content() -> memoryview:
        return memoryview(
            _content(layout, quota_kind_of(file)).ljust(file.data_blocks * size, b"\0")
        )

    for run in placed.runs:
        for place in range(run.length):
            logical = run.logical + place
            yield Unit(
                UnitKind.QUOTA_BLOCK,
                file.ino,
                logical,
                (run.physical + place) * size,
                size,
                partial(_part, content, logical * size, size),
            )


def _content(layout: ImagePlan, kind: QuotaKind) -> bytearray:
    """Build the complete file."""
    ids = quota_ids(layout.table, layout.spec, kind)
    tree = QuotaTree.of(ids)
    first_entry_block = tree.blocks - tree.entry_blocks
    is_full = len(ids) % ENTRIES_PER_BLOCK == 0
    grace = {one.kind: one for one in layout.spec.quota_grace}.get(kind.name)
    head = QUOTA_HEADER.pack({"dqh_magic": kind.magic, "dqh_version": 1}) + QUOTA_INFO.pack(
        {
            "dqi_bgrace": grace.block_seconds if grace else DEFAULT_GRACE,
            "dqi_igrace": grace.inode_seconds if grace else DEFAULT_GRACE,
            "dqi_blocks": tree.blocks,
            # The list of blocks with free entries has at most one: the last.
            "dqi_free_entry": 0 if is_full else tree.blocks - 1,
        }
    )
    return bytearray().join(
        (
            head.ljust(QT_BLKSIZE, b"\0"),
            _references(tree, ids, first_entry_block),
            _entry_blocks(_entries(layout, kind, ids)),
        )
    )


def _references(tree: QuotaTree, ids: Sequence[int], first_entry_block: int) -> bytes:
    """Build the blocks of references: all levels of the tree."""
    words = array("I", bytes(QT_BLKSIZE * sum(map(len, tree.levels))))
    block = QT_TREEOFF
    for level, prefixes in enumerate(tree.levels):
        is_last = level == len(tree.levels) - 1
        below = ids if is_last else tree.levels[level + 1]
        first_below = first_entry_block if is_last else block + len(prefixes)
        start = {
            prefix: (block - QT_TREEOFF + place) * QT_REFERENCES
            for place, prefix in enumerate(prefixes)
        }
        for place, number in enumerate(below):
            step = place // ENTRIES_PER_BLOCK if is_last else place
            prefix, reference = divmod(number, QT_REFERENCES)
            words[start[prefix] + reference] = first_below + step
        block += len(prefixes)
    if HOST_IS_BIG_ENDIAN:
        words.byteswap()
    return words.tobytes()


def _entries(layout: ImagePlan, kind: QuotaKind, ids: Sequence[int]) -> bytearray:
    """Build the entries of ``ids``, in order and without gaps."""
    count, place_of = len(ids), {number: place for place, number in enumerate(ids)}
    columns = {name: array("Q", bytes(8 * count)) for name in _COLUMNS}
    space, inodes = columns["dqb_curspace"], columns["dqb_curinodes"]
    owners = _owners(layout, kind)
    for owner, clusters in zip(owners, _clusters(layout), strict=True):
        place = place_of[owner]
        space[place] += clusters
        inodes[place] += 1
    for index, values in layout.xattrs.values_of.items():
        inodes[place_of[owners[index]]] += len(values)
    cluster_size = layout.format.cluster_size
    columns["dqb_curspace"] = array("Q", [clusters * cluster_size for clusters in space])
    for limit in layout.spec.quota_limits:
        if limit.kind == kind.name and limit.owner in place_of:
            place = place_of[limit.owner]
            columns["dqb_bsoftlimit"][place] = ceil_div(limit.block_soft, KIB)
            columns["dqb_bhardlimit"][place] = ceil_div(limit.block_hard, KIB)
            columns["dqb_isoftlimit"][place] = limit.inode_soft
            columns["dqb_ihardlimit"][place] = limit.inode_hard
    return QUOTA_ENTRY.pack_columns(
        count,
        {("dqb_id",): array("I", ids), **{(name,): column for name, column in columns.items()}},
    )


_COLUMNS = (
    *("dqb_ihardlimit", "dqb_isoftlimit", "dqb_curinodes"),
    *("dqb_bhardlimit", "dqb_bsoftlimit", "dqb_curspace"),
)


def _owners(layout: ImagePlan, kind: QuotaKind) -> Sequence[int]:
    table = layout.table
    if kind.name == "user":
        return table.uids
    if kind.name == "group":
        return table.gids
    owners = array("I", bytes(4 * len(table.nodes)))
    for index, project in table.projects.items():
        owners[index] = project
    return owners


def _clusters(layout: ImagePlan) -> Sequence[int]:
    """Return the clusters of each node, including its own metadata, as i_blocks counts them.

    A shared attribute block counts for each node that uses it (e2fsck/pass1.c:check_blocks).
    """
    clusters = array("Q", layout.demand.clusters)
    for index, blocks in layout.placement.map_blocks.items():
        clusters[index] += len(blocks)
    for index, runs in layout.demand.shared.items():
        clusters[index] += sum(run.length for run in runs)
    for index in layout.xattrs.block_of:
        clusters[index] += 1
    for index in layout.xattrs.values_of:
        clusters[index] += layout.value_clusters(index)
    return clusters


def _entry_blocks(entries: bytearray) -> bytes:
    """Split ``entries`` into blocks, each with its header."""
    size = QUOTA_ENTRY.size
    step = ENTRIES_PER_BLOCK * size
    blocks = []
    for start in range(0, len(entries), step):
        some = entries[start : start + step]
        header = QUOTA_BLOCK_HEADER.pack({"dqdh_entries": len(some) // size})
        blocks.append((header + some).ljust(QT_BLKSIZE, b"\0"))
    return b"".join(blocks)


def _part(content: Callable[[], memoryview], start: int, size: int) -> memoryview:
    return content()[start : start + size]
