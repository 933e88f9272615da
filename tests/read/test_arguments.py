"""Numbers that a caller passes to an open image are converted if plain, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ext4writer import SpecError, Tree, write_image
from ext4writer.read import open_image
from ext4writer.read.image import Image
from tests.judges import fsck


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    path = tmp_path / "image"
    write_image(Tree(), path)
    fsck.assert_clean(path)
    with open_image(path) as opened:
        yield opened


NUMBERS = {
    "read": ("offset", "count"),
    "block": ("number",),
    "has_blocks": ("first", "count"),
    "check_group": ("group",),
    "descriptor_offset": ("group",),
    "descriptor": ("group",),
    "inode_offset": ("ino",),
    "inode": ("ino",),
}


@pytest.mark.parametrize("method", NUMBERS)
def test_a_wrong_number_is_refused_by_its_name(method: str, image: Image) -> None:
    names = NUMBERS[method]
    for wrong in range(len(names)):
        for given in ("x", None, [], 2.5):
            if given == 2.5 and method in ("has_blocks", "check_group"):
                continue  # they only compare, so fractions work
            values = [given if at == wrong else 1 for at in range(len(names))]
            if method in ("check_group", "descriptor_offset", "descriptor"):
                values = [given]
            with pytest.raises(SpecError, match=f"^{names[wrong]}: .*no whole number"):
                getattr(image, method)(*values)


def test_a_plain_number_is_accepted(image: Image) -> None:
    assert image.block("1") == image.block(1.0) == image.block(1)  # type: ignore[arg-type]
    assert image.inode("2").is_directory and image.inode(2.0).ino == 2  # type: ignore[arg-type]
    assert type(image.inode(2.0).ino) is int  # type: ignore[arg-type]
    assert image.inode_offset("12") == image.inode_offset(12)  # type: ignore[arg-type]
    assert image.descriptor(0.0) == image.descriptor(0)  # type: ignore[arg-type]
    assert image.read("0", 8.0) == image.read(0, 8)  # type: ignore[arg-type]
