"""What multi-mount protection records about earlier hosts: everyone can continue afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ext4writer
from ext4writer import LayoutPolicy, Spec, SpecError, Tree, policy
from ext4writer.inspection.check import check_image
from ext4writer.planning.states.mmp import MMP_POLICIES
from ext4writer.read import open_image
from ext4writer.states import MmpState
from tests.judges.compare import assert_tree_equal
from tests.judges.kernel import mounted
from tests.judges.tools import require, require_root, run

# A repair would wait because of the host that left it.
pytestmark = pytest.mark.judged("quick")

TREE = Tree()
TREE.file("/f", b"content")


def spec_for(choice: LayoutPolicy) -> Spec:
    return Spec(block_size=1024, journal="none", features="mmp", policy=choice)


@pytest.mark.parametrize("name", [kind.name for kind in MMP_POLICIES])
def test_everyone_can_continue_after_it(name: str, tmp_path: Path) -> None:
    image, spec = tmp_path / "image", spec_for(policy(f"{name}:1"))
    ext4writer.write_image(TREE, image, spec)
    with open_image(image) as opened:
        assert not check_image(opened).problems
    require_root()
    # The kernel waits some 20 seconds for the earlier host before it writes.
    with mounted(image, rw=name != "mmp-crashed", options="noatime") as point:
        assert_tree_equal(TREE, point, spec)


def test_contents_of_the_mmp_block(tmp_path: Path) -> None:
    require("debugfs")
    told = {}
    for kind in MMP_POLICIES:
        image = tmp_path / kind.name
        ext4writer.write_image(TREE, image, spec_for(kind(1)))
        told[kind.name] = run(["debugfs", "-R", "dump_mmp", str(image)]).stdout
    assert "sequence: ff4d4d50" in told["mmp-never-opened"]
    assert "node_name: \n" in told["mmp-never-opened"]
    assert "sequence: ff4d4d50" in told["mmp-clean"]
    assert "sequence: ff4d4d50" not in told["mmp-crashed"]
    for name in ("mmp-clean", "mmp-crashed"):
        assert "node_name: host-" in told[name] or "node_name: nnn" in told[name]


class FixedAnswer(LayoutPolicy):
    """Answers with a given value."""

    name = "given"

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def mmp_state(self, epoch: int) -> MmpState | None:
        return self._answer  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "answer",
    [
        "clean",
        MmpState(sequence=0),
        MmpState(sequence=0xE24D4D50),
        MmpState(sequence=-1),
        MmpState(sequence="clean"),  # type: ignore[arg-type]
        MmpState(time=-1),
        MmpState(node_name=b"n" * 64),
        MmpState(node_name="host"),  # type: ignore[arg-type]
        MmpState(device_name=b"d\0"),
        MmpState(check_interval=301),
    ],
)
def test_nonsense_is_refused(answer: Any) -> None:
    with pytest.raises(SpecError, match="policy"):
        ext4writer.plan(TREE, spec_for(FixedAnswer(answer)))
