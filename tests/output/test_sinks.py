"""Outputs of every kind: their final content, and what is left after a failure."""

from __future__ import annotations

import errno
import gzip
import io
import os
import pickle
import random
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from ext4writer import Tree, write_image
from ext4writer.errors import OutputError
from ext4writer.output.file import FileSink
from ext4writer.output.memory import MemorySink
from ext4writer.output.opening import open_sink
from ext4writer.output.path import PathSink
from ext4writer.output.region import RegionSink
from ext4writer.output.sink import Sink
from ext4writer.output.stream import StreamSink
from tests.judges.tools import missing, require_root

SIZE = 3 << 20
WRITES = [(0, b"start"), (4096, b"x" * 5000), (1 << 20, b"y" * (1 << 20)), (SIZE - 3, b"end")]


def expected() -> bytes:
    image = bytearray(SIZE)
    for offset, data in WRITES:
        image[offset : offset + len(data)] = data
    return bytes(image)


def fill(sink: Sink) -> None:
    writes = list(WRITES)
    if not sink.ascending:
        random.Random(1).shuffle(writes)
    for number, (offset, data) in enumerate(writes):
        sink.write_at(offset, [data, bytearray(data), memoryview(data)][number % 3])
    sink.finish()
    sink.abort()  # no effect after the end


class TestPath:
    def test_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "image"
        sink = open_sink(path, SIZE)
        assert isinstance(sink, PathSink)
        assert not sink.ascending
        assert os.listdir(tmp_path) == [".image.partial"]
        fill(sink)
        assert os.listdir(tmp_path) == ["image"]
        assert path.read_bytes() == expected()

    @pytest.mark.parametrize("kind", [str, os.fsencode, Path])
    def test_kinds_of_path(self, tmp_path: Path, kind: Callable[[Any], Any]) -> None:
        fill(open_sink(kind(tmp_path / "image"), SIZE))
        assert (tmp_path / "image").read_bytes() == expected()

    def test_relative_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        fill(open_sink("image", SIZE))
        assert os.listdir(tmp_path) == ["image"]

    def test_the_old_file_stays_until_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "image"
        path.write_bytes(b"old")
        sink = open_sink(path, SIZE)
        sink.write_at(0, b"new")
        assert path.read_bytes() == b"old"
        sink.abort()
        sink.abort()
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["image"]
        fill(open_sink(path, SIZE))
        assert path.read_bytes() == expected()

    def test_leaving_the_block_early_aborts(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError), open_sink(tmp_path / "image", SIZE):
            raise RuntimeError
        assert os.listdir(tmp_path) == []

    def test_permissions_follow_the_umask(self, tmp_path: Path) -> None:
        old = os.umask(0o027)
        try:
            fill(open_sink(tmp_path / "image", SIZE))
        finally:
            os.umask(old)
        assert stat.S_IMODE((tmp_path / "image").stat().st_mode) == 0o640

    def test_two_outputs_for_one_path(self, tmp_path: Path) -> None:
        one, two = (open_sink(tmp_path / "image", SIZE) for _ in range(2))
        one.write_at(0, b"one")
        two.write_at(0, b"two")
        two.finish()
        one.abort()
        assert (tmp_path / "image").read_bytes()[:3] == b"two"
        assert os.listdir(tmp_path) == ["image"]

    def test_the_longest_name(self, tmp_path: Path) -> None:
        fill(open_sink(tmp_path / ("n" * 255), SIZE))
        assert os.listdir(tmp_path) == ["n" * 255]
        with pytest.raises(OutputError, match="too long"):
            open_sink(tmp_path / ("n" * 256), SIZE)

    def test_through_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "real/image").write_bytes(b"older")
        (tmp_path / "link").symlink_to("real/image")
        fill(open_sink(tmp_path / "link", SIZE))
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real/image").read_bytes() == expected()
        assert os.listdir(tmp_path / "real") == ["image"]

    def test_holes_take_no_disk_space(self, tmp_path: Path) -> None:
        sink = open_sink(tmp_path / "image", 1 << 40)
        sink.write_at((1 << 40) - 4, b"last")
        sink.finish()
        status = (tmp_path / "image").stat()
        assert status.st_size == 1 << 40
        assert status.st_blocks * 512 < 1 << 20

    def test_sync(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", synced.append)
        fill(PathSink(tmp_path / "a", SIZE))
        assert synced == []
        fill(PathSink(tmp_path / "b", SIZE, sync=True))
        assert len(synced) == 2  # the file, and then its folder

    def test_short_writes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        original = os.pwrite
        monkeypatch.setattr(
            os,
            "pwrite",
            lambda fd, data, at: original(fd, memoryview(data)[: 1 + len(data) // 2], at),
        )
        fill(open_sink(tmp_path / "image", SIZE))
        assert (tmp_path / "image").read_bytes() == expected()


class TestPathErrors:
    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"image: .*folder does not exist"):
            open_sink(tmp_path / "missing/image", SIZE)

    def test_folder_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match=r"image: .*folder does not exist"):
            open_sink(tmp_path / "file/image", SIZE)

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="is a directory"):
            open_sink(tmp_path, SIZE)

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (errno.EACCES, "no permission"),
            (errno.EROFS, "read-only"),
            (errno.ENOSPC, f"no space left: the image needs {SIZE} bytes"),
            (errno.EDQUOT, "no space left"),
            (errno.EIO, "Input/output error"),
        ],
    )
    def test_on_opening(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
    ) -> None:
        def refuse(*_: object, **__: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(OutputError, match=f"image: .*{words}") as caught:
            open_sink(tmp_path / "image", SIZE)
        assert caught.value.path == os.fsencode(tmp_path / "image")

    def test_too_large_for_the_file_system(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="allows no file of"):
            open_sink(tmp_path / "image", (1 << 63) - 1)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("step", ["write", "finish"])
    def test_later(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        def refuse(*_: object, **__: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

        sink = open_sink(tmp_path / "image", SIZE)
        monkeypatch.setattr(os, "pwrite" if step == "write" else "replace", refuse)
        with pytest.raises(OutputError, match="image: cannot be written: Input"):
            fill(sink)
        sink.abort()
        assert os.listdir(tmp_path) == []

    @pytest.mark.root
    def test_a_full_disk(self, small_disk: Path) -> None:
        (small_disk / "image").write_bytes(b"old")
        sink = open_sink(small_disk / "image", SIZE)
        with pytest.raises(OutputError, match=f"no space left: the image needs {SIZE} bytes"):
            sink.write_at(0, bytes(range(256)) * (SIZE // 256))
        sink.abort()
        assert os.listdir(small_disk) == ["image"]
        assert (small_disk / "image").read_bytes() == b"old"

    def test_a_limit_of_the_process(self, tmp_path: Path) -> None:
        script = (
            "import resource, sys\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
            "from ext4writer.output.opening import open_sink\n"
            "from ext4writer.errors import OutputError\n"
            "try:\n    open_sink(sys.argv[1], 3 << 20)\n"
            "except OutputError as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "image")],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            check=True,
        )
        assert "allows no file of 3145728 bytes" in done.stdout
        assert os.listdir(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    require_root()
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        missing("mounting a tmpfs", f"it says: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class TestInPlace:
    def test_a_fifo(self, tmp_path: Path) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        read: list[bytes] = []
        thread = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
        thread.start()
        sink = open_sink(fifo, SIZE)
        assert isinstance(sink, StreamSink)
        fill(sink)
        thread.join()
        assert read == [expected()]
        assert fifo.is_fifo()

    def test_a_device(self) -> None:
        fill(open_sink("/dev/null", SIZE))
        with pytest.raises(OutputError, match="/dev/full: no space left"):
            fill(open_sink("/dev/full", SIZE))

    def test_a_block_device(self, tmp_path: Path) -> None:
        require_root()
        backing = tmp_path / "backing"
        backing.write_bytes(b"\xff" * (SIZE + 4096))
        done = subprocess.run(
            ["losetup", "--find", "--show", str(backing)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            missing("a loop device", f"losetup says: {done.stderr.strip()}")
        device = done.stdout.strip()
        try:
            fill(open_sink(device, SIZE))
            with pytest.raises(OutputError, match=f"has {SIZE + 4096} bytes; the image needs"):
                open_sink(device, SIZE * 2)
            with open(device, "r+b") as file:
                fill(open_sink(file, SIZE))
        finally:
            subprocess.run(["losetup", "--detach", device], check=True)
        assert backing.read_bytes() == expected() + b"\xff" * 4096

    @pytest.mark.parametrize("how", ["w+b", "pipe"])
    def test_standard_output(self, tmp_path: Path, how: str) -> None:
        script = (
            "from ext4writer.output.opening import open_sink\n"
            "sink = open_sink('/dev/stdout', 3 << 20)\n"
            "sink.write_at(5, b'five')\n"
            "sink.finish()\n"
        )
        command = [sys.executable, "-c", script]
        folder = Path(__file__).parents[2]
        if how == "pipe":
            got = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=folder).stdout
        else:
            with (tmp_path / "file").open("w+b") as file:
                file.write(b"old" * 9_999)
                file.flush()
                subprocess.run(command, stdout=file, check=True, cwd=folder)
                file.seek(0)
                got = file.read()
                assert got.startswith(b"old" * 9_999)  # the shell's >>, not its >
                got = got[3 * 9_999 :]
        assert got == bytes(5) + b"five" + bytes(SIZE - 9)


class TestFiles:
    @pytest.mark.parametrize("buffering", [0, -1])
    @pytest.mark.parametrize("mode", ["wb", "w+b", "r+b"])
    def test_real_files(self, tmp_path: Path, mode: str, buffering: int) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"\xff" * (SIZE + 12345))
        before = b""
        with cast(BinaryIO, path.open(mode, buffering=buffering)) as file:
            if mode != "wb":
                file.seek(777)
                file.write(b"pending")
                before = (b"\xff" if mode == "r+b" else b"\0") * 777 + b"pending"
            sink = open_sink(file, SIZE)
            assert isinstance(sink, RegionSink)
            assert sink.fd == file.fileno()
            fill(sink)
            assert file.tell() == len(before) + SIZE
            file.write(b"next")
        rest = b"\xff" * (12345 - len(before) - 4) if mode == "r+b" else b""
        assert path.read_bytes() == before + expected() + b"next" + rest

    def test_a_temporary_file(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            sink = open_sink(cast(BinaryIO, file), SIZE)
            assert sink.fd == file.fileno()
            fill(sink)
            file.seek(0)
            assert file.read() == expected()

    def test_memory_with_the_face_of_a_file(self) -> None:
        file = io.BytesIO(b"\xff" * (SIZE + 5))
        sink = open_sink(file, SIZE)
        assert isinstance(sink, FileSink)
        assert sink.fd is None
        fill(sink)
        assert file.getvalue() == expected() + b"\xff" * 5

    def test_from_several_threads(self) -> None:
        file = io.BytesIO()
        sink = open_sink(file, 400 * 16)
        threads = [
            threading.Thread(
                target=lambda first=first: [
                    sink.write_at(16 * at, b"%016d" % at) for at in range(first, 400, 4)
                ]
            )
            for first in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sink.finish()
        assert file.getvalue() == b"".join(b"%016d" % at for at in range(400))

    def test_compressed_files_are_streams(self, tmp_path: Path) -> None:
        with gzip.open(tmp_path / "image.gz", "wb") as file:
            sink = open_sink(cast(BinaryIO, file), SIZE)
            assert isinstance(sink, StreamSink)
            fill(sink)
        with gzip.open(tmp_path / "image.gz") as file:
            assert file.read() == expected()

    @pytest.mark.parametrize("buffering", [0, -1])
    def test_files_that_only_append(self, tmp_path: Path, buffering: int) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"before")
        with cast(BinaryIO, path.open("ab", buffering=buffering)) as file:
            sink = open_sink(file, SIZE)
            assert isinstance(sink, StreamSink)
            fill(sink)
        assert path.read_bytes() == b"before" + expected()

    def test_abort_leaves_nothing(self, tmp_path: Path) -> None:
        with (tmp_path / "file").open("wb") as file:
            sink = open_sink(file, SIZE)
            sink.write_at(0, b"half")
            sink.abort()
        assert (tmp_path / "file").read_bytes() == b""

    def test_objects_that_are_not_binary_files_are_refused(self, tmp_path: Path) -> None:
        with (
            (tmp_path / "text").open("w") as file,
            pytest.raises(OutputError, match="text: is not a binary file; open it with mode 'wb'"),
        ):
            open_sink(cast(BinaryIO, file), SIZE)
        with pytest.raises(OutputError, match="5 is neither a path nor a binary file"):
            open_sink(cast(BinaryIO, 5), SIZE)
        with pytest.raises(OutputError, match="not a binary file"):
            open_sink(cast(BinaryIO, io.StringIO()), SIZE)

    def test_outputs_that_cannot_be_written_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with (tmp_path / "file").open("rb") as file, pytest.raises(OutputError, match="file"):
            fill(open_sink(file, SIZE))
        closed = io.BytesIO()
        closed.close()
        with pytest.raises(OutputError, match="closed file"):
            open_sink(closed, SIZE)

    def test_an_object_that_writes_to_a_full_disk(self) -> None:
        class Full(io.BytesIO):
            def write(self, data: Any) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(OutputError, match=r"\(output\): no space left"):
            open_sink(Full(), SIZE)


class Unseekable(io.RawIOBase):
    """A stream that accepts at most ``most`` bytes per call."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.taken = bytearray()
        self.most = most

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = memoryview(data)[: self.most]
        self.taken += piece
        return len(piece)


class TestStreams:
    @pytest.mark.parametrize("most", [1 << 30, 70_001])
    def test_gaps_are_zeros(self, most: int) -> None:
        stream = Unseekable(most)
        sink = open_sink(cast(BinaryIO, stream), SIZE)
        assert sink.ascending
        assert sink.fd is None
        fill(sink)
        assert stream.taken == expected()

    def test_an_object_that_can_only_write(self) -> None:
        class Bare:
            def __init__(self) -> None:
                self.taken = bytearray()

            def write(self, data: bytes) -> None:
                self.taken += data

        bare = Bare()
        fill(open_sink(cast(BinaryIO, bare), SIZE))
        assert bare.taken == expected()

    def test_seeking_back_is_refused(self) -> None:
        sink = open_sink(cast(BinaryIO, Unseekable()), SIZE)
        sink.write_at(4096, b"later")
        with pytest.raises(ValueError, match="before"):
            sink.write_at(0, b"earlier")

    def test_a_reader_that_closes_the_pipe(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "wb", buffering=0) as file:
            sink = open_sink(file, SIZE)
            with pytest.raises(OutputError, match="its reader stopped reading"):
                sink.write_at(0, b"x")


class TestMemory:
    @pytest.mark.parametrize("old", [0, 10, SIZE * 2])
    def test_whole(self, old: int) -> None:
        output = bytearray(b"\xff" * old)
        sink = open_sink(output, SIZE)
        assert isinstance(sink, MemorySink)
        fill(sink)
        assert output == expected()

    def test_abort_leaves_nothing(self) -> None:
        output = bytearray(b"old")
        sink = open_sink(output, SIZE)
        sink.write_at(0, b"half")
        sink.abort()
        assert output == b""

    def test_an_array_in_use(self) -> None:
        output = bytearray(5)
        with memoryview(output), pytest.raises(OutputError, match="memory"):
            open_sink(output, SIZE)

    def test_beyond_the_end(self) -> None:
        with pytest.raises(ValueError, match="outside"):
            open_sink(bytearray(), 10).write_at(9, b"xx")


class TestOtherProcesses:
    """The image as another process opens it; simulated by a pickle in this process."""

    def test_they_write_to_the_same_file(self, tmp_path: Path) -> None:
        with PathSink(tmp_path / "image", SIZE) as sink:
            shared = sink.shared()
            assert shared is not None
            assert shared.first_generation == 0
            other = pickle.loads(pickle.dumps(shared))
            other.open()
            assert other.fd != sink.fd
            fill(other)
            other.close()
            sink.finish()
        assert (tmp_path / "image").read_bytes() == expected()

    def test_a_file_that_took_its_place_is_refused(self, tmp_path: Path) -> None:
        with PathSink(tmp_path / "image", SIZE) as sink:
            other = pickle.loads(pickle.dumps(sink.shared()))
            [partial] = tmp_path.iterdir()
            partial.unlink()
            partial.write_bytes(b"another user's")
            with pytest.raises(OutputError, match="image: was replaced by another file"):
                other.open()
        assert not (tmp_path / "image").exists()

    def test_a_file_that_vanished_is_refused(self, tmp_path: Path) -> None:
        with PathSink(tmp_path / "image", SIZE) as sink:
            other = pickle.loads(pickle.dumps(sink.shared()))
            next(tmp_path.iterdir()).unlink()
            with pytest.raises(OutputError, match="image: cannot be written"):
                other.open()

    def test_a_stream_and_memory_are_of_one_process(self) -> None:
        assert StreamSink(Unseekable(), SIZE, name="stream").shared() is None
        assert MemorySink(bytearray(), SIZE).shared() is None


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="there is no such call")
class TestPreallocation:
    def test_only_written_blocks_are_allocated(self, tmp_path: Path) -> None:
        size = 64 << 20
        with PathSink(tmp_path / "image", size) as sink:
            sink.preallocate(8 << 20, 1 << 20)
            sink.write_at(8 << 20, b"y" * (1 << 20))
            sink.write_at(32 << 20, b"z" * (1 << 20))
            sink.finish()
        status = os.stat(tmp_path / "image")
        assert status.st_size == size
        assert status.st_blocks * 512 < 4 << 20

    @pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM])
    def test_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        calls = []

        def refuse(*arguments: int) -> None:
            calls.append(arguments)
            raise OSError(number, "refused")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
        with PathSink(tmp_path / "image", SIZE) as sink:
            for offset, data in WRITES * 2:
                sink.write_at(offset, data)
            sink.finish()
        assert (tmp_path / "image").read_bytes() == expected()
        assert len(calls) == 1

    def test_no_space_to_preallocate(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
        with (
            pytest.raises(OutputError, match="no space left"),
            PathSink(tmp_path / "image", SIZE) as sink,
        ):
            fill(sink)
        assert not list(tmp_path.iterdir())

    def test_preallocation_that_writes_every_block_is_called_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []

        def write_zeros(fd: int, offset: int, length: int) -> None:
            calls.append(length)
            for at in range(offset, offset + length, 4096):
                os.pwrite(fd, b"\0", at)

        monkeypatch.setattr(os, "posix_fallocate", write_zeros)
        with PathSink(tmp_path / "image", SIZE) as sink:
            for offset, data in WRITES * 2:
                sink.write_at(offset, data)
            sink.finish()
        assert (tmp_path / "image").read_bytes() == expected()
        assert len(calls) == 1


@pytest.mark.parametrize("count", [0, -1, True, 1 << 40, "x", 1.5])
def test_a_write_that_returns_no_count(count: object) -> None:
    """No bytes are lost, and there is no endless loop."""

    class Wrong:
        def write(self, data: bytes) -> object:
            return count

    with pytest.raises(OutputError, match=r"write\(\) returned"):
        write_image(Tree(), cast(Any, Wrong()))
