"""The solved size, all locations at that size, and how the space is used."""

from __future__ import annotations

from ..late_dataclasses import NamedTuple
from .geometry import Geometry
from .mapping import mapping_of
from .placement import Demand, Placement


class Solution(NamedTuple):
    """The result of sizing.py."""

    geometry: Geometry
    placement: Placement
    demand: Demand
    reserved_blocks: int
    """s_r_blocks_count."""
    unused_tail: int
    """Bytes after the last block that the file system can use."""
    needed_inodes_per_group: int
    """Inodes per group that are needed, without those for ``Spec.inode_ratio`` alone."""

    @property
    def image_bytes(self) -> int:
        """Size of the image, including the unused tail."""
        geometry = self.geometry
        return geometry.blocks_count * geometry.format.block_size + self.unused_tail

    def space(self) -> dict[str, int]:
        """Return the bytes by purpose; each block of the image is counted once."""
        geometry, placement, demand = self.geometry, self.placement, self.demand
        fmt = geometry.format
        ratio = fmt.blocks_per_cluster
        directories = sum(demand.clusters[index] for index in demand.directories)
        of_mapping = mapping_of(fmt).blocks_purpose or "data"
        blocks = {
            "data": (demand.data_clusters - directories - demand.verity_clusters) * ratio,
            "directories": directories * ratio,
            "inode tables": geometry.groups * geometry.inode_table_blocks,
            "journal": 0,
            "descriptors and backups": fmt.all_head_blocks(geometry.groups),
            "bitmaps": 2 * geometry.groups,
            of_mapping: placement.map_block_count * ratio,
            "xattr blocks": len(placement.xattr_blocks) * ratio,
            "reserved for growth": 0,
            "free": sum(end - first for first, end in placement.free_ranges) * ratio,
        }
        for file in demand.system_files:
            purpose = file.mapping.blocks_purpose or file.purpose
            for name, count in (
                (file.purpose, fmt.clusters_for(file.data_blocks) * ratio + file.fixed_blocks),
                (purpose, len(placement.system[file.ino].map_blocks) * ratio),
            ):
                blocks[name] = blocks.get(name, 0) + count
        if demand.verity_clusters:
            blocks["verity"] = demand.verity_clusters * ratio
        if fmt.first_data_block:
            blocks["boot block"] = fmt.first_data_block
        if ratio > 1:
            blocks["rest of clusters with metadata"] = geometry.rounding_blocks
        assert sum(blocks.values()) == geometry.blocks_count, (
            "a block is counted twice or not at all"
        )
        space = {name: count * fmt.block_size for name, count in blocks.items()}
        if self.unused_tail:
            space["unused tail"] = self.unused_tail
        return space
