"""Features that only a guest's kernel knows, in images of ours: all of them in one boot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

import ext4writer
from ext4writer import Spec, Tree
from ext4writer.inspection.check import check_image
from ext4writer.read import open_image
from tests.guest import run_guest
from tests.judges.fsck import judge
from tests.judges.tools import require

pytestmark = pytest.mark.qemu

FOLDED = [f"Straße Ünïcode Name {number}" for number in range(400)]
OTHER_CASE = [f"STRASSE ünÏcode NAME {number}" for number in range(400)]

FOLDING = """
mount -t ext4 /dev/vda /mnt
while read -r name; do [ -s "/mnt/fold/$name" ]; done < /other-case
[ "$(cat "/mnt/fold/STRASSE ünÏcode NAME 399")" = found ]
while read -r name; do [ -e "/mnt/fold/$name" ]; done < /names
[ "$(cat /mnt/fold/sub/HELLO.txt)" = hello ]
[ ! -e /mnt/FOLD ]
[ ! -e /mnt/exact/HELLO.txt ]
echo changed > "/mnt/fold/STRASSE ünïcode name 7"
i=0
while [ $i -lt 150 ]; do echo new > "/mnt/fold/Neu Äö $i"; i=$((i+1)); done
rm "/mnt/fold/strasse ÜNÏCODE name 8" /mnt/fold/sub/hello.TXT
mkdir /mnt/fold/Made
lsattr -d /mnt/fold/made
umount /mnt
mount -t ext4 /dev/vdb /mnt
[ "$(cat /mnt/strict/hello.txt)" = hello ]
if touch "/mnt/strict/$(printf '\\377')" 2>/dev/null; then exit 9; fi
touch "/mnt/$(printf '\\377')"
umount /mnt
"""


class Guest(NamedTuple):
    """The images after the guest had them."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    require("qemu-system-x86_64")
    folder = tmp_path_factory.mktemp("guest")
    drives = [_folding(folder / "folding"), _strict(folder / "strict")]
    said = run_guest(
        FOLDING,
        drives,
        programs=["lsattr"],
        files={
            "/names": "".join(f"{name}\n" for name in FOLDED).encode(),
            "/other-case": "".join(f"{name}\n" for name in OTHER_CASE).encode(),
        },
    )
    return Guest(folder, said)


def _written(tree: Tree, image: Path, spec: Spec) -> Path:
    ext4writer.write_image(tree, image, spec)
    judge(image, "quick")
    return image


def _folding(image: Path) -> Path:
    tree = Tree()
    tree.directory("fold", flags="casefold")
    for name in FOLDED:
        tree.file(f"fold/{name}", b"found\n")
    tree.directory("fold/sub", flags="casefold")
    tree.directory("exact")
    for folder in ("fold/sub", "exact"):
        tree.file(f"{folder}/Hello.TXT", b"hello\n")
    return _written(tree, image, Spec(encoding="utf8", block_size=1024))


def _strict(image: Path) -> Path:
    tree = Tree()
    tree.directory("strict", flags="casefold")
    tree.file("strict/Hello.TXT", b"hello\n")
    spec = Spec(encoding="utf8-12.1", encoding_flags="strict", hash_alg="tea_unsigned")
    return _written(tree, image, spec)


def _assert_right(image: Path) -> None:
    judge(image, "quick")
    with open_image(image) as opened:
        assert not check_image(opened).problems


def test_the_kernel_finds_names_in_another_case(guest: Guest) -> None:
    for name in ("folding", "strict"):
        _assert_right(guest.folder / name)
    with open_image(guest.folder / "folding") as opened:
        assert opened.open("/fold/Straße Ünïcode Name 7").read() == b"changed\n"
        assert opened.open("/fold/neu äÖ 149").read() == b"new\n"
        assert "CASEFOLD" in opened.lookup("/fold/made").flag_names
    assert re.search(r"F.* /mnt/fold/made", guest.said)
