"""Groups laid out as by mke2fs: how the kernel and e2fsck use them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import SizeError, Spec, SpecError, Tree
from ext4writer.planning.spec import MIB
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import assert_clean, e2fsck, judge
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run

KINDS: dict[str, dict[str, Any]] = {
    "backups": {},
    "crc16": {"features": "^metadata_csum,uninit_bg"},
    "own tables": {"features": "^flex_bg"},
    "moved bitmaps": {"features": "^flex_bg", "raid_stride": 77},
    "clusters": {"features": "bigalloc", "cluster_size": 4096},
    "meta_bg": {"features": "meta_bg,^resize_inode"},
    "packed": {"packed_meta_blocks": True},
    "one block each": {"policy": ext4writer.policy("one-block-runs")},
}


def some_files() -> Tree:
    tree = Tree()
    for number in range(40):
        tree.file(f"/folder/{number}", content=bytes([number]) * 5000, parents=True)
    return tree


def spec_of(options: dict[str, Any]) -> Spec:
    return Spec(block_size=1024, size=66 * MIB, group_tables="mke2fs", **options)


def flags(image: Path) -> list[str]:
    """The flags that dumpe2fs shows after the blocks of each group."""
    shown = run(["dumpe2fs", image]).stdout
    return re.findall(r"^Group \d+: \(.*?\)(.*)", shown, re.MULTILINE)


@pytest.mark.judged("quick")
@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_makes_the_bitmaps_that_are_left_to_it(kind: str, tmp_path: Path) -> None:
    """It fills groups whose bitmap was never written, around the backups and tables in them."""
    image, tree, spec = tmp_path / "image", some_files(), spec_of(KINDS[kind])
    ext4writer.write_image(tree, image, spec)
    judge(image, "quick")
    left = [number for number, text in enumerate(flags(image)) if "BLOCK_UNINIT" in text]
    assert {1, 3, 5} & {*left}
    assert 0 not in left
    require_root()
    with mounted(image, rw=True) as point:
        assert_tree_equal(tree, point, spec)
        for number in range(50):
            (point / f"new{number}").write_bytes(bytes([number + 1]) * MIB)
    assert_clean(image)
    assert not any("BLOCK_UNINIT" in text for text in flags(image)[:6])


@pytest.mark.judged("quick")
def test_tables_that_are_left_to_the_kernel(tmp_path: Path) -> None:
    """The tables are zeros in any case; only the flag for that is missing."""
    plain, lazy = tmp_path / "plain", tmp_path / "lazy"
    for image, is_lazy in ((plain, False), (lazy, True)):
        spec = Spec(block_size=1024, size=20 * MIB, lazy_itable_init=is_lazy, uuid="1" * 32)
        ext4writer.write_image(some_files(), image, spec)
        judge(image, "quick")
        assert [("ITABLE_ZEROED" in text) for text in flags(image)] == [not is_lazy] * 3
    one, other = plain.read_bytes(), lazy.read_bytes()
    blocks = range(0, len(one), 1024)
    different = {at // 1024 for at in blocks if one[at : at + 1024] != other[at : at + 1024]}
    # Superblocks and descriptors.
    heads = {group * 8192 + 1 + block for group in (0, 1) for block in (0, 1)}
    assert different <= heads


def test_groups_like_mke2fs_need_a_given_size() -> None:
    with pytest.raises(SpecError, match="group_tables: mke2fs needs an image of a given size"):
        Spec(group_tables="mke2fs")
    tree = Tree()
    tree.file("/large", content=b"x" * 4 * MIB)
    with pytest.raises(SizeError, match="at least") as caught:
        ext4writer.plan(tree, Spec(size=2 * MIB, group_tables="mke2fs"))
    enough = 2 * MIB + caught.value.missing_bytes
    assert ext4writer.plan(tree, Spec(size=enough, group_tables="mke2fs")).size_bytes == enough


@pytest.mark.judged("quick")
def test_a_repair_from_a_backup_loses_nothing(tmp_path: Path) -> None:
    """The missing bitmaps are zeros, which e2fsck corrects."""
    image, tree, spec = tmp_path / "image", some_files(), spec_of({})
    ext4writer.write_image(tree, image, spec)
    with image.open("r+b") as file:
        file.seek(1024)
        file.write(bytes(2048))
    assert e2fsck(image, "-y", "-b", "8193").status in (0, 1)
    assert_clean(image)
    assert debugfs.superblock(image)["Filesystem state"] == "clean"
    require_root()
    with mounted(image) as point:
        assert_tree_equal(tree, point, spec)
