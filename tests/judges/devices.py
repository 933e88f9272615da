"""Block devices for tests: loop devices with any sector size."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .tools import missing, require, require_root, run


@contextmanager
def loop_device(backing: Path, *options: str, sector_size: int = 512) -> Iterator[Path]:
    """Yield a loop device over the file ``backing``; ``options`` are those of losetup."""
    require_root()
    attach = [require("losetup"), "--find", "--show", "--sector-size", str(sector_size)]
    done = subprocess.run(
        [*attach, *options, str(backing)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        missing("a loop device", f"losetup says: {done.stderr.strip()}")
    device = Path(done.stdout.strip())
    try:
        yield device
    finally:
        run(["losetup", "--detach", device])


def contents(device: Path) -> bytes:
    """The content of the device itself, bypassing the kernel's cache."""
    run(["blockdev", "--flushbufs", device])
    return device.read_bytes()


def signatures(device: Path) -> list[str]:
    """What ``wipefs`` finds on a device: the kinds of file systems, tables and containers."""
    run(["blockdev", "--flushbufs", device])
    listed = run(["wipefs", "--noheadings", "--output", "TYPE", device]).stdout
    return sorted(listed.split())
