"""How the blocks of a file are found from its inode: one module for each way.

A mapping takes the runs of a file as they were placed. It says how many blocks it needs for itself,
and makes what lies in ``i_block`` and in those blocks. Nothing else knows how files are mapped.
"""

from __future__ import annotations

from ...ondisk.format import Format, MappingKind
from .base import I_BLOCK_BYTES, DataMapping, FileMapping, Run
from .extents import ExtentMapping

__all__ = ["I_BLOCK_BYTES", "DataMapping", "FileMapping", "Run", "mapping_of"]

_KINDS: dict[MappingKind, type[DataMapping]] = {MappingKind.EXTENTS: ExtentMapping}


def mapping_of(fmt: Format) -> DataMapping:
    """Return how the ordinary files of a file system are mapped."""
    return _KINDS[fmt.mapping](fmt)
