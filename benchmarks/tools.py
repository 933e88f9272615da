"""Finds installed programs, and describes the environment in which they run."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from ext4writer import DEFAULT_FEATURES

PACKAGES = {
    "awk": "mawk",
    "cp": "coreutils",
    "du": "coreutils",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "fakeroot": "fakeroot",
    "faketime": "faketime",
    "find": "findutils",
    "findmnt": "util-linux",
    "fsck.ext4": "e2fsprogs",
    "genext2fs": "genext2fs",
    "git": "git",
    "mke2fs": "e2fsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "mount": "mount",
    "perf": "linux-perf",
    "py-spy": "py-spy (pip)",
    "resize2fs": "e2fsprogs",
    "sed": "sed",
    "sh": "dash",
    "strace": "strace",
    "sync": "coreutils",
    "tar": "tar",
    "true": "coreutils",
    "truncate": "coreutils",
    "umount": "mount",
    "xargs": "findutils",
    "zstd": "zstd",
}
"""Program -> the Debian package that contains it."""

VERSIONS = {
    "mke2fs": ("-V",),
    "tar": ("--version",),
    "cp": ("--version",),
    "genext2fs": ("--version",),
    "fakeroot": ("--version",),
    "faketime": ("--version",),
    "zstd": ("--version",),
    "mkfs.xfs": ("-V",),
    "mkfs.btrfs": ("--version",),
}
"""Other tool -> arguments with which it prints its version."""

ADMINISTRATOR = "/usr/local/sbin:/usr/sbin:/sbin"
HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
COMMAND = Path(sys.executable).with_name("ext4writer")
"""The command of the environment that runs the benchmarks."""

MKE2FS_CONF = f"""\
[defaults]
    base_features = none
    blocksize = 4096
    inode_size = 256
    inode_ratio = 16384
    enable_periodic_fsck = 0
[fs_types]
    ext4 = {{
        features = {DEFAULT_FEATURES}
    }}
"""
"""Replaces the host's file, so that every mke2fs uses the same features as ext4writer."""


def search_path() -> str:
    """PATH plus the administrator's directories."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), ADMINISTRATOR])


def find(program: str) -> str | None:
    """The full path of ``program``."""
    return shutil.which(program, path=search_path())


def missing(programs: tuple[str, ...]) -> str:
    """Which of ``programs`` are missing, and their packages; empty if none is."""
    absent = [program for program in programs if find(program) is None]
    if not absent:
        return ""
    packages = " ".join(sorted({PACKAGES[program] for program in absent}))
    return f"not installed: {', '.join(absent)} (package {packages})"


def environment(scratch: Path) -> dict[str, str]:
    """The environment of every child, as similar on all machines as possible."""
    kept = {name: os.environ[name] for name in ("HOME", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PATH": search_path(),
        "TMPDIR": os.fspath(scratch),
        "MKE2FS_CONFIG": os.fspath(scratch / "mke2fs.conf"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }


def status_and_output(arguments: list[str]) -> tuple[int, str]:
    """Run a command that is not measured; return its exit status and all its output."""
    program = find(arguments[0])
    if program is None:
        return 127, missing((arguments[0],))
    done = subprocess.run(
        [program, *arguments[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C", "PATH": search_path()},
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()


def output_of(arguments: list[str]) -> str:
    """The output of a command; empty if it fails."""
    status, output = status_and_output(arguments)
    return "" if status else output


def no_tar_for_mke2fs() -> str:
    """Why the installed mke2fs cannot read tar archives; empty if it can."""
    with tempfile.TemporaryDirectory() as folder:
        archive, image = os.path.join(folder, "tar"), os.path.join(folder, "image")
        with tarfile.open(archive, "w"):
            pass
        status, _ = status_and_output(["mke2fs", "-q", "-F", "-d", archive, image, "1M"])
    return "cannot read tar archives; 1.47.1 and later can, with libarchive" if status else ""


def versions() -> dict[str, str]:
    """Other tool -> the first line of its version message."""
    found = {program: output_of([program, *asked]) for program, asked in VERSIONS.items()}
    return {program: text.splitlines()[0].strip("* ") for program, text in found.items() if text}


def largest_file(folder: Path) -> int:
    """16 TiB, or one block less if that is the limit of the file system of ``folder``."""
    size = 1 << 44
    probe = folder / "probe"
    try:
        with open(probe, "wb") as file:
            file.truncate(size)
    except OSError:
        size -= 4096
    finally:
        probe.unlink(missing_ok=True)
    return size


def machine(work: Path) -> dict[str, str]:
    """Facts about the machine that affect the figures."""
    usable = len(os.sched_getaffinity(0))
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    load = os.getloadavg()[0]
    return {
        "processor": f"{_processor()}, {usable} usable",
        "memory": f"{pages / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": output_of(["findmnt", "-n", "-o", "FSTYPE", "-T", os.fspath(work)]) or "?",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before": f"{load:.2f}",
    }


def is_busy() -> bool:
    """Whether other work runs, judging from two seconds before the first run.

    The load average would still include work that ended minutes ago.
    """
    before = _processor_times()
    time.sleep(2)
    spent = [after - earlier for earlier, after in zip(before, _processor_times(), strict=True)]
    idle = spent[3] + spent[4]  # proc(5): the fourth is idle, the fifth waits for disks
    return idle < 0.75 * sum(spent)


def _processor_times() -> list[int]:
    """Clock ticks by category of /proc/stat; user and nice already include guests."""
    with open("/proc/stat") as file:
        return [int(word) for word in file.readline().split()[1:9]]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
