"""Find and run foreign programs.

A missing judge skips the test with a hint at what to install. With ``EXT4WRITER_REQUIRE_ORACLES=1``
in the environment it fails the test, so a run that is meant as proof cannot pass by skipping.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

PACKAGES = {
    "7zz": "7zip",
    "afl-fuzz": "afl++",
    "blkid": "util-linux",
    "bsdtar": "libarchive-tools",
    "busybox": "busybox-static",
    "bwrap": "bubblewrap",
    "debootstrap": "debootstrap",
    "debugfs": "e2fsprogs",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "e2image": "e2fsprogs",
    "fuse2fs": "fuse2fs",
    "fusermount": "fuse",
    "fusermount3": "fuse3",
    "genext2fs": "genext2fs",
    "getcap": "libcap2-bin",
    "getfacl": "acl",
    "genimage": "genimage",
    "getfattr": "attr",
    "groff": "groff-base",
    "grub-fstest": "grub-common",
    "img2simg": "android-sdk-libsparse-utils",
    "losetup": "mount",
    "matchpathcon": "selinux-utils",
    "mke2fs": "e2fsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.xfs": "xfsprogs",
    "mount": "mount",
    "mtree": "mtree-netbsd",
    "nix-build": "nix-bin",
    "nix-hash": "nix-bin",
    "nix-instantiate": "nix-bin",
    "nix-store": "nix-bin",
    "partclone.extfs": "partclone",
    "partprobe": "parted",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "resize2fs": "e2fsprogs",
    "selabel_lookup": "selinux-utils",
    "setcap": "libcap2-bin",
    "setfacl": "acl",
    "setfattr": "attr",
    "setpriv": "util-linux",
    "sfdisk": "fdisk",
    "simg2img": "android-sdk-libsparse-utils",
    "systemd-repart": "systemd",
    "tune2fs": "e2fsprogs",
    "umount": "mount",
    "veritysetup": "cryptsetup-bin",
    "xz": "xz-utils",
    "zerofree": "zerofree",
}
"""Program -> its Debian package, where the names differ or may surprise."""

OTHER_NAMES = {"7zz": ("7z",), "partclone.extfs": ("partclone.ext4",)}
"""Names of programs in other releases."""

SEARCH_PATH = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"]
)
DEFAULT_TIMEOUT = 600.0

missing_oracles: set[str] = set()
"""The judges that were not found; the summary of the run lists them."""


def oracles_are_required() -> bool:
    """True if a missing judge must fail the test."""
    return os.environ.get("EXT4WRITER_REQUIRE_ORACLES", "") not in ("", "0")


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the running test, or fail it if oracles are required."""
    message = f"{what} is missing; {remedy}"
    missing_oracles.add(message)
    if oracles_are_required():
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def find(program: str) -> str | None:
    """The full path of ``program``, also searched for in the administrator's directories."""
    for name in (program, *OTHER_NAMES.get(program, ())):
        path: str | None = shutil.which(name, path=SEARCH_PATH)
        if path is not None:
            return path
    return None


def require(program: str) -> str:
    """The full path of ``program``. If it is missing, skip or fail the test."""
    path = find(program)
    if path is None:
        package = PACKAGES.get(program, program)
        missing(f"the program {program}", f"apt-get install {package}")
    return path


def require_module(name: str, distribution: str) -> Any:
    """The imported module ``name``; ``distribution`` is its name for pip."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(f"the Python package {distribution}", f"pip install {distribution}")


def require_importable(name: str, distribution: str) -> None:
    """Skip or fail the test unless the module ``name`` exists; do not import it."""
    if importlib.util.find_spec(name) is None:
        missing(f"the Python package {distribution}", f"pip install {distribution}")


def require_root() -> None:
    """Skip or fail the test unless it runs as root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        missing("the superuser", "run the tests as root")


def require_loop_mount() -> None:
    """Skip or fail the test unless this machine can mount an ext4 image through a loop device."""
    require_root()
    for program in ("losetup", "mount", "umount", "mke2fs"):
        require(program)
    problem = _loop_mount_problem()
    if problem:
        missing("mounting through a loop device", f"it says: {problem}")


def open_terminal() -> tuple[int, int]:
    """Open a new terminal; return our descriptor and the program's. Skip or fail without one."""
    import pty  # missing on Windows

    try:
        return pty.openpty()
    except OSError as error:
        missing("a pseudo-terminal", f"mount devpts at /dev/pts ({error.strerror})")


@functools.cache
def _loop_mount_problem() -> str:
    """Mount a small file system once; return what went wrong, or ""."""
    with tempfile.TemporaryDirectory(prefix="ext4writer-probe-") as scratch:
        image = Path(scratch, "image")
        point = Path(scratch, "point")
        point.mkdir()
        run(["mke2fs", "-q", "-t", "ext4", str(image), "1M"])
        mount = run(["mount", "-o", "loop,ro", str(image), str(point)], check=False)
        if mount.returncode:
            return mount.stdout.strip()
        run(["umount", str(point)])
        return ""


def run(
    arguments: Sequence[str | bytes | os.PathLike[str]],
    *,
    check: bool = True,
    cwd: str | os.PathLike[str] | None = None,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> subprocess.CompletedProcess[str]:
    """Run a program of the host and return it with stdout and stderr together as text.

    The locale is C and the time zone UTC. ``arguments[0]`` is the program's name without a
    directory. With ``check``, a status other than 0 raises an AssertionError with the full output.
    """
    program = require(os.fsdecode(arguments[0]))
    done = subprocess.run(
        [program, *arguments[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        input=stdin,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC", "PATH": SEARCH_PATH, **(environment or {})},
        timeout=timeout,
        check=False,
    )
    output = done.stdout.decode("utf-8", "surrogateescape")
    if check and done.returncode:
        shown = " ".join(os.fsdecode(argument) for argument in arguments)
        raise AssertionError(f"{shown}\nexit status {done.returncode}\n{_printable(output)}")
    return subprocess.CompletedProcess(done.args, done.returncode, output, "")


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
