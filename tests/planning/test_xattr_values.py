"""Attribute values in separate inodes: who shares them, who is charged, who reads them."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import (
    DEFAULT_FEATURES,
    Layout,
    LayoutPolicy,
    RandomPolicy,
    Spec,
    SpecError,
    Tree,
    TreeError,
    plan,
    policy,
)
from ext4writer.emit.units import PlannedUnits
from ext4writer.inspection.check import check_image
from ext4writer.inspection.check.tree import ea_inode_references
from ext4writer.inspection.show import explain, inode_unit
from ext4writer.layout import plan_of
from ext4writer.ondisk.inode import EXT4_EA_INODE_FL
from ext4writer.ondisk.units import Unit, UnitKind, checksum_unit
from ext4writer.planning.random_policy import SeededPolicy
from ext4writer.read import open_image
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import judge, judge_bytes, problems
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run
from tests.makers.strategies import trees

pytestmark = pytest.mark.judged("quick")


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def sample() -> Tree:
    """Values of all sizes, on all kinds of files, next to others that also need space."""
    tree = Tree()
    shared = noise(30_000)
    for size in (100, 1000, 2000, 4000, 4100, 9000, 65535, 65536):
        value = noise(size)
        for number in range(3):
            xattrs = {b"user.v": value, b"user.w": b"x" * 50}
            tree.file(f"f/{size}-{number}", noise(number * 99), parents=True, xattrs=xattrs)
        xattrs = {b"user.other": value, b"trusted.shared": shared, b"security.empty": b""}
        tree.file(f"g/{size}", noise(40), parents=True, xattrs=xattrs)
        trusted = {b"trusted.v": value}
        tree.symlink(f"s/fast-{size}", "t" * 30, parents=True, xattrs=trusted)
        tree.symlink(f"s/slow-{size}", "t" * 130, parents=True, xattrs=trusted)
        tree.fifo(f"s/fifo-{size}", xattrs=trusted)
        tree.device(f"s/device-{size}", "c", 1, 3, xattrs=trusted)
        xattrs = {b"user.d": value, b"user.e": shared}
        tree.directory(f"d/{size}", parents=True, xattrs=xattrs)
    for number in range(9):
        many = {b"user.%d" % place: noise(300 + number + place) for place in range(20)}
        tree.file(f"many/{number}", b"", parents=True, xattrs=many)
    return tree


SPECS: dict[str, dict[str, Any]] = {
    "4K": {"features": "ea_inode"},
    "1K, inline": {"features": "ea_inode,inline_data", "block_size": 1024, "inode_size": 512},
    "1K, 128": {"features": "ea_inode", "block_size": 1024, "inode_size": 128},
    "random": {
        "features": "ea_inode,inline_data,^metadata_csum",
        "block_size": 2048,
        "policy": RandomPolicy(4),
    },
    "block maps, a given size": {
        "type": "ext3",
        "features": "ea_inode",
        "block_size": 1024,
        "size": 80 << 20,
    },
    "each in an inode of its own": {
        "features": "ea_inode",
        "block_size": 2048,
        "policy": policy("xattr-inodes-apart"),
    },
    "stored seed": {"features": "ea_inode,metadata_csum_seed", "inode_size": 4096},
}


@pytest.mark.parametrize("name", SPECS)
def test_the_kernel_reads_and_changes_them(name: str, tmp_path: Path) -> None:
    spec, tree, image = Spec(**SPECS[name]), sample(), tmp_path / "image"
    layout = ext4writer.write_image(tree, image, spec)
    judge(image, "quick" if spec.policy else "full")
    with open_image(image) as opened:
        assert check_image(opened).is_clean
    if spec.size is None:
        assert layout.available_bytes >= spec.fitted_free
    require_root()
    with mounted(image, rw=True, options="noatime") as point:
        assert_tree_equal(tree, point, spec)
        # The values differ: kernels count a value once too often when blocks become equal.
        for number, file in enumerate(sorted((point / "f").iterdir())[::2]):
            os.setxattr(file, "user.new", noise(5000 + number))
            os.removexattr(file, "user.v")
        for file in sorted((point / "g").iterdir())[::2]:
            file.unlink()
        for file in sorted((point / "s").iterdir())[::3]:
            file.unlink()
        for folder in (point / "d").iterdir():
            os.setxattr(folder, "user.d", noise(8000 + int(folder.name) // 4))
    judge(image, "quick")


def test_e2fsprogs_moves_them_and_recomputes_their_checksums(tmp_path: Path) -> None:
    """After growth, shrinking, which moves inodes, and a new seed for the hashes of all values."""
    image = tmp_path / "image"
    ext4writer.write_image(sample(), image, Spec(**SPECS["1K, inline"]))
    os.truncate(image, 200 << 20)
    for command in (["resize2fs"], ["resize2fs", "-M"], ["tune2fs", "-U", "random"]):
        run([*command, image])
        judge(image, "quick")
    with open_image(image) as opened:
        assert opened.lookup("/g/65536").xattrs()[b"user.other"] == noise(65536)
        assert opened.open("/g/65536").read() == noise(40)


@pytest.mark.parametrize("choice", ["default", "xattr-inodes-apart"])
def test_quotas_count_values_for_each_that_has_them(choice: str, tmp_path: Path) -> None:
    tree = sample()
    for number, node in enumerate(node for _, node in tree.walk()):
        node.uid = number % 3
    image = tmp_path / "image"
    spec = Spec(features="ea_inode,quota,project", block_size=2048, policy=policy(choice))
    ext4writer.write_image(tree, image, spec)
    judge(image, "full" if choice == "default" else "quick")
    with open_image(image) as opened:
        assert check_image(opened).is_clean


def test_equal_values_share_an_inode() -> None:
    """Each entry in an inode counts, but those of a shared block count once."""
    tree = Tree()
    large, other = noise(20_000), noise(20_001)
    for number in range(5):
        tree.file(f"alone {number}", b"", xattrs={b"user.a%d" % number: large})
    beside = {b"user.a": large, b"user.b": b"b" * 300, b"trusted.c": other}
    for number in range(7):
        tree.file(f"block {number}", b"", xattrs=beside)
    image = bytearray()
    layout = ext4writer.write_image(tree, image, Spec(features="ea_inode"))
    judge_bytes(image)
    assert layout.space["xattr values"] == 2 * 5 * 4096
    assert layout.space["xattr blocks"] == 4096
    with open_image(bytes(image)) as opened:
        holders = [one for one in opened.inodes() if one.flags & EXT4_EA_INODE_FL and one.links]
        found = sorted((one.size, ea_inode_references(one.raw)) for one in holders)
        assert found == [(20_000, 5 + 1), (20_001, 1)]
        for number in range(7):
            assert opened.lookup(f"/block {number}").xattrs() == beside
        assert opened.lookup("/alone 0").blocks == 5 * 8
        assert opened.lookup("/block 0").blocks == (1 + 5 + 5) * 8


class ValuesApart(LayoutPolicy):
    """Stores each value that does not fit in a separate inode."""

    name = "values-apart"

    def xattr_values_shared(self) -> bool:
        return False


class SomeApart(SeededPolicy):
    """Stores half of all equal values again."""

    name = "some-apart"

    def xattr_values_shared(self) -> bool:
        return self.below(2) == 0


def with_equal_values() -> Tree:
    """Equal values under one name and under two names of a file, in the inode and in a block."""
    tree = Tree()
    large, other = noise(20_000), noise(20_001)
    for number in range(5):
        tree.file(f"alone {number}", b"", xattrs={b"user.a": large})
        tree.file(f"twice {number}", b"", xattrs={b"user.a": other, b"user.b": other})
    beside = {b"user.a": large, b"user.b": b"b" * 300, b"trusted.c": other}
    for number in range(7):
        tree.file(f"block {number}", b"", xattrs=beside)
    return tree


def value_references(image: Path) -> list[tuple[int, int]]:
    """The size and reference count of each inode that holds a value."""
    with open_image(image) as opened:
        assert check_image(opened, data=True).is_clean
        return sorted(
            (one.size, ea_inode_references(one.raw))
            for one in opened.inodes()
            if one.flags & EXT4_EA_INODE_FL and one.links
        )


def test_a_policy_can_store_equal_values_separately(tmp_path: Path) -> None:
    image, tree = tmp_path / "image", with_equal_values()
    large, other = [(20_000, 1)] * (5 + 7), [(20_001, 1)] * (2 * 5 + 7)
    for choice, more in ((policy("xattr-inodes-apart"), [(300, 1)] * 7), (ValuesApart(), [])):
        spec = Spec(features="ea_inode", policy=choice)
        layout = ext4writer.write_image(tree, image, spec)
        judge(image, "quick")
        assert value_references(image) == more + large + other
        assert layout.space["xattr values"] == (5 * len(large + other) + len(more)) * 4096
        # A value that is stored again is in no shared block.
        assert layout.space["xattr blocks"] == (0 if more else 7 * 4096)
        require_root()
        with mounted(image) as point:
            assert_tree_equal(tree, point, spec)


def test_a_policy_shares_some_values(tmp_path: Path) -> None:
    image, tree = tmp_path / "image", with_equal_values()
    ext4writer.write_image(tree, image, Spec(features="ea_inode", policy=SomeApart(1)))
    judge(image, "quick")
    found = [count for _, count in value_references(image)]
    assert 2 < len(found) < 2 * 5 + 5 + 2 * 7
    assert max(found) > 1 == min(found)


def test_only_what_does_not_fit_has_an_inode(tmp_path: Path) -> None:
    image = tmp_path / "image"
    tree = Tree()
    room = 4096 - 32 - 4 - 16 - 4
    tree.file("fits", b"", xattrs={b"user.name": noise(room)})
    tree.file("over", b"", xattrs={b"user.name": noise(room + 1)})
    layout = ext4writer.write_image(tree, image, Spec(features="ea_inode"))
    judge(image, "full")
    assert layout.space["xattr values"] == layout.space["xattr blocks"] == 4096
    with open_image(image) as opened:
        assert opened.lookup("/fits").file_acl and not opened.lookup("/over").file_acl
        [last] = [one.ino for one in opened.inodes() if one.flags & EXT4_EA_INODE_FL and one.links]
        assert last == max(one.ino for one in opened.inodes() if one.links)
    assert debugfs.inode(image, last).size == room + 1


def test_values_that_do_not_fit_are_answered_with_the_feature() -> None:
    tree = Tree()
    tree.file("large", b"", xattrs={b"user.name": noise(5000)})
    with pytest.raises(TreeError, match=r"/large.*need 5020 bytes.*add the feature ea_inode"):
        plan(tree)
    plan(tree, Spec(features="ea_inode"))
    tree.file("larger", b"", xattrs={b"user.name": noise(65537)})
    for features in (DEFAULT_FEATURES, DEFAULT_FEATURES.with_("ea_inode")):
        with pytest.raises(TreeError, match=r"/larger.*user.name has 65537 bytes; the maximum"):
            plan(tree, Spec(features=features, inode_size=4096, block_size=65536))
    tree = Tree()
    names = {b"user." + b"%0250d" % number: b"" for number in range(30)}
    tree.file("names", b"", xattrs=names)
    for features in (DEFAULT_FEATURES, DEFAULT_FEATURES.with_("ea_inode")):
        with pytest.raises(TreeError, match=r"/names.*and 10 more\)$"):
            plan(tree, Spec(features=features))


@pytest.mark.parametrize("name", ["4K", "random"])
def test_planned_units_of_values_are_found(name: str) -> None:
    image = bytearray()
    layout = ext4writer.write_image(sample(), image, Spec(**SPECS[name]))
    planned = PlannedUnits(plan_of(layout))
    runs = planned.runs_of(UnitKind.XATTR_VALUE)
    wanted = {unit._replace(make=None): unit for run in runs for unit in run.units()}
    with open_image(bytes(image)) as opened:
        found: set[Unit] = {one for one in opened.units() if one.kind is UnitKind.XATTR_VALUE}
        assert found == wanted.keys()
        for unit in wanted.values():
            assert unit.make is not None
            data = bytearray(unit.make())
            assert data == image[unit.offset : unit.offset + unit.size]
            assert checksum_unit(opened.format, unit, data) is None


def test_a_saved_plan_makes_the_same_image(tmp_path: Path) -> None:
    image, again = bytearray(), bytearray()
    layout = ext4writer.write_image(sample(), image, Spec(**SPECS["1K, inline"]))
    layout.save(tmp_path / "plan")
    ext4writer.write_layout(Layout.load(tmp_path / "plan"), again)
    assert again == image


@pytest.mark.parametrize(
    "override",
    [
        "xattr_entry[/over:user.name].e_value_inum=14",
        "xattr_entry[/over:user.name].e_hash=5",
        "xattr_entry[/over:user.name].e_value_size=9",
        "inode[13].l_i_version=7",
        "inode[13].i_flags=0x80000",
    ],
)
def test_overrides_damage_references(override: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    tree = Tree()
    tree.file("over", b"", xattrs={b"user.name": noise(9000)})
    ext4writer.write_image(tree, image, Spec(features="ea_inode"), overrides=[override])
    assert problems(image)
    with open_image(image) as opened:
        assert not check_image(opened).is_clean


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    tree=trees(max_nodes=12),
    large=st.lists(
        st.tuples(
            st.integers(0, 11),
            st.sampled_from([b"trusted.large", b"security.other", b"trusted.a"]),
            st.sampled_from([0, 200, 480, 960, 1000, 2000, 4000, 4050, 9000, 65536]),
        ),
        max_size=6,
    ),
    sizes=st.sampled_from(
        [(1024, 128), (1024, 256), (1024, 1024), (2048, 512), (4096, 256), (4096, 4096)]
    ),
    features=st.sampled_from(
        ["ea_inode", "ea_inode,inline_data", "ea_inode,inline_data,^extent,^64bit"]
    ),
    policy=st.none() | st.integers(0, 99),
)
def test_any_tree_survives(
    tree: Tree,
    large: list[tuple[int, bytes, int]],
    sizes: tuple[int, int],
    features: str,
    policy: int | None,
    tmp_path: Path,
) -> None:
    require_root()
    nodes = [node for _, node in tree.walk()]
    for place, name, size in large:
        node = nodes[place % len(nodes)]
        node.xattrs = {**(node.xattrs or {}), name: noise(size)}
    block_size, inode_size = sizes
    if inode_size == 128:
        features = features.replace(",inline_data", "")
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        image = Path(folder, "image")
        spec = Spec(
            features=features,
            block_size=block_size,
            inode_size=inode_size,
            free=1 << 20,
            policy=None if policy is None else RandomPolicy(policy),
        )
        try:
            layout = ext4writer.write_image(tree, image, spec)
        except (TreeError, SpecError) as error:
            assert str(error)
            assume(False)
        judge(image, "quick")
        assert layout.available_bytes >= 1 << 20
        with open_image(image) as opened:
            assert check_image(opened).is_clean
        with mounted(image) as point:
            assert_tree_equal(tree, point, spec)


def test_values_in_inodes_are_shown() -> None:
    tree = Tree()
    tree.file("held", b"", xattrs={b"user.name": noise(9000)})
    for number in range(6):
        tree.file(f"folder/name{number}", b"", parents=True)
    image = bytearray()
    ext4writer.write_image(tree, image, Spec(features="inline_data,ea_inode"))
    with open_image(bytes(image)) as opened:
        folder = opened.lookup("/folder")
        rows = explain(opened, inode_unit(folder))
        names = [row.means for row in rows if row.name.endswith("].name")]
        assert names == [
            *(f"name{number}" for number in range(3)),
            "system.data",
            "name3",
            "name4",
            "name5",
        ]
        [holder] = [one for one in opened.inodes() if one.flags & EXT4_EA_INODE_FL and one.links]
        told = {row.name: row.means for row in explain(opened, inode_unit(holder))}
        assert told["inode.l_i_version"] == "the number of attributes that refer to the value"
        assert told["inode.i_atime"] == "the hash of the attribute value that it holds"
