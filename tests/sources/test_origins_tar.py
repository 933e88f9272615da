"""A folder and its archives, from every program that writes tar, give the same image."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from ext4writer import Spec, Tree, sources, write_image
from tests.builder.command import command, environment, report
from tests.judges.tools import require, require_root, run
from tests.makers.host_tree import materialise

SPEC = Spec(free=0, journal="none", epoch=1_700_000_000)
SECOND = 1_000_000_000
OLDER = 1_600_000_000 * SECOND

pytestmark = pytest.mark.root


def image_of(tree: Tree) -> bytes:
    memory = bytearray()
    write_image(tree, memory, SPEC)
    assert tree.losses == []
    return bytes(memory)


def plain_tree() -> Tree:
    """What the oldest form of tar can express."""
    tree = Tree()
    tree.root.mode, tree.root.mtime_ns = 0o750, OLDER
    common = {"mtime_ns": OLDER + 5 * SECOND}
    tree.directory("/usr/bin", parents=True, mode=0o755, uid=3, gid=4, **common)
    tree.file("/usr/bin/su", b"#!/bin/sh\n", mode=0o4755, uid=0, gid=7, **common)
    tree.file("/empty", b"", mode=0, **common)
    tree.file("/large", bytes(range(256)) * 3000 + bytes(70_000) + b"end", uid=70_000, **common)
    tree.file("/block", b"b" * 512, **common)
    tree.link("/a link before its target", "/large")
    tree.link("/usr/bin/sudo", "/usr/bin/su")
    tree.symlink("/bin", "usr/bin", **common)
    tree.symlink("/up", "../..//etc/./passwd", uid=9, gid=9, **common)
    tree.directory("/sticky", mode=0o1777, **common)
    return tree


def common_tree() -> Tree:
    """What ustar adds."""
    tree = plain_tree()
    tree.directory("/dev", mtime_ns=OLDER)
    tree.device("/dev/null", "c", 1, 3, mode=0o666, mtime_ns=OLDER)
    tree.device("/dev/sda", "b", 8, 0, mode=0o660, gid=6, mtime_ns=OLDER)
    tree.fifo("/dev/initctl", mtime_ns=OLDER)
    folder = "/" + "/".join(["d" * 40] * 4)
    tree.directory(folder, parents=True, mtime_ns=OLDER)
    tree.file(folder + "/file", b"under a prefix", mtime_ns=OLDER)
    return tree


def long_tree() -> Tree:
    """What requires GNU's long names, or PAX."""
    tree = common_tree()
    tree.file("/" + "n" * 255, b"a long name", mtime_ns=OLDER)
    tree.symlink("/far", "t" * 300, mtime_ns=OLDER)
    tree.file("/old", b"", mtime_ns=-5 * SECOND)
    tree.file("/new", b"", mtime_ns=9_000_000_000 * SECOND)
    tree.file("/owned", b"", uid=3_000_000_000, gid=4_000_000_000, mtime_ns=OLDER)
    tree.file("/\u00e4 \u2603", b"", mtime_ns=OLDER)
    return tree


def full_tree() -> Tree:
    """What only PAX can express."""
    tree = long_tree()
    tree.file("/nanoseconds", b"", mtime_ns=OLDER + 123_456_789)
    access = bytes.fromhex("0200000001000600ffffffff020004000700000004000400ffffffff")
    access += bytes.fromhex("10000600ffffffff20000000ffffffff")
    tree.file(
        "/dressed",
        b"text",
        mode=0o660,
        mtime_ns=OLDER,
        xattrs={
            b"user.note": b"a\0b=c\n",
            b"security.capability": bytes.fromhex("0100000200040000000000000000000000000000"),
            b"trusted.thing": b"t",
            b"system.posix_acl_access": access,
        },
    )
    return tree


def gnu(form: str, *more: str) -> Callable[[Path, Path], object]:
    options = ["--numeric-owner", "--warning=no-timestamp", *more]
    return lambda folder, out: run(
        ["tar", "-C", folder, f"--format={form}", *options, "-cf", out, "."]
    )


def bsd(form: str, *more: str) -> Callable[[Path, Path], object]:
    options = ["--format", form, "--numeric-owner", *more]
    return lambda folder, out: run(
        [require("bsdtar"), "-C", folder, *options, "-cf", out, "."],
    )


def python(form: int) -> Callable[[Path, Path], object]:
    def write(folder: Path, out: Path) -> None:
        with tarfile.open(out, "w", format=form) as archive:
            archive.add(folder, ".")

    return write


ATTRIBUTES = ("--xattrs", "--xattrs-include=*", "--acls")
WRITERS: dict[str, tuple[Callable[[], Tree], Callable[[Path, Path], object]]] = {
    "gnu v7": (plain_tree, gnu("v7")),
    "gnu ustar": (common_tree, gnu("ustar")),
    "gnu oldgnu": (long_tree, gnu("oldgnu")),
    "gnu gnu": (long_tree, gnu("gnu")),
    "gnu posix": (full_tree, gnu("posix", *ATTRIBUTES)),
    "bsdtar ustar": (common_tree, bsd("ustar")),
    "bsdtar gnutar": (common_tree, bsd("gnutar")),
    "bsdtar pax": (full_tree, bsd("pax", "--xattrs", "--acls")),
    "python ustar": (common_tree, python(tarfile.USTAR_FORMAT)),
    "python gnu": (long_tree, python(tarfile.GNU_FORMAT)),
    "python pax": (long_tree, python(tarfile.PAX_FORMAT)),
}

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "bzip2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": lambda data: zstandard.compress(data, 1),
}


def through_a_pipe(data: bytes, spool: io.BufferedRandom) -> Tree:
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading, "rb") as pipe:
        tree = sources.tar(pipe, spool=spool)
    thread.join()
    return tree


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_and_every_way_to_read(writer: str, tmp_path: Path) -> None:
    require_root()
    make, write = WRITERS[writer]
    folder, archive = tmp_path / "tree", tmp_path / "tree.tar"
    materialise(make(), folder)
    write(folder, archive)
    expected = image_of(make())
    assert image_of(sources.directory(folder)) == expected
    assert image_of(sources.tar(archive)) == expected
    with archive.open("rb") as file:
        assert image_of(sources.tar(file)) == expected
    data = archive.read_bytes()
    with (tmp_path / "spool").open("w+b") as spool:
        assert image_of(through_a_pipe(data, spool)) == expected
    for compress in COMPRESSIONS.values():
        assert image_of(sources.tar(io.BytesIO(compress(data)))) == expected


@pytest.mark.parametrize(
    "options",
    [
        ("oldgnu",),
        ("gnu",),
        *(("posix", f"--sparse-version={version}") for version in ("0.0", "0.1", "1.0")),
    ],
    ids=" ".join,
)
def test_files_with_holes(options: tuple[str, ...], tmp_path: Path) -> None:
    folder, archive = tmp_path / "tree", tmp_path / "tree.tar"
    folder.mkdir()
    with (folder / "sparse").open("wb") as file:
        for number in range(30):  # more than fit in the header
            file.seek(number * 300_000)
            file.write(b"%d" % number * 3000)
        file.truncate(20_000_000)
    (folder / "hole").touch()
    os.truncate(folder / "hole", 5_000_001)
    gnu(options[0], "--sparse", *options[1:])(folder, archive)
    assert archive.stat().st_size < 2_000_000
    for path in (folder, folder / "sparse", folder / "hole"):
        os.utime(path, ns=(OLDER, OLDER))
    gnu(options[0], "--sparse", *options[1:])(folder, archive)
    assert image_of(sources.tar(archive)) == image_of(sources.directory(folder))


def test_the_command(tmp_path: Path) -> None:
    require_root()  # for devices
    folder, archive = tmp_path / "tree", tmp_path / "tree.tar"
    materialise(full_tree(), folder)
    gnu("posix", *ATTRIBUTES)(folder, archive)
    packed = tmp_path / "tree.tzst"
    packed.write_bytes(zstandard.compress(archive.read_bytes()))
    made = []
    for number, place in enumerate((folder, archive, packed)):
        image = tmp_path / f"{number}.img"
        assert report("build", place, "-o", image)["losses"] == []
        made.append(image.read_bytes())
    image = tmp_path / "piped.img"
    subprocess.run(
        command("build", "-", "-o", image, "--quiet"),
        env=environment(),
        input=packed.read_bytes(),
        check=True,
    )
    made.append(image.read_bytes())
    assert len(set(made)) == 1
