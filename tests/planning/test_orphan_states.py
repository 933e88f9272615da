"""Orphans left by a policy: everyone deletes or truncates them, and the rest equals the tree."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import Layout, LayoutPolicy, Spec, SpecError, Tree, policy
from ext4writer.damage import reseal
from ext4writer.inspection.check import check_image
from ext4writer.layout import plan_of
from ext4writer.read import open_image
from ext4writer.read.orphans import orphans
from ext4writer.states import (
    DeletedFile,
    OrphanRoom,
    OrphanState,
    TruncatedFile,
)
from tests.judges.compare import assert_tree_equal
from tests.judges.fsck import assert_clean
from tests.judges.kernel import mounted
from tests.judges.tools import require_root


def sample() -> Tree:
    tree = Tree()
    for size in (0, 1, 1000, 1024, 5000, 9000):
        tree.file(f"/{size}", b"c" * size)
    tree.file("/sparse", b"x" * 3000 + bytes(70_000) + b"y" * 100)
    tree.file("/attributes", b"a" * 500, xattrs={"user.note": "x" * 300})
    return tree


def spec_for(choice: str | LayoutPolicy, **options: Any) -> Spec:
    chosen = policy(choice) if isinstance(choice, str) else choice
    given = {"block_size": 1024, "free": "64K", "journal": "1M", "features": "orphan_file"}
    return Spec(**{**given, **options}, policy=chosen)


@pytest.mark.parametrize(
    ("choice", "options"),
    [
        ("orphan-list:0", {}),
        ("orphan-list:1", {"type": "ext3", "features": ""}),
        ("orphan-list:2", {"journal": "none", "features": ""}),
        (
            "orphan-list:3",
            {"features": "^metadata_csum,inline_data", "journal": "4M", "block_size": 4096},
        ),
        ("orphan-file:0", {}),
        ("orphan-file:1", {}),
        ("orphan-file:2", {"journal": "auto"}),  # left out, as the image is small
    ],
)
def test_everyone_recovers_it(choice: str, options: dict[str, Any], tmp_path: Path) -> None:
    image, spec = tmp_path / "image", spec_for(choice, **options)
    layout = ext4writer.write_image(sample(), image, spec)  # e2fsck judges it
    planned = plan_of(layout).orphans
    assert planned is not None and planned.deleted and planned.truncated
    with open_image(image) as opened:
        found = orphans(opened)
        assert sorted(found) == sorted([*planned.chain, *(ino for _, ino in planned.slots)])
        assert {code(problem) for problem in check_image(opened).problems} > {"ORPHANS"} or (
            not planned.chain
        )
    with open_image(image, replay=True) as opened:
        assert not check_image(opened, data=True).problems
    require_root()
    copy = shutil.copyfile(image, tmp_path / "copy")
    with mounted(copy, rw=True, recovers=True, options="noatime") as point:
        try:
            assert_tree_equal(sample(), point, spec)
        except AssertionError as error:
            # The kernel updates the times of files that it truncates.
            cut = [plan_of(layout).table.path_of(index) for index, _ in planned.truncated]
            for line in str(error).splitlines()[1:]:
                assert re.match(r"b'(.*?)': [mc]time is", line), line
                assert line.split("'")[1].encode() in cut
    assert_clean(copy)


def code(problem: Any) -> str:
    return str(problem.code)


@pytest.mark.damaged
@pytest.mark.parametrize("name", ["orphan-list", "orphan-file"])
def test_bytes_are_right_and_the_same(name: str, tmp_path: Path) -> None:
    data = bytearray()
    layout = ext4writer.write_image(sample(), data, spec_for(name))
    assert reseal(bytes(data)) == data
    layout.save(tmp_path / "plan")
    again = bytearray()
    ext4writer.write_layout(Layout.load(tmp_path / "plan"), again)
    assert again == data


def test_when_orphan_policies_are_not_called() -> None:
    for features in ("quota", "bigalloc", "shared_blocks"):
        planned = plan_of(ext4writer.plan(sample(), spec_for("orphan-list", features=features)))
        assert planned.orphans is None or not planned.orphans.truncated


class FixedAnswer(LayoutPolicy):
    """Answers with a given value."""

    name = "given"

    def __init__(self, *orphans: Any) -> None:
        self._orphans = orphans

    def orphan_state(self, room: OrphanRoom) -> OrphanState | None:
        return OrphanState(self._orphans)


@pytest.mark.parametrize(
    "orphans",
    [
        ["file"],
        [DeletedFile(-1)],
        [DeletedFile(1 << 40)],
        [DeletedFile("0")],  # type: ignore[arg-type]
        [DeletedFile(slot=-1)],
        [DeletedFile(slot=1 << 20)],
        [DeletedFile(slot=3), DeletedFile(slot=3)],
        [TruncatedFile(99)],
        [TruncatedFile(-1)],
        [TruncatedFile(0), TruncatedFile(0)],
        [TruncatedFile(0, 0)],
        [TruncatedFile(0, 9)],
        [TruncatedFile(0, 1, 1 << 20)],
    ],
)
def test_nonsense_is_refused(orphans: list[Any]) -> None:
    with pytest.raises(SpecError, match="policy"):
        ext4writer.plan(sample(), spec_for(FixedAnswer(*orphans)))
