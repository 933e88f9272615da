"""Debian's cloud kernel, downloaded and unpacked into a cache, not installed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.judges.tools import missing, require, run

META_PACKAGE = "linux-image-cloud-amd64"


def cache_folder() -> Path:
    """Where downloads are kept between runs: EXT4WRITER_CACHE, or the user's cache folder."""
    chosen = os.environ.get("EXT4WRITER_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base, "ext4writer-tests")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time work in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def unpacked_kernel() -> Path:
    """The folder with ``boot`` and ``lib/modules`` of the kernel package.

    It is fetched with ``apt-get download`` on first use. If that fails, the test is skipped or
    fails.
    """
    base = cache_folder() / "kernel"
    with locked(base):
        ready = sorted(base.glob("linux-image-*/boot/vmlinuz-*"))
        if ready:
            return ready[-1].parent.parent
        require("apt-get")
        require("dpkg")
        package = _real_package()
        fetched = run(["apt-get", "download", package], cwd=base, check=False)
        archives = sorted(base.glob(f"{package}_*.deb"))
        if not archives:
            missing(f"the package {package}", f"apt-get download says: {fetched.stdout.strip()}")
        unfinished = base / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        run(["dpkg", "-x", archives[-1], unfinished])
        archives[-1].unlink()
        done = base / package
        unfinished.rename(done)
        return done


def _real_package() -> str:
    """The dependency of the package that always names the newest kernel."""
    output = run(["apt-cache", "depends", META_PACKAGE], check=False).stdout
    names: list[str] = re.findall(r"Depends: (linux-image-\S+-cloud-amd64)", output)
    if not names:
        missing(f"the package {META_PACKAGE}", "apt-get update on a Debian for amd64")
    return names[0]
