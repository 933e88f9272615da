"""Equal blocks are stored once: less is written, reads are unchanged, and e2fsck clones them."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import RandomPolicy, RegularFile, Spec, SpecError, Tree
from ext4writer.inspection.check import check_image
from ext4writer.inspection.usage import usage
from ext4writer.read import open_image
from tests.builder.command import run as command
from tests.judges import debugfs
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import judge
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run

MIB = 1 << 20

pytestmark = pytest.mark.judged("quick")

noise = random.Random(6).randbytes
BLOCKS = [noise(4096) for _ in range(40)]


def sample() -> Tree:
    """Complete copies, copies with another middle, shifted runs, inner repeats, tails and holes."""
    noise = random.Random(7).randbytes
    tree = Tree()
    whole = b"".join(BLOCKS)
    tree.file("a", whole, uid=1)
    tree.file("b", whole, uid=2)
    tree.file("c", whole[:80_000] + noise(4096) + whole[84_096:], uid=3)
    tree.file("d", whole[8192:50_000])
    tree.file("e", BLOCKS[3] * 30 + noise(100))
    tree.file("f", BLOCKS[7] + bytes(300_000) + BLOCKS[8] + noise(5000))
    end = noise(100)
    tree.file("g", end + bytes(3996))
    tree.file("h", end)
    tree.file("empty", b"")
    tree.file("scattered", b"".join(noise(4096) + BLOCKS[at] for at in range(40)))
    tree.file("inverted", b"".join(reversed(BLOCKS)))
    return tree


def places_of(image: Path, path: str) -> list[str]:
    """The first, a middle and the last of 40 blocks."""
    return [debugfs.debugfs(image, f"bmap {path} {at}").split()[-1] for at in (0, 21, 39)]


def assert_right(image: Path) -> None:
    judge(image, "quick")
    with open_image(image) as opened:
        assert check_image(opened).is_clean


SPECS: dict[str, dict[str, Any]] = {
    "usual": {},
    "by the feature": {"dedupe": "none", "features": "shared_blocks"},
    "no extents": {"type": "ext2"},
    "1 KiB": {"block_size": 1024},
    "random": {"policy": RandomPolicy(8), "features": "quota"},
    "a given size": {"size": 32 * MIB},
}


@pytest.mark.parametrize("name", SPECS)
def test_equal_blocks_once(tmp_path: Path, name: str) -> None:
    image = tmp_path / "image"
    options = {"dedupe": "blocks", "free": 4 * MIB if name != "a given size" else None}
    spec = Spec(**{**options, **SPECS[name]})
    plain = ext4writer.plan(
        sample(), Spec(**{**SPECS[name], "free": options["free"], "dedupe": "none"})
    )
    layout = ext4writer.write_image(sample(), image, spec)
    assert_right(image)
    assert "shared_blocks" in layout.features.names()
    if name != "by the feature":
        assert plain.content_bytes > layout.content_bytes
        assert plain.space["data"] - layout.space["data"] == layout.shared_bytes
    assert layout.shared_bytes >= (40 + 39 + 10 + 29 + 1) * 4096
    if spec.size is None:
        assert layout.available_bytes >= spec.fitted_free
    for first, second in (("a", "b"), ("g", "h")):
        places = [places_of(image, path) for path in (first, second)]
        assert places[0] == places[1]
    for path in "abc":
        assert debugfs.inode(image, path).blockcount >= 40 * 8
    require_root()
    with mounted(image, quiet=False) as point:
        assert_tree_equal(sample(), point, spec)


def test_e2fsck_undoes_it(tmp_path: Path) -> None:
    image, copy = tmp_path / "image", tmp_path / "copy"
    spec = Spec(dedupe="blocks", free=8 * MIB)
    ext4writer.write_image(sample(), image, spec)
    shutil.copyfile(image, copy)
    done = run(["e2fsck", "-fy", "-E", "unshare_blocks", copy], check=False)
    assert done.returncode in (0, 1), done.stdout
    assert_right(copy)
    assert "shared_blocks" not in debugfs.superblock(copy)["Filesystem features"]
    places = [places_of(copy, path) for path in "ab"]
    assert not set(places[0]) & set(places[1])
    require_root()
    with mounted(copy, rw=True) as point:
        assert_tree_equal(sample(), point, spec)
        (point / "new").write_bytes(b"new" * 5000)
    judge(copy, "quick")


@pytest.mark.parametrize("type_", ["ext4", "ext2"])
def test_a_file_that_is_larger_than_the_image(tmp_path: Path, type_: str) -> None:
    image = tmp_path / "image"
    tree = Tree()
    content = b"w" * (3 * MIB) + b"end"
    tree.file("large", content)
    layout = ext4writer.write_image(tree, image, Spec(dedupe="blocks", free=0, type=type_))
    assert layout.size_bytes < MIB
    assert_right(image)
    with open_image(image) as opened:
        assert opened.open("large").read() == content
        assert check_image(opened, data=True).is_clean
        assert usage(opened).is_complete
    assert debugfs.debugfs(image, "cat /large").endswith(content.decode())


def test_the_same_bytes_by_every_way(tmp_path: Path) -> None:
    spec = Spec(dedupe="blocks")
    first = tmp_path / "first"
    ext4writer.write_image(sample(), first, spec)
    assert first.read_bytes() == b"".join(ext4writer.iter_image(sample(), spec))
    second = tmp_path / "second"
    ext4writer.write_image(sample(), second, spec, workers=3)
    assert first.read_bytes() == second.read_bytes()


def test_sharing_that_saves_nothing_is_not_done(tmp_path: Path) -> None:
    """A file of five extents needs an extent block, so sharing one block saves nothing."""
    tree = Tree()
    tree.file("a", BLOCKS[0])
    tree.file("b", b"".join([noise(4096), BLOCKS[0], noise(4096)]))
    tree.file("c", b"".join([noise(8192), BLOCKS[0], noise(8192)]))
    tree.file("d", noise(4096) + bytes(1 << 20) + noise(4096) + bytes(1 << 20) + BLOCKS[0] + b"x")
    tree.file("e", b"".join([*(noise(4096) + bytes(1 << 20) for _ in range(3)), BLOCKS[0], b"y"]))
    layout = ext4writer.write_image(tree, tmp_path / "image", Spec(dedupe="blocks"))
    assert layout.shared_bytes == 3 * 4096
    assert layout.space["extent blocks"] == 0


def test_the_command_reports_it(tmp_path: Path) -> None:
    folder, image = tmp_path / "folder", tmp_path / "image"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(b"".join(BLOCKS))
    done = command(
        "build", str(folder), "-o", str(image), "--dedupe=blocks", "--free", "0", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert f'"shared": {80 * 4096}' in done.stdout
    done = command("plan", str(folder), "--dedupe", "blocks")
    assert "320.0 KiB saved" in done.stdout
    assert_right(image)


def test_clusters_are_not_shared() -> None:
    with pytest.raises(SpecError, match="bigalloc"):
        Spec(dedupe="blocks", features="bigalloc")
    with pytest.raises(SpecError, match="is not one of none, blocks"):
        Spec(dedupe="files")  # type: ignore[arg-type]


CONTENTS = st.lists(st.lists(st.integers(0, 6), max_size=12), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(contents=CONTENTS, policy=st.sampled_from(["default", "random:3"]))
def test_any_files(
    tmp_path_factory: pytest.TempPathFactory, contents: list[list[int]], policy: str
) -> None:
    image = tmp_path_factory.mktemp("dedupe") / "image"
    tree = Tree()
    for number, blocks in enumerate(contents):
        tree.file(
            f"{number}", b"".join(bytes([byte]) * 1024 for byte in blocks) + b"end"[: number % 4]
        )
    spec = Spec(dedupe="blocks", block_size=1024, free=0, policy=policy, hole_size=2048)
    layout = ext4writer.write_image(tree, image, spec)
    assert_right(image)
    with open_image(image) as opened:
        for number in range(len(contents)):
            node = tree.root.children[b"%d" % number]
            assert isinstance(node, RegularFile)
            with opened.open(f"/{number}") as file:
                assert file.read() == node.content.read_bytes()
    assert layout.space["data"] <= sum(layout.entries.values()) * 13 * 1024
