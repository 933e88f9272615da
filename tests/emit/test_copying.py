"""Content in the image: equal bytes by every copying method, and errors with the file's name."""

from __future__ import annotations

import errno
import io
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from ext4writer.content import BytesContent, Content, PathContent
from ext4writer.emit import batches, copier
from ext4writer.emit.batches import CopyJob
from ext4writer.emit.copying import write_anywhere, write_ascending
from ext4writer.emit.copying_forked import write_forked
from ext4writer.errors import (
    CancelledError,
    DeclaredSizeError,
    OutputError,
    SourceChangedError,
    SourceError,
)
from ext4writer.forked import ProcessPool
from ext4writer.output.opening import open_sink
from ext4writer.output.sink import Sink
from ext4writer.progress import Progress
from ext4writer.sources import directory
from ext4writer.streamed import CallableContent
from ext4writer.tree import RegularFile
from tests.judges.tools import missing, require_root

BLOCK = 4096
SMALL = 5_000
LARGE = 3 * (1 << 20) + 77


def files_below(root: Path) -> dict[str, Content]:
    return {
        os.fsdecode(path)[1:]: node.content
        for path, node in directory(root).walk()
        if isinstance(node, RegularFile)
    }


def payload(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def laid_out(
    contents: list[Content], gap_after: Callable[[int], int] = lambda _: 0
) -> list[CopyJob]:
    """One job per content, in sequence, with ``gap_after(n)`` blocks after the n-th."""
    jobs = []
    offset = BLOCK
    for number, content in enumerate(contents):
        jobs.append((offset, content, 0, content.size))
        offset += (-(-content.size // BLOCK) + gap_after(number)) * BLOCK
    return jobs


def end_of(jobs: list[CopyJob]) -> int:
    return max(-(-(job[0] + job[3]) // BLOCK) * BLOCK for job in jobs) + BLOCK


def whole(content: Content) -> bytes:
    reader = content.open()
    try:
        buffer = bytearray(content.size)
        assert reader.readinto(memoryview(buffer), 0) == content.size
        return bytes(buffer)
    finally:
        reader.close()


def expected_image(jobs: list[CopyJob], pieces: list[tuple[int, bytes]]) -> bytes:
    image = bytearray(end_of(jobs))
    for offset, content, start, length in jobs:
        image[offset : offset + length] = whole(content)[start : start + length]
    for offset, data in pieces:
        image[offset : offset + len(data)] = data
    return bytes(image)


class Pipe(io.RawIOBase):
    """A stream that keeps what it receives."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.taken += data
        return len(data)


POOLS: dict[str, dict[str, int]] = {"alone": {}, "threads": {"workers": 3}, "processes": {}}


def copy(sink: Sink, pieces: Any, jobs: Any, pool: str = "alone", **options: Any) -> None:
    """Write to ``sink`` with ``pool``, if the sink supports more than one worker."""
    if sink.ascending:
        write_ascending(sink, pieces, jobs, cluster_size=BLOCK, **options)
    elif pool == "processes" and (image := sink.shared()) is not None:
        with ProcessPool(3) as processes:
            write_forked(sink, image, pieces, jobs, cluster_size=BLOCK, pool=processes, **options)
    else:
        workers = POOLS[pool].get("workers", 1)
        write_anywhere(sink, pieces, jobs, cluster_size=BLOCK, workers=workers, **options)


def written(
    kind: str, jobs: list[CopyJob], pieces: list[tuple[int, bytes]], folder: Path, **options: Any
) -> bytes:
    """Copy into an output of ``kind`` and return its final content."""
    memory, pipe, file, path = bytearray(), Pipe(), io.BytesIO(), folder / "image"
    output: Any = {"memory": memory, "pipe": pipe, "object": file, "path": path}[kind]
    sink = open_sink(output, end_of(jobs))
    copy(sink, iter(pieces), jobs, **options)
    sink.finish()
    if kind == "path":
        return path.read_bytes()
    return bytes({"memory": memory, "pipe": pipe.taken, "object": file.getvalue()}[kind])


@pytest.fixture
def contents(tmp_path: Path) -> list[Content]:
    """Files of the host and other contents, with sizes around every limit."""
    root = tmp_path / "source"
    root.mkdir()
    sizes = [1, 4095, 4096, 4097, SMALL, 128 << 10, (128 << 10) + 1, LARGE, 3, 1 << 20]
    for number, size in enumerate(sizes):
        (root / f"{number:02}").write_bytes(payload(size, number))
    found = files_below(root)
    out: list[Content] = [found[name] for name in sorted(found)]
    out.append(PathContent(root / "04"))
    out.append(PathContent(root / "07"))
    for size in (1, 4096, 70_000, LARGE):
        out.append(BytesContent(payload(size, size)))
        out.append(CallableContent(lambda size=size: io.BytesIO(payload(size, -size)), size))
    return out


KINDS = ["memory", "pipe", "object", "path"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pool", POOLS)
def test_equal_bytes_everywhere(
    tmp_path: Path, contents: list[Content], kind: str, pool: str
) -> None:
    jobs = laid_out(contents * 2, lambda number: number % 5 // 4)
    pieces = [(0, b"first"), (end_of(jobs) - BLOCK, b"last" * 1024)]
    for number, (at, _, _, length) in enumerate(jobs[:-1]):
        offset = at + -(-length // BLOCK) * BLOCK
        if number % 5 == 4:
            pieces.append((offset, b"between" * 500))
    pieces.sort()
    assert written(kind, jobs, pieces, tmp_path, pool=pool) == expected_image(jobs, pieces)


@pytest.mark.parametrize("kind", ["memory", "object", "path"])
@pytest.mark.parametrize("pool", POOLS)
def test_any_order_and_files_in_parts(
    tmp_path: Path, contents: list[Content], kind: str, pool: str
) -> None:
    jobs = []
    offset = BLOCK
    order = random.Random(5)
    for content in contents:
        start = 0
        while start < content.size:
            length = min(order.choice([1, 7, 300]) * BLOCK, content.size - start)
            jobs.append((offset, content, start, length))
            offset += -(-length // BLOCK) * BLOCK
            start += length
    order.shuffle(jobs)
    offset = BLOCK
    placed = []
    for _, content, start, length in jobs:
        placed.append((offset, content, start, length))
        offset += -(-length // BLOCK) * BLOCK
    order.shuffle(placed)
    assert written(kind, placed, [], tmp_path, pool=pool) == expected_image(placed, [])
    placed.sort(key=lambda job: job[0])
    assert written("pipe", placed, [], tmp_path) == expected_image(placed, [])


def test_parts_leave_holes(tmp_path: Path) -> None:
    data = payload(LARGE)
    (tmp_path / "file").write_bytes(data)
    content = PathContent(tmp_path / "file")
    jobs: list[CopyJob] = [
        (BLOCK, content, 0, BLOCK),
        (2 * BLOCK, content, 100 * BLOCK, 2 * BLOCK),
        (9 * BLOCK, BytesContent(b""), 0, 0),
    ]
    for kind in KINDS:
        image = written(kind, jobs, [], tmp_path)
        assert image[BLOCK : 4 * BLOCK] == data[:BLOCK] + data[100 * BLOCK : 102 * BLOCK]
        assert not any(image[4 * BLOCK :])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_do(tmp_path: Path, kind: str) -> None:
    jobs: list[CopyJob] = [(0, BytesContent(b""), 0, 0)]
    assert not any(written(kind, jobs, [], tmp_path))


@pytest.mark.parametrize("pool", POOLS)
def test_large_jobs_are_shared_out(
    tmp_path: Path, contents: list[Content], monkeypatch: pytest.MonkeyPatch, pool: str
) -> None:
    monkeypatch.setattr(batches, "TASK_BYTES", 1 << 20)
    monkeypatch.setattr(copier, "KERNEL_COPY_BYTES", 300_000)
    monkeypatch.setattr(batches, "BATCH_BYTES", 130 << 10)
    monkeypatch.setattr(batches, "BATCH_FILES", 3)
    jobs = laid_out(contents)
    for kind in KINDS:
        assert written(kind, jobs, [], tmp_path, pool=pool) == expected_image(jobs, [])


class TestWithoutTheKernel:
    """System calls that are missing or refused change no byte."""

    @pytest.mark.parametrize(
        "name", ["copy_file_range", "preadv", "readv", "posix_fallocate", "SEEK_DATA"]
    )
    def test_missing_calls(
        self,
        tmp_path: Path,
        contents: list[Content],
        monkeypatch: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        jobs = laid_out(contents)
        wanted = expected_image(jobs, [])
        monkeypatch.delattr(os, name, raising=False)
        if name == "readv":
            monkeypatch.setattr("ext4writer.sources.host._HAS_READV", False)
        assert written("path", jobs, [], tmp_path, pool="threads") == wanted
        assert written("path", jobs, [], tmp_path, pool="processes") == wanted

    def test_no_pwrite(
        self, tmp_path: Path, contents: list[Content], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jobs = laid_out(contents)
        monkeypatch.delattr(os, "pwrite")
        monkeypatch.delattr(os, "copy_file_range", raising=False)
        with (tmp_path / "file").open("w+b") as file:
            sink = open_sink(file, end_of(jobs))
            write_anywhere(sink, [], jobs, cluster_size=BLOCK, workers=3)
            sink.finish()
        assert (tmp_path / "file").read_bytes() == expected_image(jobs, [])

    @pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="there is no such call")
    @pytest.mark.parametrize(
        "name", ["EXDEV", "EINVAL", "ENOSYS", "EOPNOTSUPP", "EPERM", "EBADF", "EIO", "ETXTBSY"]
    )
    @pytest.mark.parametrize("after", [0, 2])
    def test_refused(
        self,
        tmp_path: Path,
        contents: list[Content],
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        after: int,
    ) -> None:
        original = os.copy_file_range
        calls = 0

        def refuse(source: int, target: int, count: int, at: int, to: int) -> int:
            nonlocal calls
            calls += 1
            if calls % 3 >= after:
                raise OSError(getattr(errno, name), "refused")
            return original(source, target, min(count, 100_001), at, to)

        monkeypatch.setattr(os, "copy_file_range", refuse)
        jobs = laid_out(contents)
        assert written("path", jobs, [], tmp_path) == expected_image(jobs, [])
        assert calls

    def test_reads_and_writes_that_come_in_parts(
        self, tmp_path: Path, contents: list[Content], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jobs = laid_out(contents)
        wanted = expected_image(jobs, [])
        preadv, pwrite = os.preadv, os.pwrite
        monkeypatch.delattr(os, "copy_file_range", raising=False)
        monkeypatch.setattr(os, "preadv", lambda fd, views, at: preadv(fd, [views[0][:99_991]], at))
        monkeypatch.setattr(
            os, "pwrite", lambda fd, data, at: pwrite(fd, memoryview(data)[:99_989], at)
        )
        assert written("path", jobs, [], tmp_path) == wanted


@pytest.fixture(params=["small", "large", "large without the kernel", "part"])
def way(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Content], list[CopyJob]]:
    """A function that creates jobs that copy a content by one method."""
    kind = request.param
    if kind == "large without the kernel":
        monkeypatch.delattr(os, "copy_file_range", raising=False)

    def jobs_for(content: Content) -> list[CopyJob]:
        before, after = BytesContent(b"before"), BytesContent(b"after ")
        if kind == "part":
            middle = [(2 * BLOCK, content, BLOCK, BLOCK)]
        else:
            middle = [(2 * BLOCK, content, 0, content.size)]
        return [(BLOCK, before, 0, 6), *middle, (1 << 24, after, 0, 6)]

    jobs_for.size = 3 * BLOCK + 7 if kind in ("small", "part") else LARGE  # type: ignore[attr-defined]
    return jobs_for


class TestFilesThatChange:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("pool", POOLS)
    @pytest.mark.parametrize("change", ["grow", "shrink", "empty", "vanish", "fifo", "unreadable"])
    def test_error_names_the_file(
        self, tmp_path: Path, way: Any, kind: str, pool: str, change: str
    ) -> None:
        root = tmp_path / "source"
        root.mkdir()
        path = root / "victim"
        path.write_bytes(payload(way.size))
        content = files_below(root)["victim"]
        jobs = way(content)
        if change == "grow":
            with path.open("ab") as file:
                file.write(b"x")
        elif change in ("shrink", "empty"):
            os.truncate(path, way.size - 1 if change == "shrink" else 0)
        else:
            path.unlink()
            if change == "fifo":
                os.mkfifo(path)
            elif change == "unreadable":
                path.mkdir()
        with pytest.raises(SourceError, match="source/victim: ") as caught:
            written(kind, jobs, [], tmp_path, pool=pool)
        assert caught.value.path == os.fsencode(path)
        if change != "unreadable":
            assert isinstance(caught.value, SourceChangedError)

    @pytest.mark.parametrize("size", [SMALL, LARGE])
    @pytest.mark.parametrize("difference", [-1, 1])
    def test_streams_of_another_length(self, tmp_path: Path, size: int, difference: int) -> None:
        content = CallableContent(lambda: io.BytesIO(bytes(size + difference)), size, b"/a/stream")
        for kind in KINDS:
            with pytest.raises(DeclaredSizeError, match="/a/stream: its declared size is"):
                written(kind, laid_out([content]), [], tmp_path)

    @pytest.mark.parametrize("size", [SMALL, LARGE])
    def test_streams_that_cannot_be_read(self, tmp_path: Path, size: int) -> None:
        class Broken(io.BytesIO):
            def read(self, count: int | None = -1) -> bytes:
                raise OSError(errno.EIO, "Input/output error")

        def missing_file() -> BinaryIO:
            raise FileNotFoundError(errno.ENOENT, "No such file")

        for content in (
            CallableContent(Broken, size, b"/a/stream"),
            CallableContent(missing_file, size, b"/a/stream"),
        ):
            with pytest.raises(SourceError, match="/a/stream: "):
                written("memory", laid_out([content]), [], tmp_path)

    def test_a_file_that_shrinks_inside_the_kernel(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not hasattr(os, "copy_file_range"):
            pytest.skip("there is no such call")
        path = tmp_path / "file"
        path.write_bytes(payload(LARGE))
        original = os.copy_file_range
        monkeypatch.setattr(copier, "KERNEL_COPY_BYTES", 1 << 20)

        def cut(source: int, target: int, count: int, at: int, to: int) -> int:
            done = original(source, target, count, at, to)
            os.truncate(path, 1 << 20)
            return done

        monkeypatch.setattr(os, "copy_file_range", cut)
        with pytest.raises(SourceChangedError, match=f"file: .* from {LARGE} to 1048576 bytes"):
            written("path", laid_out([PathContent(path)]), [], tmp_path)

    def test_no_descriptor_is_left_open(self, tmp_path: Path, way: Any) -> None:
        path = tmp_path / "file"
        path.write_bytes(payload(way.size))
        jobs = way(PathContent(path))
        os.truncate(path, 5)
        before = sorted(os.listdir("/proc/self/fd")) if sys.platform == "linux" else []
        with pytest.raises(SourceChangedError):
            write_anywhere(open_sink(bytearray(), end_of(jobs)), [], jobs, cluster_size=BLOCK)
        after = sorted(os.listdir("/proc/self/fd")) if sys.platform == "linux" else []
        assert before == after


def empty_sink(kind: str, folder: Path) -> Sink:
    outputs: dict[str, Any] = {
        "memory": bytearray(),
        "pipe": Pipe(),
        "object": io.BytesIO(),
        "path": folder / "x",
    }
    return open_sink(outputs[kind], 1 << 20)


class Failing(Content):
    """Fails after it has waited for ``gate``."""

    random_access = True

    def __init__(self, name: str, gate: threading.Event | None = None) -> None:
        self.size = 10
        self.name = name
        self.gate = gate

    def open(self) -> Any:
        if self.gate is not None:
            assert self.gate.wait(20)
        raise SourceError(self.name, "failed")


class TestWorkers:
    def test_the_first_of_several_errors_is_raised(self) -> None:
        gate = threading.Event()

        class Last(Failing):
            def open(self) -> Any:
                gate.set()
                return super().open()

        contents: list[Content] = [Failing("first", gate), Last("second")]
        jobs = laid_out(contents, lambda _: 1)
        sink = open_sink(bytearray(), end_of(jobs))
        with pytest.raises(SourceError, match="first"):
            write_anywhere(sink, [], jobs, cluster_size=BLOCK, workers=2)

    def test_an_error_stops_the_others(self) -> None:
        opened = 0

        class Counted(BytesContent):
            def read_whole(self, view: memoryview) -> None:
                nonlocal opened
                opened += 1
                super().read_whole(view)

        def jobs() -> Iterator[CopyJob]:
            yield BLOCK, Failing("first"), 0, 10
            for number in range(2, 100_000):
                yield 2 * number * BLOCK, Counted(b"x"), 0, 1

        sink = open_sink(io.BytesIO(), 1 << 10)
        threads = threading.active_count()
        with pytest.raises(SourceError, match="first"):
            write_anywhere(sink, [], jobs(), cluster_size=BLOCK, workers=4)
        assert threading.active_count() == threads
        assert opened < 50_000

    @pytest.mark.parametrize("pool", POOLS)
    @pytest.mark.parametrize("source", ["jobs", "pieces"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_errors_of_the_caller(self, tmp_path: Path, kind: str, pool: str, source: str) -> None:
        def broken() -> Iterator[Any]:
            yield (0, b"x") if source == "pieces" else (BLOCK, BytesContent(b"x"), 0, 1)
            raise LookupError(source)

        jobs: Any = broken() if source == "jobs" else []
        pieces: Any = broken() if source == "pieces" else []
        with empty_sink(kind, tmp_path) as sink, pytest.raises(LookupError, match=source):
            copy(sink, pieces, jobs, pool)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("pool", POOLS)
    def test_cancel(self, tmp_path: Path, kind: str, pool: str) -> None:
        cancel = threading.Event()

        class Jobs(list[CopyJob]):
            def __iter__(self) -> Iterator[CopyJob]:
                for number in range(len(self)):
                    if number == 50:
                        cancel.set()
                    assert number < 10_000
                    yield self[number]

        jobs = Jobs((2 * number * BLOCK, BytesContent(b"x"), 0, 1) for number in range(20_000))
        with empty_sink(kind, tmp_path) as sink, pytest.raises(CancelledError):
            copy(sink, [], jobs, pool, cancel=cancel)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("pool", POOLS)
    def test_progress(self, tmp_path: Path, contents: list[Content], kind: str, pool: str) -> None:
        jobs = laid_out(contents)
        total = sum(job[3] for job in jobs)
        reports: list[Progress] = []
        callers: set[int] = set()

        def note(report: Progress) -> None:
            reports.append(report)
            callers.add(threading.get_ident())

        written(
            kind,
            jobs,
            [],
            tmp_path,
            pool=pool,
            progress=note,
            entries_total=len(jobs),
            bytes_total=total,
        )
        assert reports[-1] == Progress("write", len(jobs), len(jobs), total, total)
        assert reports == sorted(reports)
        assert callers == {threading.get_ident()}

    @pytest.mark.parametrize("pool", POOLS)
    def test_errors_of_progress_callbacks_are_raised(
        self, tmp_path: Path, contents: list[Content], pool: str
    ) -> None:
        def fail(_: Progress) -> None:
            raise LookupError("progress")

        with pytest.raises(LookupError, match="progress"):
            written("path", laid_out(contents), [], tmp_path, pool=pool, progress=fail)


class TestOutputsThatFail:
    @pytest.mark.root
    @pytest.mark.parametrize("pool", POOLS)
    @pytest.mark.parametrize("size", [SMALL, LARGE])
    @pytest.mark.parametrize("same", [True, False])
    def test_a_full_disk(self, tmp_path: Path, pool: str, size: int, same: bool) -> None:
        require_root()
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=8M", "none", str(disk)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            missing("mounting a tmpfs", f"it says: {done.stderr.strip()}")
        try:
            (disk if same else tmp_path).joinpath("file").write_bytes(payload(size))
            content = PathContent((disk if same else tmp_path) / "file")
            jobs = laid_out([content] * (12_000_000 // size))
            sink = open_sink(disk / "image", end_of(jobs))
            with (
                sink,
                pytest.raises(OutputError, match=f"image: no space left: .* {end_of(jobs)} bytes"),
            ):
                copy(sink, [], jobs, pool)
            assert "image" not in os.listdir(disk)
            assert ".image.partial" not in os.listdir(disk)
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    @pytest.mark.parametrize("size", [SMALL, LARGE])
    def test_a_pipe_closed_by_its_reader(self, size: int) -> None:
        reading, writing = os.pipe()
        jobs = laid_out([BytesContent(payload(size))] * 40)
        thread = threading.Thread(target=lambda: (os.read(reading, 100), os.close(reading)))
        thread.start()
        with open(writing, "wb", buffering=0) as file:
            sink: Sink = open_sink(file, end_of(jobs))
            with pytest.raises(OutputError, match="its reader stopped reading"):
                write_ascending(sink, [], jobs, cluster_size=BLOCK)
        thread.join()
