"""Compares two images: what a user sees, the values of fields, and the locations of blocks.

The trees are walked in parallel, so memory is limited by the largest directory and the number of
files with several names. Differences of each sort are counted, and some of them are kept.
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
    """Compare two images at some ``levels`` of :data:`LEVELS`; keep ``most`` of each sort.

    The level ``path`` is what a user of the mounted images sees. ``field`` is the other fields of
    superblocks, group descriptors and inodes with equal paths. ``place`` is data that is equal but
    stored elsewhere. Content is compared in pieces, and common holes are skipped. Raises
    :class:`~ext4writer.CancelledError`.
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
