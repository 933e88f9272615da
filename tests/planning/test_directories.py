"""Directories: indexes of any number of levels, rules for each directory, blocks of 64 KiB."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import DEFAULT_FEATURES, FeatureSet, Layout, Spec, Tree, TreeError
from ext4writer.inspection.check import check_image
from ext4writer.layout import plan_of
from ext4writer.ondisk.htree import DX_HASH_TEA
from ext4writer.ondisk.inode import EXT4_INDEX_FL
from ext4writer.planning import planner
from ext4writer.planning import spec as spec_module
from ext4writer.planning.directories import DirectoryRulebook, DirectoryRules, IndexedDirectory
from ext4writer.read import open_image
from tests.judges import debugfs
from tests.judges.fsck import judge
from tests.judges.kernel import mounted
from tests.judges.tools import require_root


def index_of(leaves: int, per_node: int, at_root: int) -> IndexedDirectory:
    levels: list[int] = []
    below = leaves
    while below > at_root:
        below = -(-below // per_node)
        levels.insert(0, below)
    return IndexedDirectory((), (), range(0, 2 * leaves, 2), tuple(levels), per_node, 1)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 900), st.integers(2, 9), st.integers(1, 9))
def test_every_block_is_below_one_index_block(leaves: int, per_node: int, at_root: int) -> None:
    index = index_of(leaves, per_node, at_root)
    met: list[int] = []

    def walk(block: int, level: int, least: int) -> list[int]:
        children = index.children(block)
        assert 1 <= len(children) <= (per_node if level else at_root)
        assert children[0][0] == least
        hashes = []
        for hashed, child in children:
            met.append(child)
            if level == len(index.levels):
                hashes.append(hashed)
            else:
                hashes += walk(child, level + 1, hashed)
        return hashes

    assert walk(0, 0, 0) == list(index.hashes)
    assert sorted(met) == list(range(1, index.blocks))


def many_names(count: int) -> Tree:
    """A directory of ``count`` names of 255 bytes, all of one file."""
    tree = Tree()
    tree.directory("many")
    tree.file("many/first", b"content")
    for number in range(count):
        tree.link(f"many/{number:0255}", "many/first")
    return tree


def test_a_directory_of_two_gib_needs_large_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lowered to 64 KiB: the names up to the real one would take minutes."""
    monkeypatch.setattr(planner, "LARGE_FILE_BYTES", 65536)
    with pytest.raises(TreeError, match="^/many: has .* need the feature large_dir"):
        ext4writer.plan(many_names(300), Spec(features="^resize_inode"))
    ext4writer.plan(many_names(300), Spec(features="^resize_inode,large_dir"))


def test_an_index_of_three_levels(tmp_path: Path) -> None:
    """It needs large_dir; there are too many names for two levels."""
    tree = many_names(47_000)
    spec = {"block_size": 1024, "free": 1 << 20}
    with pytest.raises(
        TreeError, match="an index of 2 levels over blocks of 1024 bytes.*, large_dir or"
    ):
        ext4writer.plan(tree, Spec(**spec))
    image = tmp_path / "image"
    ext4writer.write_image(tree, image, Spec(features="large_dir", **spec))
    judge(image, "quick")
    with open_image(image) as opened:
        assert check_image(opened).is_clean
        assert opened.lookup(f"/many/{46_998:0255}").links == 47_001
    require_root()
    with mounted(image, rw=True) as point:
        for number in range(0, 47_000, 901):
            assert (point / "many" / f"{number:0255}").read_bytes() == b"content"
        (point / "many" / "new").write_bytes(b"new")
    judge(image, "quick")
    assert debugfs.inode(image, "/many").flags & EXT4_INDEX_FL
    dump = debugfs.debugfs(image, "htree_dump /many")
    assert "Indirect levels: 2" in dump
    found = debugfs.debugfs(image, f"stat /many/{46_999:0255}")
    assert "Links: 47001" in found


@pytest.mark.judged("quick")  # e2fsck -fy adds indexes where there are none
def test_each_directory_has_its_own_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree()
    for folder in ("plain", "tea", "linear"):
        tree.directory(folder)
        for number in range(400):
            tree.file(f"{folder}/{number:04}{'n' * 60}", b"")

    def rulebook(_: object, usual: DirectoryRules) -> DirectoryRulebook:
        # Directories come depth first: the root, lost+found, then these.
        others = {2: usual._replace(max_levels=0), 4: usual._replace(hash_version=DX_HASH_TEA)}
        return DirectoryRulebook(usual, others)

    monkeypatch.setattr(planner, "_rulebook", rulebook)
    image = tmp_path / "image"
    layout = ext4writer.write_image(tree, image)
    judge(image, "quick")
    for folder, version in (("linear", None), ("plain", 1), ("tea", 2)):
        flags = debugfs.inode(image, f"/{folder}").flags
        assert bool(flags & EXT4_INDEX_FL) is (version is not None)
        if version is not None:
            dump = debugfs.debugfs(image, f"htree_dump /{folder}")
            assert re.search(rf"Hash Version: {version}\b", dump)
    assert len(plan_of(layout).directories) == 4  # lost+found has more than one block


def test_names_that_differ_in_case_have_one_hash() -> None:
    usual = plan_of(ext4writer.plan(Tree())).directory_rules
    rules = usual._replace(casefold=True)
    names = [b"README", b"readme", "GRÜN".encode(), "grün".encode(), b"\xff\xfe"]
    keys = rules.keys(names)
    assert keys[0] == keys[1] and keys[2] == keys[3]
    assert keys[4] == usual.keys(names)[4] and keys[1] == usual.keys(names)[1]


@pytest.fixture
def large_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec_module, "BLOCK_SIZES", (*spec_module.BLOCK_SIZES, 65536))


@pytest.mark.parametrize(
    "features", ["metadata_csum", "^metadata_csum", "^metadata_csum,^dir_index"]
)
def test_blocks_of_64_kib(features: str, large_blocks: Any, tmp_path: Path) -> None:
    """A length of 64 KiB does not fit 16 bits, so records of a whole block encode it."""
    tree = Tree()
    tree.directory("empty")
    tree.directory("many")
    for number in range(3000):
        tree.file(f"many/{number:04}{'n' * 90}", b"%d" % number)
    spec = Spec(
        block_size=65536,
        journal="none",
        features=FeatureSet.parse(features, DEFAULT_FEATURES),
    )
    image = tmp_path / "image"
    layout: Layout = ext4writer.write_image(tree, image, spec)
    judge(image, "quick")
    assert plan_of(layout).format.blocks_per_group == 65528
    assert len(debugfs.debugfs(image, "ls -p /many").splitlines()) > 3000
