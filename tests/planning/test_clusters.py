"""Clusters: what is placed and counted is whole clusters; a mapping knows the blocks in them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import DEFAULT_FEATURES, FeatureSet, RandomPolicy, Spec, Tree
from ext4writer.layout import plan_of
from ext4writer.ondisk.format import Format
from ext4writer.planning.mapping import mapping_of
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import judge
from tests.judges.kernel import mounted
from tests.judges.tools import require_root

MIB = 1 << 20
FEATURES = DEFAULT_FEATURES.with_("bigalloc").without("resize_inode")


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every format have clusters of 16 blocks; no option asks for them yet."""
    original = Format.of

    def of(features: FeatureSet, block_size: int, inode_size: int, **sizes: Any) -> Format:
        return original(features, block_size, inode_size, cluster_size=16 * block_size, **sizes)

    monkeypatch.setattr(Format, "of", of)
    monkeypatch.setattr(FeatureSet, "check", lambda self: None)


def tree() -> Tree:
    noise = random.Random(0).randbytes
    tree = Tree()
    for number in range(60):
        xattrs = {b"user.a": b"v" * 500} if number % 5 == 0 else {}
        tree.file(f"{number}", noise(number * 1500), xattrs=xattrs)
    # Holes that begin and end inside of clusters, and more runs than an inode holds.
    tree.file("holes", b"".join(noise(4096) + bytes(40_000) for _ in range(12)))
    tree.file("fine", b"".join(noise(4096) + bytes(4096) for _ in range(50)))
    tree.file("large", noise(3 * MIB))
    tree.directory("many")
    for number in range(400):
        tree.file(f"many/{number:04}{'n' * 60}", b"")
    tree.symlink("link", "t" * 200)
    return tree


SPECS: dict[str, dict[str, Any]] = {
    "fitted": {"features": FEATURES},
    "full": {"features": FEATURES, "free": 0, "free_inodes": 0, "journal": "none"},
    "given size": {"features": FEATURES, "size": 150 * MIB + 512},
    "1 KiB": {"features": FEATURES, "block_size": 1024, "size": 300 * MIB},
    "policy": {"features": FEATURES, "policy": RandomPolicy(2), "free": 64 * MIB},
    "crc16": {"features": FEATURES.without("metadata_csum").with_("uninit_bg")},
}


@pytest.mark.parametrize("name", SPECS)
def test_an_image_of_clusters(name: str, clusters: None, tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = Spec(**SPECS[name])
    layout = ext4writer.write_image(tree(), image, spec)
    judge(image, "quick")
    assert plan_of(layout).format.blocks_per_cluster == 16
    told = debugfs.superblock(image)
    assert int(told["Free blocks"]) == layout.free_blocks
    assert layout.blocks_count % 16 == 0
    if name in ("fitted", "policy"):
        assert layout.available_bytes >= spec.fitted_free
    require_root()
    with mounted(image) as point:
        assert_tree_equal(tree(), point, spec)


@settings(max_examples=100, deadline=None)
@given(
    ratio=st.sampled_from([2, 4, 16]),
    lengths=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), max_size=12),
    cuts=st.lists(st.integers(1, 9), min_size=1),
)
def test_blocks_keep_their_place_in_the_cluster(
    ratio: int, lengths: list[tuple[int, int]], cuts: list[int]
) -> None:
    """Each block of data is mapped once, and blocks of one logical cluster to one cluster."""
    fmt = Format.of(FEATURES, 4096, 256, cluster_size=ratio * 4096)
    mapping = mapping_of(fmt)
    ranges: list[tuple[int, int]] = []
    position = 0
    for hole, length in lengths:
        position += hole + bool(ranges)  # at least one block apart
        ranges.append((position, length))
        position += length
    pieces: list[tuple[int, int, int]] = []
    physical = 1000
    for logical, count in mapping.clusters(ranges):
        while count:
            taken = min(count, cuts[len(pieces) % len(cuts)])
            pieces.append((logical, taken, physical))
            logical, count, physical = logical + taken, count - taken, physical + taken + 3
    blocks = {}
    for run in mapping.runs(ranges, pieces):
        for offset in range(run.length):
            assert run.logical + offset not in blocks
            blocks[run.logical + offset] = run.physical + offset
    assert sorted(blocks) == [first + n for first, length in ranges for n in range(length)]
    homes: dict[int, int] = {}
    for logical, place in blocks.items():
        assert logical % ratio == place % ratio
        assert homes.setdefault(logical // ratio, place // ratio) == place // ratio
    assert len(set(homes.values())) == len(homes) == sum(count for _, count, _ in pieces)
