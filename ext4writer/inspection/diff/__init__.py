"""Compares two images: what a user of them sees, what their fields say, and where things lie.

The trees are walked side by side, so that memory is bounded by the largest directory and by the
files of several names. Differences of one sort are counted, and some of each are kept.
"""

from __future__ import annotations

from collections.abc import Collection

from ...progress import Cancel
from ...read import Image
from .content import Budget
from .fields import compare_groups, compare_superblocks
from .found import FIELD, LEVELS, PATH, PLACE, Difference, Differences
from .paths import Trees
from .places import BYTES, compare_blocks

__all__ = [
    "BYTES",
    "FIELD",
    "LEVELS",
    "PATH",
    "PLACE",
    "Difference",
    "Differences",
    "compare_images",
]


def compare_images(
    a: Image,
    b: Image,
    *,
    levels: Collection[str] = LEVELS,
    most: int = 1000,
    cancel: Cancel | None = None,
) -> Differences:
    """Compare two images at the ``levels`` wanted, of :data:`LEVELS`; keep ``most`` of each sort.

    ``path`` is what a user of the mounted images sees, ``field`` what superblock, group
    descriptors and inodes of equal path say besides, ``place`` what only lies elsewhere. Content is
    compared in pieces, and holes of both are passed over.
    Raises :class:`~ext4writer.CancelledError`.
    """
    differences = Differences(frozenset(levels), most)
    if FIELD in levels:
        compare_superblocks(a, b, differences)
    if FIELD in levels or PLACE in levels:
        compare_groups(a, b, differences)
    Trees(a, b, differences, Budget.of(a, b), cancel).compare()
    if PLACE in levels:
        compare_blocks(a, b, differences, cancel)
    return differences
