"""Damaged images with attribute blocks in inodes that no path leads to; e2fsck judges."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ext4writer.inspection.check import check_image
from ext4writer.read import open_image
from tests.judges.fsck import problems
from tests.judges.tools import require

pytestmark = pytest.mark.damaged

FIRST_DATA, A_BITMAP, BEYOND = 1, 100, 0x7FFFFFFF


@pytest.mark.parametrize("ino", [7, 8, 9])
def test_a_block_of_attributes_of_a_reserved_inode(ino: int, tmp_path: Path) -> None:
    image = tmp_path / "image"
    made = [require("mke2fs"), "-q", "-F", "-t", "ext4", "-b", "1024", image, "4M"]
    subprocess.run(list(map(str, made)), check=True, capture_output=True)
    for block in (FIRST_DATA, A_BITMAP, BEYOND, 0):
        request = f"set_inode_field <{ino}> file_acl {block}"
        subprocess.run([require("debugfs"), "-w", "-R", request, image], capture_output=True)
        with open_image(image, on_damage=lambda error: None) as opened:
            result = check_image(opened)
        assert result.is_clean is (not problems(image)), (block, result.problems)
    assert result.is_clean
