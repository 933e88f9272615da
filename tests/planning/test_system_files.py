"""Files without a name: one loop places, counts and writes all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import DEFAULT_FEATURES, RandomPolicy, Spec, SpecError, Tree
from ext4writer.layout import plan_of
from ext4writer.ondisk.superblock import EXT4_BOOT_LOADER_INO
from ext4writer.planning import sizing
from ext4writer.planning.mapping import mapping_of
from ext4writer.planning.system_files import SystemFile, system_files
from tests.judges import debugfs
from tests.judges.fsck import judge
from tests.judges.tools import run

MIB = 1 << 20

SPECS = {
    "default": Spec(),
    "1 KiB": Spec(block_size=1024, size=80 * MIB),
    "policy": Spec(block_size=1024, policy=RandomPolicy(3)),
    "neither": Spec(journal="none", features=DEFAULT_FEATURES.without("resize_inode")),
    # A journal in two or more runs, around the backup in group 1.
    "long journal": Spec(block_size=1024, journal=20 * MIB),
}


@pytest.mark.parametrize("name", SPECS)
def test_system_files_take_their_declared_blocks(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    layout = ext4writer.write_image(Tree(), image, SPECS[name])
    judge(image, "quick")
    assert len(plan_of(layout).system_files) == (0 if name == "neither" else 2)
    for file in plan_of(layout).system_files:
        placed = plan_of(layout).placement.system[file.ino]
        assert sum(run.length for run in placed.runs) == file.data_blocks
        assert file.mapping.metadata_blocks(placed.runs) == len(placed.map_blocks)
        blocks = file.data_blocks + file.fixed_blocks + len(placed.map_blocks)
        assert layout.space[file.purpose] >= (blocks - len(placed.map_blocks)) * layout.block_size
        found = debugfs.inode(image, file.ino)
        assert found.size == file.size_bytes
        assert found.blockcount == blocks * layout.block_size // 512


@pytest.mark.parametrize("name", ["default", "policy", "neither"])
def test_another_system_file_is_one_more_row(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third one, the boot loader's inode, only needs to be listed."""

    def with_another(fmt: Any, groups: int, sizes: Any) -> tuple[SystemFile, ...]:
        another = SystemFile(
            EXT4_BOOT_LOADER_INO, "another", 37 * fmt.block_size, 37, mapping_of(fmt)
        )
        return (*system_files(fmt, groups, sizes), another)

    tree = Tree()
    tree.file("file", bytes(range(256)) * 300)
    plain = ext4writer.plan(tree, SPECS[name])
    monkeypatch.setattr(sizing, "system_files", with_another)
    image = tmp_path / "image"
    layout = ext4writer.write_image(tree, image, SPECS[name])
    judge(image, "quick")
    assert layout.space["another"] == 37 * layout.block_size
    assert layout.size_bytes > plain.size_bytes
    assert layout.available_bytes >= 16 * MIB
    found = debugfs.inode(image, EXT4_BOOT_LOADER_INO)
    assert (found.size, found.blockcount) == (37 * layout.block_size, 37 * layout.block_size // 512)


def journal_runs(image: Path) -> list[list[int]]:
    """The (first block, end) of the journal's runs, as debugfs lists its blocks."""
    runs: list[list[int]] = []
    shown = run(["debugfs", "-R", "blocks <8>", str(image)]).stdout.split()
    for block in (int(word) for word in shown if word.isdigit()):
        if runs and runs[-1][1] == block:
            runs[-1][1] += 1
        else:
            runs.append([block, block + 1])
    return runs


@pytest.mark.parametrize(
    ("size", "options", "arguments"),
    [
        ("1G", {}, []),
        ("300M", {"block_size": 1024}, []),
        ("8G", {"groups_per_flex": 1, "inodes": 1 << 19}, ["-G", "1"]),
        ("8G", {"journal_location": "3G"}, ["-J", "location=786432"]),
    ],
)
def test_a_journal_in_the_middle_is_where_mke2fs_puts_it(
    size: str, options: dict[str, Any], arguments: list[str], tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    if "-t" not in arguments:
        arguments = ["-t", "ext4", *arguments]
    run(["mke2fs", "-q", *arguments, str(theirs), size])
    ext4writer.write_image(
        Tree(), ours, Spec(**{"size": size, "journal_location": "middle", **options})
    )
    judge(ours, "quick")
    assert journal_runs(ours)[0] == journal_runs(theirs)[0]


def test_a_journal_may_continue_before_its_location(tmp_path: Path) -> None:
    image = tmp_path / "image"
    layout = ext4writer.write_image(Tree(), image, Spec(size="64M", journal_location="63M"))
    judge(image)
    runs = plan_of(layout).placement.system[8].runs
    assert sum(run.length for run in runs) == 1024
    assert runs[0].physical == 63 * 256 and runs[1].physical < runs[0].physical


def test_a_place_needs_a_size() -> None:
    for options in ({}, {"size": "64M", "journal_location": "64M"}):
        with pytest.raises(SpecError, match="journal_location"):
            Spec(**{"journal_location": "middle", **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("inodes", [64, 1000, 30_000])
def test_an_image_of_a_given_size_has_the_requested_inodes(inodes: int) -> None:
    layout = ext4writer.plan(Tree(), Spec(size="64M", inodes=inodes))
    assert inodes <= layout.inodes_count < inodes + 16
