"""Images that are cut off: every command ends soon, reports what is missing, shows the rest."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from ext4writer import Spec, Tree, write_image
from ext4writer.damage import patch
from ext4writer.inspection.check import check_image, check_opened
from ext4writer.inspection.usage import MISSING, usage
from ext4writer.read import open_image
from tests.builder.command import run
from tests.judges import tools

pytestmark = pytest.mark.damaged

COMMANDS = (
    *("info", "tree", "ls -l -R", "cat /file", "stat /file", "find --larger 1", "find --block 77"),
    *("show superblock", "show group 0", "show units", "show directory /", "manifest", "check"),
    *("extract -C out", "extract --tar out.tar", "map -o out.svg", "map -o out.html"),
)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system of 4 TiB, cut off after 12 MiB."""
    folder = tmp_path_factory.mktemp("short")
    (folder / "source").mkdir()
    (folder / "source" / "file").write_bytes(b"text" * 100_000)
    image = folder / "image"
    options = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-O",
        "^has_journal,^resize_inode",
        "-N",
        "200000",
        "-G",
        "1",
    ]
    command = [tools.require("mke2fs"), *options, "-d", folder / "source", image, "4T"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    with image.open("r+b") as file:
        file.truncate(40 << 20)
    return image


def test_every_command_ends_and_says_what_is_missing(large: Path, tmp_path: Path) -> None:
    started = time.process_time()
    for number, words in enumerate(COMMANDS):
        name, *rest = words.replace("out", str(tmp_path / f"{number}")).split()
        done = run(name, large, *rest)
        said = done.stdout + done.stderr
        assert done.returncode in (1, 4), (words, said[:500])
        assert "counts 4398046511104 bytes, but the image has 41943040" in said, words
        assert "Traceback" not in said
    same = run("diff", large, large)
    assert same.returncode == 1 and "the image has 41943040" in same.stderr
    assert time.process_time() - started < 60


def test_the_available_part_is_read(large: Path) -> None:
    with open_image(large, on_damage=lambda error: None) as image:
        assert image.counted_groups == 32768 and image.groups <= 400
        found = usage(image)
        assert found.uses[-1].kind == MISSING and found.uses[-1].end == image.blocks_count
        codes = {problem.code for problem in check_image(image).problems}
        assert "PAST_THE_END" in codes
        assert not codes & {"PR_0_INODE_COUNT_WRONG", "PR_0_BB_UNINIT_LAST"}


@pytest.mark.parametrize("size", [1024, 2048, 5000, 70_000, 300_000, 11 << 20])
def test_any_end(size: int, large: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    with large.open("rb") as file:
        image.write_bytes(file.read(size))
    for name, *rest in (("info",), ("ls", "-R"), ("check",), ("show", "units"), ("find",)):
        done = run(name, image, *rest)
        assert done.returncode in (1, 4, 8), (name, done.stdout)
        said = done.stdout + done.stderr
        assert re.search(r"counts|ends at byte|has no space|in the image", said)


class Counted:
    """Counts how often it is asked, in every loop that might be long."""

    asked = 0

    def is_set(self) -> bool:
        self.asked += 1
        return False


@pytest.mark.parametrize(
    "features", ["", "meta_bg,^resize_inode", "^sparse_super,^resize_inode", "sparse_super2"]
)
@pytest.mark.parametrize("blocks", [1 << 33, 1 << 44])
def test_missing_groups_cause_no_work(features: str, blocks: int) -> None:
    data, cancel = bytearray(), Counted()
    write_image(Tree(), data, Spec(block_size=1024, features=features, journal="none"))
    changes = [f"superblock.s_blocks_count={blocks}", "superblock.s_inodes_per_group=8"]
    damaged = patch(bytes(data), changes)
    with open_image(damaged, on_damage=lambda _: None) as image:
        assert not check_opened(image, [], cancel=cancel).is_clean
        assert sum(1 for _ in image.units()) < len(damaged) // 32
    assert cancel.asked < 10_000
