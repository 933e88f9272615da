"""The kernel of this machine as a judge: mount an image, and watch the kernel log."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .tools import require_loop_mount, run

GOOD_MESSAGES = re.compile(
    r"mounted filesystem|unmounting filesystem|re-mounted"
    r"|resizing filesystem|resized filesystem|resized to"
    r"|write access unavailable, skipping orphan cleanup"
    r"|Using encoding defined by superblock"
    r"|Converting file system to meta_bg"
    r"|ext4_convert_unwritten_extents_endio:\d+: Inode \(\d+\) finished: extent logical block"
)
"""What ext4 may log about an image without faults; any other line is an objection.

The kernel logs skipped orphans for every file system with an orphan file on a read-only device. The
last message is a self-check of kernels with CONFIG_EXT4_DEBUG: a write to part of an extent ended
before the extent was split. It also appears for file systems of mke2fs, mostly full ones with
bigalloc and no journal.
"""


RECOVERY = re.compile(
    r"recovery complete|\d+ orphan inodes? deleted|\d+ truncates? cleaned up"
    r"|recovery required on readonly filesystem|write access will be enabled during recovery"
)
"""Logged only for images that needed recovery."""


class KernelLog:
    """The lines that the kernel logs while this is open."""

    def __init__(self) -> None:
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._fd, 0, os.SEEK_END)

    def new_lines(self) -> list[str]:
        """The lines logged since the last call."""
        lines: list[str] = []
        while True:
            try:
                record = os.read(self._fd, 8192)
            except BlockingIOError:
                return lines
            except BrokenPipeError:
                continue
            text = record.decode("utf-8", "backslashreplace")
            lines.append(text.partition(";")[2].partition("\n")[0])

    def close(self) -> None:
        os.close(self._fd)


def objections(lines: list[str], device: str) -> list[str]:
    """The lines in which the file system code reports a problem with ``device``."""
    word = re.compile(rf"\b{re.escape(device)}\b")
    return [
        line
        for line in lines
        if ("EXT4-fs" in line or "JBD2" in line or "EXT2-fs" in line)
        and word.search(line)
        and not GOOD_MESSAGES.search(line)
    ]


@contextmanager
def mounted(
    image: Path,
    rw: bool = False,
    *,
    kind: str = "ext4",
    options: str = "",
    quiet: bool = True,
    recovers: bool = False,
) -> Iterator[Path]:
    """Mount ``image`` through a loop device and yield the mount point.

    Without ``rw``, the mount and the device are read-only. ``kind`` is the file system type for
    mount, and ``options`` are further mount options. The unmount is followed by an AssertionError
    if the kernel logged anything but success about the device. ``quiet=False`` permits such
    messages, and ``recovers`` those about recovery. Several processes may do this at the same time.
    """
    require_loop_mount()
    mode = "rw" if rw else "ro"
    scratch = tempfile.TemporaryDirectory(prefix="ext4writer-mount-")
    attach = ["losetup", "--find", "--show", *([] if rw else ["--read-only"]), str(image)]
    device = run(attach).stdout.strip()
    log = KernelLog()
    point = Path(scratch.name, "point")
    point.mkdir()
    try:
        choice = ",".join([mode, *([options] if options else [])])
        mount = run(["mount", "-t", kind, "-o", choice, device, str(point)], check=False)
        if mount.returncode:
            said = "\n".join(log.new_lines()[-20:])
            raise AssertionError(f"mount of {image.name}: {mount.stdout}\n{said}")
        try:
            yield point
        finally:
            _unmount(point)
    finally:
        lines = log.new_lines()
        log.close()
        run(["losetup", "--detach", device], check=False)
        _wait_until_detached(device, image)
        scratch.cleanup()
    wrong = objections(lines, Path(device).name)
    if recovers:
        wrong = [line for line in wrong if not RECOVERY.search(line)]
    if wrong and quiet:
        raise AssertionError(f"the kernel reports problems with {image.name}:\n" + "\n".join(wrong))


def _wait_until_detached(device: str, image: Path) -> None:
    """Wait: a mount namespace that another test created meanwhile keeps the mount alive.

    Only when it ends does the kernel write the last metadata, such as the free counts.
    """
    backing = Path("/sys/block", Path(device).name, "loop", "backing_file")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if backing.read_text().strip() != str(image.resolve()):
                return
        except OSError:
            return
        time.sleep(0.05)


def _unmount(point: Path) -> None:
    for pause in (0.0, 0.1, 0.5, 2.0):
        time.sleep(pause)
        done = run(["umount", str(point)], check=False)
        if done.returncode == 0:
            return
    run(["umount", "--lazy", str(point)], check=False)
    raise AssertionError(f"umount: {done.stdout}")


def drop_caches() -> None:
    """Drop the kernel's cached names and inodes, so the next look-up reads the image."""
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
