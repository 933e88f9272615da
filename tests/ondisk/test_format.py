"""Format: what follows from features and sizes, compared with file systems of mke2fs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import ext4writer
from ext4writer import DEFAULT_FEATURES, FeatureSet, RecordError, Spec, Tree
from ext4writer.layout import plan_of
from ext4writer.ondisk.format import Checksum, Format, MappingKind, _Cached
from ext4writer.ondisk.superblock import SUPERBLOCK

from ..judges import debugfs, tools

MIB = 1 << 20

FOREIGN = {
    "default": ("", "40M"),
    "1 KiB": ("-b 1024 -I 128", "40M"),
    "32-bit descriptors": ("-b 1024 -O ^64bit,^metadata_csum,uninit_bg", "80M"),
    "all groups hold backups": ("-b 1024 -O ^sparse_super,^resize_inode", "60M"),
    "no checksums": ("-O ^metadata_csum,^flex_bg", "40M"),
    "stored seed": ("-O metadata_csum_seed", "40M"),
    "meta_bg": ("-b 1024 -O meta_bg,^resize_inode", "300M"),
    "some meta_bg": ("-b 1024 -O meta_bg,^resize_inode,^64bit", "700M"),
    "meta_bg over backups": ("-b 1024 -O meta_bg,^resize_inode,^sparse_super", "200M"),
    "sparse_super2": ("-b 1024 -O sparse_super2,^resize_inode -E num_backup_sb=2", "80M"),
    "one backup": ("-b 1024 -O sparse_super2,^resize_inode -E num_backup_sb=1", "80M"),
    "clusters": ("-O bigalloc -C 65536", "300M"),
    "clusters of 1 KiB blocks": ("-b 1024 -O bigalloc -C 16384", "300M"),
    "64 KiB": ("-b 65536 -g 65528", "9G"),
    "ext2": ("-O ^has_journal,^extent,^flex_bg,^64bit,^metadata_csum", "40M"),
    "large directories": ("-O large_dir,inline_data,ea_inode,casefold,quota,project,mmp", "40M"),
}


def mke2fs(path: Path, options: str, size: str) -> bytes:
    """Create a file system; return its superblock."""
    tools.run(["mke2fs", "-q", "-F", "-t", "ext4", *options.split(), path, size])
    with path.open("rb") as file:
        file.seek(1024)
        return file.read(1024)


def described(image: Path) -> tuple[list[int], set[int]]:
    """(blocks of superblocks, blocks of descriptors) as dumpe2fs lists them."""
    text = tools.run(["dumpe2fs", image]).stdout
    supers = [int(block) for block in re.findall(r"(?:Primary|Backup) superblock at (\d+)", text)]
    descriptors: set[int] = set()
    for first, last in re.findall(r"Group descriptors? at (\d+)(?:-(\d+))?", text):
        descriptors.update(range(int(first), int(last or first) + 1))
    return supers, descriptors


@pytest.mark.parametrize("name", FOREIGN)
def test_superblocks_and_descriptors_are_where_mke2fs_puts_them(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    raw = mke2fs(image, *FOREIGN[name])
    fmt = Format.of_superblock(raw)
    told = debugfs.superblock(image)
    groups = fmt.groups_for(int(told["Block count"]))
    supers = [fmt.super_block(group) for group in fmt.super_groups(groups)]
    assert [group for group in range(groups) if fmt.has_super(group)] == fmt.super_groups(groups)
    copies = [fmt.desc_block_copies(block, groups) for block in range(fmt.gdt_blocks(groups))]
    assert (supers, {block for blocks in copies for block in blocks}) == described(image)
    assert fmt.block_size == int(told["Block size"])
    assert fmt.inode_size == int(told["Inode size"])
    assert fmt.blocks_per_group == int(told["Blocks per group"])
    assert fmt.cluster_size == int(told.get("Cluster size", fmt.block_size))
    assert fmt.desc_size == int(told.get("Group descriptor size", 32))
    assert fmt.first_data_block == int(told["First block"])
    assert fmt.inode_table_blocks(int(told["Inodes per group"])) == int(
        told["Inode blocks per group"]
    )
    assert int(told["Inodes per group"]) <= fmt.max_inodes_per_group
    if "Checksum seed" in told:
        assert fmt.checksum_seed == int(told["Checksum seed"], 16)
    assert Format.of_superblock(SUPERBLOCK.parse(raw)) == fmt


@pytest.mark.parametrize("name", ["default", "1 KiB", "clusters", "64 KiB", "no checksums"])
def test_mke2fs_chooses_the_sizes_of_a_new_format(name: str, tmp_path: Path) -> None:
    """Except for values only in the superblock, and backups, of which there may be fewer."""
    read = Format.of_superblock(mke2fs(tmp_path / "image", *FOREIGN[name]))
    made = Format.of(
        read.features,
        read.block_size,
        read.inode_size,
        cluster_size=read.cluster_size,
        groups_per_flex=read.groups_per_flex,
    )
    made = made.with_uuid(read.uuid).with_inodes(read.inodes_per_group)
    assert made == read


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"block_size": 1024, "inode_size": 128},
        {"features": FeatureSet.parse("^metadata_csum,uninit_bg", DEFAULT_FEATURES)},
        {"features": FeatureSet.parse("^64bit,^flex_bg", DEFAULT_FEATURES)},
        {"features": FeatureSet.parse("metadata_csum_seed", DEFAULT_FEATURES)},
        {"groups_per_flex": 64, "free": 300 * MIB},
    ],
)
def test_a_reader_finds_the_format_that_the_writer_had(change: dict[str, object]) -> None:
    image = bytearray()
    layout = ext4writer.write_image(Tree(), image, Spec(**change))  # type: ignore[arg-type]
    assert Format.of_superblock(image[1024:2048]) == plan_of(layout).format


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("", (Checksum.CRC32C, MappingKind.EXTENTS, 2)),
        ("^metadata_csum", (Checksum.NONE, MappingKind.EXTENTS, 2)),
        ("^metadata_csum,uninit_bg", (Checksum.CRC16, MappingKind.EXTENTS, 2)),
        ("^extent", (Checksum.CRC32C, MappingKind.BLOCK_MAP, 2)),
        ("large_dir", (Checksum.CRC32C, MappingKind.EXTENTS, 3)),
        ("large_dir,^dir_index", (Checksum.CRC32C, MappingKind.EXTENTS, 0)),
    ],
)
def test_kinds_follow_from_features(
    features: str, expected: tuple[Checksum, MappingKind, int]
) -> None:
    fmt = Format.of(FeatureSet.parse(features, DEFAULT_FEATURES), 4096, 256)
    assert (fmt.group_desc_checksum, fmt.mapping, fmt.htree_levels) == expected
    assert fmt.has_uninit_groups is (fmt.group_desc_checksum is not Checksum.NONE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("s_log_block_size", 7),
        ("s_log_block_size", 0xFFFFFFFF),
        ("s_blocks_per_group", 0),
        ("s_blocks_per_group", 32769),
        ("s_inode_size", 0),
        ("s_inode_size", 192),
        ("s_inode_size", 8192),
        ("s_desc_size", 0),
        ("s_desc_size", 96),
        ("s_desc_size", 2048),
    ],
)
def test_sizes_that_no_file_system_has_are_refused_by_name(field: str, value: int) -> None:
    image = bytearray()
    ext4writer.write_image(Tree(), image, Spec())
    SUPERBLOCK.set(image, 1024, field, value)
    with pytest.raises(RecordError, match=f"superblock.{field}: {value} ") as caught:
        Format.of_superblock(image[1024:2048])
    assert (caught.value.record, caught.value.field) == ("superblock", field)


@pytest.mark.parametrize("features", ["", "bigalloc", "^metadata_csum,uninit_bg", "sparse_super2"])
def test_inodes_and_uuid_change_nothing_that_is_kept_with_a_format(features: str) -> None:
    fmt = Format.of(FeatureSet.parse(features, base=DEFAULT_FEATURES), 4096, 256)
    names = [name for name in dir(Format) if isinstance(vars(Format).get(name), _Cached)]
    assert names
    for name in names:
        getattr(fmt, name)
    changed = fmt.with_inodes(1024).with_uuid(bytes(range(16)))
    fresh = Format(**{each.name: getattr(changed, each.name) for each in fields(Format)})
    assert fresh == changed
    assert {name: getattr(changed, name) for name in names} == {
        name: getattr(fresh, name) for name in names
    }


def test_an_unknown_feature_is_kept() -> None:
    image = bytearray()
    ext4writer.write_image(Tree(), image, Spec())
    SUPERBLOCK.set(image, 1024, "s_feature_incompat", 0xFFFFFFFF)
    SUPERBLOCK.set(image, 1024, "s_log_cluster_size", 6)
    SUPERBLOCK.set(image, 1024, "s_feature_ro_compat", 0xFFFFFFFF)
    fmt = Format.of_superblock(image[1024:2048])
    assert (fmt.features.incompat, fmt.blocks_per_cluster) == (0xFFFFFFFF, 16)


def test_a_superblock_cut_short_is_refused() -> None:
    with pytest.raises(RecordError):
        Format.of_superblock(bytes(1023))
