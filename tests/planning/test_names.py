"""Names and directories: odd names, large directories, the index and its collisions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest

import ext4writer
from ext4writer import BytesContent, Directory, RegularFile, Spec, Tree, TreeError
from ext4writer.layout import plan_of
from ext4writer.ondisk.dirhash import hash_names
from ext4writer.ondisk.features import DEFAULT_FEATURES
from tests.conftest import MakeImage
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import assert_clean
from tests.judges.kernel import drop_caches, mounted
from tests.judges.tools import require_root

HALF_MD4 = 1


def fill(directory: Directory, names: Iterator[bytes] | list[bytes]) -> None:
    for name in names:
        directory.children[name] = RegularFile(BytesContent(b""))


def assert_all_found(image: Path, folder: str, names: list[bytes]) -> None:
    """Look up every name on a cold mount, which makes the kernel walk the index."""
    require_root()
    with mounted(image) as point:
        drop_caches()
        fd = os.open(point / folder, os.O_RDONLY)
        try:
            for name in names:
                os.stat(name, dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(fd)


def test_odd_names(make_image: MakeImage) -> None:
    require_root()
    tree = Tree()
    names = [
        b"a",
        b"A",
        b" ",
        b"...",
        b"-rf",
        b"new\nline",
        b"\x01\x7f\xff",
        b"\xc3\x28 is not UTF-8",
        "ünïcödé ☃".encode(),
        b"x" * 255,
        b"y" * 254,
        b"case",
        b"Case",
        b"CASE",
    ]
    tree.directory("odd")
    for name in names:
        tree.file(b"odd/" + name, name)
    image = make_image(tree)
    with mounted(image) as point:
        assert_tree_equal(tree, point)


@pytest.mark.parametrize("name", [b"n" * 256, b"", b".", b"..", b"a/b", b"a\0b"])
def test_impossible_names_are_refused_by_path(name: bytes) -> None:
    tree = Tree()
    folder = tree.directory("folder")
    folder.children[name] = RegularFile(BytesContent(b""))
    with pytest.raises(TreeError, match="^/folder/"):
        ext4writer.plan(tree)


@pytest.mark.parametrize("own", [False, True], ids=["added lost+found", "own lost+found"])
def test_large_root_and_names_of_many_lengths(make_image: MakeImage, own: bool) -> None:
    require_root()
    tree = Tree()
    lengths = [1 + number * 7 % 250 for number in range(5000)]
    for number, length in enumerate(lengths):
        tree.file((b"%05d" % number).rjust(length, b"L"), b"")
    if own:
        tree.directory("lost+found", mode=0o700)
        tree.file("lost+found/#12", b"saved")
    tree.directory("zeta")
    for number in range(0, 5000, 500):
        first = (b"%05d" % number).rjust(lengths[number], b"L")
        tree.add(b"zeta/%d" % number, tree[first])
    image = make_image(tree)
    with mounted(image) as point:
        drop_caches()
        assert_tree_equal(tree, point)


@pytest.mark.parametrize("place", [10, 2047, 2048, 4999])
@pytest.mark.parametrize("name", [b"n" * 256, b"a/b", b"a\0b"])
def test_an_impossible_name_among_many(place: int, name: bytes) -> None:
    tree = Tree()
    names = [b"%05d" % number for number in range(5000)]
    names[place] += name
    fill(tree.root, names)
    with pytest.raises(TreeError, match=f"^/{place:05d}"):
        ext4writer.plan(tree)


@pytest.mark.parametrize("csum", [True, False], ids=["csum", "no csum"])
@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
@pytest.mark.parametrize("names", [10, 60, 300, 10_000])
def test_index_of_every_size(
    make_image: MakeImage, names: int, block_size: int, csum: bool
) -> None:
    features = DEFAULT_FEATURES if csum else DEFAULT_FEATURES.without("metadata_csum")
    tree = Tree()
    listed = [b"entry number %06d" % number for number in range(names)]
    fill(tree.directory("many"), listed)
    spec = Spec(block_size=block_size, features=features)
    image = make_image(tree, spec)
    shape = debugfs.htree(image, "/many")
    blocks = plan_of(ext4writer.plan(tree, spec)).demand.counts
    if shape is not None:
        assert sorted(name for leaf in shape.leaves for name in leaf) == listed
        assert shape.levels == (2 if (block_size, names) == (1024, 10_000) else 1)
    else:
        assert max(blocks[2:]) == 1
    assert_all_found(image, "many", listed)


def test_two_levels_that_are_full(make_image: MakeImage) -> None:
    """255-byte names in 1 KiB blocks: three per leaf, so the second level comes early."""
    tree = Tree()
    listed = [(b"%06d" % number).ljust(255, b"n") for number in range(3 * 124 + 1)]
    fill(tree.directory("long"), listed)
    image = make_image(tree, Spec(block_size=1024))
    shape = debugfs.htree(image, "/long")
    assert shape is not None and shape.levels == 2
    assert_all_found(image, "long", listed)


def test_more_than_two_levels_are_refused_by_path() -> None:
    tree = Tree()
    folder = tree.directory("too-many")
    fill(folder, [(b"%06d" % number).ljust(255, b"n") for number in range(123 * 126 * 3 + 10)])
    with pytest.raises(TreeError, match="^/too-many: has 46504 names"):
        ext4writer.plan(tree, Spec(block_size=1024))
    without = DEFAULT_FEATURES.without("dir_index")
    assert ext4writer.plan(tree, Spec(block_size=1024, features=without)).size_bytes


def colliding_names(seed: UUID) -> tuple[list[bytes], int]:
    """Two 255-byte names with the same hash, and this hash."""
    words = tuple(int.from_bytes(seed.bytes[at : at + 4], "little") for at in range(0, 16, 4))
    known: dict[int, bytes] = {}
    for start in count(0, 20_000):
        names = [(b"%09d" % (start + number)).ljust(255, b"c") for number in range(20_000)]
        for name, (major, _) in zip(names, hash_names(HALF_MD4, names, words), strict=True):  # type: ignore[arg-type]
            if known.setdefault(major, name) != name:
                return [known[major], name], major
    raise AssertionError


@pytest.mark.parametrize("before", [0, 1, 2, 3, 4, 5])
def test_hash_collision_over_a_leaf_end(make_image: MakeImage, before: int) -> None:
    """Three names fit a leaf; in some image the colliding two are in different leaves."""
    seed = UUID("01234567-89ab-cdef-0123-456789abcdef")
    pair, major = colliding_names(seed)
    words = tuple(int.from_bytes(seed.bytes[at : at + 4], "little") for at in range(0, 16, 4))
    smaller: list[bytes] = []
    larger: list[bytes] = []
    for number in range(1000):
        name = (b"filler %05d" % number).ljust(255, b"f")
        [(hashed, _)] = hash_names(HALF_MD4, [name], words)  # type: ignore[arg-type]
        (smaller if hashed < major else larger).append(name)
    names = [*smaller[:before], *pair, *larger[:6]]
    tree = Tree()
    fill(tree.directory("colliding"), names)
    image = make_image(tree, Spec(block_size=1024, hash_seed=seed))
    shape = debugfs.htree(image, "/colliding")
    assert shape is not None
    split = not any(pair[0] in leaf and pair[1] in leaf for leaf in shape.leaves)
    assert split == (before % 3 == 2)
    assert_all_found(image, "colliding", names)


@pytest.mark.parametrize("subdirectories", [64_997, 64_998, 64_999, 66_000])
def test_more_subdirectories_than_links(make_image: MakeImage, subdirectories: int) -> None:
    """With 65,001 links or more, the link count of a directory is 1 (dir_nlink)."""
    require_root()
    tree = Tree()
    folder = tree.directory("full")
    for number in range(subdirectories):
        folder.children[b"%d" % number] = Directory()
    image = make_image(tree, level="quick")
    with mounted(image) as point:
        links = (point / "full").stat().st_nlink
        assert links == (subdirectories + 2 if subdirectories <= 64_998 else 1)
        assert (point / "full" / "64996").is_dir()
    without = DEFAULT_FEATURES.without("dir_nlink")
    if subdirectories > 64_998:
        with pytest.raises(TreeError, match="^/full: .*dir_nlink"):
            ext4writer.plan(tree, Spec(features=without))


@pytest.mark.slow
def test_a_million_names(make_image: MakeImage) -> None:
    tree = Tree()
    folder = tree.directory("million")
    shared = [RegularFile(BytesContent(b"")) for _ in range(20)]
    for number in range(1_000_000):
        folder.children[b"%d" % number] = shared[number // 60_000]
    image = make_image(tree, level="quick")
    assert_all_found(image, "million", [b"%d" % number for number in range(0, 1_000_000, 7)])


def test_deep_folders(make_image: MakeImage) -> None:
    """Four thousand nested folders: nothing recurses."""
    tree = Tree()
    folder = tree.root
    for _ in range(4000):
        below = Directory()
        folder.children[b"d"] = below
        folder = below
    make_image(tree, level="quick")


def test_lost_and_found(make_image: MakeImage) -> None:
    tree = Tree()
    image = make_image(tree)
    inode = debugfs.inode(image, "/lost+found")
    assert (inode.size, inode.mode & 0o7777, inode.links) == (16384, 0o700, 2)
    assert "Inode: 11   Type: directory" in debugfs.debugfs(image, "stat <11>")
    image = make_image(tree, Spec(lost_and_found=False), name="without")
    assert "lost+found" not in debugfs.debugfs(image, "ls /")


def test_lost_and_found_of_the_source(make_image: MakeImage) -> None:
    require_root()
    tree = Tree()
    tree.directory("lost+found", mode=0o711, uid=7, mtime_ns=5 * 10**9)
    tree.file("lost+found/saved", b"kept")
    image = make_image(tree)
    with mounted(image) as point:
        assert_tree_equal(tree, point)
    tree = Tree()
    tree.file("lost+found", b"a file")
    with pytest.raises(TreeError, match=r"^/lost\+found: must be a directory"):
        ext4writer.plan(tree)


def test_index_after_repair(make_image: MakeImage, tmp_path: Path) -> None:
    """e2fsck -D rebuilds every index; the names are unchanged."""
    tree = Tree()
    listed = [b"name-%05d" % number for number in range(3000)]
    fill(tree.directory("many"), listed)
    image = make_image(tree)
    os.system(f"e2fsck -fyD {image} >/dev/null 2>&1")
    assert_clean(image)
    assert_all_found(image, "many", listed)
