"""Mappings from the blocks of a file to those of the image, one module for each kind.

From the placed runs of a file, a mapping determines how many blocks of its own it needs, and
builds ``i_block`` and these blocks. No other code depends on how files are mapped.
"""

from __future__ import annotations

from functools import lru_cache

from ...ondisk.format import Format, MappingKind
from .base import I_BLOCK_BYTES, DataMapping, FileMapping, MappedRun, UnwrittenRun

__all__ = [
    "I_BLOCK_BYTES",
    "DataMapping",
    "FileMapping",
    "MappedRun",
    "UnwrittenRun",
    "block_map_of",
    "mapping_of",
]


@lru_cache(maxsize=64)
def mapping_of(fmt: Format, node_entries: int = 0) -> DataMapping:
    """Return the mapping of ordinary files.

    ``node_entries`` is how many entries a node of an extent tree has; 0 means all that fit.
    """
    if fmt.mapping is MappingKind.BLOCK_MAP:
        return block_map_of(fmt)
    from .extents import ExtentMapping

    return ExtentMapping(fmt, node_entries)


@lru_cache(maxsize=64)
def block_map_of(fmt: Format) -> DataMapping:
    """Return the block map, which single files may have instead of extents."""
    from .block_map import BlockMapping  # imported late: few images have one

    return BlockMapping(fmt)
