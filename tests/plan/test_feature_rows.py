"""Features that change where things lie, or nothing but a flag: fsck, the kernel and growth."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import ext4writer
from ext4writer import DEFAULT_FEATURES, Layout, RandomPolicy, Spec, SpecError, Tree
from ext4writer.inspection.check import check_image
from ext4writer.plan.spec import MIB
from ext4writer.read import open_image
from tests.oracles import debugfs
from tests.oracles.compare import assert_tree_equal
from tests.oracles.fsck import judge
from tests.oracles.kernel import mounted
from tests.oracles.tools import require_root, run

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


def assert_right(image: Path, spec: Spec) -> Layout:
    """Write an image and let e2fsck, the check of this library and the promises judge it."""
    layout = ext4writer.write_image(sample(), image, spec)
    judge(image, "quick")
    with open_image(image) as opened:
        assert check_image(opened).is_clean
    if spec.size is None:
        assert layout.available_bytes >= spec.fitted_free
    return layout


def assert_usable(image: Path, spec: Spec) -> None:
    """Let the kernel read all of an image, write to it and delete from it."""
    require_root()
    with mounted(image, rw=True) as point:
        assert_tree_equal(sample(), point, spec)
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
    last = layout.geometry.groups - 1
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


def test_sparse_super2_grows_offline(tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = Spec(features=TWO_SUPERS, block_size=1024, free=4 * MIB)
    assert_right(image, spec)
    os.truncate(image, 100 * MIB)
    run(["resize2fs", image])
    assert_usable(image, spec)


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
