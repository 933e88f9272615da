"""A test of the judges: e2fsck names the fault of an image that is wrong in one field.

Each corruption is tested twice. With a corrected checksum, e2fsck must name the fault itself and no
wrong checksum. With the old checksum, it must find the checksum wrong.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Iterator, MutableSequence, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import (
    DEFAULT_FEATURES,
    Directory,
    Layout,
    LayoutPolicy,
    Override,
    OverrideError,
    Spec,
    SpecError,
    Tree,
    plan,
    write_image,
    write_layout,
)
from ext4writer.damage.locate import FINDERS, Locator
from ext4writer.errors import display_path
from ext4writer.layout import plan_of
from ext4writer.ondisk.dirent import DIR_ENTRY_2, DIR_ENTRY_TAIL
from ext4writer.ondisk.extent import EXTENT, EXTENT_HEADER, EXTENT_IDX, EXTENT_TAIL
from ext4writer.ondisk.group_desc import GROUP_DESC, GROUP_DESC_32
from ext4writer.ondisk.htree import DX_ENTRY, DX_NODE, DX_ROOT, DX_TAIL
from ext4writer.ondisk.inode import INODE, INODE_128
from ext4writer.ondisk.journal import JOURNAL_SUPERBLOCK
from ext4writer.ondisk.record import Field, Record
from ext4writer.ondisk.superblock import SUPERBLOCK
from ext4writer.ondisk.xattr import XATTR_ENTRY, XATTR_HEADER, XATTR_IBODY_HEADER
from ext4writer.read import open_image
from tests.builder.command import run
from tests.judges import raw
from tests.judges.debugfs import debugfs, ex, groups, htree
from tests.judges.fsck import assert_clean, e2fsck, problems

Item = TypeVar("Item")

SECOND = 10**9
BLOCK = 1024
MIB = 1 << 20

# -- e2fsck/problem.h ------------------------------------------------------------------------------

PR_0_SB_CORRUPT = "0x000004"
PR_0_MISC_CORRUPT_SUPER = "0x00000b"
PR_0_JOURNAL_BAD_INODE = "0x00000f"
PR_0_JOURNAL_BAD_SUPER = "0x000015"
PR_0_JOURNAL_UNSUPP_ROCOMPAT = "0x000025"
PR_0_JOURNAL_UNSUPP_INCOMPAT = "0x000026"
PR_0_JOURNAL_UNSUPP_VERSION = "0x000027"
PR_0_JOURNAL_RUN = "0x00002b"
PR_0_RESIZE_INODE_INVALID = "0x000030"
PR_0_GDT_CSUM = "0x000035"
PR_0_GDT_ITABLE_UNUSED = "0x000038"
PR_0_BB_UNINIT_LAST = "0x000039"
PR_0_GDT_CSUM_LATCH = "0x00003e"
PR_0_OPEN_FAILED = "0x000044"
PR_0_BAD_WANT_EXTRA_ISIZE = "0x00004e"
PR_1_ROOT_NO_DIR = "0x010001"
PR_1_ROOT_DTIME = "0x010002"
PR_1_BAD_I_BLOCKS = "0x01000d"
PR_1_SET_NONZSIZE = "0x010032"
PR_1_LOW_DTIME = "0x010036"
PR_1_BAD_EA_BLOCK = "0x01003a"
PR_1_EXTATTR_REFCOUNT = "0x01003c"
PR_1_EA_BAD_NAME = "0x010041"
PR_1_EA_BAD_VALUE = "0x010042"
PR_1_HTREE_NODIR = "0x010048"
PR_1_HTREE_HASHV = "0x01004a"
PR_1_HTREE_INCOMPAT = "0x01004b"
PR_1_HTREE_DEPTH = "0x01004c"
PR_1_EXTRA_ISIZE = "0x01004f"
PR_1_ATTR_VALUE_SIZE = "0x010053"
PR_1_ATTR_HASH = "0x010054"
PR_1_EXTENT_BAD_START_BLK = "0x010058"
PR_1_EXTENT_ENDS_BEYOND = "0x010059"
PR_1_UNSET_EXTENT_FL = "0x01005c"
PR_1_OUT_OF_ORDER_EXTENTS = "0x01005e"
PR_1_EXTENT_HEADER_INVALID = "0x01005f"
PR_1_EXTENT_LENGTH_ZERO = "0x010066"
PR_1_INODE_IS_GARBAGE = "0x010067"
PR_1_INODE_ONLY_CSUM_INVALID = "0x010068"
PR_1_INODE_EA_ALLOC_COLLISION = "0x010069"
PR_1_EXTENT_ONLY_CSUM_INVALID = "0x01006a"
PR_1_EA_BLOCK_ONLY_CSUM_INVALID = "0x01006c"
PR_1_EXTENT_INDEX_START_INVALID = "0x01006d"
PR_1_EXTENT_END_OUT_OF_BOUNDS = "0x01006e"
PR_1_EXTENT_COLLISION = "0x01007d"
PR_1_EXTENT_BAD_MAX_DEPTH = "0x01007f"
PR_1_MISSING_EXTENT_HEADER = "0x010081"
PR_1_ATTR_VALUE_EA_INODE = "0x010083"
PR_1B_DUP_BLOCK = "0x011002"
PR_2_BAD_INODE_DOT = "0x020001"
PR_2_BAD_INO = "0x020002"
PR_2_UNUSED_INODE = "0x020003"
PR_2_LINK_DIR = "0x020006"
PR_2_LINK_ROOT = "0x020007"
PR_2_BAD_NAME = "0x020008"
PR_2_1ST_NOT_DOT = "0x02000b"
PR_2_BAD_MODE = "0x020012"
PR_2_SPLIT_DOT = "0x020024"
PR_2_SET_FILETYPE = "0x020027"
PR_2_BAD_FILETYPE = "0x020028"
PR_2_NULL_NAME = "0x020030"
PR_2_INVALID_SYMLINK = "0x020031"
PR_2_HTREE_NOTREF = "0x020034"
PR_2_HTREE_DUPREF = "0x020035"
PR_2_HTREE_MIN_HASH = "0x020036"
PR_2_HTREE_MAX_HASH = "0x020037"
PR_2_HTREE_BADBLK = "0x02003a"
PR_2_HTREE_BAD_LIMIT = "0x02003d"
PR_2_HTREE_HASH_ORDER = "0x02003f"
PR_2_HTREE_BAD_DEPTH = "0x020040"
PR_2_HTREE_ROOT_CSUM_INVALID = "0x020049"
PR_2_HTREE_NODE_CSUM_INVALID = "0x02004a"
PR_2_LEAF_NODE_MISSING_CSUM = "0x02004c"
PR_2_LEAF_NODE_ONLY_CSUM_INVALID = "0x02004d"
PR_3_BAD_DOT_DOT = "0x030005"
PR_4_UNATTACHED_INODE = "0x040002"
PR_4_BAD_REF_COUNT = "0x040003"
PR_5_INODE_BMAP_PADDING = "0x050001"
PR_5_BLOCK_BMAP_PADDING = "0x050002"
PR_5_BLOCK_UNUSED = "0x050004"
PR_5_BLOCK_USED = "0x050005"
PR_5_INODE_UNUSED = "0x050008"
PR_5_INODE_USED = "0x050009"
PR_5_FREE_INODE_COUNT_GROUP = "0x05000b"
PR_5_FREE_DIR_COUNT_GROUP = "0x05000c"
PR_5_FREE_INODE_COUNT = "0x05000d"
PR_5_FREE_BLOCK_COUNT_GROUP = "0x05000e"
PR_5_FREE_BLOCK_COUNT = "0x05000f"
PR_5_INODE_BITMAP_CSUM_INVALID = "0x05001a"
PR_5_BLOCK_BITMAP_CSUM_INVALID = "0x05001b"

CHECKSUM_PROBLEMS = {
    # e2fsck does not open a superblock with a wrong checksum; it uses a backup.
    PR_0_OPEN_FAILED,
    PR_0_GDT_CSUM,
    PR_0_GDT_CSUM_LATCH,
    PR_1_INODE_IS_GARBAGE,
    PR_1_INODE_ONLY_CSUM_INVALID,
    PR_1_EXTENT_ONLY_CSUM_INVALID,
    PR_1_EA_BLOCK_ONLY_CSUM_INVALID,
    PR_2_HTREE_ROOT_CSUM_INVALID,
    PR_2_HTREE_NODE_CSUM_INVALID,
    PR_2_LEAF_NODE_MISSING_CSUM,
    PR_2_LEAF_NODE_ONLY_CSUM_INVALID,
    PR_5_INODE_BITMAP_CSUM_INVALID,
    PR_5_BLOCK_BITMAP_CSUM_INVALID,
}

# -- the image -------------------------------------------------------------------------------------


def _runs(count: int, block_size: int) -> bytes:
    """Content of ``count`` extents: blocks of data, each followed by a hole."""
    return (b"\xa5" * block_size + bytes(block_size)) * count


def _tree(block_size: int) -> Tree:
    """A tree that makes use of every record."""
    stamp = 1_600_000_000 * SECOND
    tree = Tree(Directory(mtime_ns=stamp))
    tree.directory("etc", mtime_ns=stamp)
    tree.file("etc/hosts", b"127.0.0.1 localhost\n", xattrs={b"user.note": b"inside"})
    tree.file("etc/big", b"x" * 3000, xattrs={b"user.big": b"v" * 300, b"user.small": b"1"})
    tree.file("a:b", b"colon", xattrs={b"user.c:d": b"e", b"user.c:user.d": b"f"})
    tree.file("deep", _runs(400, block_size))
    tree.file("flat", _runs(3, block_size))
    tree.symlink("fast", "target")
    tree.symlink("slow", "x" * 200)
    tree.device("tty", "c", 5, 1)
    tree.fifo("fifo")
    tree.file("empty", b"")
    for directory, count, width in (("many", 40, 100), ("most", 520, 200)):
        tree.directory(directory)
        for number in range(count):
            tree.link(f"{directory}/{number:0{width}d}", "empty")
    return tree


class Scattered(LayoutPolicy):
    """Allocates blocks of files and directories one by one, in descending order."""

    name = "scattered"
    sequential = False

    def run_lengths(self, blocks: int) -> list[int]:
        return [1] * blocks

    def shuffle(self, items: MutableSequence[Item]) -> None:
        items.reverse()


FOUR_GROUPS = Spec(size=26 * MIB, block_size=BLOCK, hole_size=1)
ONE_GROUP = replace(FOUR_GROUPS, size=None, free=0, free_inodes=200, journal=MIB)
NO_CHECKSUMS = DEFAULT_FEATURES.without("metadata_csum")
SPECS = {
    "default": FOUR_GROUPS,
    "crc16": replace(FOUR_GROUPS, features=NO_CHECKSUMS.with_("uninit_bg")),
    "one group": ONE_GROUP,
    "scattered": replace(ONE_GROUP, policy=Scattered()),
    "4k": replace(ONE_GROUP, block_size=4096, journal=4 * MIB),
    "no checksums": replace(ONE_GROUP, features=NO_CHECKSUMS.without("64bit")),
    "small inodes": replace(
        ONE_GROUP, inode_size=128, features=DEFAULT_FEATURES.without("extra_isize", "64bit")
    ),
}
LAST_GROUP = 3
UNWRITTEN_GROUP = 2
"""Neither its bitmaps nor its inode table are written."""


@functools.cache
def layout(spec: str = "default") -> Layout:
    return plan(_tree(SPECS[spec].block_size), SPECS[spec])


@functools.cache
def truth(spec: str = "default") -> bytes:
    """The image without any corruption."""
    return bytes(corrupted(spec))


def corrupted(spec: str, *overrides: Override) -> bytearray:
    """The image with the corruption in it."""
    image = bytearray()
    write_layout(layout(spec), image, overrides=overrides)
    return image


def parsed(*texts: str, reseal: bool = True) -> list[Override]:
    return [Override.parse(text, reseal=reseal) for text in texts]


def found(folder: Path, overrides: Sequence[Override], spec: str = "default") -> set[str]:
    """The problems that e2fsck finds in the image with the corruption."""
    image = folder / "image"
    write_layout(layout(spec), image, overrides=overrides)
    return set(problems(image))


def test_the_image_contains_every_corrupted_record(tmp_path: Path) -> None:
    image = tmp_path / "image"
    write_layout(layout(), image)
    assert {extent.depth for extent in ex(image, "/deep")} == {2}
    assert {extent.depth for extent in ex(image, "/flat")} == {0}
    for path, levels in (("/many", 1), ("/most", 2)):
        tree = htree(image, path)
        assert tree is not None
        assert tree.levels == levels
    listed = groups(image)
    assert len(listed) == LAST_GROUP + 1
    assert listed[UNWRITTEN_GROUP].flags >= {"INODE_UNINIT", "BLOCK_UNINIT"}
    assert not listed[UNWRITTEN_GROUP].backup


# -- one corruption --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Corruption:
    """What e2fsck must find with a correct checksum, and which checksum is wrong otherwise."""

    override: str
    checksummed: tuple[str, ...]
    stale: str


def corruption(stale: str, override: str, *checksummed: str) -> Corruption:
    return Corruption(override, checksummed, stale)


superblock = functools.partial(corruption, PR_0_OPEN_FAILED)
group_desc = functools.partial(corruption, PR_0_GDT_CSUM)
block_bitmap = functools.partial(corruption, PR_5_BLOCK_BITMAP_CSUM_INVALID)
inode_bitmap = functools.partial(corruption, PR_5_INODE_BITMAP_CSUM_INVALID)
in_inode = functools.partial(corruption, PR_1_INODE_ONLY_CSUM_INVALID)
in_extent_block = functools.partial(corruption, PR_1_EXTENT_ONLY_CSUM_INVALID)
in_leaf = functools.partial(corruption, PR_2_LEAF_NODE_ONLY_CSUM_INVALID)
in_dx_root = functools.partial(corruption, PR_2_HTREE_ROOT_CSUM_INVALID)
in_dx_node = functools.partial(corruption, PR_2_HTREE_NODE_CSUM_INVALID)
in_xattr_block = functools.partial(corruption, PR_1_EA_BLOCK_ONLY_CSUM_INVALID)

CORRUPTIONS = [
    superblock("superblock.s_free_blocks_count_lo=5", PR_5_FREE_BLOCK_COUNT),
    superblock("superblock[0].s_free_inodes_count=5", PR_5_FREE_INODE_COUNT),
    superblock("superblock.s_first_ino=3", PR_0_MISC_CORRUPT_SUPER),
    superblock("superblock.s_journal_inum=12", PR_0_JOURNAL_BAD_INODE),
    superblock("superblock.s_want_extra_isize=3000", PR_0_BAD_WANT_EXTRA_ISIZE),
    superblock("superblock.s_hash_seed[1]=5", PR_2_HTREE_MIN_HASH, PR_2_HTREE_MAX_HASH),
    superblock("superblock.s_volume_name=text:a corruption"),
    group_desc("group_desc[0].bg_free_blocks_count_lo=1", PR_5_FREE_BLOCK_COUNT_GROUP),
    group_desc("group_desc[1].bg_free_inodes_count_lo=1", PR_5_FREE_INODE_COUNT_GROUP),
    group_desc("group_desc[0].bg_used_dirs_count_lo=1", PR_5_FREE_DIR_COUNT_GROUP),
    group_desc("group_desc[0].bg_itable_unused_lo=-1", PR_0_GDT_ITABLE_UNUSED),
    group_desc("group_desc[3].bg_flags=7", PR_0_BB_UNINIT_LAST),
    block_bitmap("block_bitmap[0].700=0", PR_5_BLOCK_USED, PR_5_FREE_BLOCK_COUNT_GROUP),
    block_bitmap("block_bitmap[0].8100=1", PR_5_BLOCK_UNUSED, PR_5_FREE_BLOCK_COUNT),
    block_bitmap("block_bitmap[3].8191=0", PR_5_BLOCK_BMAP_PADDING),
    inode_bitmap("inode_bitmap[0].12=0", PR_5_INODE_USED, PR_5_FREE_INODE_COUNT),
    inode_bitmap("inode_bitmap[0].100=1", PR_5_INODE_UNUSED, PR_5_FREE_INODE_COUNT_GROUP),
    in_inode("inode[/etc/hosts].i_links_count=7", PR_4_BAD_REF_COUNT),
    in_inode("inode[/etc/hosts].i_mode=0", PR_2_BAD_MODE),
    in_inode("inode[/etc/hosts].i_blocks_lo=99", PR_1_BAD_I_BLOCKS),
    in_inode("inode[/etc/hosts].i_dtime=5", PR_1_LOW_DTIME),
    in_inode("inode[/etc/hosts].i_flags=0", PR_1_UNSET_EXTENT_FL),
    in_inode("inode[/etc/hosts].i_flags=0x81000", PR_1_HTREE_NODIR),
    in_inode("inode[/etc/hosts].i_file_acl_lo=5", PR_1_BAD_EA_BLOCK),
    in_inode("inode[/etc/hosts].i_block=hex:00", PR_1_MISSING_EXTENT_HEADER),
    in_inode("inode[/etc/hosts].i_extra_isize=3", PR_1_EXTRA_ISIZE),
    in_inode("inode[/etc/hosts].i_generation=77"),
    in_inode("inode[/etc/hosts].i_extra_isize=0"),
    in_inode("inode[/].i_mode=0x81a4", PR_1_ROOT_NO_DIR),
    in_inode("inode[2].i_dtime=3", PR_1_ROOT_DTIME),
    in_inode("inode[/fast].i_size_lo=3", PR_2_INVALID_SYMLINK),
    in_inode("inode[/slow].i_size_lo=3", PR_2_INVALID_SYMLINK),
    in_inode("inode[/tty].i_size_lo=3", PR_1_SET_NONZSIZE),
    in_inode("inode[7].i_mode=0", PR_0_RESIZE_INODE_INVALID),
    in_inode("extent_header[/flat:0].eh_magic=0", PR_1_MISSING_EXTENT_HEADER),
    in_inode("extent_header[/flat].eh_entries=4", PR_1_EXTENT_BAD_START_BLK),
    in_inode("extent_header[/flat].eh_depth=9", PR_1_EXTENT_BAD_MAX_DEPTH),
    in_inode("extent_header[/slow].eh_magic=7", PR_1_MISSING_EXTENT_HEADER),
    in_extent_block("extent_header[/deep:1].eh_entries=84", PR_1_EXTENT_END_OUT_OF_BOUNDS),
    in_extent_block("extent_header[/deep:2].eh_entries=60", PR_1_BAD_I_BLOCKS),
    in_extent_block("extent_header[/deep:6].eh_generation=60"),
    in_inode("extent[/flat:0:1].ee_len=0", PR_1_EXTENT_LENGTH_ZERO),
    in_inode("extent[/flat:0:1].ee_len=-1", PR_1_EXTENT_ENDS_BEYOND),
    in_inode("extent[/flat:0:1].ee_block=0", PR_1_EXTENT_COLLISION),
    in_inode("extent[/flat:0:2].ee_block=1", PR_1_OUT_OF_ORDER_EXTENTS),
    in_inode("extent[/flat:0:1].ee_start_hi=1", PR_1_EXTENT_BAD_START_BLK),
    in_inode("extent[/flat:0:1].ee_start_lo=4", PR_1B_DUP_BLOCK),
    in_extent_block("extent[/deep:2:5].ee_len=0", PR_1_EXTENT_LENGTH_ZERO),
    in_extent_block("extent[/deep:2:83].ee_block=900", PR_1_EXTENT_END_OUT_OF_BOUNDS),
    in_inode("extent_idx[/deep:0:0].ei_block=5", PR_1_EXTENT_INDEX_START_INVALID),
    in_inode("extent_idx[/deep:0:0].ei_leaf_hi=1", PR_1_EXTENT_BAD_START_BLK),
    in_extent_block("extent_idx[/deep:1:2].ei_block=0", PR_1_EXTENT_INDEX_START_INVALID),
    in_leaf("dir_entry_2[/etc/hosts].inode=99", PR_2_UNUSED_INODE, PR_4_UNATTACHED_INODE),
    in_leaf("dir_entry_2[/etc/hosts].inode=99999", PR_2_BAD_INO),
    in_leaf("dir_entry_2[/etc/hosts].inode=2", PR_2_LINK_ROOT),
    in_leaf("dir_entry_2[/etc].inode=11", PR_2_LINK_DIR),
    in_leaf("dir_entry_2[/etc/hosts].name_len=0", PR_2_NULL_NAME),
    in_leaf("dir_entry_2[/etc/hosts].name_len=255", PR_2_BAD_NAME),
    in_leaf("dir_entry_2[/etc/hosts].file_type=2", PR_2_BAD_FILETYPE),
    in_leaf("dir_entry_2[/etc/hosts].file_type=0", PR_2_SET_FILETYPE),
    in_leaf("dir_entry_2[/etc/.].inode=2", PR_2_BAD_INODE_DOT),
    in_leaf("dir_entry_2[/etc/.].name_len=2", PR_2_1ST_NOT_DOT),
    in_leaf("dir_entry_2[/etc/.].rec_len=1012", PR_2_SPLIT_DOT),
    in_leaf("dir_entry_2[/etc/..].inode=11", PR_3_BAD_DOT_DOT),
    in_dx_root("dir_entry_2[/many/.].inode=2", PR_2_BAD_INODE_DOT),
    in_dx_root("dir_entry_2[/many/..].inode=11", PR_3_BAD_DOT_DOT),
    in_dx_root("dx_root[/many].limit=100", PR_2_HTREE_BAD_LIMIT),
    in_dx_root("dx_root[/many].count=1", PR_2_HTREE_NOTREF),
    in_dx_root("dx_root[/many].hash_version=9", PR_1_HTREE_HASHV),
    in_dx_root("dx_root[/many].hash_version=2", PR_2_HTREE_MIN_HASH),
    in_dx_root("dx_root[/many].unused_flags=1", PR_1_HTREE_INCOMPAT),
    in_dx_root("dx_root[/many].indirect_levels=5", PR_1_HTREE_DEPTH),
    in_dx_root("dx_root[/many].indirect_levels=1", PR_2_HTREE_BAD_DEPTH),
    in_dx_root("dx_root[/many].block=99", PR_2_HTREE_BADBLK),
    in_dx_root("dx_root[/many].dot_inode=5", PR_2_BAD_INODE_DOT),
    in_dx_node("dx_node[/most:1].count=3", PR_2_HTREE_NOTREF),
    in_dx_node("dx_node[/most:1].block=4", PR_2_HTREE_DUPREF, PR_2_HTREE_NOTREF),
    in_dx_node("dx_node[/most:1].block=9999", PR_2_HTREE_BADBLK),
    in_dx_root("dx_entry[/many:0:1].hash=-1", PR_2_HTREE_HASH_ORDER),
    in_dx_root("dx_entry[/many:0:2].hash=0x10", PR_2_HTREE_HASH_ORDER),
    in_dx_root("dx_entry[/many:0:1].block=999", PR_2_HTREE_BADBLK),
    in_dx_node("dx_entry[/most:1:3].hash=0", PR_2_HTREE_HASH_ORDER),
    in_dx_node("dx_entry[/most:1:3].block=3", PR_2_HTREE_DUPREF),
    in_dx_root("dx_tail[/many:0].dt_reserved=1"),
    in_dx_node("dx_tail[/most:1].dt_reserved=1"),
    in_xattr_block("xattr_header[/etc/big].h_refcount=5", PR_1_EXTATTR_REFCOUNT),
    in_xattr_block("xattr_header[/etc/big].h_reserved[2]=5"),
    in_xattr_block("xattr_entry[/etc/big:user.big].e_hash=1", PR_1_ATTR_HASH),
    in_xattr_block("xattr_entry[/etc/big:user.big].e_name_index=0", PR_1_EA_BAD_NAME),
    in_xattr_block("xattr_entry[/etc/big:user.big].e_value_offs=2000", PR_1_EA_BAD_VALUE),
    in_xattr_block("xattr_entry[/etc/big:user.small].e_value_size=-1", PR_1_EA_BAD_VALUE),
    in_xattr_block("xattr_entry[/etc/big:user.big].e_value_inum=9", PR_1_ATTR_VALUE_EA_INODE),
    in_inode("xattr_entry[/etc/hosts:user.note].e_hash=1", PR_1_ATTR_HASH),
    in_inode("xattr_entry[/etc/hosts:user.note].e_value_size=200", PR_1_ATTR_VALUE_SIZE),
    in_inode("xattr_entry[/etc/hosts:user.note].e_name_len=200", PR_1_INODE_EA_ALLOC_COLLISION),
    in_inode("xattr_ibody_header[/etc/hosts].h_magic=9"),
]


@pytest.mark.parametrize("case", CORRUPTIONS, ids=lambda case: case.override)
def test_corruption_with_a_true_checksum_is_found_itself(case: Corruption, tmp_path: Path) -> None:
    problems = found(tmp_path, parsed(case.override))
    assert problems >= set(case.checksummed)
    assert not problems & CHECKSUM_PROBLEMS
    assert problems or not case.checksummed


@pytest.mark.parametrize("case", CORRUPTIONS, ids=lambda case: case.override)
def test_corruption_with_a_stale_checksum_is_found_by_it(case: Corruption, tmp_path: Path) -> None:
    assert case.stale in found(tmp_path, parsed(case.override, reseal=False))


def test_every_record_is_corrupted() -> None:
    """The tests of mmp and of the orphan file cover their records."""
    told = {Override.parse(case.override).record for case in CORRUPTIONS}
    told |= {
        Override.parse(text).record for text, _ in [*CHECKSUM_CORRUPTIONS, *JOURNAL_CORRUPTIONS]
    }
    assert told | {"dir_entry_tail", "mmp", "orphan_block_tail"} == known_records()


CHECKSUM_CORRUPTIONS = [
    ("superblock.s_checksum=5", PR_0_OPEN_FAILED),
    ("group_desc[0].bg_checksum=5", PR_0_GDT_CSUM),
    ("inode[/etc/hosts].l_i_checksum_lo=5", PR_1_INODE_ONLY_CSUM_INVALID),
    ("inode[/etc/hosts].i_checksum_hi=5", PR_1_INODE_ONLY_CSUM_INVALID),
    ("extent_tail[/deep:1].et_checksum=5", PR_1_EXTENT_ONLY_CSUM_INVALID),
    ("dir_entry_tail[/etc:0].det_checksum=5", PR_2_LEAF_NODE_ONLY_CSUM_INVALID),
    ("dx_tail[/many:0].dt_checksum=5", PR_2_HTREE_ROOT_CSUM_INVALID),
    ("dx_tail[/most:1].dt_checksum=5", PR_2_HTREE_NODE_CSUM_INVALID),
    ("xattr_header[/etc/big].h_checksum=5", PR_1_EA_BLOCK_ONLY_CSUM_INVALID),
]


@pytest.mark.parametrize("reseal", [True, False])
@pytest.mark.parametrize(("text", "problem"), CHECKSUM_CORRUPTIONS)
def test_corruption_about_a_checksum_is_never_checksummed(
    text: str, problem: str, reseal: bool, tmp_path: Path
) -> None:
    override = Override.parse(text, reseal=reseal)
    problems = found(tmp_path, [override])
    assert problem in problems
    assert not (problems & CHECKSUM_PROBLEMS) - {problem, PR_0_GDT_CSUM_LATCH, *_backup_view(text)}


def _backup_view(text: str) -> set[str]:
    """From the backup superblock, e2fsck reads bitmaps that were never written."""
    if not text.startswith("superblock"):
        return set()
    return {PR_5_BLOCK_BITMAP_CSUM_INVALID, PR_5_INODE_BITMAP_CSUM_INVALID}


@pytest.mark.parametrize(
    ("text", "problem", "stale"),
    [
        ("dir_entry_2[/most/..].inode=11", PR_3_BAD_DOT_DOT, PR_2_HTREE_ROOT_CSUM_INVALID),
        ("dx_node[/most:2].block=9999", PR_2_HTREE_BADBLK, PR_2_HTREE_NODE_CSUM_INVALID),
        (
            f"dir_entry_2[/most/{77:0200d}].inode=99999",
            PR_2_BAD_INO,
            PR_2_LEAF_NODE_ONLY_CSUM_INVALID,
        ),
        ("extent[/most:2:5].ee_len=0", PR_1_EXTENT_LENGTH_ZERO, PR_1_EXTENT_ONLY_CSUM_INVALID),
        ("extent[/deep:6:1].ee_len=0", PR_1_EXTENT_LENGTH_ZERO, PR_1_EXTENT_ONLY_CSUM_INVALID),
    ],
)
def test_corruption_in_blocks_apart(text: str, problem: str, stale: str, tmp_path: Path) -> None:
    problems = found(tmp_path, parsed(text), "scattered")
    assert problem in problems
    assert not problems & CHECKSUM_PROBLEMS
    assert stale in found(tmp_path, parsed(text, reseal=False), "scattered")


@pytest.mark.parametrize("kind", ["block", "inode"])
def test_bitmap_checksum_is_a_field_of_the_descriptor(kind: str, tmp_path: Path) -> None:
    wrong = {
        "block": PR_5_BLOCK_BITMAP_CSUM_INVALID,
        "inode": PR_5_INODE_BITMAP_CSUM_INVALID,
    }[kind]
    text = f"group_desc[0].bg_{kind}_bitmap_csum_lo=1"
    assert found(tmp_path, parsed(text)) & CHECKSUM_PROBLEMS == {wrong}
    stale = found(tmp_path, parsed(text, reseal=False))
    assert stale & CHECKSUM_PROBLEMS == {wrong, PR_0_GDT_CSUM, PR_0_GDT_CSUM_LATCH}


@pytest.mark.parametrize("reseal", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "dir_entry_tail[/etc:0].det_reserved_zero1=5",
        "dir_entry_tail[/etc:0].det_rec_len=16",
        "dir_entry_tail[/etc:0].det_reserved_zero2=5",
        "dir_entry_tail[/etc:0].det_reserved_ft=0",
    ],
)
def test_directory_block_without_a_tail_has_no_checksum(
    text: str, reseal: bool, tmp_path: Path
) -> None:
    assert PR_2_LEAF_NODE_MISSING_CSUM in found(tmp_path, parsed(text, reseal=reseal))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dx_root[/many].limit=1", PR_2_HTREE_BAD_LIMIT),
        ("dx_root[/many].limit=-1", PR_2_HTREE_ROOT_CSUM_INVALID),
        ("dx_root[/many].count=-1", PR_2_HTREE_ROOT_CSUM_INVALID),
        ("dx_node[/most:1].limit=3", PR_2_HTREE_BAD_DEPTH),
        ("extent_header[/deep:1].eh_max=85", PR_1_EXTENT_HEADER_INVALID),
        ("extent_header[/deep:1].eh_max=-1", PR_1_EXTENT_HEADER_INVALID),
    ],
)
def test_corruption_without_a_place_for_a_checksum(text: str, problem: str, tmp_path: Path) -> None:
    """The limits determine where the checksum is. Without a place, no checksum is updated."""
    assert corrupted("default", *parsed(text)) == corrupted("default", *parsed(text, reseal=False))
    assert problem in found(tmp_path, parsed(text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("extent_header[/deep:1].eh_magic=7", PR_1_EXTENT_HEADER_INVALID),
        ("extent_header[/deep:1].eh_max=70", PR_1_EXTENT_HEADER_INVALID),
        ("dir_entry_2[/etc/hosts].rec_len=7", "0x020013"),
        ("dx_root[/many].reserved_zero=1", "0x02003c"),
        ("xattr_header[/etc/big].h_magic=0", PR_1_BAD_EA_BLOCK),
        ("xattr_header[/etc/big].h_blocks=2", "0x01003e"),
        ("inode[8].i_mode=0", PR_0_JOURNAL_BAD_INODE),
        ("group_desc[0].bg_inode_table_lo=-1", "0x000045"),
    ],
)
def test_corruption_found_before_any_checksum(text: str, problem: str, tmp_path: Path) -> None:
    assert problem in found(tmp_path, parsed(text))
    assert problem in found(tmp_path, parsed(text, reseal=False))


JOURNAL_CORRUPTIONS = [
    ("journal_superblock.h_magic=0", PR_0_JOURNAL_BAD_SUPER),
    ("journal_superblock.h_blocktype=9", PR_0_JOURNAL_UNSUPP_VERSION),
    ("journal_superblock.s_blocksize=0", PR_0_JOURNAL_BAD_SUPER),
    ("journal_superblock.s_maxlen=50000", PR_0_JOURNAL_BAD_SUPER),
    ("journal_superblock.s_start=9", PR_0_JOURNAL_RUN),
    ("journal_superblock.s_feature_incompat=-1", PR_0_JOURNAL_UNSUPP_INCOMPAT),
    ("journal_superblock.s_feature_ro_compat=1", PR_0_JOURNAL_UNSUPP_ROCOMPAT),
]


@pytest.mark.parametrize(("text", "problem"), JOURNAL_CORRUPTIONS)
def test_journal_superblock(text: str, problem: str, tmp_path: Path) -> None:
    """It has no checksum, so nothing has to be corrected."""
    for reseal in (True, False):
        problems = found(tmp_path, parsed(text, reseal=reseal))
        assert problem in problems
        assert not problems & CHECKSUM_PROBLEMS


def test_journal_superblock_that_claims_a_checksum_gets_one(tmp_path: Path) -> None:
    texts = [
        "journal_superblock.s_feature_incompat=0x10",
        "journal_superblock.s_checksum_type=4",
    ]
    assert not found(tmp_path, parsed(*texts))
    assert PR_0_JOURNAL_BAD_SUPER in found(tmp_path, parsed(*texts, reseal=False))


def test_attributes_vanish_without_their_magic(tmp_path: Path) -> None:
    image = tmp_path / "image"
    write_layout(layout(), image)
    assert "user.note" in debugfs(image, "ea_list /etc/hosts")
    image.unlink()
    write_layout(layout(), image, overrides=parsed("xattr_ibody_header[/etc/hosts].h_magic=9"))
    assert "user.note" not in debugfs(image, "ea_list /etc/hosts")


# -- backups ---------------------------------------------------------------------------------------

BACKUP = ("-n", "-b", str(1 + 8192), "-B", str(BLOCK))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("superblock[1].s_free_inodes_count=5", PR_5_FREE_INODE_COUNT),
        ("superblock[1].s_journal_inum=12", PR_0_JOURNAL_BAD_INODE),
        ("superblock[1].s_inodes_count=1400", PR_0_MISC_CORRUPT_SUPER),
    ],
)
def test_backup_superblock(text: str, problem: str, tmp_path: Path) -> None:
    """e2fsck reads it only on request."""
    image = tmp_path / "image"
    write_layout(layout(), image, overrides=parsed(text))
    assert_clean(image)
    assert problem in e2fsck(image, *BACKUP).problems
    write_layout(layout(), image, overrides=parsed(text, reseal=False))
    assert_clean(image)
    assert e2fsck(image, *BACKUP).problems == [PR_0_SB_CORRUPT]


def test_backup_descriptor(tmp_path: Path) -> None:
    """No program verifies the checksum of a copy, so it is computed here."""
    text = "group_desc[0:1].bg_free_inodes_count_lo=5"
    image = tmp_path / "image"
    for reseal in (True, False):
        write_layout(layout(), image, overrides=parsed(text, reseal=reseal))
        assert_clean(image)
        assert PR_5_FREE_INODE_COUNT_GROUP in e2fsck(image, *BACKUP).problems
        desc = bytearray(image.read_bytes()[(1 + 8192 + 1) * BLOCK :][:64])
        stored = struct.unpack_from("<H", desc, 0x1E)[0]
        desc[0x1E:0x20] = bytes(2)
        seed = raw.crc32c(layout().uuid.bytes)
        assert (stored == raw.crc32c(bytes(4) + desc, seed) & 0xFFFF) == reseal


def test_bit_of_a_bitmap_is_checksummed_in_all_descriptors(tmp_path: Path) -> None:
    image = corrupted("default", *parsed("block_bitmap[0].700=0"))
    descs = [image[block * BLOCK : block * BLOCK + 64] for block in (2, 1 + 8192 + 1)]
    assert descs[0] == descs[1]
    assert descs[0] != truth()[2 * BLOCK : 2 * BLOCK + 64]


# -- what is not written in every image ------------------------------------------------------------


def _inodes_per_group() -> int:
    return plan_of(layout()).geometry.inodes_per_group


@pytest.mark.parametrize("group", [0, UNWRITTEN_GROUP, LAST_GROUP])
def test_free_inode(group: int, tmp_path: Path) -> None:
    """An inode after the last one in use, which the image leaves zero."""
    ino = group * _inodes_per_group() + 200
    image = tmp_path / "image"
    write_layout(layout(), image, overrides=parsed(f"inode[{ino}].i_mode=0x81a4"))
    assert_clean(image)
    assert re.search(r"Type: regular\s+Mode:\s+0644", debugfs(image, f"stat <{ino}>"))


@pytest.mark.parametrize("reseal", [True, False])
def test_free_inode_made_into_a_used_one(reseal: bool, tmp_path: Path) -> None:
    group, bit = UNWRITTEN_GROUP, 27
    ino = group * _inodes_per_group() + bit + 1
    overrides = [
        *parsed(
            f"inode_bitmap[{group}].{bit}=1",
            f"group_desc[{group}].bg_flags=6",
            f"group_desc[{group}].bg_itable_unused_lo=0",
            f"inode[{ino}].i_links_count=1",
        ),
        Override("inode", str(ino), "i_mode", 0x81A4, reseal),
    ]
    problems = found(tmp_path, overrides)
    if reseal:
        assert PR_4_UNATTACHED_INODE in problems
        assert not problems & CHECKSUM_PROBLEMS
    else:
        assert PR_1_INODE_ONLY_CSUM_INVALID in problems


@pytest.mark.parametrize(
    ("kind", "initialised", "unused", "wrong"),
    [
        ("block", 5, PR_5_FREE_BLOCK_COUNT_GROUP, PR_5_BLOCK_BITMAP_CSUM_INVALID),
        ("inode", 6, PR_5_INODE_UNUSED, PR_5_INODE_BITMAP_CSUM_INVALID),
    ],
)
def test_bitmap_that_is_left_to_the_kernel(
    kind: str, initialised: int, unused: str, wrong: str, tmp_path: Path
) -> None:
    """A bit in it matters only without the flag that says it is uninitialized."""
    bit = f"{kind}_bitmap[{UNWRITTEN_GROUP}].27=1"
    flag = f"group_desc[{UNWRITTEN_GROUP}].bg_flags={initialised}"
    assert not found(tmp_path, parsed(bit))
    problems = found(tmp_path, parsed(bit, flag))
    assert unused in problems
    assert not problems & CHECKSUM_PROBLEMS
    assert wrong in found(tmp_path, [*parsed(flag), *parsed(bit, reseal=False)])

    place = getattr(plan_of(layout()).geometry, f"{kind}_bitmaps")[UNWRITTEN_GROUP] * BLOCK
    image = corrupted("default", *parsed(bit))
    assert image[place : place + BLOCK] == bytearray(3) + b"\x08" + bytes(BLOCK - 4)


def test_padding_of_the_inode_bitmap_has_no_checksum(tmp_path: Path) -> None:
    for reseal in (True, False):
        problems = found(tmp_path, parsed("inode_bitmap[0].8191=0", reseal=reseal))
        assert problems == {PR_5_INODE_BMAP_PADDING}


# -- several corruptions ---------------------------------------------------------------------------


def test_several_overrides_in_one_unit(tmp_path: Path) -> None:
    texts = [
        "inode[/etc/hosts].i_links_count=7",
        "inode[/etc/hosts].i_blocks_lo=99",
        "extent[/etc/hosts:0:0].ee_len=0",
        "xattr_entry[/etc/hosts:user.note].e_hash=1",
    ]
    problems = found(tmp_path, parsed(*texts))
    assert problems >= {
        PR_4_BAD_REF_COUNT,
        PR_1_BAD_I_BLOCKS,
        PR_1_EXTENT_LENGTH_ZERO,
        PR_1_ATTR_HASH,
    }
    assert not problems & CHECKSUM_PROBLEMS


def test_one_stale_override_makes_the_unit_stale(tmp_path: Path) -> None:
    checksummed = parsed("inode[/etc/hosts].i_links_count=7")
    stale = parsed("inode[/etc/hosts].i_uid=1", reseal=False)
    assert PR_1_INODE_ONLY_CSUM_INVALID in found(tmp_path, [*checksummed, *stale])
    assert corrupted("default", *checksummed, *stale) == corrupted("default", *stale, *checksummed)


def test_stale_overrides_are_not_in_the_checksum_of_the_others() -> None:
    checksummed = parsed("inode_bitmap[0].100=1")
    stale = parsed("inode_bitmap[0].101=1", reseal=False)
    place = plan_of(layout()).geometry.inode_bitmaps[0] * BLOCK + 101 // 8
    expected = corrupted("default", *checksummed)
    expected[place] |= 1 << 101 % 8
    assert corrupted("default", *checksummed, *stale) == expected
    assert corrupted("default", *stale, *checksummed) == expected


def test_last_of_two_overrides_of_one_field_counts() -> None:
    first, second = parsed("inode[/].i_uid=1", "inode[2].i_uid=2")
    assert corrupted("default", first, second) == corrupted("default", second)
    assert corrupted("default", second, first) == corrupted("default", first)


def test_an_override_with_the_true_value_changes_nothing() -> None:
    texts = [
        "superblock.s_magic=0xef53",
        "inode[/].i_mode=0x41ed",
        "inode[/].i_links_count=6",
        "extent_header[/deep:1].eh_max=84",
        "dir_entry_2[/lost+found].inode=11",
        "dx_root[/many].info_length=8",
        "block_bitmap[0].0=1",
        "block_bitmap[0].8191=0",
        "xattr_header[/etc/big].h_refcount=1",
        "journal_superblock.s_first=1",
        "inode[201].i_uid=0",
    ]
    zero_inode = corrupted("default", *parsed(texts.pop()))
    assert sum(map(int.__ne__, zero_inode, truth())) == 2, "the low half of its checksum"
    assert corrupted("default", *parsed(*texts)) == truth()


# -- images with other checksums, or none ----------------------------------------------------------


def test_crc16_of_descriptors(tmp_path: Path) -> None:
    text = "group_desc[0].bg_free_blocks_count_lo=1"
    checksummed = found(tmp_path, parsed(text), "crc16")
    assert PR_5_FREE_BLOCK_COUNT_GROUP in checksummed
    assert PR_0_GDT_CSUM not in checksummed
    assert PR_0_GDT_CSUM in found(tmp_path, parsed(text, reseal=False), "crc16")


CHECKSUMMED_BY_ITSELF = ("group_desc", "block_bitmap", "inode_bitmap", "dx_tail")


@pytest.mark.parametrize(
    "text",
    [
        "group_desc[0].bg_flags=7",
        "block_bitmap[0].700=0",
        "inode_bitmap[0].12=0",
        *(
            case.override
            for case in CORRUPTIONS
            if not case.override.startswith(CHECKSUMMED_BY_ITSELF)
        ),
    ],
)
def test_without_checksums_there_is_nothing_to_checksum(text: str) -> None:
    checksummed = corrupted("no checksums", *parsed(text))
    assert checksummed != truth("no checksums")
    assert checksummed == corrupted("no checksums", *parsed(text, reseal=False))


def test_small_inode_is_checksummed(tmp_path: Path) -> None:
    text = "inode[/etc/hosts].i_links_count=7"
    problems = found(tmp_path, parsed(text), "small inodes")
    assert PR_4_BAD_REF_COUNT in problems
    assert not problems & CHECKSUM_PROBLEMS
    stale = found(tmp_path, parsed(text, reseal=False), "small inodes")
    assert PR_1_INODE_ONLY_CSUM_INVALID in stale


# -- overrides that match nothing ------------------------------------------------------------------


def test_parse() -> None:
    parse = Override.parse
    assert parse("inode[/a].i_uid=7") == Override("inode", "/a", "i_uid", 7)
    assert parse("inode[/a].i_uid=0x1f", reseal=False) == Override(
        "inode", "/a", "i_uid", 31, False
    )
    assert parse("superblock.s_magic=-1") == Override("superblock", "", "s_magic", -1)
    assert parse("superblock.s_uuid=hex:00ff").value == b"\x00\xff"
    assert parse("superblock.s_volume_name=text:a=b.c") == Override(
        "superblock", "", "s_volume_name", b"a=b.c"
    )
    assert parse("superblock.s_volume_name=text:\udcff").value == b"\xff"
    assert parse("superblock.s_hash_seed[2]=3").field == "s_hash_seed[2]"
    assert parse("block_bitmap[3].17=0") == Override("block_bitmap", "3", "17", 0)
    assert parse("dir_entry_2[/x].y=1].inode=5").index == "/x].y=1"
    assert parse("inode[/new\nline].i_uid=0").index == "/new\nline"
    assert str(parse("extent[/a:1:2].ee_len=0")) == "extent[/a:1:2].ee_len"
    assert str(parse("superblock.s_magic=0")) == "superblock.s_magic"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "superblock",
        "superblock.s_magic",
        "superblock=5",
        ".s_magic=5",
        "superblock.=5",
        "superblock.s_magic=",
        "superblock.s_magic=five",
        "superblock.s_magic=0x",
        "superblock.s_magic=1.5",
        "superblock.s_magic=007",
        "superblock.s_magic=dec:5",
        "superblock.s_uuid=hex:0",
        "superblock.s_uuid=hex:xy",
        "superblock.s_volume_name=text:\ud800",
        "Superblock.s_magic=5",
        "inode[/a.i_uid=5",
        "inode/a].i_uid=5",
        "inode[/a]i_uid=5",
        "superblock.s_hash_seed[x]=5",
        "superblock.s_hash_seed[-1]=5",
        "superblock.s_hash_seed[1=5",
        "super block.s_magic=5",
    ],
)
def test_malformed_overrides_are_refused(text: str) -> None:
    with pytest.raises(OverrideError, match="override"):
        Override.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("super.s_magic=5", r"no such record; did you mean superblock\?$"),
        (
            "xyz.s_magic=5",
            "no such record; known names: superblock, group_desc.* more, in docs/format",
        ),
        ("superblock.s_magi=5", r"superblock has no such field; did you mean s_magic\?$"),
        ("superblock.s_blocks_cont=5", r"did you mean s_blocks_count\?$"),
        (
            "superblock.xyz=5",
            "no such field; known names: s_inodes_count, .* more, in docs/format.md$",
        ),
        ("superblock[2].s_magic=5", "the groups 0, 1, 3"),
        ("superblock[/].s_magic=5", "number"),
        ("superblock[0:1].s_magic=5", "number"),
        ("superblock[\u00b2].s_magic=5", "number"),
        ("superblock.s_magic=0x10000", "s_magic"),
        ("superblock.s_magic=-65537", "s_magic"),
        ("superblock.s_magic=text:x", "must be a number"),
        ("superblock.s_uuid=5", "must be hex:"),
        ("superblock.s_uuid=text:seventeen letters", "16 bytes"),
        ("superblock.s_uuid[4]=5", "s_uuid has 4 words"),
        ("superblock.s_magic[0]=5", "s_magic is not an array"),
        ("superblock.s_hash_seed=5", r"s_hash_seed\[0\] to s_hash_seed\[3\]"),
        ("superblock.s_hash_seed[4]=5", r"s_hash_seed\[0\] to s_hash_seed\[3\]"),
        ("superblock.s_hash_seed[3]=0x100000000", "s_hash_seed"),
        ("superblock.s_hash_seed[3]=-5000000000", "s_hash_seed"),
        ("superblock.s_hash_seed[3]=hex:00", "must be a number"),
        ("group_desc[4].bg_flags=5", "4 groups"),
        ("group_desc[0:2].bg_flags=5", "the groups 0, 1, 3"),
        ("group_desc[0:0:0].bg_flags=5", "number"),
        ("block_bitmap.0=1", "number"),
        ("block_bitmap[4].0=1", "4 groups"),
        ("block_bitmap[0].8192=1", "number of a bit"),
        ("block_bitmap[0].\u00b2=1", "number of a bit"),
        ("block_bitmap[0].x=1", "number of a bit"),
        ("block_bitmap[0].0=2", "0 or 1"),
        ("inode_bitmap[0].0=-1", "0 or 1"),
        ("inode_bitmap[0].0=hex:01", "0 or 1"),
        ("inode.i_mode=0", "a path or an inode number"),
        ("inode[].i_mode=0", "a path or an inode number"),
        ("inode[0].i_mode=0", "inode numbers are 1 to"),
        ("inode[99999999].i_mode=0", "inode numbers are 1 to"),
        ("inode[\u00b2].i_mode=0", "no such path"),
        ("inode[/nowhere].i_mode=0", "no such path"),
        ("inode[/etc/hosts/x].i_mode=0", "no such path"),
        ("inode[" + "9" * 5000 + "].i_mode=0", "no such path"),
        ("inode[/].mode=0", r"inode has no such field; did you mean i_mode\?$"),
        ("extent_header[/nowhere].eh_max=0", "no such path"),
        ("extent_header[7].eh_max=0", "7 has no extent tree"),
        ("extent_header[/flat:1].eh_max=0", "has 0 blocks"),
        ("extent_header[/deep:7].eh_max=0", "has 6 blocks"),
        ("extent_header[/tty].eh_max=0", "no extent tree"),
        ("extent_header[/fifo].eh_max=0", "no extent tree"),
        ("extent_header[/fast].eh_max=0", "no extent tree"),
        ("extent[/flat:0:4].ee_len=0", "4 entries"),
        ("extent[/deep:1:84].ee_len=0", "84 entries"),
        ("extent_idx[/deep:0:4].ei_leaf_lo=0", "4 entries"),
        ("extent_tail[/deep:0].et_checksum=0", "no tail"),
        ("extent_tail[/flat].et_checksum=0", "no tail"),
        ("dir_entry_2[/etc/nothing].inode=0", "no such entry"),
        ("dir_entry_2[/etc/].inode=0", "no such entry"),
        ("dir_entry_2[/etc/hosts/.].inode=0", "/etc/hosts is not a directory"),
        ("dir_entry_2[/nowhere/x].inode=0", "no such path"),
        ("dir_entry_tail[/etc:1].det_rec_len=0", "no block 1"),
        ("dir_entry_tail[/many:0].det_rec_len=0", "blocks 0 to 0"),
        ("dir_entry_tail[/most:1].det_rec_len=0", "blocks 0 to 2"),
        ("dir_entry_tail[/flat:0].det_rec_len=0", "/flat is not a directory"),
        ("dir_entry_tail[/slow:0].det_rec_len=0", "/slow is not a directory"),
        ("dx_root[/etc].limit=0", "it has no index"),
        ("dx_root[/flat].limit=0", "/flat is not a directory"),
        ("dx_node[/many:1].limit=0", "blocks 0 to 0"),
        ("dx_node[/most:0].limit=0", "blocks 0 to 2"),
        ("dx_entry[/many:0:124].hash=0", "no such record"),
        ("dx_entry[/many:1:0].hash=0", "blocks 0 to 0"),
        ("dx_tail[/many:5].dt_reserved=0", "blocks 0 to 0"),
        ("xattr_header[/etc/hosts].h_magic=0", "no attribute block"),
        ("xattr_header[/flat].h_magic=0", "no attribute block"),
        ("xattr_ibody_header[/etc/big].h_magic=0", "no attributes in its inode"),
        ("xattr_entry[/etc/hosts].e_hash=0", "no such attribute"),
        ("xattr_entry[/etc/hosts:user.none].e_hash=0", "no such attribute"),
        ("xattr_entry[/etc/hosts:note].e_hash=0", "no such attribute"),
        ("xattr_entry[/nowhere:user.note].e_hash=0", "no such attribute"),
        ("journal_superblock[0].s_start=0", "only one"),
    ],
)
def test_override_that_names_nothing(text: str, words: str) -> None:
    image = bytearray()
    override = Override.parse(text)
    with pytest.raises(OverrideError, match=words) as raised:
        write_layout(layout(), image, overrides=[override])
    assert display_path(str(override)) in str(raised.value)
    assert not image


def test_half_of_a_surrogate_pair_is_not_a_path() -> None:
    with pytest.raises(SpecError, match="half of a surrogate pair"):
        Override.parse("inode[/\ud800].i_mode=0")


@pytest.mark.parametrize("field", ["s_hash_seed[", "s_hash_seed[]", "s_hash_seed[-1]", "", "[0]"])
def test_field_that_no_text_could_give(field: str) -> None:
    with pytest.raises(OverrideError):
        corrupted("default", Override("superblock", "", field, 5))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("no checksums", "dir_entry_tail[/etc:0].det_rec_len=0"),
        ("no checksums", "dx_tail[/many:0].dt_reserved=0"),
        ("no checksums", "extent_tail[/deep:1].et_checksum=0"),
        ("no checksums", "group_desc[0].bg_block_bitmap_hi=0"),
        ("small inodes", "inode[/].i_extra_isize=0"),
        ("small inodes", "xattr_ibody_header[/etc/hosts].h_magic=0"),
    ],
)
def test_record_that_this_image_does_not_have(spec: str, text: str) -> None:
    with pytest.raises(OverrideError):
        corrupted(spec, *parsed(text))


def test_image_without_a_journal() -> None:
    bare = plan(Tree(), Spec(journal="none", free=0))
    with pytest.raises(OverrideError, match="no journal"):
        write_layout(bare, bytearray(), overrides=parsed("journal_superblock.s_start=1"))


def test_nothing_is_left_of_an_image_whose_override_names_nothing(tmp_path: Path) -> None:
    with pytest.raises(OverrideError):
        write_layout(layout(), tmp_path / "image", overrides=parsed("inode[/nowhere].i_uid=0"))
    assert not list(tmp_path.iterdir())


def test_colons_in_paths_and_names() -> None:
    """A file named like an index, and attributes named like a path and a name."""
    texts = [
        "inode[/a:b].i_uid=1",
        "extent_header[/a:b].eh_generation=1",
        "extent_header[/a:b:0].eh_generation=1",
        "xattr_entry[/a:b:user.c:d].e_name_index=0",
        "xattr_entry[/a:b:user.c:user.d].e_name_index=0",
    ]
    images = [bytes(corrupted("default", *parsed(text, reseal=False))) for text in texts]
    assert images[1] == images[2]
    assert len({truth(), *images}) == 5


# -- any corruption --------------------------------------------------------------------------------


def known_records() -> set[str]:
    """All records in images like these.

    Other records exist only in images that were written to, or are parts of records.
    """
    elsewhere = re.compile("journal_(header|block|commit|revoke)|quota|fc_|fsverity|fscrypt|bytes")
    inside = {"dir_entry_hash", "indirect_block", "dx_root_info", "dx_countlimit", "orphan_block"}
    return {name for name in FINDERS.keys() - inside if not elsewhere.match(name)}


def places(spec: str) -> Iterator[tuple[str, Record, list[str]]]:
    """Name, record and some indexes of each kind of record in an image of ``spec``."""
    planned = layout(spec)
    csum = "metadata_csum" in planned.features
    small = planned.spec.inode_size == 128
    count = plan_of(planned).geometry.groups
    copies = plan_of(planned).geometry.super_groups
    depth_1 = spec == "4k"
    yield "superblock", SUPERBLOCK, ["", *map(str, copies)]
    yield (
        "group_desc",
        GROUP_DESC if "64bit" in planned.features else GROUP_DESC_32,
        ["", *(f"{group}:{copy}" for group in range(count) for copy in copies)],
    )
    free = [str(group * plan_of(planned).geometry.inodes_per_group + 100) for group in range(count)]
    inodes = ["/", "/etc", "/etc/hosts", "/tty", "/fast", "/fifo", "2", "7", "8", "11", "1", *free]
    yield "inode", INODE_128 if small else INODE, inodes
    yield "extent_header", EXTENT_HEADER, ["/flat", "/deep:0", "/deep:1", "/empty", "/etc", "/slow"]
    yield "extent", EXTENT, ["/flat:0:2", "/flat:0:3", "/deep:1:0", "/deep:2:83", "/many:0:0"]
    yield "extent_idx", EXTENT_IDX, ["/deep:0:0", "/deep:0:3", "/deep:1:4"]
    yield (
        "dir_entry_2",
        DIR_ENTRY_2,
        ["/etc/hosts", "/etc/.", "/etc/..", "/many/.", "/many/..", "/."],
    )
    yield "dir_entry_2", DIR_ENTRY_2, [f"/most/{number:0200d}" for number in (0, 77, 519)]
    yield "dx_root", DX_ROOT, ["/many", "/most"]
    yield "dx_entry", DX_ENTRY, ["/many:0:0", "/many:0:1", "/most:0:50"]
    if not depth_1:
        yield "dx_node", DX_NODE, ["/most:1", "/most:2"]
        yield "dx_entry", DX_ENTRY, ["/most:1:0", "/most:2:3", "/most:1:120"]
    if csum:
        yield "extent_tail", EXTENT_TAIL, ["/deep:1", "/deep:2"]
        yield "dir_entry_tail", DIR_ENTRY_TAIL, ["/etc:0", "/lost+found:1", "/many:1"]
        yield "dx_tail", DX_TAIL, ["/many:0", "/most:0"] + ([] if depth_1 else ["/most:1"])
    yield "xattr_header", XATTR_HEADER, ["/etc/big"]
    yield "xattr_entry", XATTR_ENTRY, ["/etc/big:user.big", "/etc/hosts:user.note"]
    if not small:
        yield "xattr_ibody_header", XATTR_IBODY_HEADER, ["/etc/hosts"]
    yield "journal_superblock", JOURNAL_SUPERBLOCK, [""]


def test_every_kind_of_record_is_covered() -> None:
    named = {name for name, _, _ in places("default")}
    # Records of rare features are covered by test_features_of_files.
    others = {"block_bitmap", "inode_bitmap", "mmp", "orphan_block_tail"}
    assert named | others == known_records()


@dataclass(frozen=True)
class AnyOverride:
    spec: str
    name: str
    index: str
    field: str
    value: int | bytes
    opposite: int | bytes
    """The value with every bit inverted."""
    packed: bytes

    def override(self, *, opposite: bool = False, reseal: bool) -> Override:
        value = self.opposite if opposite else self.value
        return Override(self.name, self.index, self.field, value, reseal)


def any_override(
    spec: str, name: str, record: Record, index: str, row: Field, bits: int
) -> AnyOverride:
    """A corruption of ``row``; ``bits`` selects the element and the value."""
    size = row.size // row.count
    element, bits = divmod(bits, 1 << 8 * size)
    field = f"{row.name}[{element % row.count}]" if row.is_array else row.name
    packed = bits.to_bytes(size, "big" if record is JOURNAL_SUPERBLOCK else "little")
    if row.is_bytes:
        return AnyOverride(
            spec, name, index, field, packed, bytes(b ^ 0xFF for b in packed), packed
        )
    return AnyOverride(spec, name, index, field, bits, bits ^ (1 << 8 * size) - 1, packed)


@st.composite
def any_overrides(draw: st.DrawFn, specs: Sequence[str] = tuple(SPECS)) -> AnyOverride:
    """Any value in any field of any record."""
    spec = draw(st.sampled_from(specs))
    name, record, indexes = draw(st.sampled_from(list(places(spec))))
    index = draw(st.sampled_from(indexes))
    row = draw(st.sampled_from(list(record.fields.values())))
    bits = draw(st.integers(0, (1 << 8 * row.size) - 1))
    return any_override(spec, name, record, index, row, bits)


def differences(one: bytes | bytearray, other: bytes | bytearray) -> list[int]:
    """Offsets of the bytes that differ; fast if there are few."""
    assert len(one) == len(other)
    if one == other:
        return []
    step = 1 << 14
    left, right = memoryview(one), memoryview(other)
    return [
        start + at
        for start in range(0, len(one), step)
        if left[start : start + step] != right[start : start + step]
        for at, (byte, twin) in enumerate(
            zip(left[start : start + step], right[start : start + step], strict=True)
        )
        if byte != twin
    ]


CHECKSUM_BYTES_MAX = 4
FAR_REACHING = {
    *(("superblock", f"s_{name}") for name in ("uuid", "checksum_seed")),
    *(("superblock", f"s_feature_{word}") for word in ("incompat", "ro_compat")),
    ("inode", "i_generation"),
}
"""Fields that are part of the seed of other checksums, or enable checksums."""


def check(case: AnyOverride) -> None:
    """Assert that only the bytes of the field and the checksum over the record change."""
    before = truth(case.spec)
    stale = corrupted(case.spec, case.override(reseal=False))
    turned = differences(stale, corrupted(case.spec, case.override(opposite=True, reseal=False)))
    width = len(case.packed)
    assert turned == list(range(turned[0], turned[0] + width))
    assert stale[turned[0] : turned[0] + width] == case.packed
    assert set(differences(before, stale)) <= set(turned)

    checksummed = corrupted(case.spec, case.override(reseal=True))
    if (case.name, case.field) in FAR_REACHING:
        return
    with open_image(before) as image:
        holder = Locator(image, len(before)).find(case.override(reseal=True)).holder
    unit = range(holder.offset, holder.offset + holder.size)
    assert turned[0] in unit
    assert turned[-1] in unit
    rest = differences(stale, checksummed)
    assert set(rest) <= set(unit) - set(turned)
    assert len(rest) <= CHECKSUM_BYTES_MAX


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("superblock", SUPERBLOCK),
        ("group_desc", GROUP_DESC),
        ("inode", INODE),
        ("extent_header", EXTENT_HEADER),
        ("extent", EXTENT),
        ("extent_idx", EXTENT_IDX),
        ("extent_tail", EXTENT_TAIL),
        ("dir_entry_2", DIR_ENTRY_2),
        ("dir_entry_tail", DIR_ENTRY_TAIL),
        ("dx_root", DX_ROOT),
        ("dx_node", DX_NODE),
        ("dx_entry", DX_ENTRY),
        ("dx_tail", DX_TAIL),
        ("xattr_header", XATTR_HEADER),
        ("xattr_entry", XATTR_ENTRY),
        ("xattr_ibody_header", XATTR_IBODY_HEADER),
        ("journal_superblock", JOURNAL_SUPERBLOCK),
    ],
)
def test_every_field(name: str, record: Record) -> None:
    index = {key: indexes[-1] for key, _, indexes in places("one group")}[name]
    for number, row in enumerate(record.fields.values()):
        bits = int.from_bytes(bytes((37 * (number + at)) & 0xFF for at in range(row.size)), "big")
        check(any_override("one group", name, record, index, row, bits))


@settings(max_examples=60, deadline=None)
@given(any_overrides())
def test_any_field_of_any_record(case: AnyOverride) -> None:
    check(case)


@settings(max_examples=40, deadline=None)
@given(
    spec=st.sampled_from(list(SPECS)),
    kind=st.sampled_from(["block", "inode"]),
    data=st.data(),
)
def test_any_bit_of_any_bitmap(spec: str, kind: str, data: st.DataObject) -> None:
    """One bit changes, and its checksum in every copy of the descriptor."""
    geometry = plan_of(layout(spec)).geometry
    block_size = layout(spec).block_size
    group = data.draw(st.integers(0, geometry.groups - 1))
    bit = data.draw(st.integers(0, 8 * block_size - 1))
    places = geometry.block_bitmaps if kind == "block" else geometry.inode_bitmaps
    at = places[group] * block_size + bit // 8
    before = truth(spec)
    value = 1 - (before[at] >> bit % 8 & 1)
    override = Override(f"{kind}_bitmap", str(group), str(bit), value, False)
    stale = corrupted(spec, override)
    assert differences(before, stale) == [at]
    assert before[at] ^ stale[at] == 1 << bit % 8

    checksummed = corrupted(spec, Override(f"{kind}_bitmap", str(group), str(bit), value, True))
    size = 64 if "64bit" in layout(spec).features else 32
    descs = {
        (geometry.group_first_block(copy) + 1) * block_size + group * size + byte
        for copy in geometry.super_groups
        for byte in range(size)
    }
    changed = set(differences(stale, checksummed))
    assert changed <= descs
    covered = geometry.format.blocks_per_group if kind == "block" else geometry.inodes_per_group
    if "metadata_csum" in layout(spec).features and bit < covered:
        assert changed
    if "metadata_csum" not in layout(spec).features:
        assert not changed


@settings(max_examples=30, deadline=None)
@given(st.lists(any_overrides(["one group"]), min_size=2, max_size=8), st.data())
def test_order_of_overrides_does_not_matter(cases: list[AnyOverride], data: st.DataObject) -> None:
    """This holds if no two of them affect the same bytes."""
    seen: set[int] = set()
    overrides = []
    for case in cases:
        first = corrupted("one group", case.override(reseal=False))
        touched = set(
            differences(first, corrupted("one group", case.override(opposite=True, reseal=False)))
        )
        if not touched & seen:
            seen |= touched
            overrides.append(case.override(reseal=data.draw(st.booleans())))
    bits = data.draw(st.sets(st.integers(0, 300), max_size=3))
    overrides += [
        Override("inode_bitmap", "0", str(bit), data.draw(st.integers(0, 1)), reseal=checksummed)
        for bit in bits
        for checksummed in [data.draw(st.booleans())]
    ]
    if {"bg_inode_bitmap_csum_lo", "bg_inode_bitmap_csum_hi"} & {each.field for each in overrides}:
        return
    assert corrupted("one group", *overrides) == corrupted(
        "one group", *data.draw(st.permutations(overrides))
    )


# -- the command -----------------------------------------------------------------------------------


@pytest.mark.damaged
def test_no_reseal_on_the_command_line(tmp_path: Path) -> None:
    source, image = tmp_path / "source", tmp_path / "image"
    source.mkdir()
    (source / "hosts").write_text("localhost")
    override = ("--override", "inode[/hosts].i_links_count=7")
    done = run("build", source, "-o", image, *override)
    assert (done.returncode, done.stderr) == (0, "")
    assert problems(image) == [PR_4_BAD_REF_COUNT]
    done = run("build", source, "-o", image, *override, "--no-reseal")
    assert (done.returncode, done.stderr) == (0, "")
    assert PR_1_INODE_ONLY_CSUM_INVALID in problems(image)


def test_a_number_in_two_fields_has_one_name() -> None:
    tree = Tree()
    tree.file("/f", b"text")
    images = []
    for texts in (
        ["inode[/f].i_size=0x123456789"],
        ["inode[/f].i_size_lo=0x23456789", "inode[/f].i_size_high=1"],
    ):
        image = bytearray()
        write_image(tree, image, overrides=[Override.parse(text) for text in texts])
        images.append(image)
    assert images[0] == images[1]
    for bad, words in (
        ("inode[/f].i_size=0x10000000000000000", "64 bits"),
        ("inode[/f].i_size=text:x", "number"),
        ("inode[/f].i_size[0]=1", "not an array"),
    ):
        with pytest.raises(OverrideError, match=words):
            write_image(tree, bytearray(), overrides=[Override.parse(bad)])
