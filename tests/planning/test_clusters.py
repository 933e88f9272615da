"""With bigalloc, whole clusters are placed and counted, and mappings address blocks in them."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import DEFAULT_FEATURES, RandomPolicy, Spec, SpecError, Tree, sources
from ext4writer.layout import plan_of
from ext4writer.ondisk.format import Format
from ext4writer.planning.mapping import mapping_of
from ext4writer.read import open_image
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import FREE_BLOCKS, FREE_BLOCKS_IN_GROUP, judge, problems
from tests.judges.kernel import mounted
from tests.judges.tools import require_root
from tests.judges.tools import run as run_tool
from tests.planning.test_feature_rows import assert_right, assert_usable

pytestmark = pytest.mark.judged("quick")

pytestmark = pytest.mark.judged("quick")

MIB = 1 << 20
FEATURES = DEFAULT_FEATURES.with_("bigalloc")


def tree() -> Tree:
    noise = random.Random(0).randbytes
    tree = Tree()
    for number in range(60):
        xattrs = {b"user.a": b"v" * 500} if number % 5 == 0 else {}
        tree.file(f"{number}", noise(number * 1500), xattrs=xattrs)
    # Holes that begin and end inside clusters, and more runs than fit in an inode.
    tree.file("holes", b"".join(noise(4096) + bytes(40_000) for _ in range(12)))
    tree.file("fine", b"".join(noise(4096) + bytes(4096) for _ in range(50)))
    tree.file("large", noise(3 * MIB))
    tree.directory("many")
    for number in range(400):
        tree.file(f"many/{number:04}{'n' * 60}", b"")
    tree.symlink("link", "t" * 200)
    return tree


SPECS: dict[str, dict[str, Any]] = {
    "fitted": {},
    "full": {"free": 0, "free_inodes": 0, "journal": "none"},
    "given size": {"size": 150 * MIB + 512},
    "no reserve": {"features": "bigalloc,^resize_inode"},
    "1 KiB": {"block_size": 1024, "size": 300 * MIB},
    "policy": {"policy": RandomPolicy(2), "free": 64 * MIB},
    "crc16": {"features": "bigalloc,^metadata_csum,uninit_bg"},
    "2 blocks": {"block_size": 1024, "cluster_size": 2048, "free": 40 * MIB},
    "1 block": {"block_size": 2048, "cluster_size": 2048},
    "256 blocks": {"cluster_size": "1M", "free": 64 * MIB},
    "4096 blocks": {"block_size": 1024, "cluster_size": "4M", "size": "2G"},
    "no flex_bg": {"features": "bigalloc,^flex_bg", "block_size": 1024, "size": 400 * MIB},
    "all backups": {
        "features": "bigalloc,^sparse_super,^resize_inode",
        "block_size": 1024,
        "cluster_size": 4096,
        "size": 300 * MIB,
    },
    "meta_bg": {
        "features": "bigalloc,meta_bg,^resize_inode",
        "block_size": 2048,
        "cluster_size": 4096,
        "desc_size": 512,
        "size": 600 * MIB,
    },
    "orphan_file": {"features": "bigalloc,orphan_file,fast_commit"},
    "reserved": {"reserved_percent": 7.3, "free": 33 * MIB + 1},
}


@pytest.mark.parametrize("name", SPECS)
def test_an_image_of_clusters(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = Spec(**{"features": "bigalloc", **SPECS[name]})
    layout = assert_right(image, spec, tree())
    if spec.policy is None:
        judge(image, "full")
    fmt = plan_of(layout).format
    told = debugfs.superblock(image)
    assert fmt.cluster_size == (spec.cluster_size or 16 * spec.block_size)
    assert int(told.get("Cluster size", spec.block_size)) == fmt.cluster_size
    assert int(told["Free blocks"]) == layout.free_blocks
    assert layout.blocks_count % fmt.blocks_per_cluster == 0
    with open_image(image) as opened:
        assert opened.format == fmt
    require_root()
    with mounted(image) as point:
        assert_tree_equal(tree(), point, spec)
        status = os.statvfs(point)
    assert status.f_bavail * status.f_frsize == layout.available_bytes
    if spec.free != 0:
        assert_usable(image, spec, tree())


@pytest.mark.parametrize("name", ["fitted", "2 blocks", "no flex_bg", "meta_bg"])
def test_clusters_grow_offline(name: str, tmp_path: Path) -> None:
    """resize2fs 1.47.0 miscounts the last group's clusters, in images of mke2fs as well."""
    image = tmp_path / "image"
    spec = Spec(**{"features": "bigalloc", **SPECS[name]})
    layout = assert_right(image, spec, tree())
    os.truncate(image, layout.size_bytes * 2)
    run_tool(["resize2fs", "-f", image])
    assert set(problems(image)) <= {FREE_BLOCKS, FREE_BLOCKS_IN_GROUP}
    run_tool(["e2fsck", "-fy", image], check=False)
    assert_usable(image, spec, tree())
    told = debugfs.superblock(image)
    assert int(told["Block count"]) * spec.block_size > layout.size_bytes * 1.9


def test_clusters_without_a_journal_are_filled(tmp_path: Path) -> None:
    """The kernel can write all that was promised, except a cluster for extents."""
    require_root()
    image = tmp_path / "image"
    free, cluster = 56 << 20, 64 << 10
    spec = Spec(features="bigalloc,^has_journal", free=free, cluster_size=cluster)
    ext4writer.write_image(tree(), image, spec)
    with mounted(image, rw=True) as point:
        with pytest.raises(OSError, match="No space left"), (point / "all").open("wb", 0) as file:
            while True:
                file.write(b"x" * cluster)
        assert (point / "all").stat().st_size >= free - cluster
    judge(image, "quick")


def test_the_default_number_of_inodes_follows_the_clusters() -> None:
    """Each file takes at least one cluster, so more inodes would be useless."""
    free = 64 * MIB
    counted = [
        ext4writer.plan(Tree(), Spec(features=features, free=free)).free_inodes
        for features in ("", "bigalloc")
    ]
    assert counted[0] >= 4096 > counted[1] >= 1024
    grown = ext4writer.plan(Tree(), Spec(features="bigalloc", grow_to="1T"))
    assert grown.inodes_per_gib == 16384
    # Here, the group tables hold fewer inodes than one per cluster.
    assert ext4writer.plan(Tree(), Spec(block_size=16384, grow_to="1T"))


@pytest.mark.parametrize("align", ["100K", "3M"])
@pytest.mark.parametrize("change", [{"features": "bigalloc"}, {"block_size": "64K"}])
def test_alignments_that_are_not_multiples_of_clusters(
    change: dict[str, Any], align: str, tmp_path: Path
) -> None:
    spec = Spec(**change, align=align, free=MIB)
    layout = assert_right(tmp_path / "image", spec, tree())
    assert spec.align is not None and layout.size_bytes % spec.align == 0
    assert layout.size_bytes - layout.blocks_count * spec.block_size < 64 * 1024


@pytest.mark.parametrize("cluster_size", [8192, 65536])
def test_small_files_are_the_same_however_they_are_written(
    cluster_size: int, tmp_path: Path
) -> None:
    noise = random.Random(5).randbytes
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(150):
        (folder / f"{number}").write_bytes(noise(number * 83 % 9000 + number % 7 * 20_000))
    spec = Spec(features="bigalloc", cluster_size=cluster_size)
    layout = ext4writer.plan(sources.directory(folder), spec)
    image = tmp_path / "image"
    ext4writer.write_layout(layout, image, processes=2)
    written = image.read_bytes()
    assert b"".join(ext4writer.iter_image(layout)) == written
    in_memory = bytearray()
    ext4writer.write_layout(layout, in_memory)
    assert in_memory == written
    with open_image(image) as opened:
        for number in range(150):
            with opened.open(f"/{number}") as file:
                assert file.read() == (folder / f"{number}").read_bytes()


def test_cluster_sizes() -> None:
    for size in ("2K", "5000", 0, "1G"):
        with pytest.raises(SpecError, match="power of two between the block size and 536870912"):
            Spec(features="bigalloc", cluster_size=size)
    with pytest.raises(SpecError, match="cluster_size: needs the feature bigalloc"):
        Spec(cluster_size="64K")
    with pytest.raises(SpecError, match="bigalloc needs extent"):
        Spec(features="bigalloc,^extent,^64bit")
    for size in ("64M", "128M", "512M"):
        layout = ext4writer.plan(Tree(), Spec(features="bigalloc", cluster_size=size))
        assert layout.size_bytes % (1 << 26) == 0


@settings(max_examples=100, deadline=None)
@given(
    ratio=st.sampled_from([2, 4, 16]),
    lengths=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), max_size=12),
    cuts=st.lists(st.integers(1, 9), min_size=1),
)
def test_blocks_keep_their_place_in_the_cluster(
    ratio: int, lengths: list[tuple[int, int]], cuts: list[int]
) -> None:
    """Each block of data is mapped once, and the blocks of a logical cluster to one cluster."""
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
