"""meta_bg: descriptors are in the groups that they describe, and growth needs no reserve."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import (
    DEFAULT_FEATURES,
    FeatureSet,
    Override,
    OverrideError,
    RandomPolicy,
    Spec,
    SpecError,
    Tree,
)
from ext4writer.layout import plan_of
from ext4writer.ondisk.format import Format
from ext4writer.planning.spec import GIB, MIB
from ext4writer.read import open_image
from tests.judges import debugfs
from tests.judges.fsck import judge, problems
from tests.judges.tools import run
from tests.planning.test_feature_rows import assert_right, assert_usable, sample

pytestmark = pytest.mark.judged("quick")

META_BG = "meta_bg,^resize_inode"

SPECS: dict[str, dict[str, Any]] = {
    "one group": {"features": META_BG},
    "full": {"features": META_BG, "free": 0},
    "last metagroup of one group": {
        "features": META_BG,
        "block_size": 1024,
        "size": (1 + 33 * 8192) * 1024,
        "inode_size": 128,
    },
    # A block holds 32 descriptors: those of groups 0 to 31 follow the superblocks.
    "two kinds": {
        "features": META_BG + ",^64bit",
        "block_size": 1024,
        "free": 560 * MIB,
        "first_meta_bg": 1,
    },
    "none in metagroups": {"features": META_BG, "first_meta_bg": 1, "size": 30 * MIB},
    "no flex_bg, random": {
        "features": META_BG + ",^flex_bg",
        "block_size": 1024,
        "size": 200 * MIB,
        "policy": RandomPolicy(4),
    },
    "all backups": {
        "features": META_BG + ",^sparse_super",
        "block_size": 1024,
        "size": 200 * MIB,
        "first_meta_bg": 1,
    },
    "sparse_super2": {
        "features": META_BG + ",sparse_super2,^sparse_super",
        "block_size": 1024,
        "free": 200 * MIB,
    },
    "crc16": {"features": META_BG + ",^metadata_csum,uninit_bg", "block_size": 2048},
}


@pytest.mark.parametrize("name", SPECS)
def test_meta_bg(tmp_path: Path, name: str) -> None:
    image = tmp_path / "image"
    spec = Spec(**SPECS[name])
    layout = assert_right(image, spec)
    if spec.policy is None:
        judge(image, "full")
    told = debugfs.superblock(image)
    assert told.get("First meta block group") == (str(spec.first_meta_bg or "") or None)
    assert told.get("Reserved GDT blocks") is None
    with open_image(image) as opened:
        assert opened.format == plan_of(layout).format
    if spec.free != 0:
        assert_usable(image, spec)


@pytest.mark.parametrize("name", ["one group", "two kinds", "none in metagroups", "all backups"])
def test_meta_bg_grows_offline_without_a_reserve(tmp_path: Path, name: str) -> None:
    image = tmp_path / "image"
    spec = Spec(**SPECS[name])
    layout = assert_right(image, spec)
    os.truncate(image, layout.size_bytes * 3)
    run(["resize2fs", image])
    assert_usable(image, spec)
    grown = int(debugfs.superblock(image)["Block count"]) * spec.block_size
    assert grown > layout.size_bytes * 2.9


def test_growth_needs_no_reserve() -> None:
    spec = Spec(features=META_BG, grow_to=1 << 50, inode_ratio=0)
    layout = ext4writer.plan(Tree(), spec)
    assert not layout.losses and layout.space["reserved for growth"] == 0
    # Up to the limit of s_inodes_count.
    per_group = plan_of(layout).geometry.inodes_per_group
    assert layout.grow_to_bytes == ((1 << 32) - 1) // per_group * 128 * MIB


def test_features_incompatible_with_meta_bg() -> None:
    with pytest.raises(SpecError, match="resize_inode and meta_bg exclude each other"):
        Spec(features="meta_bg")
    with pytest.raises(SpecError, match="needs the feature meta_bg"):
        Spec(first_meta_bg=1)
    with pytest.raises(SpecError, match="choose 1 at most") as caught:
        ext4writer.plan(Tree(), Spec(features=META_BG, first_meta_bg=2))
    assert caught.value.option == "first_meta_bg"


def test_descriptors_that_would_fill_a_group(tmp_path: Path) -> None:
    """As in mke2fs, they are then placed in metagroups, and nothing is reserved."""
    image = tmp_path / "image"
    spec = Spec(block_size=1024, desc_size=1024, size=49 * GIB)
    layout = assert_right(image, spec)
    assert "meta_bg" in layout.features and "resize_inode" not in layout.features
    just = ext4writer.plan(Tree(), replace(spec, size=45 * GIB))
    assert "meta_bg" not in just.features
    fitted = ext4writer.plan(Tree(), replace(spec, size=None, free=49 * GIB))
    assert "meta_bg" in fitted.features and fitted.available_bytes >= 49 * GIB
    vast = ext4writer.plan(Tree(), Spec(block_size=1024, size=1 << 41))
    assert "meta_bg" in vast.features
    with pytest.raises(SpecError, match="choose less than 6144") as caught:
        features = FeatureSet.parse(META_BG, DEFAULT_FEATURES)
        ext4writer.plan(Tree(), replace(spec, features=features, first_meta_bg=6200))
    assert caught.value.option == "first_meta_bg"


@pytest.mark.parametrize("change", ["", "^metadata_csum,uninit_bg", META_BG])
@pytest.mark.parametrize("desc_size", [128, 1024])
def test_large_descriptors(tmp_path: Path, desc_size: int, change: str) -> None:
    image = tmp_path / "image"
    spec = Spec(features=change, desc_size=desc_size, block_size=1024, size=40 * MIB)
    assert_right(image, spec)
    assert debugfs.superblock(image)["Group descriptor size"] == str(desc_size)
    os.truncate(image, 300 * MIB)
    run(["resize2fs", image])
    assert_usable(image, spec)


def test_sizes_of_descriptors() -> None:
    assert Spec(desc_size="1K").desc_size == 1024
    for size in (0, 32, 96, 2048):
        with pytest.raises(SpecError, match="not one of 64, 128, 256, 512, 1024"):
            Spec(desc_size=size)
    with pytest.raises(SpecError, match="needs the feature 64bit"):
        Spec(desc_size=64, features="^64bit")


@pytest.mark.parametrize("features", [META_BG, META_BG + ",^sparse_super", "^resize_inode"])
@pytest.mark.parametrize("first_meta_bg", [0, 1, 3])
@pytest.mark.parametrize("sizes", [(1024, 64), (1024, 512), (1024, 1024), (4096, 64)])
def test_metadata_at_the_start_of_groups(
    features: str, first_meta_bg: int, sizes: tuple[int, int]
) -> None:
    """The fast sums and lists agree with the values for each single group."""
    spec = Spec(features=features)
    block_size, desc_size = sizes
    fmt = Format.of(
        spec.features, block_size, 256, first_meta_bg=first_meta_bg, desc_size=desc_size
    )
    per_block = fmt.descs_per_block
    for groups in {1, 2, 3, *(per_block * 3 + n for n in range(-1, 4)), per_block * 5 + 1} - {0}:
        heads = [fmt.head_blocks(group, groups) for group in range(groups)]
        assert fmt.head_groups(groups) == [group for group, head in enumerate(heads) if head]
        assert fmt.all_head_blocks(groups) == sum(heads)
        copies: set[int] = set()
        for block in range(fmt.gdt_blocks(groups)):
            copies.update(fmt.desc_block_copies(block, groups))
        assert len(copies) == sum(heads) - len(fmt.super_groups(groups)) or (
            fmt.first_meta_bg > fmt.gdt_blocks(groups)
        )


def copies_of_descriptor(image: Path, group: int) -> list[dict[str, int]]:
    """The content of each copy of the descriptor of ``group``."""
    with open_image(image) as opened:
        fmt, record = opened.format, opened.desc_record
        block, place = divmod(group, fmt.descs_per_block)
        copies = [opened.block(copy) for copy in fmt.desc_block_copies(block, opened.groups)]
        at = place * fmt.desc_size
        return [record.join(record.parse(copy, at)) for copy in copies]  # type: ignore[misc]


def test_an_override_reaches_the_copies_of_a_metagroup(tmp_path: Path) -> None:
    """The descriptor of group 17 is in the groups 16, 17 and 31."""
    image = tmp_path / "image"
    spec = Spec(features=META_BG, block_size=1024, size=300 * MIB)

    def overridden(text: str) -> list[dict[str, int]]:
        ext4writer.write_image(sample(), image, spec, overrides=[Override.parse(text)])
        return copies_of_descriptor(image, 17)

    for index, expected in (("17", [5, 0, 0]), ("17:31", [0, 0, 5]), ("17:17", [0, 5, 0])):
        copies = overridden(f"group_desc[{index}].bg_used_dirs_count=5")
        assert [copy["bg_used_dirs_count"] for copy in copies] == expected
    # Each copy contains the checksum of a bitmap.
    first, *others = overridden("block_bitmap[17].8100=1")
    assert others == [first, first]
    assert all(code.startswith("0x0500") for code in problems(image))
    with pytest.raises(OverrideError, match="are in the groups 16, 17, 31"):
        overridden("group_desc[17:3].bg_flags=1")
