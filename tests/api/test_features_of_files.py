"""Features that are blocks or files without a name: fast_commit, orphan_file and mmp."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import ext4writer
from ext4writer import Override, OverrideError, RandomPolicy, Spec, SpecError, Tree
from ext4writer.inspection.check import check_opened
from ext4writer.layout import plan_of
from ext4writer.planning.spec import KIB, MIB
from ext4writer.read import open_image
from tests.builder.command import run as command
from tests.judges import debugfs
from tests.judges.fsck import assert_clean, judge, judge_backups, problems
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run

JOURNAL_FACTS = ("Fast commit length", "Total journal blocks", "Total journal size")


def sample() -> Tree:
    tree = Tree()
    tree.directory("home", mode=0o777)
    tree.file("home/data", bytes(range(256)) * 800, uid=7)
    for number in range(300):
        tree.file(f"many/{number}", b"%d" % number, parents=True)
    return tree


def facts(image: Path) -> dict[str, str]:
    """What dumpe2fs shows of the superblock and of the journal's superblock."""
    lines = run(["dumpe2fs", "-h", str(image)]).stdout.splitlines()
    return dict(re.split(r":\s*", line, maxsplit=1) for line in lines if ":" in line)


def check_clean(image: Path) -> None:
    with open_image(image) as opened:
        result = check_opened(opened, [], data=True)
    assert not result.problems, [problem.line for problem in result.problems]


def use(image: Path) -> None:
    """Have the kernel write, commit, rename and delete."""
    with mounted(image, rw=True) as point:
        for number in range(100):
            with (point / "home" / f"new-{number}").open("wb") as file:
                file.write(b"n" * 3000)
                os.fsync(file.fileno())
        for number in range(0, 300, 2):
            (point / "many" / str(number)).unlink()
        os.rename(point / "many" / "1", point / "moved")
    assert_clean(image)
    with mounted(image) as point:
        assert (point / "moved").read_bytes() == b"1"
        assert (point / "home" / "data").read_bytes() == bytes(range(256)) * 800


# -- fast_commit -----------------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_fast_commits_have_the_blocks_that_mke2fs_gives_them(
    block_size: int, tmp_path: Path
) -> None:
    require_root()
    image = tmp_path / "image"
    # Nothing is reserved for growth, which may need a larger journal than mke2fs's.
    spec = Spec(size=600 * MIB, grow_to=0, block_size=block_size, features="fast_commit")
    ext4writer.write_image(sample(), image, spec)
    check_clean(image)
    other = tmp_path / "other"
    run(["mke2fs", "-q", "-t", "ext4", "-b", str(block_size), "-O", "fast_commit", other, "600M"])
    ours, theirs = facts(image), facts(other)
    other.unlink()
    for fact in JOURNAL_FACTS:
        assert ours[fact] == theirs[fact], fact
    assert int(ours["Fast commit length"])
    use(image)


@pytest.mark.parametrize("journal", [4 * MIB, 5 * MIB + 4 * KIB])
def test_fast_commits_are_added_to_the_requested_journal(journal: int, tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = Spec(journal=journal, features="fast_commit", policy=RandomPolicy(5))
    layout = ext4writer.write_image(sample(), image, spec)
    log = journal // 4096
    assert layout.space["journal"] == (log + log // 64) * 4096
    said = facts(image)
    assert int(said["Total journal blocks"]) == log + log // 64
    assert int(said["Fast commit length"]) == log // 64
    assert layout.available_bytes >= 16 * MIB


def test_fast_commits_need_a_journal(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match="journal: is needed by fast_commit, since .*; leave out fast"
    ):
        Spec(journal="none", features="fast_commit")
    with pytest.raises(SpecError, match="fast_commit needs has_journal"):
        Spec(features="fast_commit,^has_journal")
    layout = ext4writer.write_image(
        Tree(), tmp_path / "small", Spec(size=MIB, features="fast_commit")
    )
    assert "fast_commit" not in layout.features
    assert [loss.code for loss in layout.losses] == ["journal-left-out"]


# -- orphan_file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        Spec(features="orphan_file"),
        Spec(features="orphan_file,fast_commit", block_size=1024, free_inodes=0, free=3 * MIB),
        pytest.param(
            Spec(features="orphan_file,metadata_csum_seed", lost_and_found=False, inode_size=1024),
            # A repair would create the directory.
            marks=pytest.mark.judged("quick"),
        ),
        Spec(features="orphan_file,^metadata_csum,uninit_bg", size=40 * MIB, inode_size=128),
        Spec(features="orphan_file,^metadata_csum", policy=RandomPolicy(9), free=9 * MIB),
        Spec(features="orphan_file", size=600 * MIB, block_size=1024, free=300 * MIB),
    ],
)
@pytest.mark.parametrize("tree", [sample(), Tree()], ids=["sample", "empty"])
def test_images_have_an_orphan_file_without_orphans(spec: Spec, tree: Tree, tmp_path: Path) -> None:
    image = tmp_path / "image"
    layout = ext4writer.write_image(tree, image, spec)
    check_clean(image)
    ino = 11 + spec.lost_and_found
    said = facts(image)
    assert said["Orphan file inode"] == str(ino)
    assert int(said["Free inodes"]) == layout.free_inodes >= (spec.free_inodes or 0)
    found = debugfs.inode(image, ino)
    blocks = layout.space["orphan file"] // layout.block_size
    assert blocks == max(32, layout.blocks_count // 4096)
    assert found.size == blocks * layout.block_size
    assert layout.available_bytes >= (spec.fitted_free if spec.size is None else spec.free or 0)


@pytest.mark.root
def test_the_kernel_keeps_orphans_in_the_orphan_file(tmp_path: Path) -> None:
    require_root()
    image = tmp_path / "image"
    ext4writer.write_image(sample(), image, Spec(features="orphan_file"))
    use(image)
    other = tmp_path / "other"
    run(["mke2fs", "-q", "-t", "ext4", "-O", "orphan_file", "-b", "1024", str(other), "600M"])
    layout = ext4writer.plan(Tree(), Spec(features="orphan_file", size=600 * MIB, block_size=1024))
    theirs = facts(other)
    assert int(theirs["Orphan file inode"]) == plan_of(layout).table.unnamed[0]
    found = debugfs.inode(other, plan_of(layout).table.unnamed[0])
    other.unlink()
    assert found.size == layout.space["orphan file"]
    # After offline growth, the kernel must still find all tails valid.
    with image.open("r+b") as file:
        file.truncate(image.stat().st_size + 200 * MIB)
    run(["resize2fs", "-f", str(image)])
    assert_clean(image)
    with mounted(image, rw=True) as point, (point / "open").open("wb") as file:
        file.write(b"orphan")
        file.flush()
        (point / "open").unlink()
        os.sync()
    assert_clean(image)


def test_an_orphan_file_needs_a_journal(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match="journal: is needed by orphan_file, since .*; leave out orph"
    ):
        Spec(journal="none", features="orphan_file")
    image = tmp_path / "small"
    layout = ext4writer.write_image(sample(), image, Spec(size=4 * MIB, features="orphan_file"))
    assert "orphan_file" not in layout.features
    [loss] = layout.losses
    assert loss.code == "journal-left-out"
    assert "has no journal, and so no orphan_file: 4194304 bytes" in str(loss)
    check_clean(image)
    assert int(facts(image)["Free inodes"]) == layout.free_inodes


# -- mmp -------------------------------------------------------------------------------------------

# A repair stamps the block, so these images are not judged by what a repair writes.


@pytest.mark.judged("quick")
@pytest.mark.parametrize(
    "spec",
    [
        Spec(features="mmp", free=100 * KIB),
        Spec(features="mmp", block_size=1024, size=40 * MIB),
        Spec(features="mmp,^metadata_csum,uninit_bg", policy=RandomPolicy(2)),
        Spec(features="mmp,metadata_csum_seed", inode_size=128, journal="none"),
    ],
)
def test_no_host_has_mounted_an_image_with_mmp(spec: Spec, tmp_path: Path) -> None:
    image = tmp_path / "image"
    layout = ext4writer.write_image(sample(), image, spec)
    judge(image, "quick")
    judge_backups(image)
    check_clean(image)
    assert layout.space["mmp"] == spec.block_size
    assert layout.available_bytes >= (spec.free or 0)
    said = facts(image)
    assert int(said["MMP block number"]) > 0
    assert said["MMP update interval"] == "5"
    dump = debugfs.debugfs(image, "dump_mmp")
    assert re.search(r"check_interval: 5\n", dump)
    assert re.search(r"sequence: (0x)?ff4d4d50", dump)
    # tune2fs frees the block again, since no host has mounted the image.
    run(["tune2fs", "-O", "^mmp", str(image)])
    assert_clean(image)


@pytest.mark.root
@pytest.mark.judged("quick")
def test_the_kernel_mounts_an_image_with_mmp(tmp_path: Path) -> None:
    """It waits eleven seconds, as it must, in case another host has mounted the image."""
    require_root()
    image = tmp_path / "image"
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"mmp")
    done = command("build", source, "-o", image, "-O", "mmp,fast_commit")
    assert not done.returncode, done.stderr
    with mounted(image, rw=True) as point:
        (point / "new").write_bytes(b"new")
        assert (point / "file").read_bytes() == b"mmp"
    assert_clean(image)
    shown = command("show", image, "block", facts(image)["MMP block number"])
    assert "mmp_seq" in shown.stdout, shown


# -- deliberate damage -----------------------------------------------------------------------------


@pytest.mark.damaged
@pytest.mark.parametrize(
    "corruption",
    [
        "mmp.mmp_magic=1",
        "mmp.mmp_checksum=1",
        "orphan_block_tail[0].ob_magic=1",
        "orphan_block_tail[31].ob_checksum=1",
    ],
)
def test_deliberate_damage_is_found(corruption: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    spec = Spec(features="mmp,orphan_file")
    ext4writer.write_image(sample(), image, spec, overrides=[Override.parse(corruption)])
    assert problems(image)
    with open_image(image) as opened:
        found = check_opened(opened, []).problems
    assert any(corruption.partition(".")[2].partition("=")[0] in problem.line for problem in found)


@pytest.mark.parametrize("corruption", ["mmp.mmp_seq=1", "orphan_block_tail.ob_magic=1"])
def test_there_is_nothing_to_damage_without_the_feature(corruption: str, tmp_path: Path) -> None:
    with pytest.raises(OverrideError, match="the image has no such"):
        ext4writer.write_image(Tree(), tmp_path / "image", overrides=[Override.parse(corruption)])
