"""Our checker and e2fsck agree on damage to clusters and metagroups."""

from __future__ import annotations

from pathlib import Path

import pytest

import ext4writer
from ext4writer import DamageError, Override, RecordError, Spec, Tree
from ext4writer.inspection.check import check_image
from ext4writer.layout import plan_of
from ext4writer.planning.spec import MIB
from ext4writer.read import open_image
from tests.judges.fsck import problems
from tests.planning.test_clusters import tree

CLUSTERS = Spec(features="bigalloc", block_size=1024, cluster_size=4096, size=200 * MIB)
METAGROUPS = Spec(
    features="meta_bg,^resize_inode,^64bit", block_size=1024, size=300 * MIB, first_meta_bg=1
)

CASES = [
    (CLUSTERS, "superblock.s_log_cluster_size=3"),
    (CLUSTERS, "superblock.s_clusters_per_group=4096"),
    (CLUSTERS, "superblock.s_blocks_per_group=8192"),
    (CLUSTERS, "superblock.s_blocks_count=204801"),
    (CLUSTERS, "group_desc[0].bg_free_blocks_count=1"),
    (CLUSTERS, "block_bitmap[0].8000=1"),
    (CLUSTERS, "inode[/3].i_blocks=10"),
    (CLUSTERS, "extent[/large:0:0].ee_start=9001"),
    (CLUSTERS, "extent[/holes:0:1].ee_block=7"),
    (CLUSTERS, "inode[7].i_size=0"),
    (CLUSTERS, "inode[7].i_blocks=8"),
    (METAGROUPS, "superblock.s_first_meta_bg=9"),
    (METAGROUPS, "superblock.s_first_meta_bg=0"),
    (METAGROUPS, "superblock.s_reserved_gdt_blocks=5"),
    (METAGROUPS, "group_desc[33].bg_block_bitmap_lo=3"),
    (METAGROUPS, "group_desc[33:33].bg_inode_table_lo=3"),
    (METAGROUPS, "inode[9].i_blocks=8"),
]


@pytest.mark.damaged
@pytest.mark.parametrize(("spec", "text"), CASES, ids=lambda each: str(each)[:40])
def test_both_find_it_or_neither(spec: Spec, text: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    ext4writer.write_image(tree(), image, spec, overrides=[Override.parse(text)])
    try:
        with open_image(image, on_damage=lambda _: None) as opened:
            is_clean = check_image(opened).is_clean
    except (DamageError, RecordError):
        is_clean = False
    found = problems(image)
    assert is_clean is not bool(found), found


def test_reserved_inodes_reach_into_the_second_group(tmp_path: Path) -> None:
    image = tmp_path / "image"
    small_groups = Spec(block_size=1024, blocks_per_group=256, free=8 * MIB, free_inodes=0)
    layout = ext4writer.write_image(Tree(), image, small_groups)
    assert plan_of(layout).geometry.inodes_per_group < 10
    assert not problems(image)
    with open_image(image) as opened:
        assert check_image(opened).is_clean
