"""The complete result of the planner: all locations and all counts."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from ..arithmetic import ceil_div, round_down
from ..content import FileId
from ..late_dataclasses import NamedTuple, dataclass, field
from ..nodes import DT_REG
from ..ondisk.features import FeatureSet
from ..ondisk.format import Format
from ..ondisk.inode import (
    EXT4_GOOD_OLD_INODE_SIZE,
    MAX_TIME_NS,
    MAX_TIME_NS_NO_EXTRA,
    MIN_TIME_NS,
)
from ..ondisk.superblock import EXT4_GOOD_OLD_FIRST_INO
from ..spans import Span
from ..tree import Loss
from ..units import NANOSECONDS
from .directories import DirectoryPlan, DirectoryRules
from .geometry import Geometry
from .inode_choices import InodeChoices
from .inodes import InodeTable
from .mapping import DataMapping, MappedRun, block_map_of, mapping_of
from .placement import Demand, Placement
from .sizing import MAX_INODES, unavailable_blocks
from .spec import GIB, Spec
from .system_files import SystemFile
from .xattrs import XattrPlan

if TYPE_CHECKING:
    from .states.journal import JournalState
    from .states.mmp import MmpState
    from .states.orphans import OrphanPlan
    from .verity import VerityFile

METADATA_MEMORY = 64 << 20
"""Default for the bytes of metadata that an image opened from its plan keeps in memory."""


class Times(NamedTuple):
    """The range of times that are written, in nanoseconds since 1970."""

    newest: int
    """Later times are clamped to this one."""
    latest: int
    """The last time that the inodes can hold."""

    @classmethod
    def of(cls, epoch_ns: int, inode_size: int) -> Times:
        """Return the range up to ``epoch_ns`` for inodes of ``inode_size`` bytes."""
        if inode_size > EXT4_GOOD_OLD_INODE_SIZE:
            return cls(epoch_ns, MAX_TIME_NS)
        return cls(epoch_ns, round_down(MAX_TIME_NS_NO_EXTRA, NANOSECONDS))

    def fit(self, time_ns: int) -> int:
        """Clamp a time to the range."""
        return max(MIN_TIME_NS, min(time_ns, self.newest, self.latest))


class GroupCounts(NamedTuple):
    """Counts of every group, by group number."""

    free_blocks: array[int]
    """In clusters, as in the descriptors."""
    free_inodes: array[int]
    used_dirs: array[int]
    itable_unused: array[int]
    """Inodes after the last one in use."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ImagePlan:
    """Everything that was decided about an image, for emission. Users see ``layout.Layout``."""

    spec: Spec
    format: Format
    """As written, so without a journal if the image is too small for one."""
    uuid: UUID
    hash_seed: UUID
    epoch: int
    """Seconds since 1970: the time of the file system itself."""
    times: Times
    geometry: Geometry
    table: InodeTable
    demand: Demand
    placement: Placement
    directories: Mapping[int, DirectoryPlan]
    """By node index; a directory of one block in default order is not listed."""
    directory_rules: DirectoryRules
    inline: Mapping[int, int]
    """By index of a node inside its inode: bytes of its ``system.data``, entry and value."""
    xattrs: XattrPlan
    groups: GroupCounts
    free_ranges: list[Span]
    """In clusters."""
    reserved_blocks: int
    content_bytes: int
    """Bytes of file content to copy, without holes."""
    size_bytes: int
    space: Mapping[str, int]
    """Bytes by purpose; the sum is ``size_bytes``."""
    losses: list[Loss]
    """What the image does not keep exactly as the tree has it."""
    external_journal_blocks: int = 0
    """Blocks of the device that holds the journal; 0 if none does."""
    journal_uuid: bytes = b""
    """16 bytes, for such a device."""
    table_bytes_for_growth: int = 0
    """Bytes of the inode tables that exist only because of ``Spec.inode_ratio``. No inode there
    is in use, so they are holes if the output supports holes."""
    verity: Mapping[int, VerityFile] = field(default_factory=dict)
    """By node index: the metadata past the end of files with verity."""
    inode_choices: InodeChoices = field(default_factory=InodeChoices)
    journal_state: JournalState | None = None
    """The content of an internal journal that needs recovery; None if it is empty."""
    orphans: OrphanPlan | None = None
    """Inodes that wait to be deleted or truncated; None if there are none."""
    mmp_state: MmpState | None = None
    """What multi-mount protection records about earlier hosts; None if there were none."""
    inputs: Mapping[FileId, bytes] = field(default_factory=dict)
    """The files that the tree's sources have read; see :attr:`Tree.inputs`."""

    @property
    def features(self) -> FeatureSet:
        """The features as written."""
        return self.format.features

    @property
    def block_size(self) -> int:
        """In bytes."""
        return self.spec.block_size

    @property
    def label(self) -> bytes:
        """Label of the file system, at most 16 bytes."""
        return self.spec.label

    @property
    def blocks_count(self) -> int:
        """Blocks of the file system."""
        return self.geometry.blocks_count

    @property
    def inodes_count(self) -> int:
        """Inodes of the file system."""
        return self.geometry.inodes_count

    @property
    def free_blocks(self) -> int:
        """Free blocks; computed without summing over all groups."""
        return self.space["free"] // self.block_size

    @property
    def free_inodes(self) -> int:
        """Free inodes, computed without summing over all groups; reserved ones count as used."""
        ordinary = len(self.table.inos) - bisect_left(self.table.inos, EXT4_GOOD_OLD_FIRST_INO)
        reserved = EXT4_GOOD_OLD_FIRST_INO - 1
        return self.inodes_count - reserved - self.table.nameless - ordinary

    @property
    def available_bytes(self) -> int:
        """Bytes that every user can write: the free ones minus kernel and superuser reserves."""
        blocks = self.free_blocks - unavailable_blocks(self.format, self.blocks_count, self.spec)
        return max(0, blocks) * self.block_size

    @property
    def verity_digests(self) -> dict[bytes, str]:
        """The digests of all files with verity, by path."""
        files = self.verity.values()
        return dict(sorted((path, file.digest) for file in files for path in file.paths))

    @property
    def entries(self) -> dict[str, int]:
        """Counts by kind; ``hard link`` counts the names beyond the first."""
        return self.table.entries

    @property
    def grow_to_bytes(self) -> int:
        """The size in bytes up to which descriptors are reserved.

        With meta_bg no reserve is needed: the limit is that of block numbers and inode numbers.
        """
        geometry, fmt = self.geometry, self.format
        groups = (geometry.gdt_blocks + geometry.reserved_gdt_blocks) * fmt.descs_per_block
        if fmt.meta_bg:
            # fs/ext4/resize.c:ext4_resize_fs, "resize would cause inodes_count overflow"
            groups = MAX_INODES // geometry.inodes_per_group
        return min(fmt.group_first_block(groups), fmt.max_blocks) * self.block_size

    @property
    def inodes_per_gib(self) -> int:
        """Inodes gained for each GiB by which the file system grows, in whole groups."""
        group_bytes = self.format.blocks_per_group * self.block_size
        return self.geometry.inodes_per_group * GIB // group_bytes

    @property
    def copied_bytes(self) -> int:
        """``content_bytes`` without inline data, which is written with the inodes."""
        regular, sizes = DT_REG, self.table.sizes
        inside = [index for index in self.inline if self.table.types[index] == regular]
        return self.content_bytes - sum(map(sizes.__getitem__, inside))

    @property
    def shared_bytes(self) -> int:
        """Bytes of blocks that are stored only as other blocks with equal content."""
        runs = (run for some in self.demand.shared.values() for run in some)
        return sum(run.length for run in runs) * self.block_size

    @property
    def mapping(self) -> DataMapping:
        """How ordinary files are mapped."""
        return mapping_of(self.format, self.demand.node_entries)

    def mapping_of(self, index: int) -> DataMapping:
        """Return how the node at ``index`` is mapped."""
        mapped = self.demand.block_mapped
        return block_map_of(self.format) if mapped and index in mapped else self.mapping

    @property
    def system_files(self) -> tuple[SystemFile, ...]:
        """The files that no directory names."""
        return self.demand.system_files

    def value_clusters(self, index: int) -> int:
        """Return the clusters of attribute values for which the node at ``index`` is charged."""
        named, size = self.xattrs.values_of.get(index, ()), self.format.cluster_size
        return sum(ceil_div(len(self.xattrs.values[number]), size) for number in named)

    def runs_of(self, index: int) -> list[MappedRun]:
        """Return the runs of the node at ``index``, by ascending logical block."""
        return self.placement.runs_of(index, self.demand.counts[index])


def unused_bytes(plan: ImagePlan) -> list[Span]:
    """Return the bytes of free blocks, ascending: their content does not matter."""
    size = plan.format.cluster_size
    return [Span(first * size, min(end * size, plan.size_bytes)) for first, end in plan.free_ranges]


def unread_bytes(plan: ImagePlan) -> list[Span]:
    """Return the bytes that are written before they are read, ascending.

    These are free blocks, and blocks of unused inodes if the kernel is to fill them with zeros
    (``Spec.lazy_itable_init``). Rules: e2fsprogs misc/mke2fs.c:write_inode_tables, which skips the
    same blocks, and fs/ext4/ialloc.c:ext4_init_inode_table, which fills them.
    """
    found = unused_bytes(plan)
    fmt, geometry = plan.format, plan.geometry
    # Without descriptor checksums there is no count of unused inodes: all of them are read.
    if plan.spec.lazy_itable_init and fmt.has_uninit_groups:
        size, blocks = fmt.block_size, geometry.inode_table_blocks
        for table, unused in zip(geometry.inode_tables, plan.groups.itable_unused, strict=True):
            used = ceil_div((geometry.inodes_per_group - unused) * fmt.inode_size, size)
            if used < blocks:
                found.append(Span((table + used) * size, (table + blocks) * size))
        found.sort()
    return found
