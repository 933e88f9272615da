"""Origins of archives: files, pipes, memory, other archives; with four compressions."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard

from ext4writer import Tree, sources, write_image
from ext4writer.errors import ArchiveError, LimitError, OutputError, SourceChangedError, SourceError
from ext4writer.slices import FileSliceContent
from ext4writer.sources.tar_archive import Limits, read_members
from ext4writer.streamed import CallableContent
from ext4writer.tree import RegularFile
from tests.judges import tools
from tests.makers.archives import archive, link, member, padded, pax

NOISE = random.Random(1).randbytes(300_000)
TEXT = b"some text that packs well\n" * 10_000
PARTS = [
    member(b"noise", NOISE, mtime=7),
    member(b"text", TEXT),
    member(b"empty"),
    link(b"link", b"text"),
    *(member(b"small/%d" % number, b"%d" % number) for number in range(1000)),
]
PLAIN = archive(*PARTS)

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "bzip2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}
PACKED = {name: pack(PLAIN) for name, pack in COMPRESSIONS.items()}
compressed = pytest.mark.parametrize("name", [name for name in COMPRESSIONS if name != "plain"])


def content(tree: Tree, path: str) -> bytes:
    node = tree[path]
    assert isinstance(node, RegularFile)
    data = bytearray(node.content.size)
    node.content.read_whole(memoryview(data))
    return bytes(data)


def check(tree: Tree) -> None:
    assert content(tree, "/noise") == NOISE
    assert content(tree, "/text") == TEXT
    assert content(tree, "/empty") == b""
    assert tree["/link"] is tree["/text"]
    assert [content(tree, f"/small/{number}") for number in range(1000)] == [
        b"%d" % number for number in range(1000)
    ]
    assert tree.losses == []


def image(tree: Tree) -> bytes:
    made = bytearray()
    write_image(tree, made)
    return bytes(made)


class Trickle(io.RawIOBase):
    """Yields a few bytes at a time, like a slow pipe."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)
        self._sizes = random.Random(3)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, self._sizes.choice([1, 2, 511, 512, 513, 70_000])))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[BinaryIO]:
    with open(tmp_path / "spool", "w+b") as file:
        yield file


@pytest.mark.parametrize("name", COMPRESSIONS)
class TestInputs:
    def test_a_path(self, name: str, tmp_path: Path, spool: BinaryIO) -> None:
        path = tmp_path / "no suffix tells"
        path.write_bytes(PACKED[name])
        for given in (path, str(path), os.fsencode(path)):
            check(sources.tar(given, spool=spool))
        size = os.fstat(spool.fileno()).st_size
        assert (size == 0) == (name == "plain")

    def test_a_file_from_where_it_stands(self, name: str, tmp_path: Path, spool: BinaryIO) -> None:
        path = tmp_path / "archive"
        path.write_bytes(b"something before" + PACKED[name])
        with open(path, "rb") as file:
            assert file.read(16) == b"something before"
            tree = sources.tar(file, spool=spool)
        check(tree)

    def test_memory(self, name: str) -> None:
        check(sources.tar(io.BytesIO(PACKED[name])))

    def test_a_slow_stream(self, name: str, spool: BinaryIO) -> None:
        slow: BinaryIO = Trickle(PACKED[name])  # type: ignore[assignment]
        check(sources.tar(slow, spool=spool))

    def test_a_pipe(self, name: str, spool: BinaryIO) -> None:
        for buffering in (0, -1):
            read_end, write_end = os.pipe()
            writer = threading.Thread(target=_write, args=(write_end, PACKED[name]))
            writer.start()
            with open(read_end, "rb", buffering=buffering) as pipe:
                check(sources.tar(pipe, spool=spool))
            writer.join()

    def test_a_named_pipe(self, name: str, tmp_path: Path, spool: BinaryIO) -> None:
        path = tmp_path / "fifo"
        os.mkfifo(path)
        writer = threading.Thread(target=lambda: path.write_bytes(PACKED[name]))
        writer.start()
        check(sources.tar(path, spool=spool))
        writer.join()

    def test_an_archive_inside_an_archive(self, name: str, tmp_path: Path, spool: BinaryIO) -> None:
        path = tmp_path / "outer"
        path.write_bytes(archive(member(b"a", b"x"), member(b"layer.tar", PACKED[name])))
        [_, layer] = read_members(path)
        assert layer.content is not None
        tree = sources.tar(layer.content, spool=spool)
        check(tree)
        node = tree["/noise"]
        assert isinstance(node, RegularFile)
        assert isinstance(node.content, FileSliceContent)
        held = path if name == "plain" else tmp_path / "spool"
        assert node.content.file.path == os.fsencode(held)

    def test_any_content(self, name: str) -> None:
        data = PACKED[name]
        check(sources.tar(CallableContent(lambda: io.BytesIO(data), len(data), b"it")))

    def test_bytes_before_the_spool_are_kept(self, name: str, spool: BinaryIO) -> None:
        spool.write(b"before")
        check(sources.tar(io.BytesIO(PACKED[name]), spool=spool))
        spool.seek(0)
        assert spool.read(6) == b"before"

    def test_the_same_image(self, name: str, tmp_path: Path, spool: BinaryIO) -> None:
        """The kernel copies the content from the archive or the spool into the image."""
        path = tmp_path / "archive"
        path.write_bytes(PACKED[name])
        tree = sources.tar(path, spool=spool)
        spool.close()
        write_image(tree, tmp_path / "image", workers=2)
        assert (tmp_path / "image").read_bytes() == image(sources.tar(io.BytesIO(PLAIN)))


def _write(fd: int, data: bytes) -> None:
    with open(fd, "wb") as file:
        file.write(data)


class TestSlices:
    def test_the_archive_may_be_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "archive"
        path.write_bytes(PLAIN)
        tree = sources.tar(path)
        path.unlink()
        check(tree)

    def test_an_archive_is_not_kept_open_needlessly(self, tmp_path: Path) -> None:
        path = tmp_path / "archive"
        path.write_bytes(PLAIN)
        before = len(os.listdir("/proc/self/fd"))
        tree = sources.tar(path)
        assert len(os.listdir("/proc/self/fd")) == before + 1
        del tree
        assert len(os.listdir("/proc/self/fd")) == before

    def test_an_archive_that_becomes_shorter(self, tmp_path: Path) -> None:
        path = tmp_path / "archive"
        path.write_bytes(PLAIN)
        tree = sources.tar(path)
        os.truncate(path, 1000)
        with pytest.raises(SourceChangedError, match=r"archive: .*(shorter|changed its size)"):
            write_image(tree, tmp_path / "image")
        with pytest.raises(SourceChangedError, match="archive: became shorter"):
            content(tree, "/small/7")
        assert not (tmp_path / "image").exists()

    def test_an_archive_that_grows(self, tmp_path: Path) -> None:
        path = tmp_path / "archive"
        path.write_bytes(PLAIN)
        tree = sources.tar(path)
        with open(path, "ab") as file:
            file.write(b"more")
        with pytest.raises(SourceChangedError, match="archive: changed its size"):
            write_image(tree, tmp_path / "image")

    def test_holes_of_the_archive_itself(self, tmp_path: Path) -> None:
        path = tmp_path / "archive"
        size = 1 << 30
        with open(path, "wb") as file:
            file.write(member(b"large", b"", size=size))
            file.seek(size // 2, os.SEEK_CUR)
            file.write(b"middle")
            file.seek(512 + size)
            file.write(archive(member(b"last", b"1")))
        tree = sources.tar(path)
        write_image(tree, tmp_path / "image")
        assert (tmp_path / "image").stat().st_size < 64 << 20


class TestCompressed:
    @compressed
    def test_concatenated_streams(self, name: str) -> None:
        pack = COMPRESSIONS[name]
        cuts = [0, 1, 1000, 1000, 200_000, len(PLAIN)]
        pieces = [pack(PLAIN[start:end]) for start, end in itertools.pairwise(cuts)]
        check(sources.tar(io.BytesIO(b"".join(pieces))))

    @compressed
    def test_thousands_of_streams(self, name: str) -> None:
        pack = COMPRESSIONS[name]
        small = archive(member(b"f", b"1"))
        tree = sources.tar(io.BytesIO(pack(small) + pack(b"") * 5000))
        assert content(tree, "/f") == b"1"

    @compressed
    def test_zeros_after_the_stream(self, name: str) -> None:
        check(sources.tar(io.BytesIO(PACKED[name] + bytes(100_000))))

    @compressed
    def test_garbage_after_the_stream(self, name: str) -> None:
        """As after a plain archive, it is skipped and reported."""
        for zeros, rest, size in (
            (0, b"garbage at the end", 18),
            (0, b"short", 5),
            (3, b"x" + bytes(999) + b"y\0\0", 1001),
            (0, b"z" * 300_000, 300_000),
        ):
            packed = PACKED[name] + bytes(zeros)
            for given in (io.BytesIO(packed + rest), Trickle(packed + rest)):
                tree = sources.tar(given)
                [loss] = tree.losses
                assert loss.path == b"/" and loss.code == "archive-rest-unread"
                assert loss.what == (
                    f"{size} bytes after the end of its {name} data, starting at byte "
                    f"{len(packed)}, are not read"
                )
                tree.losses.clear()
                check(tree)

    @compressed
    def test_an_invalid_second_stream_is_an_error(self, name: str) -> None:
        with pytest.raises(ArchiveError, match=f"its {name} data is (cut short|damaged)"):
            sources.tar(io.BytesIO(PACKED[name] + PACKED[name][:30]))

    @compressed
    def test_cut_short_anywhere(self, name: str) -> None:
        data = COMPRESSIONS[name](archive(member(b"f", b"data" * 20), member(b"g", b"x")))
        for size in range(1, len(data)):
            with pytest.raises(ArchiveError, match="cut short|not a tar archive"):
                tree = sources.tar(io.BytesIO(data[:size]))
                raise AssertionError(f"{size} bytes gave {tree.losses}")

    @compressed
    def test_a_bit_that_is_wrong(self, name: str) -> None:
        generator = random.Random(5)
        for _ in range(60):
            data = bytearray(PACKED[name])
            position = generator.randrange(len(data))
            data[position] ^= 1 << generator.randrange(8)
            try:
                tree = sources.tar(io.BytesIO(data))
            except (ArchiveError, LimitError):
                continue
            # No checksum covers, for example, the time in a gzip header.
            check(tree)

    def test_a_frame_that_is_skipped(self) -> None:
        skipped = b"\x5a\x2a\x4d\x18" + (100_000).to_bytes(4, "little") + bytes(100_000)
        check(sources.tar(io.BytesIO(skipped + PACKED["zstd"] + skipped)))

    @pytest.mark.parametrize("size", [0, 1, 2])
    def test_short_frames(self, size: int) -> None:
        """A skippable frame may have 8 bytes, an empty one 9."""
        skipped = b"\x50\x2a\x4d\x18" + size.to_bytes(4, "little") + b"x" * size
        empty = zstandard.compress(b"")
        assert len(empty) == 9
        for data in (skipped, empty, empty + skipped, skipped + empty, bytes(5) + empty):
            check(sources.tar(io.BytesIO(PACKED["zstd"] + data)))
            check(sources.tar(io.BytesIO(data.lstrip(b"\0") + PACKED["zstd"])))
            with pytest.raises(ArchiveError, match="cut short"):
                sources.tar(io.BytesIO(PACKED["zstd"] + data[:-1]))

    def test_a_window_that_is_too_large(self) -> None:
        parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
        pack = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        data = pack.compress(PLAIN) + pack.flush()
        check(sources.tar(io.BytesIO(data)))
        with pytest.raises(LimitError, match="decoder_bytes") as caught:
            sources.tar(io.BytesIO(data), limits=Limits(decoder_bytes=1 << 20))
        assert caught.value.limit == "decoder_bytes"

    def test_a_dictionary_that_is_too_large(self) -> None:
        data = lzma.compress(PLAIN, preset=9)
        check(sources.tar(io.BytesIO(data)))
        with pytest.raises(LimitError, match="decoder_bytes"):
            sources.tar(io.BytesIO(data), limits=Limits(decoder_bytes=1 << 20))

    @pytest.mark.parametrize("tool", ["gzip", "bzip2", "xz", "zstd"])
    def test_as_the_programs_write_it(self, tool: str, tmp_path: Path) -> None:
        (tmp_path / "archive").write_bytes(PLAIN)
        with open(tmp_path / "packed", "wb") as packed:
            program = tools.require(tool)
            subprocess.run([program, "-c", tmp_path / "archive"], stdout=packed, check=True)
        check(sources.tar(tmp_path / "packed"))

    def test_text_that_is_compressed(self) -> None:
        with pytest.raises(ArchiveError, match="is not a tar archive.*it holds text"):
            sources.tar(io.BytesIO(gzip.compress(b"text\n")))

    def test_compressed_twice(self) -> None:
        with pytest.raises(ArchiveError, match="is not a tar archive"):
            sources.tar(io.BytesIO(gzip.compress(gzip.compress(PLAIN))))

    @pytest.mark.parametrize(
        ("magic", "name"),
        [
            (b"\x1f\x9d\x90", "compress"),
            (b"\x04\x22\x4d\x18", "lz4"),
            (b"LZIP\x01", "lzip"),
            (b"PK\x03\x04", "zip"),
            (b"070701", "cpio"),
            (b"7z\xbc\xaf\x27\x1c", "7-zip"),
            (b"hsqs", "SquashFS"),
        ],
    )
    def test_files_of_other_formats_are_identified(self, magic: bytes, name: str) -> None:
        with pytest.raises(ArchiveError, match=f"is {name} data; tar is read"):
            sources.tar(io.BytesIO(magic + bytes(2000)))

    def test_a_tar_with_a_first_name_like_a_compression_magic(self) -> None:
        for name in (b"\x1f\x8b\x08", b"BZh91AY&SY", b"070701", b"PK\x03\x04"):
            tree = sources.tar(io.BytesIO(archive(member(name, b"1"))))
            assert list(tree.root.children) == [name]


class TestTrouble:
    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="missing: cannot be read: No such file"):
            sources.tar(tmp_path / "missing")

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="is a directory, not an archive"):
            sources.tar(tmp_path)

    def test_a_stream_that_fails(self) -> None:
        class Failing(io.RawIOBase):
            def read(self, size: int = -1) -> bytes:
                raise OSError(5, "Input/output error")

        failing: BinaryIO = Failing()  # type: ignore[assignment]
        with pytest.raises(SourceError, match="stream.*cannot be read: .*Input/output error"):
            sources.tar(failing)

    def test_a_nonblocking_stream(self) -> None:
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        with (
            open(read_end, "rb", buffering=0) as pipe,
            open(write_end, "wb"),
            pytest.raises(SourceError, match="is in non-blocking mode"),
        ):
            sources.tar(pipe)

    def test_a_spool_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "spool").touch()
        with (
            open(tmp_path / "spool", "rb") as spool,
            pytest.raises(OutputError, match="spool: the archive's content cannot be kept"),
        ):
            sources.tar(io.BytesIO(PLAIN), spool=spool)

    def test_a_spool_that_is_not_a_file_is_refused(self, tmp_path: Path) -> None:
        with open("/dev/null", "r+b") as null:
            for spool in (io.BytesIO(), null):
                with pytest.raises(OutputError, match="cannot hold an archive's content"):
                    sources.tar(io.BytesIO(PLAIN), spool=spool)

    def test_a_spool_on_a_full_disk(self, tmp_path: Path) -> None:
        script = """
import io, resource, signal, sys
from ext4writer import sources
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with open(sys.argv[1], "w+b") as spool:
    try:
        sources.tar(sys.stdin.buffer, spool=spool)
    except Exception as error:
        print(type(error).__name__, error)
"""
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "spool"], input=PLAIN, capture_output=True
        )
        assert done.stdout.startswith(b"OutputError"), done
        assert b"spool: the archive's content cannot be kept: File too large" in done.stdout

    def test_too_much_for_memory(self) -> None:
        limits = Limits(memory_bytes=100_000)
        with pytest.raises(LimitError, match="give a spool file; the limit memory_bytes") as caught:
            sources.tar(io.BytesIO(PLAIN), limits=limits)
        assert caught.value.limit == "memory_bytes"


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    """300 MiB of content from a pipe, with a spool: the process does not grow."""
    script = """
import io, resource, sys
from ext4writer import sources, write_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "w+b") as spool:
    tree = sources.tar(sys.stdin.buffer, spool=spool)
print(tree["/large"].content.size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    size = 300 << 20
    head = pax({b"size": b"%d" % size}) + member(b"large")
    process = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "spool"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    with process.stdin as pipe:
        pipe.write(head)
        for _ in range(300):
            pipe.write(bytes(1 << 20))
        pipe.write(padded(b"") + bytes(1024))
    found, kilobytes = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    assert int(found) == size
    assert int(kilobytes) < 20_000
