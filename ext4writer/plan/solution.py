"""The size that was found, where everything lies at that size, and what takes the space."""

from __future__ import annotations

from typing import NamedTuple

from .geometry import Geometry
from .mapping import mapping_of
from .placement import Demand, Placement


class Solution(NamedTuple):
    """What sizing.py answers."""

    geometry: Geometry
    placement: Placement
    demand: Demand
    reserved_blocks: int
    """s_r_blocks_count."""
    unused_tail: int
    """Bytes behind the last block that the file system can use."""
    needed_inodes_per_group: int
    """What a group would have, were there no least count for all of them."""

    def space(self) -> dict[str, int]:
        """Bytes by purpose; every block of the image counts once."""
        geometry, placement, demand = self.geometry, self.placement, self.demand
        supers = len(geometry.super_groups)
        directories = sum(demand.counts[index] for index in demand.directories)
        of_mapping = mapping_of(geometry.format).blocks_purpose or "data"
        blocks = {
            "data": demand.data_blocks - directories,
            "directories": directories,
            "inode tables": geometry.groups * geometry.inode_table_blocks,
            "journal": 0,
            "descriptors and backups": supers * (1 + geometry.gdt_blocks),
            "bitmaps": 2 * geometry.groups,
            of_mapping: placement.map_block_count,
            "xattr blocks": len(placement.xattr_blocks),
            "reserved for growth": 0,
            "free": sum(behind - first for first, behind in placement.free_ranges),
        }
        for file in demand.system_files:
            purpose = file.mapping.blocks_purpose or file.purpose
            for name, count in (
                (file.purpose, file.data_blocks + file.fixed_blocks),
                (purpose, len(placement.system[file.ino].map_blocks)),
            ):
                blocks[name] = blocks.get(name, 0) + count
        if geometry.format.first_data_block:
            blocks["boot block"] = geometry.format.first_data_block
        assert sum(blocks.values()) == geometry.blocks_count, (
            "a block is counted twice or not at all"
        )
        space = {name: count * geometry.format.block_size for name, count in blocks.items()}
        if self.unused_tail:
            space["unused tail"] = self.unused_tail
        return space
