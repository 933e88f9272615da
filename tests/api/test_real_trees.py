"""Real input: Python's own installation, and the system's usr tree of over 100,000 entries."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

import ext4writer
from ext4writer import Spec
from tests.judges.compare import assert_dirs_equal
from tests.judges.fsck import judge
from tests.judges.kernel import mounted
from tests.judges.tools import missing, require_root


@pytest.fixture
def python_installation() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def test_python_installation(python_installation: Path, tmp_path: Path) -> None:
    require_root()
    image = tmp_path / "python.img"
    tree = ext4writer.sources.directory(python_installation)
    layout = ext4writer.write_image(tree, image, workers=2)
    assert layout.size_bytes == image.stat().st_size == sum(layout.space.values())
    assert not layout.losses
    with mounted(image) as point:
        assert_dirs_equal(python_installation, point)


@pytest.mark.huge
@pytest.mark.timeout(1200)
@pytest.mark.judged("quick")
def test_system_usr_tree(tmp_path: Path) -> None:
    require_root()
    source = Path("/usr")
    image = tmp_path / "usr.img"
    tree = ext4writer.sources.directory(source, one_file_system=True)
    layout = ext4writer.write_image(tree, image, Spec(), workers=2)
    if sum(layout.entries.values()) <= 10_000:
        missing("a /usr of more than 10,000 entries", "install more on this machine")
    judge(image, "quick")
    with mounted(image) as point:
        assert_dirs_equal(source, point)
