"""Features that move metadata or only set a flag: e2fsck, the kernel and growth."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any, Literal

import pytest

import ext4writer
from ext4writer import (
    DEFAULT_FEATURES,
    Layout,
    Override,
    OverrideError,
    RandomPolicy,
    Spec,
    SpecError,
    Tree,
    TreeError,
)
from ext4writer.inspection.check import check_image
from ext4writer.inspection.info import kind_of
from ext4writer.layout import plan_of
from ext4writer.ondisk.features import TYPES, FeatureSet
from ext4writer.planning.spec import MIB
from ext4writer.read import open_image
from tests.judges import debugfs, foreign
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import (
    BLOCK_BITMAP_END,
    BLOCK_BITMAP_HEADER,
    BLOCK_USED,
    REPAIRED,
    e2fsck,
    judge,
)
from tests.judges.kernel import mounted
from tests.judges.tools import require, require_root, run

pytestmark = pytest.mark.judged("quick")

TWO_SUPERS = DEFAULT_FEATURES.without("resize_inode").with_("sparse_super2")


def sample() -> Tree:
    noise = random.Random(7).randbytes
    tree = Tree()
    for number in range(60):
        tree.file(f"{number}", noise(number * 1500))
    tree.directory("many")
    for number in range(300):
        tree.file(f"many/{number:04}{'n' * 60}", b"")
    tree.symlink("link", "t" * 200)
    return tree


def assert_right(image: Path, spec: Spec, tree: Tree | None = None) -> Layout:
    """Write an image; e2fsck, our check and the promises judge it."""
    layout = ext4writer.write_image(tree or sample(), image, spec)
    judge(image, "quick")
    with open_image(image) as opened:
        assert check_image(opened).is_clean
    if spec.size is None:
        assert layout.available_bytes >= spec.fitted_free
    return layout


def assert_usable(image: Path, spec: Spec, tree: Tree | None = None) -> None:
    """Have the kernel read all of an image, write to it and delete from it."""
    require_root()
    with mounted(image, rw=True) as point:
        assert_tree_equal(tree or sample(), point, spec)
        (point / "new").mkdir()
        for number in range(8):
            (point / "new" / f"{number}").write_bytes(os.urandom(200_000))
            (point / f"{number + 20}").unlink()
    judge(image, "quick")


@pytest.mark.parametrize(
    ("backups", "free", "groups"),
    [(2, 40 * MIB, "1 {last}"), (2, 5 * MIB, "1"), (1, 40 * MIB, "1"), (0, 40 * MIB, None)],
)
def test_sparse_super2(tmp_path: Path, backups: int, free: int, groups: str | None) -> None:
    image = tmp_path / "image"
    spec = Spec(features=TWO_SUPERS, num_backup_sb=backups, block_size=1024, free=free)
    layout = assert_right(image, spec)
    last = plan_of(layout).geometry.groups - 1
    told = debugfs.superblock(image).get("Backup block groups")
    assert told == (groups and groups.format(last=last))
    assert_usable(image, spec)


def test_sparse_super2_of_a_given_size_with_a_random_policy(tmp_path: Path) -> None:
    image = tmp_path / "image"
    policy = RandomPolicy(3)
    features = TWO_SUPERS.without("flex_bg")
    spec = Spec(features=features, size=81 * MIB, block_size=1024, policy=policy)
    assert_right(image, spec)
    assert_usable(image, spec)


@pytest.mark.parametrize("reserve", [False, True])
@pytest.mark.parametrize("backups", [0, 1, 2])
def test_sparse_super2_grows_offline(tmp_path: Path, backups: int, reserve: bool) -> None:
    """resize2fs 1.47.0 leaves the blocks of a single backup in use, in images of mke2fs as well."""
    image = tmp_path / "image"
    features = TWO_SUPERS.with_("resize_inode") if reserve else TWO_SUPERS
    spec = Spec(features=features, num_backup_sb=backups, block_size=1024, free=4 * MIB)
    assert_right(image, spec)
    os.truncate(image, 100 * MIB)
    run(["resize2fs", image])
    if backups == 1:
        run(["e2fsck", "-fy", image], check=False)
    assert_usable(image, spec)


@pytest.mark.parametrize(("size", "backups"), [(12, 1), (12, 2), (20, 2)])
def test_a_used_block_after_a_backup_that_moves(tmp_path: Path, size: int, backups: int) -> None:
    """resize2fs frees it, in images of mke2fs as well; e2fsck marks it again, and nothing is lost.

    Without flex_bg, the group's block bitmap is there: clear_sparse_super2_last_group in
    resize/resize2fs.c counts the superblock's block too, but starts after it.
    """
    image = tmp_path / "image"
    features = TWO_SUPERS.without("flex_bg")
    spec = Spec(features=features, num_backup_sb=backups, block_size=1024, size=size * MIB)
    assert_right(image, spec)
    os.truncate(image, 60 * MIB)
    run(["resize2fs", image])
    found = e2fsck(image, "-n").problems
    assert set(found) <= {BLOCK_BITMAP_HEADER, BLOCK_USED, BLOCK_BITMAP_END}, found
    assert e2fsck(image, "-y").status <= REPAIRED
    assert_usable(image, spec)


@pytest.mark.parametrize(
    ("size", "backups", "before", "after"),
    [
        (7, 0, None, "1 7"),
        (7, 1, None, "1 7"),
        (7, 2, None, "1 7"),
        (12, 0, None, "7"),
        (12, 1, "1", "7"),
        (12, 2, "1", "7"),
        (20, 0, None, None),
        (20, 2, "1 2", "1 7"),
    ],
)
def test_positions_of_sparse_super2_backups_after_growth(
    tmp_path: Path, size: int, backups: int, before: str | None, after: str | None
) -> None:
    """Grow from one, two or three groups of 8 MiB to eight, without a repair."""
    image = tmp_path / "image"
    spec = Spec(features=TWO_SUPERS, num_backup_sb=backups, block_size=1024, size=size * MIB)
    assert_right(image, spec)
    assert debugfs.superblock(image).get("Backup block groups") == before
    os.truncate(image, 60 * MIB)
    run(["resize2fs", image])
    assert debugfs.superblock(image).get("Backup block groups") == after
    judge(image, "quick")
    with open_image(image) as opened:
        assert check_image(opened).is_clean


def test_backups_are_checked() -> None:
    with pytest.raises(SpecError, match="not between 0 and 2"):
        Spec(features=TWO_SUPERS, num_backup_sb=3)
    with pytest.raises(SpecError, match="needs the feature sparse_super2"):
        Spec(num_backup_sb=1)


def test_flags_without_an_effect_on_the_layout(tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = Spec(features=DEFAULT_FEATURES.with_("read-only", "stable_inodes"))
    assert_right(image, spec)
    assert {"read-only", "stable_inodes"} <= set(
        debugfs.superblock(image)["Filesystem features"].split()
    )
    require_root()
    with mounted(image) as point:
        assert_tree_equal(sample(), point, spec)


FAR = b"near" * 1000 + bytes(80 * MIB) + b"far" * 3000


def holes() -> Tree:
    """Files whose block maps have all three levels, with holes on each level."""
    noise = random.Random(8).randbytes
    tree = sample()
    tree.file("fine", b"".join(noise(4096) + bytes(4096 * 3) for _ in range(300)))
    tree.file("far", FAR)
    tree.file("none", bytes(10 * MIB))
    tree.file("large", noise(2 * MIB))
    return tree


BLOCK_MAPS: dict[str, dict[str, Any]] = {
    "ext2": {"type": "ext2", "block_size": 1024},
    "ext3": {"type": "ext3", "block_size": 2048, "free": 40 * MIB},
    "ext2, a given size": {"type": "ext2", "inode_size": 128, "size": 64 * MIB},
    "ext3, random": {"type": "ext3", "block_size": 1024, "policy": RandomPolicy(5)},
    "ext4": {"features": "^extent,^64bit"},
    "all backups": {"type": "ext2", "features": "^sparse_super,^resize_inode", "free": 0},
}


@pytest.mark.parametrize("name", BLOCK_MAPS)
def test_block_maps(tmp_path: Path, name: str) -> None:
    image = tmp_path / "image"
    spec = Spec(**BLOCK_MAPS[name])
    tree = holes()
    assert_right(image, spec, tree)
    with open_image(image) as opened, opened.open("/far") as file:
        assert file.read() == FAR
    if spec.free != 0:
        assert_usable(image, spec, tree)


@pytest.mark.parametrize("name", ["ext2", "ext3"])
def test_the_kernel_mounts_a_type_by_its_name(
    tmp_path: Path, name: Literal["ext2", "ext3"]
) -> None:
    require_root()
    image = tmp_path / "image"
    assert_right(image, Spec(type=name))
    told = debugfs.superblock(image)["Filesystem features"].split()
    assert ("has_journal" in told) is (name == "ext3")
    assert "extent" not in told
    with mounted(image, rw=True, kind=name, quiet=False) as point:
        assert_tree_equal(sample(), point, Spec())


def test_block_maps_grow_offline(tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = Spec(type="ext3", block_size=1024, free=4 * MIB)
    assert_right(image, spec)
    os.truncate(image, 200 * MIB)
    run(["resize2fs", image])
    assert_usable(image, spec)


def test_the_longest_file_of_a_block_map(tmp_path: Path) -> None:
    """The three levels reach this far, and not a byte further."""
    most = (12 + 256 + 256**2 + 256**3) * 1024
    content = tmp_path / "content"
    with content.open("wb") as file:
        file.truncate(most)
        file.seek(most - 5)
        file.write(b"ended")
    tree = Tree()
    tree.file("long", content)
    spec = Spec(type="ext2", block_size=1024)
    image = tmp_path / "image"
    assert_right(image, spec, tree)
    os.truncate(content, most + 1)
    tree.remove("long")
    tree.file("long", content)
    with pytest.raises(TreeError, match=f"/long.*the maximum is {most}"):
        ext4writer.plan(tree, spec)


def test_extents_of_a_block_map_cannot_be_overridden(tmp_path: Path) -> None:
    override = Override.parse("extent_header[/59:0].eh_entries=9")
    with pytest.raises(OverrideError, match="it has a block map"):
        ext4writer.write_image(
            sample(), tmp_path / "image", Spec(type="ext2"), overrides=[override]
        )


LARGE_BLOCKS: dict[str, dict[str, Any]] = {
    "8K": {"block_size": 8192},
    "16K, full": {"block_size": 16384, "free": 0},
    "32K, random": {"block_size": 32768, "policy": RandomPolicy(4)},
    "64K": {"block_size": "64K", "inode_size": 4096},
    "64K, ext2, a given size": {"block_size": 65536, "type": "ext2", "size": 80 * MIB},
}


@pytest.mark.parametrize("name", LARGE_BLOCKS)
def test_blocks_larger_than_pages(tmp_path: Path, name: str) -> None:
    """The kernels here cannot mount them, so fuse2fs reads them."""
    image = tmp_path / "image"
    spec = Spec(**LARGE_BLOCKS[name])
    tree = sample()
    noise = random.Random(9).randbytes
    tree.file("holes", b"".join(noise(65536) + bytes(65536 * 3) for _ in range(20)))
    tree.file("attributes", b"", xattrs={b"user.long": noise(7000)})
    for number in range(1200):
        tree.file(f"many/more-{number}{'m' * 80}", b"")
    assert_right(image, spec, tree)
    foreign.assert_listing_equal(foreign.list_fuse2fs(image), foreign.tree_listing(tree, spec))


def test_an_inode_size_is_16_bits() -> None:
    with pytest.raises(SpecError, match="between 128 and 32768"):
        Spec(block_size=65536, inode_size=65536)
    with pytest.raises(SpecError, match="131072 is not one of"):
        Spec(block_size=131072)


def alone(name: str) -> FeatureSet:
    return TYPES["ext2"].without("resize_inode").with_(name)


@pytest.mark.parametrize(
    "features",
    [
        *TYPES.values(),
        FeatureSet(),
        TYPES["ext3"].with_("fast_commit", "mmp"),
        *map(alone, ("meta_bg", "sparse_super2", "inline_data", "large_dir", "huge_file")),
    ],
    ids=str,
)
def test_blkid_says_which_driver_reads_the_features(features: FeatureSet, tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = Spec(features=features, block_size=1024, size=4 * MIB)
    ext4writer.write_image(Tree(), image, spec)
    judge(image)
    said = run([require("blkid"), "-p", "-o", "value", "-s", "TYPE", str(image)]).stdout
    with open_image(image) as opened:
        assert opened.format.features == features
        assert kind_of(opened) == said.strip()
