"""The ending of a name determines the format."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from ext4writer import Compression, OutputError, Spec, Tree, write_image
from ext4writer.errors import Ext4WriterError
from ext4writer.output.formats import OTHER_FORMATS
from tests.judges.tools import require, run

SPEC = Spec(size=6 << 20)


def some_files() -> Tree:
    tree = Tree()
    tree.file("random", random.Random(1).randbytes(700_000))
    tree.file("text", b"".join(b"line %d\n" % number for number in range(100_000)))
    return tree


def plain() -> bytes:
    image = bytearray()
    write_image(some_files(), image, SPEC)
    return bytes(image)


def unpacked_zstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()


FORMATS = {".zst": unpacked_zstd, ".gz": gzip.decompress, ".xz": lzma.decompress}
PROGRAMS = {".zst": "zstd", ".gz": "gzip", ".xz": "xz"}


@pytest.mark.parametrize("suffix", FORMATS)
class TestCompressed:
    def test_a_compressed_image_unpacks_to_the_plain_one(self, tmp_path: Path, suffix: str) -> None:
        for name in (f"a.img{suffix}", f"b{suffix.upper()}"):
            write_image(some_files(), tmp_path / name, SPEC)
            assert FORMATS[suffix]((tmp_path / name).read_bytes()) == plain()
        require(PROGRAMS[suffix])
        run([PROGRAMS[suffix], "-q", "-t", tmp_path / f"a.img{suffix}"])

    def test_the_bytes_depend_on_nothing_else(self, tmp_path: Path, suffix: str) -> None:
        """They do not depend on the name, time, threads or size of pieces."""
        found = set()
        for number, threads in ((1, 1), (2, 3)):
            path = tmp_path / f"{number}{suffix}"
            path.touch()
            os.utime(path, (number * 10**8,) * 2)
            write_image(some_files(), path, SPEC, compression=Compression(threads=threads))
            found.add(path.read_bytes())
        assert len(found) == 1

    def test_levels(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        sizes = []
        for level in (1, 9):
            write_image(some_files(), path, SPEC, compression=Compression(level))
            assert FORMATS[suffix](path.read_bytes()) == plain()
            sizes.append(path.stat().st_size)
        assert sizes[1] != sizes[0]
        with pytest.raises(OutputError, match="not a level of"):
            write_image(some_files(), path, SPEC, compression=Compression(30))
        assert os.listdir(tmp_path) == [f"a{suffix}"]

    def test_watchers_receive_the_complete_file(self, tmp_path: Path, suffix: str) -> None:
        path, digest = tmp_path / f"a{suffix}", hashlib.sha256()
        write_image(some_files(), path, SPEC, compression=Compression(watch=digest.update))
        assert digest.digest() == hashlib.sha256(path.read_bytes()).digest()

    def test_a_failure_leaves_the_older_file(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"older")
        tree = some_files()
        tree.file("short", lambda: [b"short"], size=5000)
        with pytest.raises(Ext4WriterError):
            write_image(tree, path, SPEC)
        assert path.read_bytes() == b"older"
        assert os.listdir(tmp_path) == [f"a{suffix}"]

    def test_raw_ignores_the_ending(self, tmp_path: Path, suffix: str) -> None:
        write_image(some_files(), tmp_path / f"a{suffix}", SPEC, raw=True)
        assert (tmp_path / f"a{suffix}").read_bytes() == plain()

    def test_compressed_images_cannot_be_written_into_a_file(
        self, tmp_path: Path, suffix: str
    ) -> None:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"older" * 10_000_000)
        with pytest.raises(OutputError, match="an image cannot be written inside"):
            write_image(some_files(), path, SPEC, offset=0)
        assert path.read_bytes() == b"older" * 10_000_000


def test_a_gzip_header_reveals_nothing_about_the_host(tmp_path: Path) -> None:
    """RFC 1952: no flags, no time, unknown operating system, and no file name."""
    write_image(Tree(), tmp_path / "a.gz", SPEC)
    assert (tmp_path / "a.gz").read_bytes()[:10] == bytes([31, 139, 8, 0, 0, 0, 0, 0, 0, 255])


@pytest.mark.parametrize(
    "name",
    [
        *("a.img.lz4", "a.img.bz2", "a.qcow", "a.vmdk", "a.vhdx", "a.vdi", "a.VMDK"),
        *("a.lzma", "a.img.Z", "a.zip", "a.7z", "a.tgz", "a.ova", "a.parallels"),
    ],
)
def test_names_of_other_formats_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.zst, \.gz or \.xz"):
        write_image(Tree(), tmp_path / name, SPEC)
    assert os.listdir(tmp_path) == []
    write_image(Tree(), tmp_path / name, SPEC, raw=True)
    assert (tmp_path / name).stat().st_size == SPEC.size


@pytest.mark.parametrize("name", ["a.img", "a.ext4", "a", ".gz", "a.raw", "gz", "a.zst.img", "x.1"])
def test_all_other_names_are_plain(tmp_path: Path, name: str) -> None:
    write_image(Tree(), tmp_path / name, SPEC)
    assert (tmp_path / name).stat().st_size == SPEC.size


def test_unsupported_endings_are_lower_case_and_disjoint() -> None:
    assert not {b".zst", b".gz", b".xz", b".img", b".raw", b".ext4", b".iso"} & OTHER_FORMATS
    assert all(ending == ending.lower() for ending in OTHER_FORMATS)


LIMITED = """
import os, resource, sys
import ext4writer, zstandard, lzma, zlib
tree = ext4writer.Tree()
tree.file("a", b"x" * (40 << 20))
spec = ext4writer.Spec()
layout = ext4writer.plan(tree, spec)
used = int(open("/proc/self/statm").read().split()[0]) * 4096
if "{limit}".startswith("NPROC") and not os.getuid():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)  # the superuser has no such limit
resource.setrlimit(resource.RLIMIT_{limit})
try:
    ext4writer.write_layout(
        layout, sys.argv[1], compression=ext4writer.Compression({level}, threads=4)
    )
except (ext4writer.OutputError, MemoryError) as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("suffix", "level", "limit"),
    [
        (".zst", 19, "AS, (used + (30 << 20),) * 2"),
        (".zst", 3, "AS, (used + (8 << 20),) * 2"),
        (".xz", 9, "AS, (used + (60 << 20),) * 2"),
        (".zst", 3, "NPROC, (0, 0)"),
    ],
)
def test_a_compressor_without_memory_or_threads_is_one_line(
    tmp_path: Path, suffix: str, level: int, limit: str
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"older")
    script = LIMITED.format(level=level, limit=limit)
    if "NPROC" in limit and os.geteuid() == 0:
        path.chmod(0o666)
        tmp_path.chmod(0o777)
        for parent in tmp_path.parents:
            if parent not in (Path("/"), Path("/tmp")):
                parent.chmod(parent.stat().st_mode | 0o011)
    done = subprocess.run(
        [sys.executable, "-c", script, path],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(("OutputError", "MemoryError")), done.stdout
    assert done.stdout.count("\n") == 1
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == [path.name]
