"""A card that is much larger than its image: inodes, blocks and the boot loader's reach."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.builder.command import run
from tests.guest.qemu import run_guest
from tests.guest.u_boot import u_boot
from tests.judges import debugfs
from tests.judges.fsck import assert_clean

pytestmark = pytest.mark.qemu

GIB = 1 << 30
OBJECT = "0123456789abcdfghijklmnpqrsvwxyz-model"

GROW = """
mount -t ext4 /dev/vda /mnt
resize2fs /dev/vda
mkdir /mnt/far
fallocate -l {allocated} /mnt/far/first
n=0
while [ $n -lt 40 ]; do
    mkdir /mnt/far/$n
    echo "file $n" > /mnt/far/$n/file
    n=$((n + 1))
done
df -i /mnt | tail -1
sync
umount /mnt
"""


def large_file(folder: Path) -> None:
    """A store path of one file, for which an image has hardly any inodes of its own."""
    store = folder / "store" / OBJECT
    store.mkdir(parents=True)
    (folder / "paths").write_text(f"/nix/store/{OBJECT}\n")
    with (store / "large").open("wb") as file:
        for offset in range(0, 140 << 20, 28 << 10):
            file.seek(offset)
            file.write(b"x")


@pytest.mark.parametrize("size", [32 * GIB, 2048 * GIB], ids=["32 GiB", "2 TiB"])
def test_grown_on_the_first_boot(size: int, tmp_path: Path) -> None:
    large_file(tmp_path)
    image = tmp_path / "a.img"
    done = run(
        *("nix", "--store-paths", tmp_path / "paths", "--store-dir", tmp_path / "store"),
        *("-o", image, "-q", "--database"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    os.truncate(image, size)
    # What is allocated first fills the first groups, so that what follows lies far from them.
    said = run_guest(GROW.format(allocated="20G"), [image], 900, programs=["resize2fs"])
    assert "on-line resizing required" in said
    inodes = re.search(r"/dev/vda +(\d+) +\d+ +(\d+) ", said)
    assert inodes is not None
    # As mke2fs gives them: one for 16 KiB.
    assert int(inodes[2]) >= size // (16 << 10) * 0.99
    assert_clean(image)
    found = debugfs.superblock(image)
    assert "meta_bg" not in found["Filesystem features"]
    assert int(found["Block count"]) * 4096 >= size * 0.999
    with u_boot([image]) as loader:
        for number in (0, 39):
            loader.assert_reads("virtio 0", f"/far/{number}/file", b"file %d\n" % number)
