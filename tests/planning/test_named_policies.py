"""Each named policy makes its unusual choice, and everyone accepts the image."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import ext4writer
from ext4writer import LayoutPolicy, Loss, Spec, SpecError, Tree, policy
from ext4writer.inspection.check import check_image
from ext4writer.planning.named_policies import NAMED, described
from ext4writer.read import open_image
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import judge_bytes
from tests.judges.kernel import mounted
from tests.judges.tools import require, require_root

pytestmark = pytest.mark.judged("quick")

DEEP = "deep-extents"
FEATURES = {
    "nothing-inline": "inline_data",
    "xattr-inodes": "ea_inode",
    "xattr-inodes-apart": "ea_inode",
}


def sample() -> Tree:
    """A small tree with long and short files, many names, attributes and links."""
    tree = Tree()
    for number in range(120):
        tree.file(f"/many/{number:040}", b"%d" % number, parents=True)
    for number in range(12):
        data = bytes([number + 1]) * (1500 * number)
        tree.file(f"/files/{number}", data, parents=True, xattrs={"user.note": "x" * 300})
    tree.file("/long", b"l" * 100_000)
    tree.file("/sparse", b"s" * 2000 + bytes(100_000) + b"t" * 500)
    tree.symlink("/link", "t" * 100)
    tree.link("/hard", "/long")
    return tree


def spec_for(choice: str, **options: Any) -> Spec:
    return Spec(block_size=1024, free="256K", journal="none", policy=policy(choice), **options)


def written(choice: str, folder: Path, watch: Any, **options: Any) -> Path:
    image = folder / "image"
    if choice == DEEP:
        watch.damaged(image)  # judged below, by e2fsck with the option that accepts it
    ext4writer.write_image(sample(), image, spec_for(choice, **options))
    return image


@pytest.mark.parametrize("name", NAMED)
def test_everyone_accepts_it(name: str, tmp_path: Path, watch: Any) -> None:
    image = written(name, tmp_path, watch, features=FEATURES.get(name, ""))
    if name == DEEP:
        require("e2fsck")
        options = ["-E", f"no_optimize_extents,problem_log={tmp_path / 'log'}"]
        subprocess.run(["e2fsck", "-fn", *options, image], check=True, capture_output=True)
        assert "<problem " not in (tmp_path / "log").read_text()
    with open_image(image, replay=True) as opened:
        assert not check_image(opened, data=True).problems
    require_root()
    with mounted(image) as point:
        assert_tree_equal(sample(), point, spec_for(name))


@pytest.mark.parametrize("name", NAMED)
def test_seeds_are_numbers_and_give_the_same_bytes(name: str) -> None:
    images = set()
    for text in (name, f"{name}:0", f"{name}:00"):
        data = bytearray()
        layout = ext4writer.plan(sample(), spec_for(text, uuid=UUID(int=1)))
        with layout.open() as image:
            data += image.readall()
        images.add(bytes(data))
    assert len(images) == 1
    for wrong in (f"{name}:", f"{name}:x", f"{name}:-1", f"{name}:{1 << 64}"):
        with pytest.raises(SpecError, match="policy"):
            policy(wrong)


LACKING: dict[str, tuple[str, dict[str, Any]]] = {
    **dict.fromkeys(
        ("journal-last", "journal-between", "journal-pieces", "journal-wrap", "journal-csum-v3"),
        ("a journal inside the image", {"journal": "1M"}),
    ),
    "journal-larger": ("whose size is automatic", {"journal": "auto", "free": "3M"}),
    "fast-commit": ("a journal inside", {"journal": "1M", "features": "fast_commit"}),
    "mmp-crashed": ("feature mmp", {"features": "mmp"}),
    "backup-groups": (
        "feature sparse_super2",
        {"features": "sparse_super2,^resize_inode", "blocks_per_group": 256, "free": "2M"},
    ),
    "nothing-inline": ("feature inline_data", {"features": "inline_data"}),
    "xattr-inodes": ("feature ea_inode", {"features": "ea_inode"}),
    "xattr-inodes-apart": ("feature ea_inode", {"features": "ea_inode"}),
}
"""What a policy needs, and the options that provide it."""


def made_with(choice: str | LayoutPolicy, **options: Any) -> tuple[list[Loss], bytes]:
    """The policy's losses and the bytes of its image, which is judged."""
    chosen = policy(choice) if isinstance(choice, str) else choice
    fixed: dict[str, Any] = {"uuid": UUID(int=1), "hash_seed": UUID(int=2), "block_size": 1024}
    fixed |= {"free": "256K", "journal": "none", **options}
    image = bytearray()
    layout = ext4writer.write_image(sample(), image, Spec(policy=chosen, **fixed))
    judge_bytes(image)
    return list(layout.losses), bytes(image)


@pytest.mark.parametrize("name", LACKING)
def test_a_policy_without_a_choice_is_in_the_report(name: str) -> None:
    needed, options = LACKING[name]
    [loss], image = made_with(name)
    assert (loss.path, loss.code) == (b"/", "policy-unused")
    assert f"policy {name!r}" in loss.what and needed in loss.what
    assert image == made_with("default")[1]
    assert not made_with(name, **options)[0]
    assert made_with(name, **options)[1] != made_with("default", **options)[1]


def test_a_policy_that_lacks_its_feature_is_in_the_report() -> None:
    """It is reported even if the policy makes other choices."""
    for name, feature, options in (
        ("orphan-file", "orphan_file", {}),
        ("fast-commit", "fast_commit", {"journal": "1M"}),
    ):
        [loss], image = made_with(name, **options)
        assert loss.code == "policy-unused" and f"needs the feature {feature}," in loss.what
        assert image != made_with("default", **options)[1]


def test_orphans_beside_a_quota_are_in_the_report() -> None:
    [loss], _ = made_with("orphan-list", features="quota")
    assert "without the feature quota" in loss.what


class Apart(LayoutPolicy):
    """Requests gaps, but files are placed sequentially."""

    name = "apart"

    def gap(self) -> int:
        return 3


def test_a_method_that_is_never_called_is_in_the_report() -> None:
    [loss], _ = made_with(Apart())
    assert loss.what.endswith("it needs sequential to be False")
    choice = Apart()
    choice.sequential = False
    assert not made_with(choice)[0]
    assert not made_with(LayoutPolicy())[0]


def test_random_policies_are_never_in_the_report() -> None:
    for kind in ("random", "random-features", "random-recovery"):
        for seed in range(4):
            assert not made_with(f"{kind}:{seed}")[0]


def test_each_is_described() -> None:
    assert set(described()) == set(NAMED)
    assert all(text.endswith(".") for text in described().values())


def test_five_levels_of_extents_from_kilobytes(tmp_path: Path, watch: Any) -> None:
    with open_image(written(DEEP, tmp_path, watch)) as opened:
        header = opened.lookup("/long").raw[40:48]
    assert int.from_bytes(header[6:8], "little") == 5  # eh_depth of the root
    assert image_size(tmp_path) < 1 << 20


def test_three_levels_of_an_index_from_kilobytes(tmp_path: Path, watch: Any) -> None:
    image = written("deep-index", tmp_path, watch, features="large_dir")
    with open_image(image) as opened:
        data = opened.block(next(iter(opened.lookup("/many").runs())).physical)
    assert data[28 + 2] == 2  # indirect_levels of dx_root_info: two below the root
    assert image_size(tmp_path) < 1 << 20


def image_size(folder: Path) -> int:
    return (folder / "image").stat().st_size


class Nonsense(LayoutPolicy):
    """Gives invalid answers."""

    def __init__(self, method: str, answer: int) -> None:
        self.name = "nonsense"
        self._method, self._answer = method, answer

    def index_entries(self, limit: int) -> int:
        return self._answer if self._method == "index_entries" else limit

    def extent_entries(self, limit: int) -> int:
        return self._answer if self._method == "extent_entries" else limit


@pytest.mark.parametrize("method", ["index_entries", "extent_entries"])
@pytest.mark.parametrize("answer", [-1, 0, 1, 1 << 40, "2"])
def test_nonsense_is_refused(method: str, answer: int) -> None:
    with pytest.raises(SpecError, match=method):
        ext4writer.plan(sample(), Spec(block_size=1024, policy=Nonsense(method, answer)))
