"""Independent readers find in an image what was put in."""

from __future__ import annotations

from pathlib import Path

import pytest

import ext4writer
from ext4writer import BytesContent, RegularFile, Spec, Tree
from tests.conftest import MakeImage
from tests.judges import debugfs, foreign
from tests.judges.fsck import assert_clean
from tests.judges.tools import require, run


def sample() -> Tree:
    tree = Tree()
    tree.directory("boot", mtime_ns=10**18)
    tree.file("boot/kernel", bytes(range(1, 251)) * 9000)
    tree.file("boot/small", b"set timeout=5\n")
    tree.file("boot/zeros", b"first" + bytes(300_000) + b"last")
    tree.file("boot/only-zeros", bytes(200_000))
    tree.file("empty", b"")
    tree.link("boot/again", "boot/small")
    tree.symlink("fast", "boot/small")
    tree.symlink("slow", "boot/" + "./" * 60 + "small")
    tree.directory("many")
    for number in range(900):
        tree.root.children[b"many"].children[b"name-%04d" % number] = RegularFile(  # type: ignore[attr-defined]
            BytesContent(b"%d" % number)
        )
    tree.file("attributes", b"x", xattrs={b"user.note": b"n" * 300, b"security.selinux": b"l"})
    return tree


@pytest.mark.parametrize("block_size", [1024, 4096])
@pytest.mark.parametrize("reader", sorted(foreign.READERS))
def test_readers_list_everything(make_image: MakeImage, reader: str, block_size: int) -> None:
    tree = sample()
    image = make_image(tree, Spec(block_size=block_size, free=1 << 20), level="quick")
    foreign.assert_listing_equal(foreign.READERS[reader](image), foreign.tree_listing(tree))


def test_grub_reads_files(make_image: MakeImage, tmp_path: Path) -> None:
    tree = sample()
    image = make_image(tree)
    for path in (
        "/boot/kernel",
        "/boot/small",
        "/boot/zeros",
        "/boot/only-zeros",
        "/fast",
        "/slow",
    ):
        content = tree[{"/fast": "/boot/small", "/slow": "/boot/small"}.get(path, path)]
        assert isinstance(content, RegularFile)
        data = bytearray(content.content.size)
        content.content.read_whole(memoryview(data))
        foreign.assert_grub_reads(image, path, bytes(data))
    names = foreign.grub_names(image, "/many")
    assert {f"name-{number:04}" for number in range(900)} <= names


def test_seven_zip(make_image: MakeImage) -> None:
    image = make_image(sample())
    totals = foreign.seven_zip_test(image)
    assert totals.files >= 900


@pytest.mark.parametrize(
    "changes",
    [
        ["-O", "^has_journal"],
        ["-O", "metadata_csum_seed"],
        ["-U", "01234567-89ab-cdef-0123-456789abcdef"],
        ["-O", "^metadata_csum"],
        ["-L", "renamed"],
    ],
    ids=" ".join,
)
def test_tune2fs_rewrites_every_checksum(make_image: MakeImage, changes: list[str]) -> None:
    """For this it must understand all structures."""
    require("tune2fs")
    image = make_image(sample(), damaged=True)
    run(["tune2fs", "-f", *changes, image])
    assert_clean(image)


def test_tune2fs_removes_and_restores_the_journal(make_image: MakeImage) -> None:
    image = make_image(sample(), damaged=True)
    run(["tune2fs", "-O", "^has_journal", image])
    assert_clean(image)
    run(["tune2fs", "-j", image])
    assert_clean(image)


def test_journal_is_clean_and_empty(make_image: MakeImage) -> None:
    image = make_image(sample())
    layout = ext4writer.plan(sample())
    text = debugfs.logdump(image, "")
    assert "Journal starts at block 0, transaction 1" in text
    assert layout.space["journal"] == 1024 * 4096
    assert debugfs.superblock(image)["Journal inode"] == "8"


def test_partclone_and_zerofree(make_image: MakeImage, tmp_path: Path) -> None:
    """Only the blocks that the bitmaps mark as used matter, and free blocks are zeros."""
    require("partclone.extfs")
    require("zerofree")
    image = make_image(sample())
    clone, restored = tmp_path / "clone", tmp_path / "restored"
    run(["partclone.extfs", "-c", "-s", image, "-o", clone, "-L", tmp_path / "log1"])
    with restored.open("wb") as file:
        file.truncate(image.stat().st_size)
    run(["partclone.extfs", "-r", "-C", "-s", clone, "-O", restored, "-L", tmp_path / "log2"])
    assert_clean(restored)
    foreign.assert_listing_equal(foreign.list_fuse2fs(restored), foreign.tree_listing(sample()))
    before = image.read_bytes()
    run(["zerofree", image])
    assert image.read_bytes() == before


def test_blkid(make_image: MakeImage) -> None:
    image = make_image(sample(), Spec(label=b"root disk"))
    layout = ext4writer.plan(sample(), Spec(label=b"root disk"))
    said = run(["blkid", "-p", "-o", "export", image]).stdout
    assert f"UUID={layout.uuid}" in said and "TYPE=ext4" in said and "root" in said
