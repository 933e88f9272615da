"""Format: the variant of ext4 that a file system is, and what follows from that alone.

Everything that depends only on feature flags and sizes is decided here: which checksums there are,
how long descriptors are, where superblocks and descriptors are stored, how directories are laid
out, and what the limits are. No other code in the library tests a feature flag.

A writer creates one with :meth:`Format.of`, a reader with :meth:`Format.of_superblock`. A reader's
format may have features that are never written; their effect on fixed metadata is handled, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Generic, TypeVar

from ..arithmetic import ceil_div, round_down
from ..bits import is_power_of_two, log2
from ..errors import RecordError
from ..late_dataclasses import dataclass, replace
from .checksum import filesystem_seed
from .dirent import DIR_ENTRY_TAIL
from .features import FeatureSet, feature
from .group_desc import EXT4_MIN_DESC_SIZE, EXT4_MIN_DESC_SIZE_64BIT
from .htree import EXT4_HTREE_LEVEL, EXT4_HTREE_LEVEL_COMPAT
from .inode import (
    EXT4_GOOD_OLD_INODE_SIZE,
    EXT4_MIN_INLINE_DATA_SIZE,
    INLINE_DATA_MOST,
    INLINE_DATA_NAME,
    INODE,
)
from .record import ReadBuffer, Value
from .superblock import (
    EXT4_GOOD_OLD_FIRST_INO,
    EXT4_GOOD_OLD_REV,
    EXT4_MAX_BLOCK_SIZE,
    EXT4_MIN_BLOCK_LOG_SIZE,
    EXT4_MIN_BLOCK_SIZE,
    SUPERBLOCK,
    SUPERBLOCK_OFFSET,
)
from .xattr import EXT4_XATTR_PAD, XATTR_END_SIZE, XATTR_IBODY_HEADER, entry_size, split_name

MAX_32BIT_BLOCKS = (1 << 32) - 1
MAX_48BIT_BLOCKS = (1 << 48) - 1

# lib/ext2fs/ext2_fs.h:EXT2_MAX_CLUSTERS_PER_GROUP; bg_free_blocks_count has 16 bits without 64bit.
MAX_CLUSTERS_PER_GROUP = (1 << 16) - 8
# lib/ext2fs/ext2_fs.h:EXT2_MAX_INODES_PER_GROUP is this minus one block of inodes.
_INODES_PER_GROUP_LIMIT = 1 << 16
# fs/ext4/ext4.h:EXT4_MAX_CLUSTER_LOG_SIZE, relative to 1 KiB like s_log_cluster_size.
_MAX_LOG_CLUSTER_SIZE = 30 - EXT4_MIN_BLOCK_LOG_SIZE
DEFAULT_CLUSTER_BLOCKS = 16
"""Blocks in a cluster, by default (misc/mke2fs.c:PRS)."""
MAX_CLUSTER_SIZE = 1 << 29
"""lib/ext2fs/ext2_fs.h:EXT2_MAX_CLUSTER_SIZE, in bytes."""


Found = TypeVar("Found")


class Checksum(Enum):
    """How a group descriptor is checksummed; other metadata uses only NONE and CRC32C."""

    NONE = "none"
    CRC16 = "crc16"
    CRC32C = "crc32c"


class MappingKind(Enum):
    """How the blocks of a new file are found from its inode."""

    BLOCK_MAP = "block map"
    EXTENTS = "extents"


class _Cached(Generic[Found]):
    """A cached property without a lock; ``cached_property`` costs more than most look-ups here."""

    def __init__(self, find: Callable[[Any], Found]) -> None:
        self._find = find
        self.__doc__ = find.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, fmt: Format, owner: type) -> Found:
        value = fmt.__dict__[self._name] = self._find(fmt)
        return value


def _flag(name: str) -> _Cached[bool]:
    """A cached property: whether the feature ``name`` is set."""
    row = feature(name)
    return _Cached(lambda fmt: bool(getattr(fmt.features, row.word) & row.mask))


@dataclass(frozen=True)
class Format:
    """One variant of ext4. Sizes are in bytes; the names of counts state their unit.

    Block numbers are absolute and begin with 0. The *copies* of the superblock or of descriptors
    include the ones in group 0.
    """

    features: FeatureSet
    block_size: int
    inode_size: int
    desc_size: int
    """Bytes of a group descriptor."""
    first_data_block: int
    """The block in which group 0 begins."""
    clusters_per_group: int
    blocks_per_cluster: int = 1
    inodes_per_group: int = 0
    """0 until it is decided."""
    groups_per_flex: int = 1
    first_meta_bg: int = 0
    """The first descriptor block that is stored in its own metagroup, if there is meta_bg."""
    backup_groups: tuple[int, ...] = ()
    """With sparse_super2: the groups other than 0 that hold a backup. See :meth:`of_groups`."""
    num_backup_sb: int = 2
    """With sparse_super2: how many backups a new file system has, 0 to 2."""
    backup_numbers: tuple[int, ...] | None = None
    """With sparse_super2: numbers that choose the backup groups of a new file system; n stands for
    group 1 + n % (groups - 1). None stands for group 1 and the last group."""
    first_ino: int = EXT4_GOOD_OLD_FIRST_INO
    """The first inode that is not reserved."""
    uuid: bytes = bytes(16)
    checksum_seed: int = 0
    """The initial value of crc32c checksums of metadata; meaningless without metadata_csum."""

    has_journal = _flag("has_journal")
    journal_dev = _flag("journal_dev")
    needs_recovery = _flag("needs_recovery")
    extent = _flag("extent")
    """Whether files may be mapped by extents."""
    large_dir = _flag("large_dir")
    imagic_inodes = _flag("imagic_inodes")
    shared_blocks = _flag("shared_blocks")
    uninit_bg = _flag("uninit_bg")
    verity = _flag("verity")
    ext_attr = _flag("ext_attr")
    ea_inode = _flag("ea_inode")
    resize_inode = _flag("resize_inode")
    dir_index = _flag("dir_index")
    dir_nlink = _flag("dir_nlink")
    filetype = _flag("filetype")
    """Whether directory entries carry the type of the file."""
    casefold = _flag("casefold")
    encrypt = _flag("encrypt")
    stable_inodes = _flag("stable_inodes")
    inline_data = _flag("inline_data")
    large_file = _flag("large_file")
    huge_file = _flag("huge_file")
    flex_bg = _flag("flex_bg")
    is_64bit = _flag("64bit")
    """Whether counts of blocks and block numbers have an upper half."""
    bigalloc = _flag("bigalloc")
    sparse_super = _flag("sparse_super")
    sparse_super2 = _flag("sparse_super2")
    """Whether the backups are in ``backup_groups``."""
    meta_bg = _flag("meta_bg")
    mmp = _flag("mmp")
    fast_commit = _flag("fast_commit")
    quota = _flag("quota")
    project = _flag("project")
    orphan_file = _flag("orphan_file")
    orphan_present = _flag("orphan_present")
    metadata_csum = _flag("metadata_csum")
    """Whether all metadata has crc32c checksums."""
    metadata_csum_seed = _flag("metadata_csum_seed")
    """Whether ``checksum_seed`` is stored, so that the UUID can change."""

    @classmethod
    def of(
        cls,
        features: FeatureSet,
        block_size: int,
        inode_size: int,
        *,
        cluster_size: int | None = None,
        groups_per_flex: int = 1,
        first_meta_bg: int = 0,
        num_backup_sb: int = 2,
        clusters_per_group: int | None = None,
        desc_size: int | None = None,
    ) -> Format:
        """Return the format that mke2fs would create with these features and sizes in bytes.

        The default of ``cluster_size`` is 16 blocks; without bigalloc a cluster is always one
        block. The default of ``clusters_per_group`` is the maximum, and that of ``desc_size`` is 64
        with the feature 64bit and 32 without.
        """
        return _new_format(
            features,
            block_size,
            inode_size,
            cluster_size,
            groups_per_flex,
            first_meta_bg,
            num_backup_sb,
            clusters_per_group,
            desc_size,
        )

    @classmethod
    def of_superblock(cls, superblock: ReadBuffer | Mapping[str, Value]) -> Format:
        """Return the format of a superblock, given as its 1,024 bytes or its parsed fields.

        No feature is refused, known or not. Raises :class:`RecordError` for a size that no file
        system can have, which makes it impossible to find anything; the error names the field.
        """
        fields = superblock if isinstance(superblock, Mapping) else SUPERBLOCK.parse(superblock)

        def number(name: str) -> int:
            value = fields[name]
            assert isinstance(value, int)
            return value

        features = FeatureSet(
            *(number(f"s_feature_{word}") for word in ("compat", "incompat", "ro_compat"))
        )
        dynamic = number("s_rev_level") != EXT4_GOOD_OLD_REV
        block_size = _block_size(number("s_log_block_size"))
        blocks_per_cluster = 1
        per_group = "s_blocks_per_group"
        if "bigalloc" in features:
            per_group = "s_clusters_per_group"
            log_ratio = number("s_log_cluster_size") - number("s_log_block_size")
            if log_ratio < 0 or number("s_log_cluster_size") > _MAX_LOG_CLUSTER_SIZE:
                raise _unusable("s_log_cluster_size", number("s_log_cluster_size"))
            blocks_per_cluster <<= log_ratio
        if not 0 < number(per_group) <= 8 * block_size:
            raise _unusable(per_group, number(per_group))
        inodes_per_group = number("s_inodes_per_group")
        # A journal device has no groups, and so no inodes.
        if inodes_per_group > 8 * block_size or (
            not inodes_per_group and "journal_dev" not in features
        ):
            raise _unusable("s_inodes_per_group", inodes_per_group)
        inode_size = number("s_inode_size") if dynamic else EXT4_GOOD_OLD_INODE_SIZE
        if not _is_power_of_two(inode_size, EXT4_GOOD_OLD_INODE_SIZE, block_size):
            raise _unusable("s_inode_size", inode_size)
        desc_size = EXT4_MIN_DESC_SIZE
        if "64bit" in features:
            # fs/ext4/super.c:ext4_handle_clustersize and ext4_block_group_meta_init
            desc_size = number("s_desc_size")
            if not _is_power_of_two(desc_size, EXT4_MIN_DESC_SIZE_64BIT, EXT4_MIN_BLOCK_SIZE):
                raise _unusable("s_desc_size", desc_size)
        # fs/ext4/super.c:ext4_fill_flex_info: 0 and numbers too large for a shift mean none
        log_flex = number("s_log_groups_per_flex")
        has_flex = "flex_bg" in features and 0 < log_flex < 32
        backups = fields["s_backup_bgs"]
        uuid = fields["s_uuid"]
        assert isinstance(uuid, bytes) and not isinstance(backups, int | bytes)
        return cls(
            features=features,
            block_size=block_size,
            inode_size=inode_size,
            desc_size=desc_size,
            first_data_block=number("s_first_data_block"),
            clusters_per_group=number(per_group),
            blocks_per_cluster=blocks_per_cluster,
            inodes_per_group=inodes_per_group,
            groups_per_flex=1 << log_flex if has_flex else 1,
            first_meta_bg=number("s_first_meta_bg") if "meta_bg" in features else 0,
            backup_groups=(
                tuple(sorted({group for group in backups if group}))
                if "sparse_super2" in features
                else ()
            ),
            first_ino=number("s_first_ino") if dynamic else EXT4_GOOD_OLD_FIRST_INO,
        )._identified(uuid, number("s_checksum_seed"))

    def with_uuid(self, uuid: bytes) -> Format:
        """Return the format with this UUID (16 bytes) and the checksum seed derived from it."""
        return self._identified(uuid, None)

    def _identified(self, uuid: bytes, stored_seed: int | None) -> Format:
        # lib/ext2fs/csum.c:ext2fs_init_csum_seed
        seed = stored_seed if self.metadata_csum_seed else None
        return _identified(self, uuid, seed)

    def with_inodes(self, inodes_per_group: int) -> Format:
        """Return the format with this many inodes in each group."""
        return _with_inodes(self, inodes_per_group)

    def of_groups(self, groups: int) -> Format:
        """Return the format of a new file system with this many groups.

        With sparse_super2 the backups are in group 1 and the last group, unless ``backup_numbers``
        chooses others. ``first_meta_bg`` is at most the number of descriptor blocks
        (fs/ext4/super.c:ext4_fill_super).
        """
        fmt = self
        if self.sparse_super2:
            # misc/mke2fs.c:PRS and lib/ext2fs/initialize.c:ext2fs_initialize
            wanted = (1, groups - 1)[: self.num_backup_sb]
            if self.backup_numbers is not None and groups > 1:
                # lib/ext2fs/closefs.c:ext2fs_bg_has_super: any two groups
                wanted = tuple(1 + number % (groups - 1) for number in self.backup_numbers)
            backups = sorted({group for group in wanted if 0 < group < groups})
            fmt = replace(fmt, backup_groups=tuple(backups))
        if self.first_meta_bg > self.gdt_blocks(groups):
            fmt = replace(fmt, first_meta_bg=self.gdt_blocks(groups))
        return fmt

    def with_backups(self, numbers: Sequence[int] | None) -> Format:
        """Return the format with these ``backup_numbers``."""
        return self if numbers is None else replace(self, backup_numbers=tuple(numbers))

    def with_meta_bg(self) -> Format:
        """Return the format with all descriptors in metagroups and none reserved for growth."""
        features = self.features.without("resize_inode").with_("meta_bg")
        return replace(self, features=features, first_meta_bg=0)

    def without(self, *names: str) -> Format:
        """Return the format without these features; no size or location may depend on them."""
        return _without(self, names)

    # -- sizes -----------------------------------------------------------------------------------

    @_Cached
    def cluster_size(self) -> int:
        """Bytes of a cluster, the unit that one bit of a block bitmap stands for."""
        return self.block_size * self.blocks_per_cluster

    @_Cached
    def first_data_cluster(self) -> int:
        """The cluster in which group 0 begins; cluster n begins at block n * blocks_per_cluster."""
        return self.first_data_block // self.blocks_per_cluster

    def clusters_for(self, blocks: int) -> int:
        """How many clusters ``blocks`` blocks need."""
        return ceil_div(blocks, self.blocks_per_cluster)

    @_Cached
    def blocks_per_group(self) -> int:
        return self.clusters_per_group * self.blocks_per_cluster

    @_Cached
    def descs_per_block(self) -> int:
        return self.block_size // self.desc_size

    @_Cached
    def inodes_per_block(self) -> int:
        return self.block_size // self.inode_size

    @_Cached
    def has_extra_fields(self) -> bool:
        """Whether inodes are longer than 128 bytes: nanoseconds, times after 2038, attributes."""
        return self.inode_size > EXT4_GOOD_OLD_INODE_SIZE

    @_Cached
    def xattr_room(self) -> int:
        """Bytes for entries and values of extended attributes inside an inode."""
        # fs/ext4/xattr.h:IHDR; four zero bytes end the entries
        fixed = INODE.size + XATTR_IBODY_HEADER.size + XATTR_END_SIZE
        return max(0, self.inode_size - fixed)

    @_Cached
    def inline_most(self) -> int:
        """The most bytes of content that an inode without attributes holds; 0 without inline_data.

        The first 60 are in ``i_block``, the others in an attribute that exists for less content,
        too.
        """
        # fs/ext4/inline.c:get_max_inline_xattr_value_size
        rest = self.xattr_room - entry_size(len(split_name(INLINE_DATA_NAME)[1]))
        if not self.inline_data or rest < 0:
            return 0
        rest -= rest % EXT4_XATTR_PAD
        return min(EXT4_MIN_INLINE_DATA_SIZE + rest, INLINE_DATA_MOST)

    @_Cached
    def dir_tail_size(self) -> int:
        """Bytes of the checksum tail at the end of a directory leaf block."""
        return DIR_ENTRY_TAIL.size if self.metadata_csum else 0

    def inode_table_blocks(self, inodes_per_group: int) -> int:
        """Blocks of the inode table of one group."""
        return ceil_div(inodes_per_group * self.inode_size, self.block_size)

    # -- limits ----------------------------------------------------------------------------------

    @_Cached
    def max_blocks(self) -> int:
        """The most blocks that a file system can have."""
        return MAX_48BIT_BLOCKS if self.is_64bit else MAX_32BIT_BLOCKS

    @_Cached
    def inode_unit(self) -> int:
        """The unit of inodes per group: they fill whole blocks, and whole bytes of the bitmap."""
        return max(8, self.inodes_per_block)

    @_Cached
    def max_inodes_per_group(self) -> int:
        """The most inodes per group: EXT2_MAX_INODES_PER_GROUP, one bitmap block, whole units."""
        most = min(8 * self.block_size, _INODES_PER_GROUP_LIMIT - self.inodes_per_block)
        return round_down(most, self.inode_unit)

    @_Cached
    def htree_levels(self) -> int:
        """The most levels of a directory index, including its root; 0 if there is no index."""
        # fs/ext4/ext4.h:ext4_dir_htree_level
        if not self.dir_index:
            return 0
        return EXT4_HTREE_LEVEL if "large_dir" in self.features else EXT4_HTREE_LEVEL_COMPAT

    # -- kinds -----------------------------------------------------------------------------------

    @_Cached
    def mapping(self) -> MappingKind:
        """How new files are mapped; for an existing file, the inode's flags state it."""
        return MappingKind.EXTENTS if "extent" in self.features else MappingKind.BLOCK_MAP

    @_Cached
    def group_desc_checksum(self) -> Checksum:
        if self.metadata_csum:
            return Checksum.CRC32C
        return Checksum.CRC16 if "uninit_bg" in self.features else Checksum.NONE

    @property
    def has_uninit_groups(self) -> bool:
        """Whether groups may be flagged as uninitialized (ext4_has_group_desc_csum)."""
        return self.group_desc_checksum is not Checksum.NONE

    # -- where superblocks and descriptors are stored ----------------------------------------------

    def groups_for(self, blocks_count: int) -> int:
        """How many groups a file system of ``blocks_count`` blocks has."""
        return ceil_div(blocks_count - self.first_data_block, self.blocks_per_group)

    def gdt_blocks(self, groups: int) -> int:
        """How many blocks the descriptors of ``groups`` groups fill."""
        return ceil_div(groups, self.descs_per_block)

    def group_first_block(self, group: int) -> int:
        return self.first_data_block + group * self.blocks_per_group

    def group_of(self, block: int) -> int:
        return (block - self.first_data_block) // self.blocks_per_group

    @_Cached
    def _all_have_supers(self) -> bool:
        return "sparse_super" not in self.features and not self.sparse_super2

    def has_super(self, group: int) -> bool:
        """Whether ``group`` holds a superblock (lib/ext2fs/closefs.c:ext2fs_bg_has_super)."""
        if group == 0:
            return True
        if self.sparse_super2:
            return group in self.backup_groups
        if group == 1 or self._all_have_supers:
            return True
        # All powers are odd; testing that first saves time, since callers check every group.
        return bool(group & 1) and any(_is_power(group, base) for base in (3, 5, 7))

    def super_groups(self, groups: int) -> list[int]:
        """All groups below ``groups`` that hold a superblock, ascending."""
        if groups == 1:
            return [0]  # a fast path for small images, which call this a dozen times
        if self.sparse_super2:
            return [group for group in (0, *self.backup_groups) if group < groups]
        if self._all_have_supers:
            return list(range(groups))
        found = {group for group in (0, 1) if group < groups}
        for base in (3, 5, 7):
            power = base
            while power < groups:
                found.add(power)
                power *= base
        return sorted(found)

    def super_groups_count(self, groups: int) -> int:
        """How many of the first ``groups`` groups hold a superblock; sizing calls this often."""
        return groups if self._all_have_supers else len(self.super_groups(groups))

    def super_offset(self, group: int) -> int:
        """The byte of the file system at which the superblock in ``group`` begins."""
        return self.super_block(group) * self.block_size or SUPERBLOCK_OFFSET

    def super_block(self, group: int) -> int:
        """The block of the superblock in ``group``; in block 0 it begins at byte 1,024."""
        # lib/ext2fs/closefs.c:ext2fs_super_and_bgd_loc2: with clusters, 1 KiB blocks count from 0
        first = self.group_first_block(group)
        return 1 if first == 0 and self.block_size == EXT4_MIN_BLOCK_SIZE else first

    def in_meta_group(self, desc_block: int) -> bool:
        """Whether the descriptor block with this number is in the metagroup that it describes."""
        return self.meta_bg and desc_block >= self.first_meta_bg

    def holds_meta_block(self, group: int) -> bool:
        """Whether ``group`` holds a copy of the descriptor block of its own metagroup.

        These are the first, the second and the last group of a metagroup.
        """
        metagroup, place = divmod(group, self.descs_per_block)
        return place in (0, 1, self.descs_per_block - 1) and self.in_meta_group(metagroup)

    def desc_blocks_together(self, group: int, groups: int) -> int:
        """How many consecutive blocks of descriptors follow the superblock in ``group``.

        There are none in a group without a superblock or in a metagroup.
        """
        # lib/ext2fs/closefs.c:ext2fs_super_and_bgd_loc2, fs/ext4/balloc.c:ext4_bg_num_gdb
        if not self.has_super(group) or self.in_meta_group(group // self.descs_per_block):
            return 0
        blocks = self.gdt_blocks(groups)
        return min(blocks, self.first_meta_bg) if self.meta_bg else blocks

    def head_blocks(self, group: int, groups: int, reserved_gdt_blocks: int = 0) -> int:
        """Blocks at the start of ``group``: superblock, descriptors, blocks reserved for growth."""
        if not self.meta_bg:
            has_super = self.has_super(group)
            return 1 + self.gdt_blocks(groups) + reserved_gdt_blocks if has_super else 0
        together = self.desc_blocks_together(group, groups)
        return self.has_super(group) + together + self.holds_meta_block(group)

    def head_groups(self, groups: int) -> list[int]:
        """All groups below ``groups`` that begin with a superblock or with descriptors."""
        supers = self.super_groups(groups)
        if not self.meta_bg:
            return supers
        holders = (self._holders(block, groups) for block in self._meta_blocks(groups))
        return sorted({*supers, *(group for held in holders for group in held)})

    def all_head_blocks(self, groups: int, reserved_gdt_blocks: int = 0) -> int:
        """The sum of :meth:`head_blocks` over all groups; sizing calls this often."""
        supers = self.super_groups_count(groups)
        if not self.meta_bg:
            return supers * (1 + self.gdt_blocks(groups) + reserved_gdt_blocks)
        blocks = self._meta_blocks(groups)
        before = min(groups, blocks.start * self.descs_per_block)
        together = self.super_groups_count(before) * blocks.start
        in_full = len(self._holders(0, self.descs_per_block))
        of_last = len(self._holders(blocks[-1], groups)) if blocks else in_full
        return supers + together + len(blocks) * in_full - in_full + of_last

    def _meta_blocks(self, groups: int) -> range:
        """The descriptor blocks that are stored in their own metagroups."""
        blocks = self.gdt_blocks(groups)
        return range(min(self.first_meta_bg, blocks), blocks)

    def _holders(self, desc_block: int, groups: int) -> list[int]:
        """The groups that hold a copy of a descriptor block in its own metagroup, ascending."""
        first = desc_block * self.descs_per_block
        last = first + self.descs_per_block - 1
        return [group for group in sorted({first, min(first + 1, last), last}) if group < groups]

    def first_desc_block(self, desc_block: int, groups: int) -> int:
        """The block from which a mount reads the descriptor block with this number."""
        if self.in_meta_group(desc_block):
            return self.desc_block_copies(desc_block, groups)[0]
        return self.super_block(0) + 1 + desc_block

    def desc_block_copies(self, desc_block: int, groups: int) -> list[int]:
        """All blocks that hold the descriptor block with this number, counted from 0, ascending.

        A mount reads the first one.
        """
        # lib/ext2fs/closefs.c:ext2fs_super_and_bgd_loc2
        if self.in_meta_group(desc_block):
            holders = self._holders(desc_block, groups)
            return [self.super_block(group) + self.has_super(group) for group in holders]
        if self.meta_bg:
            groups = min(groups, self.first_meta_bg * self.descs_per_block)
        return [self.super_block(group) + 1 + desc_block for group in self.super_groups(groups)]


def _most_clusters_per_group(block_size: int, blocks_per_cluster: int) -> int:
    """As many clusters as a bitmap block has bits, but s_blocks_per_group must fit 32 bits."""
    # lib/ext2fs/initialize.c:ext2fs_initialize, "s_log_cluster_size + 15"
    if block_size * blocks_per_cluster < 1 << 17 + EXT4_MIN_BLOCK_LOG_SIZE:
        return 8 * block_size
    return 8 * (block_size - 1)


def _block_size(log_block_size: int) -> int:
    if log_block_size > log2(EXT4_MAX_BLOCK_SIZE // EXT4_MIN_BLOCK_SIZE):
        raise _unusable("s_log_block_size", log_block_size)
    return EXT4_MIN_BLOCK_SIZE << log_block_size


def _is_power_of_two(value: int, least: int, most: int) -> bool:
    return least <= value <= most and is_power_of_two(value)


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1


def _unusable(field: str, value: int) -> RecordError:
    return RecordError("superblock", field, f"{value} is not valid in an ext4 file system")


@lru_cache(maxsize=256)
def _new_format(
    features: FeatureSet,
    block_size: int,
    inode_size: int,
    cluster_size: int | None,
    groups_per_flex: int,
    first_meta_bg: int,
    num_backup_sb: int,
    clusters_per_group: int | None,
    desc_size: int | None,
) -> Format:
    """Do what :meth:`Format.of` does, cached so that images of one format share derived values."""
    # lib/ext2fs/initialize.c:ext2fs_initialize
    blocks_per_cluster = 1
    if "bigalloc" in features:
        blocks_per_cluster = (cluster_size or DEFAULT_CLUSTER_BLOCKS * block_size) // block_size
    is_64bit = "64bit" in features
    return Format(
        features=features,
        block_size=block_size,
        inode_size=inode_size,
        desc_size=desc_size or EXT4_MIN_DESC_SIZE_64BIT if is_64bit else EXT4_MIN_DESC_SIZE,
        first_data_block=1 if block_size * blocks_per_cluster == EXT4_MIN_BLOCK_SIZE else 0,
        clusters_per_group=min(
            clusters_per_group or _most_clusters_per_group(block_size, blocks_per_cluster),
            8 * block_size,
            MAX_CLUSTERS_PER_GROUP,
        ),
        blocks_per_cluster=blocks_per_cluster,
        groups_per_flex=groups_per_flex if "flex_bg" in features else 1,
        first_meta_bg=first_meta_bg if "meta_bg" in features else 0,
        num_backup_sb=num_backup_sb,
    )


@lru_cache(maxsize=64)
def _identified(fmt: Format, uuid: bytes, seed: int | None) -> Format:
    seed = filesystem_seed(uuid) if seed is None else seed
    return _with_fields(fmt, uuid=uuid, checksum_seed=seed)


@lru_cache(maxsize=64)
def _without(fmt: Format, names: tuple[str, ...]) -> Format:
    return replace(fmt, features=fmt.features.without(*names))


@lru_cache(maxsize=64)
def _with_inodes(fmt: Format, inodes_per_group: int) -> Format:
    return _with_fields(fmt, inodes_per_group=inodes_per_group)


def _with_fields(fmt: Format, **changes: object) -> Format:
    """A copy with changed fields; its cached properties, which they must not affect, are kept."""
    changed: Format = object.__new__(Format)
    vars(changed).update(vars(fmt), **changes)
    return changed
