"""Everything works, with the same bytes, on systems that lack functions of this one.

Each system is simulated: its missing names are hidden before our code is loaded. What only the real
system would show, such as the form of its paths, is not tested here.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ext4writer import BytesContent, Directory, RegularFile, Tree, write_image
from ext4writer_cli.source_arguments import parse_source
from tests.builder.command import environment
from tests.makers.containers import Entry, Layout, layer_tar

ROOT = Path(__file__).parents[2]

NOT_ON_MACOS = (
    "O_PATH O_TMPFILE SEEK_DATA SEEK_HOLE copy_file_range fallocate getxattr listxattr setxattr "
    "removexattr posix_fallocate posix_fadvise sched_getaffinity splice memfd_create eventfd "
    "pidfd_open setresuid getrandom"
)
NOT_ON_WINDOWS = (
    NOT_ON_MACOS + " O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK O_SYNC O_DSYNC chown "
    "fchmod fchown fchdir fork forkpty getegid geteuid getgid getgroups getuid lchown mkfifo "
    "mknod pread preadv pwrite pwritev readv writev register_at_fork sendfile statvfs sync "
    "fdatasync killpg getpgid setsid nice uname waitid wait3 wait4 major minor makedev ctermid"
)
SYSTEMS = {
    "linux without much": {"os": "copy_file_range posix_fallocate sched_getaffinity SEEK_DATA"},
    "macos": {"os": NOT_ON_MACOS, "fcntl": "F_SETPIPE_SZ F_ADD_SEALS"},
    "freebsd": {"os": "getxattr listxattr setxattr O_TMPFILE memfd_create splice"},
    "windows": {
        "os": NOT_ON_WINDOWS,
        "signal": "SIGHUP pthread_sigmask SIGPIPE SIGUSR1 sigwait",
        "modules": "fcntl pwd grp resource termios",
    },
    "wasm": {
        "os": NOT_ON_MACOS + " fork forkpty register_at_fork sched_getaffinity",
        "modules": "fcntl resource termios _posixsubprocess crc32c zstandard lzma bz2",
        "threads": "none",
    },
}
"""System -> the names that it lacks, by module; ``modules`` lists missing modules."""

HIDE = """
import importlib, json, os, sys
lacks = json.loads(sys.argv[1])
for module in lacks.pop("modules", "").split():
    sys.modules[module] = None
if lacks.pop("threads", ""):
    import threading
    def start(self):
        raise RuntimeError("can't start new thread")
    threading.Thread.start = start
for module, names in lacks.items():
    loaded = importlib.import_module(module)
    for name in names.split():
        if hasattr(loaded, name):
            delattr(loaded, name)
"""

COMMANDS = """
from ext4writer_cli.cli import commands
for line in json.loads(sys.argv[2]):
    commands.main(line, standalone_mode=False)
"""

MEMORY = """
import hashlib
from ext4writer import Spec, Tree, write_image
tree = Tree()
tree.directory("/etc", mode=0o755)
for number in range(300):
    tree.file(f"/etc/{number}", b"%d" % number * number, xattrs={"user.number": str(number)})
tree.file("/stream", (bytes([number]) * 1000 for number in range(200)), size=200_000)
image = bytearray()
layout = write_image(tree, image, Spec(free="1M", journal="none"), workers=4, processes=4)
print(hashlib.sha256(image).hexdigest(), len(image))
"""


def hidden(system: str, script: str, *arguments: str, cwd: Path) -> str:
    """Run ``script`` on a simulated ``system``; it must write nothing to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", HIDE + script, json.dumps(SYSTEMS.get(system, {})), *arguments],
        env=environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def make_inputs(folder: Path) -> None:
    """A folder, archives of it in all forms, and a container image."""
    tree = folder / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_bytes(b"text\n" * 1000)
    (tree / "sparse").write_bytes(bytes(300_000) + b"end")
    (tree / "link").symlink_to("sub/file")
    os.link(tree / "sub" / "file", tree / "hard")
    for path in (tree / "sub" / "file", tree / "sparse", tree / "sub", tree):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    os.utime(tree / "link", (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    for ending in ("", ":gz"):
        with tarfile.open(folder / f"tree.tar{ending.replace(':', '.')}", f"w{ending}") as archive:
            archive.add(tree, ".")
    layout = Layout(folder / "layout")
    entries = [
        Entry(b"", Directory()),
        Entry(b"hostname", RegularFile(BytesContent(b"box\n"))),
    ]
    layout.index([layout.image([layer_tar(entries)])])


COMMAND_LINES = (
    ["build", "tree", "-o", "folder.img", "-q"],
    ["build", "tree.tar", "-o", "tar.img", "-q"],
    ["build", "tree.tar.gz", "-o", "gzip.img", "-q"],
    ["build", "oci:layout", "tree::/srv", "-o", "oci.img", "-q", "--workers", "4"],
    ["manifest", "tree", "-o", "tree.mtree", "--digest", "sha256", "-q"],
    ["build", "manifest:tree.mtree", "-o", "manifest.img", "-q"],
    ["build", "tree", "-o", "folder.img.zst", "-q"],
    # These change the times of the folder that they read.
    ["build", "tree", "-o", "tree/itself.img", "-q", "--all-times", "0"],
    ["build", "tree", "-o", "tree/itself.img", "-q", "--all-times", "0"],
)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the commands write on the real system."""
    folder = tmp_path_factory.mktemp("here")
    make_inputs(folder)
    hidden("none", COMMANDS, json.dumps(COMMAND_LINES), cwd=folder)
    return written(folder)


def written(folder: Path) -> dict[str, bytes]:
    paths = [*folder.glob("*.img"), *folder.glob("*.zst"), folder / "tree" / "itself.img"]
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "wasm"])
def test_the_command_writes_the_same_on(
    system: str, here: dict[str, bytes], tmp_path: Path
) -> None:
    make_inputs(tmp_path)
    hidden(system, COMMANDS, json.dumps(COMMAND_LINES), cwd=tmp_path)
    assert written(tmp_path) == here
    assert not list(tmp_path.glob(".*")), "nothing half written stays"


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_library_writes_the_same_from_memory_on(system: str, tmp_path: Path) -> None:
    assert hidden(system, MEMORY, cwd=tmp_path) == hidden("none", MEMORY, cwd=tmp_path)


WITHOUT = """
from ext4writer_cli.cli import main
main(json.loads(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("module", "ending", "words"),
    [
        ("zstandard", "zst", "zstd, but the package zstandard is not installed"),
        ("lzma _lzma", "xz", "xz, but this Python was built without the module lzma"),
        ("bz2 _bz2", "bz2", "bzip2, but this Python was built without the module bz2"),
    ],
)
def test_a_missing_decompressor_is_reported_in_one_line(
    module: str, ending: str, words: str, tmp_path: Path
) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("file"))
    path = tmp_path / f"archive.tar.{ending}"
    path.write_bytes(compressed(plain.getvalue(), ending))
    done = subprocess.run(
        [
            *(sys.executable, "-c", HIDE + WITHOUT, json.dumps({"modules": module})),
            json.dumps(["build", str(path), "-o", str(tmp_path / "image")]),
        ],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and words in done.stderr and str(path) in done.stderr
    assert os.listdir(tmp_path) == [path.name]


def test_files_are_extracted_or_an_error_explains_it_on_windows(tmp_path: Path) -> None:
    write_image(Tree(), tmp_path / "image")
    script = HIDE + WITHOUT, json.dumps(SYSTEMS["windows"])
    for options, status, words in (
        (["-C", "files"], 1, "files: cannot be filled on this system"),
        (["--tar", "files.tar"], 0, ""),
    ):
        done = subprocess.run(
            [sys.executable, "-c", *script, json.dumps(["extract", "image", *options])],
            env=environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status
        assert words in done.stderr and done.stderr.count("\n") == status
    assert sorted(os.listdir(tmp_path)) == ["files.tar", "image"]


def compressed(data: bytes, ending: str) -> bytes:
    import bz2
    import lzma

    import zstandard

    kinds = {"zst": zstandard.compress, "xz": lzma.compress, "bz2": bz2.compress}
    return kinds[ending](data)


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("zstandard", "image.zst", "pip install zstandard"),
        ("lzma _lzma", "image.xz", "this Python was built without the module lzma"),
    ],
)
def test_without_its_compressor_no_image_is_begun(
    module: str, name: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "tree").mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-c", HIDE + WITHOUT, json.dumps({"modules": module})),
            json.dumps(["build", "tree", "-o", name]),
        ],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"{name}: " in done.stderr and words in done.stderr
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["tree"]


@pytest.mark.parametrize(
    ("text", "place", "reference"),
    [
        (r"oci:C:\images\layout", r"C:\images\layout", None),
        (r"oci:C:\images\layout:release", r"C:\images\layout", "release"),
        ("docker-archive:d:/saved.tar:alpine:3", "d:/saved.tar", "alpine:3"),
        (r"C:\rootfs", r"C:\rootfs", None),
        (r"manifest:C:\tree.mtree", r"C:\tree.mtree", None),
        ("oci:c:release", "c", "release"),
    ],
)
def test_windows_drives_are_not_references(text: str, place: str, reference: str | None) -> None:
    source = parse_source(text)
    assert (source.place, source.reference) == (place, reference)
