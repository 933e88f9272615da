"""How the blocks of a file are found from its inode, one module for each way.

A mapping takes the placed runs of a file. It says how many blocks of its own it needs, and makes
``i_block`` and the contents of those blocks. Nothing else knows how files are mapped.
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

    ``node_entries`` is how many entries a node of an extent tree has, 0 for all that fit.
    """
    if fmt.mapping is MappingKind.BLOCK_MAP:
        return block_map_of(fmt)
    from .extents import ExtentMapping

    return ExtentMapping(fmt, node_entries)


@lru_cache(maxsize=64)
def block_map_of(fmt: Format) -> DataMapping:
    """Return the block map, which a file may have where others have extents, too."""
    from .block_map import BlockMapping  # late, for hardly any image has one

    return BlockMapping(fmt)
