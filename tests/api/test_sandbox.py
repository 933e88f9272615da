"""The library without a usable host gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import construct
import crc32c
import pytest

from ext4writer import sources
from tests.judges import tools
from tests.makers.host_tree import adapted, materialise
from tests.makers.manifests import FIXTURES, digest, load, manifests

ROOT = Path(__file__).parents[2]
NOBODY = "65534"

pytestmark = pytest.mark.judged("quick")

CONFINED = """
import os, socket, sys
assert os.getuid() == os.geteuid() == 65534, os.getuid()
assert not os.path.exists("/proc/self")
for folder in ("/", "/library", "/library/ext4writer", "/tmp", "/usr"):
    try:
        open(os.path.join(folder, "new"), "w")
    except OSError:
        pass
    else:
        raise AssertionError(f"{folder} can be written")
try:
    socket.create_connection(("192.0.2.1", 9), timeout=1)
except OSError as error:
    assert error.errno == 101, error  # the network is unreachable
else:
    raise AssertionError("there is a network")
allowed = ["construct", "crc32c", "ext4writer", "fixtures", "tests"]
assert sorted(os.listdir("/library")) == allowed

sys.path.insert(0, "/library")
import runpy
names = sorted(os.listdir("/library/fixtures"))
sys.argv = ["", *(f"/library/fixtures/{name}" for name in names if name.endswith(".toml"))]
runpy.run_path("/library/tests/makers/manifests.py", run_name="__main__")
assert not {"ext4writer_cli", "click", "rich", "zstandard"} & sys.modules.keys()
"""


def pinned() -> list[str]:
    return [f"{load(path).sha256} {path.stem}" for path in manifests()]


def confined() -> tuple[list[str], str]:
    """A command that runs programs as nobody on a bare, read-only system; and its Python there.

    Root drops all privileges for that, and other users get a separate user namespace.
    """
    bwrap = [tools.require("bwrap"), "--die-with-parent", "--new-session"]
    bwrap += [f"--unshare-{space}" for space in ("net", "ipc", "pid", "uts")]
    for folder in ("/usr", "/lib", "/lib32", "/lib64", "/bin"):
        if os.path.islink(folder):
            bwrap += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            bwrap += ["--ro-bind", folder, folder]
    python = os.path.realpath(sys.executable)
    if not python.startswith("/usr/"):
        bwrap += ["--ro-bind", sys.base_prefix, "/python"]
        python = f"/python/{os.path.relpath(python, os.path.realpath(sys.base_prefix))}"
    for folder in ("/library", "/library/tests", "/library/tests/makers", "/tmp"):
        bwrap += ["--perms", "0755", "--dir", folder]
    for path, place in (
        (ROOT / "ext4writer", "ext4writer"),
        (Path(construct.__file__).parent, "construct"),
        (Path(crc32c.__file__).parent, "crc32c"),
        (FIXTURES, "fixtures"),
        (ROOT / "tests" / "makers" / "manifests.py", "tests/makers/manifests.py"),
    ):
        bwrap += ["--ro-bind", str(path), f"/library/{place}"]
    bwrap += ["--remount-ro", "/", "--chdir", "/", "--clearenv"]
    if os.geteuid() != 0:
        return [*bwrap, "--unshare-user", "--uid", NOBODY, "--gid", NOBODY], python
    powers = [
        word for name in ("setuid", "setgid", "setpcap") for word in ("--cap-add", f"cap_{name}")
    ]
    drop = [tools.require("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    drop += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    return [*bwrap, *powers, *drop], python


def test_as_nobody_without_network_proc_or_a_place_to_write() -> None:
    command, python = confined()
    probe = subprocess.run([*command, "/usr/bin/true"], capture_output=True, text=True)
    if probe.returncode:
        tools.missing("permission to make a sandbox", f"bwrap says: {probe.stderr.strip()}")
    done = subprocess.run(
        [*command, python, "-I", "-S", "-B", "-c", CONFINED], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == pinned()


WITHOUT = """
import os, runpy, sys
for name in {names!r}:
    if hasattr(os, name):
        delattr(os, name)
for name in {modules!r}:
    sys.modules[name] = None
runpy.run_module("tests.makers.manifests", run_name="__main__", alter_sys=True)
"""

LACKING = {
    "copies inside the kernel": ["copy_file_range", "sendfile"],
    "reads and writes of several buffers": ["readv", "writev", "preadv", "pwritev"],
    "reads and writes anywhere": ["pread", "pwrite", "readv", "preadv", "pwritev"],
    "holes": ["SEEK_HOLE", "SEEK_DATA"],
    "reservations": ["posix_fallocate", "posix_fadvise"],
    "flags": ["O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_DIRECTORY", "O_TMPFILE"],
}
XATTRS = ["listxattr", "getxattr", "setxattr", "removexattr"]


def without(names: Iterable[str], *arguments: str | Path, modules: Iterable[str] = ()) -> list[str]:
    """Run ``tests.makers.manifests`` without ``names`` in ``os``, and without ``modules``."""
    script = WITHOUT.format(names=list(names), modules=list(modules))
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of the host for which the library would use all that is hidden."""
    path = tmp_path_factory.mktemp("sandbox") / "tree"
    tree = adapted(load(FIXTURES / "host.toml").tree)
    materialise(tree, path)
    return path


@pytest.mark.parametrize("what", LACKING)
def test_hosts_that_lack_calls_give_the_same_bytes(what: str, folder: Path, tmp_path: Path) -> None:
    expected = digest(sources.directory(folder))
    [found] = without(LACKING[what], folder, "--output", tmp_path / "image", "--workers", "2")
    assert found == f"{expected} tree"


def test_hosts_that_lack_all_of_them_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    expected = digest(sources.directory(folder, xattrs=False))
    names = {*XATTRS, *(name for names in LACKING.values() for name in names)}
    arguments = (folder, "--output", tmp_path / "image", "--workers", "3")
    [found] = without(names, *arguments, modules=["fcntl", "crc32c"])
    assert found == f"{expected} tree"
    assert without(names, *manifests(), modules=["fcntl", "crc32c"]) == pinned()


def test_hosts_without_extended_attributes_lose_only_those(folder: Path) -> None:
    expected = digest(sources.directory(folder, xattrs=False))
    assert without(XATTRS, folder) == [f"{expected} tree"]
    assert without((), folder, "--no-xattrs") == [f"{expected} tree"]
    assert without((), folder) != [f"{expected} tree"]


def test_the_hidden_calls_exist_on_this_host() -> None:
    assert all(hasattr(os, name) for names in LACKING.values() for name in names)
    assert all(hasattr(os, name) for name in XATTRS)


def test_python_alone_gives_the_checksums_of_the_extension() -> None:
    """The compiled wheel is available in this process, and hidden in the other."""
    assert crc32c.crc32c(b"123456789") == 0xE3069283
    assert without((), *manifests(), modules=["crc32c"]) == pinned()


def test_the_digests_are_of_complete_images(tmp_path: Path) -> None:
    """The digest that a run prints is that of the file it wrote."""
    image = tmp_path / "image"
    [found] = without((), FIXTURES / "kinds.toml", "--output", image)
    assert found == f"{hashlib.sha256(image.read_bytes()).hexdigest()} kinds"
