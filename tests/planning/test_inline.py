"""Files, links and directories inside inodes: which fit, where their bytes are, who reads them."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import (
    LayoutPolicy,
    Override,
    OverrideError,
    Progress,
    RandomPolicy,
    SourceChangedError,
    Spec,
    SpecError,
    Tree,
    TreeError,
    plan,
)
from ext4writer.inspection.check import check_image
from ext4writer.ondisk.inode import EXT4_EXTENTS_FL, EXT4_INLINE_DATA_FL
from ext4writer.read import open_image
from ext4writer.sources import directory
from tests.judges import foreign
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import judge, judge_bytes, problems
from tests.judges.kernel import mounted
from tests.judges.tools import require_root

pytestmark = pytest.mark.judged("quick")

NAME_LENGTHS = (1, 8, 20, 44, 48, 60)


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def sample(most: int) -> Tree:
    """Files and links of all sizes near ``most``, and directories of sizes near the limit.

    Half of them have attributes, which compete for the space.
    """
    tree = Tree()
    near = (most + step for step in (-61, -60, -36, -4, -3, -1, 0, 1, 4))
    sizes = sorted({0, 1, 59, 60, 61, 62, 64, 65, *near, 5000})
    for size in sizes:
        tree.file(f"files/{size}", content(size), parents=True)
        xattrs = {b"user.a": content(size % 90), b"user.empty": b""}
        tree.file(f"with/{size}", content(size), parents=True, xattrs=xattrs)
        if 0 < size < 1000:
            tree.symlink(f"links/{size}", b"t" * size, parents=True)
            label = {b"trusted.label": content(size % 40)}
            tree.symlink(f"links/{size}l", b"t" * size, parents=True, xattrs=label)
    for length in NAME_LENGTHS:
        for count in {1, 2, 5, most // (8 + length), most // (8 + length) + 1}:
            for folder, xattrs in (("plain", {}), ("labelled", {b"user.d": content(length)})):
                path = f"{folder}/{count}x{length}"
                tree.directory(path, parents=True, xattrs=xattrs or None)
                for number in range(count):
                    tree.file(f"{path}/{number:0{length}}"[-200:], b"held")
    tree.file("zeros", bytes(100))
    tree.link("second name", "files/61")
    return tree


SPECS: dict[str, dict[str, Any]] = {
    "4K, 256": {},
    "1K, 1024": {"block_size": 1024, "inode_size": 1024},
    "4K, 4096, a given size": {"inode_size": 4096, "size": 96 << 20},
    "1K, 512, random": {"block_size": 1024, "inode_size": 512, "policy": RandomPolicy(6)},
    "block maps": {"type": "ext3", "block_size": 2048, "policy": RandomPolicy(2)},
}


@pytest.mark.parametrize("name", SPECS)
def test_the_kernel_reads_and_changes_them(name: str, tmp_path: Path) -> None:
    """The kernel grows files and directories out of their inodes, and adds attributes."""
    spec = Spec(features="inline_data", **SPECS[name])
    tree = sample(min(spec.inode_size - 128, 4000))
    image = tmp_path / "image"
    layout = ext4writer.write_image(tree, image, spec)
    judge(image, "quick" if spec.policy else "full")
    with open_image(image) as opened:
        assert check_image(opened).is_clean
    if spec.size is None:
        assert layout.available_bytes >= spec.fitted_free
    require_root()
    with mounted(image, rw=True, options="noatime") as point:
        assert_tree_equal(tree, point, spec)
        for folder in sorted((point / "plain").iterdir()) + sorted((point / "labelled").iterdir()):
            (folder / "new").write_bytes(b"new" * 9)
            (folder / ("longer" * 20)).mkdir()
        for file in sorted((point / "files").iterdir()) + sorted((point / "with").iterdir()):
            with file.open("ab") as stream:
                stream.write(b"more")
            os.setxattr(file, "user.new", b"n" * 20)
        for file in sorted((point / "files").iterdir())[::3]:
            os.truncate(file, 30)
        for file in sorted((point / "with").iterdir())[::4]:
            file.unlink()
    judge(image, "quick")


@pytest.mark.parametrize(
    ("block_size", "inode_size", "most"),
    [(4096, 256, 128), (1024, 512, 384), (4096, 4096, 3968), (65536, 32768, 4096)],
)
def test_which_files_and_links_fit_inline(block_size: int, inode_size: int, most: int) -> None:
    """As much as the kernel stores inline; beyond 4 KiB, as much as it reads."""
    tree = Tree()
    for size in (0, 60, most, most + 1):
        tree.file(f"{size}", content(size))
    label = {b"user.x": b"y" * 20}  # 16 + 4 + 20 bytes
    tree.file("both", content(most - 40), xattrs=label)
    tree.file("either", content(most - 39), xattrs=label)
    entries = most - 4  # all but the number of the parent
    tree.directory("full")
    for number in range(56 // 12 + (entries - 56) // 12):
        tree.file(f"full/{number:04x}", b"")
    tree.directory("over")
    for number in range(entries // 12 + 1):
        tree.file(f"over/{number:04x}", b"")
    image = bytearray()
    spec = Spec(features="inline_data", block_size=block_size, inode_size=inode_size, free=0)
    layout = ext4writer.write_image(tree, image, spec)
    judge_bytes(image)
    with open_image(bytes(image)) as opened:
        assert check_image(opened).is_clean
        for name in ("0", "60", f"{most}", "both", "either", "full"):
            inode = opened.lookup(f"/{name}")
            assert inode.flags == EXT4_INLINE_DATA_FL, name
            assert inode.blocks == (block_size // 512 if inode.file_acl else 0), name
        assert not opened.lookup("/both").file_acl or inode_size == 32768
        assert opened.lookup("/either").file_acl or inode_size == 32768
        for name in (f"{most + 1}", "over", "", "lost+found"):
            assert opened.lookup(f"/{name}").flags == EXT4_EXTENTS_FL, name
        for size in (0, 60, most, most + 1):
            assert opened.open(f"/{size}").read() == content(size)
    assert layout.content_bytes == 60 + most + most + 1 + most - 40 + most - 39


def test_a_link_with_attributes_that_do_not_fit_is_stored_in_a_block() -> None:
    """e2fsck ignores the attribute blocks of inline links, and would free them."""
    tree = Tree()
    tree.symlink("fits", b"t" * 100, xattrs={b"trusted.a": b"b"})
    tree.symlink("does not", b"t" * 100, xattrs={b"trusted.a": b"b" * 30})
    image = bytearray()
    ext4writer.write_image(tree, image, Spec(features="inline_data"))
    judge_bytes(image)
    with open_image(bytes(image)) as opened:
        assert opened.lookup("/fits", follow=False).has_inline_data
        assert not opened.lookup("/does not", follow=False).has_inline_data


def test_quotas_count_data_in_inodes(tmp_path: Path) -> None:
    """The kernel and e2fsck count inline links differently, so with quota there are none."""
    image = tmp_path / "image"
    ext4writer.write_image(sample(128), image, Spec(features="inline_data,quota,project"))
    judge(image, "full")
    with open_image(image) as opened:
        assert check_image(opened).is_clean
        assert opened.lookup("/files/92").has_inline_data
        assert not opened.lookup("/links/92", follow=False).has_inline_data


def test_programs_read_inodes_of_32_kib(tmp_path: Path) -> None:
    image = tmp_path / "image"
    tree = Tree()
    for size in (0, 60, 61, 3000, 4096, 4097):
        tree.file(f"{size}", content(size), xattrs={b"user.a": content(9000)} if size else None)
    tree.symlink("link", b"t" * 4095)
    for number in range(100):
        tree.file(f"folder/{number:030}", b"held", parents=True)
    spec = Spec(features="inline_data", block_size=65536, inode_size=32768, journal="none")
    ext4writer.write_image(tree, image, spec)
    judge(image, "quick")
    foreign.assert_listing_equal(foreign.list_fuse2fs(image), foreign.tree_listing(tree, spec))


def test_a_policy_decides() -> None:
    class Never(LayoutPolicy):
        name = "never"

        def inline(self, size: int) -> bool:
            assert size <= 128
            return False

    tree = sample(128)
    image = bytearray()
    ext4writer.write_image(tree, image, Spec(features="inline_data", policy=Never()))
    judge_bytes(image)
    with open_image(bytes(image)) as opened:
        assert not any(inode.has_inline_data for inode in opened.inodes() if inode.links)


def test_impossible_inline_options_are_refused() -> None:
    with pytest.raises(SpecError, match="128 bytes have no room for inline_data; choose 256"):
        Spec(features="inline_data,^extra_isize", inode_size=128)
    tree = Tree()
    tree.file("file", b"", xattrs={b"system.data": b"mine"})
    with pytest.raises(TreeError, match="/file.*system.data is for inline data"):
        plan(tree)


def test_identity_by_content_sees_content_in_inodes() -> None:
    def uuid_of(text: bytes) -> object:
        tree = Tree()
        tree.file("file", text, mtime_ns=0)
        return plan(tree, Spec(features="inline_data", identity="content")).uuid

    assert uuid_of(b"one") != uuid_of(b"two")


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    reached: list[Progress] = []
    image = tmp_path / "image"
    ext4writer.write_image(
        sample(128), image, Spec(features="inline_data"), progress=reached.append
    )
    assert reached[-1].bytes_done == reached[-1].bytes_total > 0


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("dir_entry_2[/plain/5x8/00000000].inode=0xFFFFFF", "0x020002"),
        ("dir_entry_2[/plain/5x20/00000000000000000004].inode=0xFFFFFF", "0x020002"),
        ("xattr_entry[/files/61:system.data].e_value_size=90", None),
        ("xattr_ibody_header[/files/61].h_magic=0", "0x010075"),
    ],
)
def test_overrides_address_data_in_inodes(
    override: str, expected: str | None, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    spec = Spec(features="inline_data", inode_size=512)
    ext4writer.write_image(sample(384), image, spec, overrides=[override])
    found = problems(image)
    assert found and (expected is None or expected in found), found


def test_inline_files_have_no_extents_to_override() -> None:
    override = Override.parse("extent_header[/files/61:0].eh_entries=9")
    with pytest.raises(OverrideError, match="has no extent tree"):
        ext4writer.write_image(
            sample(128), bytearray(), Spec(features="inline_data"), overrides=[override]
        )


@pytest.mark.parametrize("changed", [b"", b"longer than it was", b"other"])
def test_a_file_that_changes_after_the_plan_leaves_no_image(changed: bytes, tmp_path: Path) -> None:
    source, image = tmp_path / "source", tmp_path / "image"
    source.mkdir()
    for number in range(9):
        (source / f"{number}").write_bytes(b"small")
    layout = plan(directory(source), Spec(features="inline_data"))
    (source / "5").write_bytes(changed)
    with pytest.raises(SourceChangedError, match="/source/5"):
        ext4writer.write_layout(layout, image)
    assert not image.exists()
