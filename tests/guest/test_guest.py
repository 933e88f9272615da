"""A test of the guest itself, with a file system of mke2fs that grows while it is mounted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.guest import run_guest
from tests.guest.qemu import GuestError
from tests.judges.fsck import judge
from tests.judges.tools import require, run

pytestmark = pytest.mark.qemu

GROW_AND_FILL = """
mount -t ext4 /dev/vda /mnt
resize2fs /dev/vda
mkdir /mnt/new
i=0
while [ $i -lt 200 ]; do echo $i > /mnt/new/$i; i=$((i+1)); done
dd if=/dev/zero of=/mnt/new/large bs=1M count=200 2>&1
df -k /mnt
umount /mnt
"""


def test_image_grows_online(tmp_path: Path) -> None:
    image = tmp_path / "image"
    run(["mke2fs", "-q", "-t", "ext4", image, "64M"])
    with open(image, "r+b") as file:
        file.truncate(640 << 20)
    started = time.monotonic()
    console = run_guest(GROW_AND_FILL, [image], programs=["resize2fs"])
    assert "on-line resizing required" in console
    assert "/dev/vda" in console
    judge(image)
    assert time.monotonic() - started < 120


def test_a_failing_script_is_reported(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="ended with 3"):
        run_guest("echo so far; exit 3")
    assert run_guest("echo so far; false; echo not reached", check=False) == "so far\n"


def test_guest_that_hangs_is_stopped() -> None:
    with pytest.raises(GuestError, match="longer than"):
        run_guest("sleep 1000", timeout=5)


def test_snapshot_keeps_the_drive(tmp_path: Path) -> None:
    image = tmp_path / "image"
    run(["mke2fs", "-q", "-t", "ext4", image, "8M"])
    before = image.read_bytes()
    run_guest("mount -t ext4 /dev/vda /mnt; touch /mnt/new; umount /mnt", [image], snapshot=True)
    assert image.read_bytes() == before


def test_kernel_log_of_the_guest_is_heard(tmp_path: Path) -> None:
    require("qemu-system-x86_64")  # before an invalid image exists
    image = tmp_path / "image"
    run(["mke2fs", "-q", "-t", "ext4", "-E", "root_owner=1:1", image, "8M"])
    run(["debugfs", "-w", "-R", "set_inode_field / checksum 0x1234", image])
    with pytest.raises(GuestError):
        run_guest("mount -t ext4 /dev/vda /mnt; ls /mnt", [image], snapshot=True)
    image.unlink()
