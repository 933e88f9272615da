"""What every inode keeps: times, owners, modes, device numbers, links, extended attributes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

import ext4writer
from ext4writer import BytesContent, Directory, RegularFile, Spec, Tree, TreeError
from ext4writer.ondisk.features import DEFAULT_FEATURES
from ext4writer.ondisk.inode import MAX_TIME_NS, MIN_TIME_NS
from ext4writer.planning.checks import EPOCH_LATEST
from tests.conftest import MakeImage
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import assert_clean
from tests.judges.kernel import mounted
from tests.judges.tools import require_root

SECOND = 10**9
BLOCK_OVERHEAD = 32 + 4


def check(image: Path, tree: Tree, spec: Spec | None = None) -> None:
    require_root()
    with mounted(image) as point:
        assert_tree_equal(tree, point, spec)


TIMES = {
    "oldest": MIN_TIME_NS,
    "before-1970": -1,
    "1969": -5 * SECOND + 123_456_789,
    "epoch": 0,
    "nanoseconds": 1_600_000_000 * SECOND + 987_654_321,
    "2038": (1 << 31) * SECOND,
    "2038-less": (1 << 31) * SECOND - 1,
    "2106": (1 << 32) * SECOND + 1,
    "2242": (1 << 32) * SECOND * 2,
    "newest": MAX_TIME_NS,
}


def test_times(make_image: MakeImage) -> None:
    """All four timestamps, from 1901 to 2446, to the nanosecond."""
    tree = Tree()
    values = list(TIMES.values())
    for number, (name, time_ns) in enumerate(TIMES.items()):
        tree.file(
            name,
            b"",
            mtime_ns=time_ns,
            atime_ns=values[number - 1],
            ctime_ns=values[number - 2],
            crtime_ns=values[number - 3],
        )
    image = make_image(tree)
    check(image, tree)
    for name in TIMES:
        node = tree[name]
        assert debugfs.inode(image, "/" + name).times["crtime"] == node.crtime_ns


def test_times_out_of_range_are_clamped_and_reported(make_image: MakeImage) -> None:
    tree = Tree()
    tree.file("future", b"", mtime_ns=MAX_TIME_NS + 1)
    tree.file("past", b"", mtime_ns=MIN_TIME_NS - 1)
    tree.file("fine", b"", mtime_ns=5)
    layout = ext4writer.plan(tree)
    assert [loss.path for loss in layout.losses] == [b"/future", b"/past"]
    assert all("was clamped to" in loss.what for loss in layout.losses)
    check(make_image(tree), tree)


def test_epoch_clamps_newer_times_and_stamps_the_file_system(make_image: MakeImage) -> None:
    tree = Tree()
    tree.file("older", b"", mtime_ns=999 * SECOND + 5)
    tree.file("newer", b"", mtime_ns=1000 * SECOND + 1, atime_ns=10**18)
    spec = Spec(epoch=1000)
    layout = ext4writer.plan(tree, spec)
    assert [(loss.path, loss.what) for loss in layout.losses] == [
        (b"/newer", "mtime 1000.000000001 was clamped to 1000"),
        (b"/newer", "atime 1000000000 was clamped to 1000"),
    ]
    image = make_image(tree, spec)
    check(image, tree, spec)
    assert debugfs.inode(image, "/lost+found").times["mtime"] == 1000 * SECOND
    assert "1970" in debugfs.superblock(image)["Filesystem created"]


@pytest.mark.parametrize(
    "seconds", [EPOCH_LATEST, EPOCH_LATEST + 1, 4_000_000_000, 1 << 32, 1 << 33, 1 << 40]
)
@pytest.mark.parametrize("inode_size", [128, 256])
def test_a_tree_from_the_future(seconds: int, inode_size: int, make_image: MakeImage) -> None:
    """Times are kept; the superblock's times, which e2fsck compares with its clock, are earlier."""
    tree = Tree()
    tree.file("a", b"", mtime_ns=seconds * SECOND)
    features = DEFAULT_FEATURES if inode_size > 128 else DEFAULT_FEATURES.without("extra_isize")
    spec = Spec(inode_size=inode_size, features=features)
    layout = ext4writer.plan(tree, spec)
    assert layout.epoch == min(seconds, EPOCH_LATEST)
    image = make_image(tree, spec)
    check(image, tree, spec)
    for field in ("Filesystem created", "Last write time", "Last checked"):
        assert "2026" in debugfs.superblock(image)[field]
    found = debugfs.inode(image, "/lost+found").times["mtime"]
    assert found == EPOCH_LATEST * SECOND


def test_the_stamp_follows_a_tree_of_the_past(make_image: MakeImage) -> None:
    tree = Tree()
    tree.file("a", b"", mtime_ns=1_000_000_000 * SECOND)
    assert ext4writer.plan(tree).epoch == 1_000_000_000
    tree["/a"].ctime_ns = 1_000_000_077 * SECOND + 1
    assert ext4writer.plan(tree).epoch == 1_000_000_077
    tree["/a"].mtime_ns = tree["/a"].ctime_ns = -5
    tree.root.mtime_ns = -5
    assert ext4writer.plan(tree).epoch == 0


def test_inodes_of_128_bytes_keep_seconds(make_image: MakeImage) -> None:
    tree = Tree()
    tree.file("late", b"", mtime_ns=(1 << 32) * SECOND)
    tree.file("fine", b"", mtime_ns=77 * SECOND)
    tree.file("exact", b"", mtime_ns=77 * SECOND + 5)
    spec = Spec(inode_size=128, features=DEFAULT_FEATURES.without("extra_isize"))
    layout = ext4writer.plan(tree, spec)
    assert [loss.path for loss in layout.losses] == [b"/exact", b"/late"]
    check(make_image(tree, spec), tree, spec)


def test_owners_and_modes(make_image: MakeImage) -> None:
    tree = Tree(Directory(mode=0o1777, uid=1 << 16, gid=(1 << 32) - 2, mtime_ns=3 * SECOND))
    for number, owner in enumerate((0, 1, 65_535, 65_536, 1 << 31, (1 << 32) - 2)):
        tree.file(f"file-{number}", b"", uid=owner, gid=(1 << 32) - 2 - owner)
    for mode in (0, 0o777, 0o4755, 0o2755, 0o1777, 0o7777):
        tree.file(f"mode-{mode:o}", b"", mode=mode)
        tree.directory(f"folder-{mode:o}", mode=mode)
    check(make_image(tree), tree)


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"uid": 1 << 32}, "uid 4294967296 is out of range"),
        ({"gid": -1}, "gid -1 is out of range"),
        ({"mode": 0o10000}, "mode 10000 is out of range"),
    ],
)
def test_owners_out_of_range(attributes: dict[str, int], problem: str) -> None:
    tree = Tree()
    tree.file("odd", b"", **attributes)  # type: ignore[arg-type]
    with pytest.raises(TreeError, match=f"^/odd: {problem}"):
        ext4writer.plan(tree)


def test_special_files(make_image: MakeImage) -> None:
    tree = Tree()
    numbers = [(0, 0), (5, 1), (255, 255), (256, 0), (8, 256), (4095, 1_048_575), (0, 256)]
    for major, minor in numbers:
        tree.device(f"char-{major}-{minor}", "c", major, minor, mode=0o666)
        tree.device(f"block-{major}-{minor}", "b", major, minor, uid=5)
    tree.fifo("fifo", mode=0o600)
    tree.socket("socket", gid=9)
    tree.link("fifo again", "fifo")
    check(make_image(tree), tree)
    tree.device("odd", "c", 4096, 0)
    with pytest.raises(TreeError, match="^/odd: device 4096:0 is out of range"):
        ext4writer.plan(tree)


def test_hard_links(make_image: MakeImage) -> None:
    tree = Tree()
    tree.directory("a")
    tree.directory("z")
    tree.file("z/first", b"content" * 1000)
    for name in ("a/second", "third", "z/fourth"):
        tree.link(name, "z/first")
    tree.symlink("link", "t" * 100)
    tree.link("a/link", "link")
    image = make_image(tree)
    check(image, tree)
    assert debugfs.inode(image, "/third").links == 4
    with pytest.raises(TreeError, match="second name"):
        tree.link("b", "a")
    tree.root.children[b"b"] = tree["a"]
    with pytest.raises(TreeError, match="^/b: is a second name of a directory"):
        ext4writer.plan(tree)


@pytest.mark.parametrize("links", [65_000, 65_001])
def test_most_hard_links(make_image: MakeImage, links: int) -> None:
    tree = Tree()
    file = RegularFile(BytesContent(b"x"))
    folder = tree.directory("folder")
    for number in range(links):
        folder.children[b"%d" % number] = file
    if links > 65_000:
        with pytest.raises(TreeError, match="^/folder/0: has 65001 hard links; the maximum"):
            ext4writer.plan(tree)
        return
    image = make_image(tree, level="quick")
    assert debugfs.inode(image, "/folder/7").links == links


# -- extended attributes -----------------------------------------------------------------------


def acl(*entries: tuple[int, int, int]) -> bytes:
    """An access control list in the form of the system call."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ACCESS = acl(
    (1, 7, NOBODY), (2, 5, 1234), (4, 5, NOBODY), (8, 4, 99), (16, 5, NOBODY), (32, 0, NOBODY)
)
MINIMAL = acl((1, 6, NOBODY), (4, 4, NOBODY), (32, 0, NOBODY))
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def test_attributes_of_every_kind(make_image: MakeImage) -> None:
    everything = {
        b"user.note": b"text",
        b"user.empty": b"",
        b"user.binary": bytes(range(256)),
        b"trusted.overlay.opaque": b"y",
        b"security.capability": CAPABILITY,
        b"security.selinux": b"system_u:object_r:etc_t:s0\0",
        b"system.posix_acl_access": ACCESS,
    }
    tree = Tree(Directory(xattrs={b"user.root": b"r", b"system.posix_acl_default": ACCESS}))
    tree.root.mode = 0o755
    for number, (name, value) in enumerate(everything.items()):
        tree.file(f"one-{number}", b"x", mode=0o750, xattrs={name: value})
    tree.file("all", b"x", mode=0o750, xattrs=everything)
    tree.directory(
        "folder", mode=0o750, xattrs={**everything, b"system.posix_acl_default": MINIMAL}
    )
    tree.symlink("link", "target", xattrs={b"security.selinux": b"label", b"trusted.t": b"v"})
    tree.symlink("slow", "t" * 99, xattrs={b"trusted.t": b"v" * 300})
    tree.device("device", "c", 1, 3, xattrs={b"security.selinux": b"null_device_t"})
    tree.fifo("fifo", xattrs={b"trusted.t": b"v" * 200})
    check(make_image(tree), tree)


@pytest.mark.parametrize("inode_size", [128, 256, 512, 1024])
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_attributes_that_just_fit(make_image: MakeImage, inode_size: int, block_size: int) -> None:
    """With one byte more, the set leaves the inode, is split, or is refused by path."""
    features = DEFAULT_FEATURES if inode_size > 128 else DEFAULT_FEATURES.without("extra_isize")
    spec = Spec(inode_size=inode_size, block_size=block_size, features=features)
    tree = Tree()
    # Header and end of the list, then an entry of 16 bytes and a name of 4.
    inside = max(0, inode_size - 160 - 8 - 20)
    outside = block_size - BLOCK_OVERHEAD - 20
    if inside:
        tree.file("inside", b"", xattrs={b"user.full": b"i" * inside})
        tree.file("moved", b"", xattrs={b"user.full": b"i" * (inside + 1)})
        tree.file("split", b"", xattrs={b"user.full": b"i" * inside, b"user.more": b"o" * outside})
    tree.file("outside", b"", xattrs={b"user.full": b"o" * outside})
    layout = ext4writer.plan(tree, spec)
    assert layout.space["xattr blocks"] == (3 if inside else 1) * block_size
    check(make_image(tree, spec), tree, spec)
    tree.file("refused", b"", xattrs={b"user.full": b"o" * (outside + 1)})
    if inside < outside + 1:
        with pytest.raises(
            TreeError, match=r"^/refused: its extended attributes need .*user\.full"
        ):
            ext4writer.plan(tree, spec)


def test_equal_sets_share_a_block(make_image: MakeImage) -> None:
    tree = Tree()
    shared = {b"user.shared": b"s" * 500}
    for number in range(2500):
        tree.file(f"file-{number}", b"", xattrs=dict(shared))
    tree.file("other", b"", xattrs={b"user.shared": b"t" * 500})
    layout = ext4writer.plan(tree)
    assert layout.space["xattr blocks"] == 4 * 4096
    image = make_image(tree)
    check(image, tree)
    with mounted(image, rw=True) as point:
        for number in range(0, 2500, 3):
            os.setxattr(point / f"file-{number}", "user.shared", b"changed")
        for number in range(1, 2500, 3):
            (point / f"file-{number}").unlink()
    assert_clean(image)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (b"btrfs.compression", b"zstd", "no prefix"),
        (b"user.", b"", "1 to 255 bytes"),
        (b"system.posix_acl_access", b"\2\0\0\0rubbish", "malformed"),
    ],
)
def test_impossible_attributes(name: bytes, value: bytes, problem: str) -> None:
    tree = Tree()
    tree.file("odd", b"", xattrs={name: value})
    with pytest.raises(TreeError, match=f"^/odd: .*{problem}"):
        ext4writer.plan(tree)


def test_attributes_need_their_feature() -> None:
    tree = Tree()
    tree.file("odd", b"", xattrs={b"user.x": b""})
    with pytest.raises(TreeError, match="^/odd: .*ext_attr"):
        ext4writer.plan(tree, Spec(features=DEFAULT_FEATURES.without("ext_attr")))
