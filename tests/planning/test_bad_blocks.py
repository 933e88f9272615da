"""Bad blocks belong to inode 1 and to nothing else."""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import RandomPolicy, Spec, SpecError, Tree
from ext4writer.inspection.check import check_image
from ext4writer.inspection.usage import usage
from ext4writer.ondisk.superblock import EXT4_BAD_INO
from ext4writer.read import open_image
from tests.builder.command import run as command
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import judge
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run

MIB = 1 << 20

pytestmark = pytest.mark.judged("quick")


def sample() -> Tree:
    noise = random.Random(9).randbytes
    tree = Tree()
    for number in range(50):
        tree.file(f"{number}", noise(number * 3000))
    return tree


def fields(image: Path) -> list[str]:
    """Mode, flags, size and links of the inode of bad blocks."""
    text = debugfs.debugfs(image, f"stat <{EXT4_BAD_INO}>")
    names = ("Mode", "Flags", "Size", "Links")
    return [re.findall(rf"{name}: +(\w+)", text)[0] for name in names]


def assert_apart(image: Path, expected: list[int]) -> None:
    """Assert that these bad blocks are listed, and that nothing else uses them."""
    judge(image, "quick")
    listed = re.findall(r"^\d+$", run(["dumpe2fs", "-b", image]).stdout, re.MULTILINE)
    assert list(map(int, listed)) == expected
    with open_image(image) as opened:
        assert check_image(opened).is_clean
        uses = usage(opened).uses
    found = []
    for use in uses:
        inside = expected[bisect_left(expected, use.first) : bisect_left(expected, use.end)]
        assert not inside or use.kind == "bad blocks", use
        found += inside
    assert found == expected


SPECS: dict[str, tuple[list[int], dict[str, Any]]] = {
    "usual": ([*range(1500, 1900, 7)], {}),
    "few": ([3000], {"type": "ext2"}),
    "1 KiB, two levels": ([*range(9000, 12_000, 2)], {"block_size": 1024, "size": 64 * MIB}),
    "random": ([*range(1200, 3000, 31)], {"policy": RandomPolicy(3), "features": "quota"}),
    "among tables": ([*range(60, 1300, 150), 32900, 33000], {"size": 200 * MIB}),
    "among tables of each group": (
        [*range(100, 30_000, 997)],
        {"block_size": 1024, "features": "^flex_bg,^resize_inode", "size": 30 * MIB},
    ),
    "journal in the middle": (
        [*range(8000, 9000, 50)],
        {"size": 64 * MIB, "journal_location": "middle"},
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_they_are_not_used(tmp_path: Path, name: str) -> None:
    image = tmp_path / "image"
    blocks, options = SPECS[name]
    spec = Spec(bad_blocks=[*blocks, 1 << 31], **options)
    layout = ext4writer.write_image(sample(), image, spec)
    assert_apart(image, blocks)
    if spec.size is None:
        assert layout.available_bytes >= spec.fitted_free
    assert layout.space["bad blocks"] >= len(blocks) * spec.block_size
    assert fields(image) == ["0000", "0x0", str(len(blocks) * spec.block_size), "0"]
    require_root()
    if "quota" in layout.features.names():
        return
    with mounted(image, rw=True) as point:
        assert_tree_equal(sample(), point, spec)
        (point / "large").write_bytes(bytes(layout.available_bytes - 2 * MIB))
    assert_apart(image, blocks)


def test_the_inode_is_that_of_mke2fs(tmp_path: Path) -> None:
    ours, theirs, listed = tmp_path / "ours", tmp_path / "theirs", tmp_path / "bad"
    blocks = [*range(3000, 3900, 3)]
    listed.write_text("".join(f"{block}\n" for block in blocks))
    run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-l", listed, theirs, "32M"])
    done = command("build", "-o", str(ours), "-l", str(listed), "--size", "32M")
    assert done.returncode == 0, done.stderr
    assert_apart(ours, blocks)
    assert fields(ours) == fields(theirs)


def test_invalid_options_are_refused(tmp_path: Path) -> None:
    for block in (0, 1, 20, 32768):
        with pytest.raises(SpecError, match=f"bad_blocks: block {block} would hold"):
            ext4writer.plan(Tree(), Spec(bad_blocks=[block, 5000], size=200 * MIB))
    with pytest.raises(SpecError, match="bad_blocks: leave no room between them"):
        ext4writer.plan(
            Tree(), Spec(bad_blocks=range(100, 8000, 9), features="^flex_bg", inodes=5000)
        )
    for blocks in ([-1], [1 << 32], ["x"], 7):
        with pytest.raises(SpecError, match="bad_blocks: "):
            Spec(bad_blocks=blocks)  # type: ignore[arg-type]
    listed = tmp_path / "bad"
    listed.write_text("3000\n\nmany\n")
    done = command("build", "-o", str(tmp_path / "image"), "--bad-blocks", str(listed))
    assert done.returncode and "line 3 is not a block number" in done.stderr


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    blocks=st.sets(st.integers(5, 4000), max_size=300),
    options=st.sampled_from(
        [
            {},
            {"size": 12 * MIB},
            {"policy": "random:4"},
            {"journal": "none", "features": "^extent,^64bit"},
        ]
    ),
)
def test_any_blocks(
    tmp_path_factory: pytest.TempPathFactory, blocks: set[int], options: dict[str, Any]
) -> None:
    image = tmp_path_factory.mktemp("bad") / "image"
    tree = Tree()
    for number in range(20):
        tree.file(f"{number}", bytes([number + 1]) * number * 2000)
    options = {"features": "", **options}
    options["features"] += ",^resize_inode"
    spec = Spec(block_size=1024, bad_blocks=blocks, **{"free": MIB, **options})  # type: ignore[arg-type]
    layout = ext4writer.write_image(tree, image, spec)
    assert_apart(image, sorted(block for block in blocks if block < layout.blocks_count))
    assert layout.available_bytes >= MIB
