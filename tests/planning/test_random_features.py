"""A policy that also draws features produces images that everyone accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

import ext4writer
from ext4writer import DEFAULT_FEATURES, Ext4WriterError, Spec, Tree, policy
from ext4writer.inspection.check import check_image
from ext4writer.planning.random_policy import RandomFeatures
from ext4writer.read import open_image
from tests.builder.command import run
from tests.judges.compare import assert_tree_equal
from tests.judges.kernel import mounted
from tests.judges.tools import require_root
from tests.planning.test_policies import MakeImage

pytestmark = pytest.mark.judged("quick")


def sample() -> Tree:
    tree = Tree()
    for number in range(50):
        tree.file(f"/many/{number:030}", b"%d" % number, parents=True)
    tree.file("/long", b"l" * 50_000, xattrs={"user.note": "x" * 300})
    tree.symlink("/link", "t" * 100)
    return tree


def features_of(seed: int) -> set[str]:
    spec = Spec(block_size=1024, free="64K", policy=policy(f"random-features:{seed}"))
    return set(ext4writer.plan(sample(), spec).features.names())


def test_seeds_add_and_take_away_features() -> None:
    drawn = [RandomFeatures(seed).feature_words(DEFAULT_FEATURES) for seed in range(300)]
    words = {word for some in drawn for word in some}
    assert words >= {"quota", "bigalloc", "inline_data", "meta_bg,^resize_inode", "^metadata_csum"}
    assert any(word.startswith("^extent,") for word in words)


def test_features_that_the_tree_needs_stay() -> None:
    found = [features_of(seed) for seed in range(20)]
    assert len(set(map(frozenset, found))) > 15
    assert all("ext_attr" in names for names in found), "the tree has attributes"
    assert found[3] == features_of(3)


@pytest.mark.parametrize("seed", range(6))
def test_everyone_accepts_them(seed: int, make_image: MakeImage) -> None:
    spec = Spec(block_size=1024, free="256K", policy=policy(f"random-features:{seed}"))
    image = make_image(sample(), spec)
    with open_image(image) as opened:
        assert not check_image(opened, data=True).problems
    require_root()
    with mounted(image) as point:
        assert_tree_equal(sample(), point, spec)


def test_the_last_attempt_reports_the_error() -> None:
    tree = Tree()
    tree.symlink("/l", "t" * 3000)
    with pytest.raises(Ext4WriterError, match="the maximum is 1023"):
        ext4writer.plan(tree, Spec(policy=policy("random-features:9"), block_size=1024))


def test_the_command_accepts_random_features(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"content")
    first, second = tmp_path / "first", tmp_path / "second"
    for image in (first, second):
        options = ("--policy", "random-features:5", "-o", image)
        assert not run("build", tmp_path / "source", *options).returncode
    assert first.read_bytes() == second.read_bytes()
