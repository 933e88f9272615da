"""Free space after growth, compared with an image of make-ext4-fs.nix, which uses mke2fs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builder.command import run as run_command
from tests.judges.debugfs import superblock
from tests.judges.fsck import assert_clean
from tests.judges.tools import require, run

MIB = 1 << 20
BLOCK = 4096
GROWN = 4096 * MIB
LARGE = 600 * MIB
OBJECT = "0123456789abcdfghijklmnpqrsvwxyz-model"


@dataclass(frozen=True)
class Room:
    """Blocks and inodes of a file system after growth."""

    free_blocks: int
    reserved_blocks: int
    free_inodes: int
    table_blocks: int
    """The blocks of all inode tables."""
    descriptor_blocks: int
    """The blocks after all superblocks: descriptors and their reserve for growth."""


def grown(image: Path) -> Room:
    os.truncate(image, GROWN)
    run(["resize2fs", image])
    assert_clean(image)
    found = superblock(image)
    assert int(found["Block size"]) == BLOCK
    groups = -(-int(found["Block count"]) // int(found["Blocks per group"]))
    tables = groups * int(found["Inode blocks per group"])
    copies = run(["dumpe2fs", image]).stdout.count("Group descriptors at ")
    used = -(-groups * 64 // BLOCK)
    return Room(
        int(found["Free blocks"]),
        int(found["Reserved block count"]),
        int(found["Free inodes"]),
        tables,
        copies * (used + int(found["Reserved GDT blocks"])),
    )


def old_image(root: Path, image: Path) -> Path:
    """Do what that function does: a guess, the minimum of resize2fs, plus 16 MiB."""
    entries = sum(1 + len(files) for _, _, files in os.walk(root))
    said = run(["du", "-s", "-B", str(BLOCK), "--apparent-size", root]).stdout
    with image.open("wb") as file:
        file.truncate(BLOCK * (2 * entries + int(int(said.split()[0]) * 1.2)))
    run([require("mkfs.ext4"), "-q", "-d", root, image])
    run(["resize2fs", "-M", image])
    run(["resize2fs", image, str(int(superblock(image)["Block count"]) + 16 * MIB // BLOCK)])
    return image


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Path:
    """A store path with a large file, which is a hole, so mke2fs creates no small image."""
    path = tmp_path / "root" / "nix" / "store" / OBJECT
    path.mkdir(parents=True)
    with (path / "large").open("wb") as file:
        file.truncate(LARGE)
    for number in range(200):
        (path / str(number)).write_bytes(b"x" * 5000)
    (tmp_path / "paths").write_text(f"/nix/store/{OBJECT}\n")
    return path.parent


def new_image(store: Path, image: Path, *options: str) -> Path:
    where = ("--store-paths", store.parents[2] / "paths", "--store-dir", store)
    done = run_command("nix", *where, "-o", image, "-q", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return image


@pytest.fixture(name="old")
def _old(store: Path, tmp_path: Path) -> Room:
    return grown(old_image(store.parents[1], tmp_path / "old.img"))


def test_only_inodes_and_reach_cost_root_blocks(store: Path, old: Room, tmp_path: Path) -> None:
    """Only inodes and reach cost root blocks, and other users get more of both."""
    new = grown(new_image(store, tmp_path / "new.img"))
    assert new.free_inodes >= old.free_inodes
    assert new.free_blocks - new.reserved_blocks > old.free_blocks - old.reserved_blocks
    fixed = [room.table_blocks + room.descriptor_blocks for room in (old, new)]
    assert new.free_blocks + fixed[1] >= old.free_blocks + fixed[0]


def test_root_may_have_the_blocks_instead(store: Path, old: Room, tmp_path: Path) -> None:
    options = ("--inode-ratio", "17K", "--grow-to", "512G")
    new = grown(new_image(store, tmp_path / "new.img", *options))
    assert new.free_blocks - new.reserved_blocks > old.free_blocks
