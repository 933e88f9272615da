"""What cannot be written is refused by name, and leaves nothing behind.

Errors that only the command line can have are in ``tests/builder/test_bad_input.py``.
"""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import ext4writer
from ext4writer import (
    DEFAULT_FEATURES,
    CancelledError,
    DeclaredSizeError,
    Ext4WriterError,
    FeatureSet,
    OutputError,
    Progress,
    RegularFile,
    SizeError,
    SourceChangedError,
    SourceError,
    Spec,
    SpecError,
    Tree,
    TreeError,
    api,
    sources,
)
from ext4writer.planning import hole_search
from tests.builder.command import (
    assert_one_line,
    assert_untouched,
    command,
    environment,
    run,
    wait_for_handlers,
)
from tests.judges import tools
from tests.judges.kernel import mounted

MIB = 1 << 20

pytestmark = pytest.mark.judged("quick")


@cache
def noise(seed: int) -> bytes:
    """4 MiB without a zero block."""
    return random.Random(seed).randbytes(4 * MIB)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder for images."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with small and large files, which are copied in different ways."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(40):
        (folder / f"small {number:02}").write_bytes(bytes([number + 1]) * 5000)
    for number in range(3):
        (folder / f"zlarge {number}").write_bytes(noise(number))
    return folder


def assert_refused(
    error: type[Ext4WriterError],
    *words: str,
    tree: Tree,
    out: Path,
    spec: Spec | None = None,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Assert that ``tree`` is refused with ``error``, in a line with ``words``; no file is left."""
    older = out / "older"
    older.write_bytes(b"what was there before")
    for name in ("new", "older"):
        with pytest.raises(error) as caught:
            ext4writer.write_image(tree, out / name, spec, workers=workers, progress=progress)
        assert type(caught.value) is error
        text = str(caught.value)
        assert "\n" not in text and text.isprintable()
        for word in words:
            assert word in text
        assert os.listdir(out) == ["older"]
        assert older.read_bytes() == b"what was there before"
    memory = bytearray(b"before")
    with pytest.raises(error):
        ext4writer.write_image(tree, memory, spec, workers=workers, progress=progress)
    assert memory in (b"", b"before")
    older.unlink()


def put(tree: Tree, name: bytes) -> Tree:
    """``tree`` with a file whose name has not been checked."""
    tree.root.children[name] = RegularFile(ext4writer.BytesContent(b"x"))
    return tree


@pytest.mark.parametrize(
    ("name", "word"),
    [
        (b"x" * 256, "256 bytes"),
        ("é".encode() * 128, "256 bytes"),
        (b"", "name"),
        (b".", "name"),
        (b"..", "name"),
        (b"a/b", "slash"),
        (b"a\0b", "NUL"),
    ],
)
def test_names(name: bytes, word: str, out: Path) -> None:
    assert_refused(TreeError, word, tree=put(Tree(), name), out=out)


def test_names_are_checked_when_a_tree_is_built() -> None:
    tree = Tree()
    tree.file(b"/" + b"x" * 255, b"")
    for path in (b"/" + b"x" * 256, b"/", b"/.", b"/a/..", b"/nowhere/a"):
        with pytest.raises(TreeError) as caught:
            tree.file(path, b"")
        assert caught.value.path == path
    assert [path for path, _ in tree.walk()] == [b"/", b"/" + b"x" * 255]


def linked(names: int) -> Tree:
    tree = Tree()
    node = tree.file("/first", b"")
    for number in range(1, names):
        tree.root.children[b"%06d" % number] = node
    return tree


def test_more_names_than_a_link_count_holds(out: Path) -> None:
    assert ext4writer.plan(linked(65_000)).entries["hard link"] == 64_999
    assert_refused(TreeError, "65001", "65000", tree=linked(65_001), out=out)


def test_more_subdirectories_than_a_link_count_holds(out: Path) -> None:
    tree = Tree()
    tree.directory("/many")
    for number in range(64_999):
        tree.directory(b"/many/%d" % number)
    spec = Spec(features=DEFAULT_FEATURES.without("dir_nlink"))
    assert_refused(TreeError, "/many", "dir_nlink", tree=tree, out=out, spec=spec)


def test_a_directory_with_two_names(out: Path) -> None:
    tree = Tree()
    tree.add("/b", tree.directory("/a"))
    assert_refused(TreeError, "/", tree=tree, out=out)


def test_a_directory_inside_itself(out: Path) -> None:
    tree = Tree()
    tree.add("/a/loop", tree.directory("/a"))
    assert_refused(TreeError, "/a", tree=tree, out=out)


@pytest.mark.parametrize(
    ("xattrs", "spec", "word"),
    [
        ({b"user.big": bytes(5000)}, {}, "user.big"),
        ({b"user.%03d" % number: bytes(100) for number in range(50)}, {}, ""),
        ({b"user.big": bytes(1000)}, {"block_size": 1024, "inode_size": 128}, "user.big"),
        ({b"user." + b"n" * 300: b""}, {}, ""),
        ({b"user.a": b""}, {"features": DEFAULT_FEATURES.without("ext_attr")}, "ext_attr"),
        ({b"strange.name": b""}, {}, "strange.name"),
        ({b"system.posix_acl_access": b"nonsense"}, {}, "ACL"),
    ],
)
def test_attributes(xattrs: dict[bytes, bytes], spec: dict[str, Any], word: str, out: Path) -> None:
    tree = Tree()
    tree.file("/dressed", b"", xattrs=xattrs)
    assert_refused(TreeError, "/dressed: ", word, tree=tree, out=out, spec=Spec(**spec))


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("uid", -1),
        ("uid", 1 << 32),
        ("gid", 1 << 32),
        ("mode", 0o10000),
        ("mode", -1),
    ],
)
def test_numbers_that_no_inode_holds(attribute: str, value: int, out: Path) -> None:
    tree = Tree()
    tree.file("/file", b"")
    setattr(tree["/file"], attribute, value)
    assert_refused(TreeError, "/file: ", attribute, tree=tree, out=out)


@pytest.mark.parametrize(("major", "minor"), [(-1, 0), (1 << 12, 0), (0, 1 << 20)])
def test_device_numbers(major: int, minor: int, out: Path) -> None:
    tree = Tree()
    tree.device("/device", "c", major, minor)
    assert_refused(TreeError, "/device: ", tree=tree, out=out)


@pytest.mark.parametrize("target", [b"", b"x" * 4096, b"a\0b"])
def test_targets(target: bytes, out: Path) -> None:
    tree = Tree()
    tree.symlink("/link", target)
    assert_refused(TreeError, "/link: ", tree=tree, out=out)


@pytest.mark.parametrize(
    ("spec", "error", "word"),
    [
        ({"size": 0}, SizeError, "size"),
        ({"size": 512}, SizeError, "size"),
        ({"size": 4097}, SpecError, "size"),
        ({"size": 100_352}, SizeError, "too few"),
        ({"size": 1 << 62}, SpecError, "size"),
        ({"free": 1 << 62}, SpecError, "free"),
        ({"free_inodes": 1 << 32}, SpecError, "free_inodes"),
        ({"size": 8 * MIB, "free_inodes": 1 << 32}, SpecError, "free_inodes"),
        ({"grow_to": 1 << 62}, SpecError, "grow_to"),
        ({"journal": 4096}, SpecError, "journal"),
        ({"journal": 1 << 50}, SpecError, "journal"),
        ({"size": 8 * MIB, "journal": 64 * MIB}, SizeError, "journal"),
    ],
)
def test_sizes(spec: dict[str, Any], error: type[Ext4WriterError], word: str, out: Path) -> None:
    tree = Tree()
    tree.file("/file", bytes(range(1, 256)) * 1000)
    assert_refused(error, word, tree=tree, out=out, spec=Spec(**spec))


@pytest.mark.parametrize(
    ("features", "word"),
    [
        (DEFAULT_FEATURES.with_("lazy_bg"), "lazy_bg"),
        (DEFAULT_FEATURES.with_("meta_bg"), "meta_bg"),
        (DEFAULT_FEATURES.without("sparse_super"), "resize_inode needs sparse_super"),
        (DEFAULT_FEATURES.without("extent"), "64bit needs extent"),
        (FeatureSet.of("extent", "metadata_csum_seed"), "needs metadata_csum"),
        (FeatureSet.of("extent", "has_journal", "journal_dev"), "journal_dev"),
        (DEFAULT_FEATURES.with_("FEATURE_I31"), "FEATURE_I31"),
    ],
)
def test_features(features: Any, word: str) -> None:
    with pytest.raises(SpecError) as caught:
        Spec(features=features)
    assert caught.value.option == "features"
    assert word in str(caught.value)


def test_no_size_promises_more_inodes_than_32_bits_count() -> None:
    for spec in (Spec(free=80 << 40), Spec(size=80 << 40)):
        layout = ext4writer.plan(Tree(), spec)
        assert 1 << 31 < layout.inodes_count < 1 << 32


def test_growth_without_a_place_for_its_descriptors() -> None:
    features = DEFAULT_FEATURES.without("resize_inode")
    with pytest.raises(SpecError, match="needs the feature resize_inode") as caught:
        Spec(grow_to=MIB, features=features)
    assert caught.value.option == "grow_to"
    assert Spec(grow_to=0, features=features)


def test_attributes_of_a_real_file_that_do_not_fit(source: Path, out: Path) -> None:
    dressed = source / "small 07"
    os.setxattr(dressed, "user.big", b"v" * 2000)
    done = run("build", source, "-o", out / "a.img", "-b", "1024")
    assert_one_line(done, 1, "/small 07: ", "user.big")
    assert_untouched(out)


# -- sources that change ---------------------------------------------------------------------------


def at_the_first(what: Callable[[Progress], bool], do: Callable[[], None]) -> Any:
    """A progress callback that does something once."""
    done: list[Progress] = []

    def report(progress: Progress) -> None:
        if not done and what(progress):
            done.append(progress)
            do()

    return report


def writing(progress: Progress) -> bool:
    return progress.stage == "write"


def replaced_by(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


CHANGES: dict[str, tuple[Callable[[Path], None], type[SourceError], str]] = {
    "shorter": (lambda path: os.truncate(path, 4000), SourceChangedError, "changed its size"),
    "empty": (lambda path: os.truncate(path, 0), SourceChangedError, "changed its size"),
    "longer": (lambda path: os.truncate(path, 5 * MIB), SourceChangedError, "changed its size"),
    "gone": (Path.unlink, SourceChangedError, "vanished"),
    "a pipe": (replaced_by(os.mkfifo), SourceChangedError, "not one now"),
    "a folder": (replaced_by(Path.mkdir), SourceError, ""),
    "a link": (replaced_by(lambda path: path.symlink_to("small 00")), SourceError, ""),
}


POOLS = [{}, {"workers": 3}, {"processes": 2}]


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("name", ["small 39", "zlarge 2"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_between_plan_and_copy(
    change: str,
    name: str,
    pool: dict[str, int],
    source: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "LEAST_BYTES_TO_SHARE", 0)
    do, error, word = CHANGES[change]
    layout = ext4writer.plan(sources.directory(source))
    do(source / name)
    with pytest.raises(error) as caught:
        ext4writer.write_layout(layout, out / "image", **pool)
    assert str(caught.value).startswith(f"{source / name}: ")
    assert word in str(caught.value)
    assert_untouched(out)


@pytest.mark.parametrize("change", ["shorter", "empty", "longer", "gone"])
def test_a_file_that_changes_while_others_are_copied(change: str, source: Path, out: Path) -> None:
    do, error, word = CHANGES[change]
    tree = sources.directory(source)
    name = source / "zlarge 2"
    report = at_the_first(writing, lambda: do(name))
    with pytest.raises(error, match=word) as caught:
        ext4writer.write_image(tree, out / "image", progress=report)
    assert str(caught.value).startswith(f"{name}: ")
    assert_untouched(out)


def test_a_file_that_grows_while_it_is_read(source: Path, out: Path) -> None:
    """A writer that never stops appends to the only large file."""
    log = source / "log"
    log.write_bytes(b"\1" * (40 * MIB))
    tree = sources.directory(source)
    stop = threading.Event()

    def append() -> None:
        with log.open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"one more line\n")

    writer = threading.Thread(target=append)
    writer.start()
    try:
        with pytest.raises(SourceChangedError) as caught:
            ext4writer.write_image(tree, out / "image")
    finally:
        stop.set()
        writer.join()
    assert str(caught.value).startswith(f"{log}: changed its size")
    assert_untouched(out)


@pytest.mark.parametrize("victim", ["z", "z/file"])
def test_a_source_that_vanishes_during_the_scan(victim: str, source: Path) -> None:
    for number in range(1100):
        (source / f"many {number}").touch()
    (source / "z").mkdir()
    (source / "z" / "file").touch()

    def remove() -> None:
        (source / "z" / "file").unlink()
        if victim == "z":
            (source / "z").rmdir()

    report = at_the_first(lambda progress: progress.entries > 0, remove)
    if victim == "z":
        with pytest.raises(SourceChangedError) as caught:
            sources.directory(source, progress=report)
        assert str(caught.value).startswith(f"{source / 'z'}: vanished")
    else:
        assert "/z/file" not in sources.directory(source, progress=report)


def failing(error: OSError) -> Callable[[], BinaryIO]:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 100_000:
                raise error
            return super().read(size)

    return lambda: Failing(b"\1" * 300_000)


def refusing() -> BinaryIO:
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(
    ("opener", "error", "word"),
    [
        (failing(OSError(errno.EIO, "Input/output error")), SourceError, "Input/output error"),
        (refusing, SourceError, "Permission denied"),
        (lambda: io.BytesIO(b"\1" * 200_000), DeclaredSizeError, "holds 200000"),
        (lambda: io.BytesIO(b"\1" * 300_001), DeclaredSizeError, "size is 300000"),
    ],
    ids=["faulty", "refused", "short", "long"],
)
def test_content_from_a_callable(
    opener: Callable[[], BinaryIO], error: type[SourceError], word: str, out: Path
) -> None:
    tree = Tree()
    tree.directory("/made")
    tree.file("/made/up", opener, size=300_000)
    assert_refused(error, "/made/up: ", word, tree=tree, out=out, spec=Spec(hole_size=0))


# -- outputs that do not accept everything ---------------------------------------------------------

IN_A_FULL_FOLDER = """
"$@"
status=$?
ls -A "$folder" >&2
exit $status
"""


def in_tmpfs(folder: Path, size: int) -> list[str]:
    """Start a program with ``folder`` as an empty file system of ``size`` bytes, and list it."""
    bwrap = [tools.require("bwrap"), "--die-with-parent", "--dev-bind", "/", "/"]
    bwrap += ["--size", str(size), "--tmpfs", str(folder), "--setenv", "folder", str(folder)]
    bwrap += ["/bin/sh", "-c", IN_A_FULL_FOLDER, "sh"]
    probe = subprocess.run([*bwrap, "true"], capture_output=True, text=True)
    if probe.returncode:
        tools.missing("permission to make a sandbox", f"bwrap says: {probe.stderr.strip()}")
    return bwrap


@pytest.mark.parametrize("workers", ["1", "3"])
@pytest.mark.parametrize(
    "room", [1, 4096, 65536, MIB, 6 * MIB, 12 * MIB], ids=lambda room: f"{room}"
)
def test_a_full_disk(room: int, workers: str, source: Path, out: Path) -> None:
    """The content alone takes 12.2 MiB."""
    arguments = ("build", source, "-o", out / "a.img", "--workers", workers)
    done = run(*arguments, prefix=tuple(in_tmpfs(out, room)))
    assert_one_line(done, 1, str(out / "a.img"), "no space left")


def test_a_disk_that_is_large_enough(source: Path, out: Path) -> None:
    done = run("build", source, "-o", out / "a.img", "-q", prefix=tuple(in_tmpfs(out, 16 * MIB)))
    assert (done.returncode, done.stderr) == (0, "a.img\n")


@pytest.mark.parametrize("room", [2 * MIB, 9 * MIB])
def test_a_full_disk_under_a_copy_inside_the_kernel(room: int, tmp_path: Path) -> None:
    """Source and image are on the same ext4, where the kernel copies."""
    tree = Tree()
    tree.directory("/source")
    for number in range(3):
        tree.file(f"/source/{number}", noise(number))
    tree.directory("/out", mode=0o777)
    disk = tmp_path / "disk"
    ext4writer.write_image(tree, disk, Spec(free=room, journal="none"))
    # On a full ext4 with blocks of 4 KiB, also one from mke2fs, the kernel reports short writes.
    with mounted(disk, rw=True, quiet=False) as point:
        out = point / "out"
        full = os.statvfs(point)
        done = run("build", point / "source", "-o", out / "a.img", "--workers", "2")
        assert_one_line(done, 1, str(out / "a.img"), "no space left")
        assert_untouched(out)
        assert os.statvfs(point).f_bfree >= full.f_bfree - 8


def test_a_folder_on_a_read_only_file_system(source: Path, out: Path) -> None:
    prefix = [tools.require("bwrap"), "--dev-bind", "/", "/", "--ro-bind", str(out), str(out)]
    done = run("build", source, "-o", out / "a.img", prefix=tuple(prefix))
    assert_one_line(done, 1, str(out), "not writable")
    assert_untouched(out)


class Filling(io.BytesIO):
    """A file object that accepts ``room`` bytes."""

    room = 2 * MIB

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


class FillingStream(Filling):
    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("kind", [Filling, FillingStream])
def test_a_file_object_that_fills(kind: type[Filling], source: Path) -> None:
    with pytest.raises(OutputError, match="no space left"):
        ext4writer.write_image(sources.directory(source), kind())


# -- interruptions ---------------------------------------------------------------------------------


class CancelAfter:
    """Set after ``times`` queries."""

    def __init__(self, times: int) -> None:
        self.left = times

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_a_cancel_at_every_stage(
    pool: dict[str, int], source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hole_search, "LEAST_COST_TO_SHARE", 0)
    monkeypatch.setattr(api, "LEAST_BYTES_TO_SHARE", 0)
    tree = sources.directory(source)
    times = 0
    while True:
        try:
            ext4writer.write_image(tree, out / "image", cancel=CancelAfter(times), **pool)
        except CancelledError:
            assert_untouched(out)
            times += 1
        else:
            break
    assert times > (5 if "processes" in pool else 10)
    assert os.listdir(out) == ["image"]


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_time(signum: signal.Signals, source: Path, out: Path) -> None:
    """Either the complete image exists or nothing, from the first import to the last moment."""
    for number in range(3):
        (source / f"zz {number}").write_bytes(noise(number) * 6)
    image = out / "a.img"
    arguments = command("build", source, "-o", image, "-q", "--workers", "2")
    began = time.monotonic()
    subprocess.run(arguments, env=environment(), check=True)
    seconds = time.monotonic() - began
    whole = image.read_bytes()
    image.unlink()
    ends = []
    for part in range(10):
        process = subprocess.Popen(arguments, env=environment(), stderr=subprocess.PIPE, text=True)
        if part:
            time.sleep(seconds * part / 10)
        else:
            wait_for_handlers(process)
        process.send_signal(signum)
        _, said = process.communicate(timeout=60)
        ends.append(process.returncode)
        if process.returncode == 128 + signum:
            assert said == f"ext4writer: interrupted by {signum.name}\n"
        assert process.returncode in (0, 1, 128 + signum, -signum)
        # A late signal may end the program when the image already exists.
        left = os.listdir(out)
        assert left in ([], ["a.img"])
        assert left or process.returncode != 0
        if left:
            assert image.read_bytes() == whole
            image.unlink()
    assert ends[0] == 128 + signum, ends


def test_the_worst_end_leaves_nothing_under_the_final_name(source: Path, out: Path) -> None:
    """Nothing can clean up after SIGKILL, but the leftover has another name; the next run works."""
    image = out / "a.img"
    script = f"""
import ext4writer, os, signal
def report(progress):
    if progress.stage == "write":
        os.kill(os.getpid(), signal.SIGKILL)
ext4writer.write_image(ext4writer.sources.directory({str(source)!r}), {str(image)!r},
                       progress=report)
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script], env=environment())
        assert done.returncode == -signal.SIGKILL
        assert not image.exists()
    assert run("build", source, "-o", image).returncode == 0
    assert image.exists()
