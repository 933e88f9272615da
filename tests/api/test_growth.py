"""A fitted image on a larger device: the kernel grows it online, resize2fs offline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import BytesContent, RegularFile, Spec, Tree
from ext4writer.ondisk.features import DEFAULT_FEATURES, FeatureSet
from ext4writer.planning.spec import GIB, MIB
from tests.conftest import MakeImage
from tests.guest.qemu import DEVICES, run_guest
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import assert_clean
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run

# Files of one MiB up to the given count, then more until the disk is full.
GROW_AND_FILL = """
mount -t ext4 /dev/vda /mnt
resize2fs /dev/vda
df -k /mnt
mkdir /mnt/new
n=0
while [ $n -lt {files} ]; do
    dd if=/dev/urandom of=/mnt/new/$n bs=1M count=1 2>/dev/null || break
    n=$((n + 1))
done
i=0
while [ $i -lt 2000 ]; do echo $i > /mnt/new/small-$i || break; i=$((i + 1)); done
sync
umount /mnt
mount -t ext4 -o ro /dev/vda /mnt
ls /mnt/new | wc -l
umount /mnt
"""


def sample() -> Tree:
    tree = Tree()
    folder = tree.directory("many")
    for number in range(3000):
        folder.children[b"name-%04d" % number] = RegularFile(BytesContent(b"%d" % number))
    tree.file("large", bytes(range(1, 251)) * 40_000, xattrs={b"user.note": b"n" * 400})
    return tree


def enlarge(image: Path, size: int) -> None:
    with image.open("r+b") as file:
        file.truncate(size)


@pytest.mark.qemu
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_grown_online_ten_times(make_image: MakeImage, block_size: int) -> None:
    tree = sample()
    spec = Spec(block_size=block_size)
    image = make_image(tree, spec)
    grown = image.stat().st_size * 10 // MIB * MIB
    enlarge(image, grown)
    script = GROW_AND_FILL.format(files=100_000)
    console = run_guest(script, [image], 300, programs=["resize2fs"])
    assert "on-line resizing required" in console
    assert_clean(image)
    assert int(debugfs.superblock(image)["Block count"]) * block_size > grown * 0.99
    require_root()
    with mounted(image) as point:
        for number in range(0, 3000, 7):
            assert (point / "many" / f"name-{number:04}").read_bytes() == b"%d" % number


@pytest.mark.qemu
@pytest.mark.parametrize(
    ("grow_to", "features"),
    [
        (None, DEFAULT_FEATURES),
        (64 * GIB, DEFAULT_FEATURES),
        (64 * GIB, DEFAULT_FEATURES.without("64bit")),
        (256 * GIB, DEFAULT_FEATURES.without("metadata_csum")),
    ],
    ids=["1000 times", "64G", "64G, 32 bits", "256G, no checksums"],
)
def test_grown_online_to_the_requested_size(
    make_image: MakeImage, grow_to: int | None, features: FeatureSet
) -> None:
    """The reserved descriptors suffice: the kernel uses the resize inode and moves nothing."""
    spec = Spec(grow_to=grow_to, features=features, free=4 * MIB)
    layout = ext4writer.plan(sample(), spec)
    target = grow_to or layout.size_bytes * 1000
    assert layout.grow_to_bytes >= target
    image = make_image(sample(), spec)
    enlarge(image, target)
    console = run_guest(GROW_AND_FILL.format(files=60), [image], 300, programs=["resize2fs"])
    assert "2060" in console
    assert_clean(image)
    assert int(debugfs.superblock(image)["Block count"]) * 4096 > target * 0.99
    assert "meta_bg" not in debugfs.superblock(image)["Filesystem features"]


GROWN_BLOCKS = 600_000

KINDS: dict[str, dict[str, Any]] = {
    "clusters": {"features": "bigalloc"},
    "small clusters": {"features": "bigalloc", "block_size": 1024, "cluster_size": 4096},
    "clusters and meta_bg": {"features": "bigalloc,meta_bg,^resize_inode", "block_size": 1024},
    "meta_bg": {"features": "meta_bg,^resize_inode"},
    "later meta_bg": {"features": "meta_bg,^resize_inode,^64bit", "first_meta_bg": 1},
    "no reserve": {"features": "^resize_inode"},
    "beyond the reserve": {"block_size": 1024, "grow_to": 100 * MIB, "free": 4 * MIB},
    "large descriptors": {"desc_size": 1024},
    "packed metadata": {"packed_meta_blocks": True, "block_size": 1024, "free": 200 * MIB},
    "no flex_bg": {"features": "^flex_bg", "block_size": 1024, "free": 40 * MIB},
    "large flex groups": {"groups_per_flex": 256},
    "all backups": {"features": "^sparse_super,^resize_inode", "free": 150 * MIB},
    "inside inodes": {"features": "inline_data,ea_inode", "inode_size": 1024},
    "groups like those of mke2fs": {
        "group_tables": "mke2fs",
        "lazy_itable_init": True,
        "block_size": 1024,
        "size": 100 * MIB,
    },
    "ext3": {"type": "ext3"},
    "ext2": {"type": "ext2"},
}


@pytest.mark.qemu
def test_each_kind_grows_online(tmp_path: Path) -> None:
    """Where nothing is reserved, the kernel adds metagroups."""
    images, script = [], ""
    for number, (name, options) in enumerate(KINDS.items()):
        image, device = tmp_path / name, f"/dev/vd{DEVICES[number]}"
        spec = Spec(**options)
        ext4writer.write_image(sample(), image, spec)
        enlarge(image, GROWN_BLOCKS * spec.block_size)
        images.append(image)
        script += f"""
mount -t ext4 {device} /mnt
resize2fs {device}
mkdir /mnt/new
dd if=/dev/urandom of=/mnt/new/file bs=1M count=5 2>/dev/null
cat /mnt/many/name-0123 && echo " in {device}"
umount /mnt
"""
    console = run_guest(script, images, 300, programs=["resize2fs"])
    assert console.count("123 in /dev/vd") == len(KINDS)
    for image in images:
        assert_clean(image)
        told = debugfs.superblock(image)
        assert int(told["Block count"]) > GROWN_BLOCKS * 0.98
        has_reserve = "resize_inode" in told["Filesystem features"]
        assert ("meta_bg" in told["Filesystem features"]) is not has_reserve


@pytest.mark.judged("quick")
@pytest.mark.parametrize(
    "name",
    [
        "groups like those of mke2fs",
        "packed metadata",
        "no flex_bg",
        "large flex groups",
        "all backups",
        "meta_bg",
    ],
)
def test_each_kind_grows_and_shrinks_offline(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    size = ext4writer.write_image(sample(), image, Spec(**KINDS[name])).size_bytes
    enlarge(image, size * 4)
    run(["resize2fs", image])
    assert_clean(image)
    assert image.stat().st_size > size * 3.9
    run(["resize2fs", "-M", image])
    assert_clean(image)
    assert image.stat().st_size < size


@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
@pytest.mark.parametrize("times", [2, 10, 1000])
def test_grown_offline(make_image: MakeImage, block_size: int, times: int) -> None:
    require_root()
    tree = sample()
    spec = Spec(block_size=block_size, free=2 * MIB)
    image = make_image(tree, spec)
    target = image.stat().st_size * times
    enlarge(image, target)
    run(["resize2fs", image])
    assert_clean(image)
    assert int(debugfs.superblock(image)["Block count"]) * block_size > target * 0.99
    with mounted(image, rw=True) as point:
        assert_tree_equal(tree, point, spec)
        (point / "new").mkdir()
        for number in range(8):
            (point / "new" / f"{number}").write_bytes(os.urandom(MIB))
    assert_clean(image)


def test_shrunk_to_the_least(make_image: MakeImage) -> None:
    """resize2fs -M can remove little more than the promised free space."""
    require_root()
    tree = sample()
    image = make_image(tree, Spec(free=64 * MIB), level="quick")
    before = image.stat().st_size
    run(["resize2fs", "-M", image])
    assert_clean(image)
    assert image.stat().st_size < before - 48 * MIB
    with mounted(image) as point:
        assert_tree_equal(tree, point, Spec())
