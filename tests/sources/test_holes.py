"""Which blocks become holes follows from content alone, however it is stored and read."""

from __future__ import annotations

import errno
import io
import os
import random
import threading
import time
from array import array
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext4writer import Spec, holes
from ext4writer.content import BytesContent, Content, PathContent
from ext4writer.errors import CancelledError, DeclaredSizeError, SourceChangedError, SourceError
from ext4writer.forked import ProcessPool
from ext4writer.holes import data_ranges
from ext4writer.planning import hole_search
from ext4writer.planning.hole_search import searching
from ext4writer.slices import SparseContent
from ext4writer.sources import directory
from ext4writer.streamed import CallableContent
from ext4writer.tree import RegularFile

KIB = 1024
TIB = 1 << 40


def expected_ranges(
    data: bytes,
    block_size: int,
    hole_size: int,
    leading_hole: bool,
    fine_file_bytes: int = 512 * KIB,
) -> list[tuple[int, int]]:
    """The rule, implemented as plainly as possible."""
    blocks = -(-len(data) // block_size)
    zero = [not any(data[block * block_size : (block + 1) * block_size]) for block in range(blocks)]
    if not leading_hole and zero:
        zero[0] = False
    longest = (blocks - (not leading_hole)) * block_size
    if len(data) <= fine_file_bytes and longest >= hole_size > 0:
        hole_size = 1
    is_data = [True] * blocks
    start = 0
    while start < blocks:
        end = start
        while end < blocks and zero[end]:
            end += 1
        if hole_size and end > start and (end - start) * block_size >= hole_size:
            is_data[start:end] = [False] * (end - start)
        start = end + 1
    ranges: list[tuple[int, int]] = []
    for block in range(blocks):
        if is_data[block]:
            if ranges and sum(ranges[-1]) == block:
                ranges[-1] = (ranges[-1][0], ranges[-1][1] + 1)
            else:
                ranges.append((block, 1))
    return ranges


def ranges_of(content: Content, *rule: object) -> list[tuple[int, int]]:
    found = data_ranges(content, *rule)  # type: ignore[arg-type]
    block_size = int(rule[0])  # type: ignore[call-overload]
    blocks = -(-content.size // block_size)
    if found is None:
        return [(0, blocks)] if blocks else []
    return found


def stored_sparsely(path: Path, data: bytes, grain: int, keep: random.Random) -> None:
    """Write ``data`` with host holes for some of its zeros."""
    with path.open("wb") as file:
        file.truncate(len(data))
        for start in range(0, len(data), grain):
            piece = data[start : start + grain]
            if any(piece) or keep.random() < 0.3:
                file.seek(start)
                file.write(piece)


def mapped(data: bytes, grain: int) -> SparseContent:
    """``data`` with a map that omits its zeros, in pieces of ``grain`` bytes."""
    segments = array("Q")
    kept = b""
    for start in range(0, len(data), grain):
        piece = data[start : start + grain]
        if any(piece):
            segments.extend((start, len(piece)))
            kept += piece
    return SparseContent(BytesContent(kept), len(data), segments)


class HalfReader(io.BytesIO):
    """Returns less than requested."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size if size is None or size < 2 else (size + 1) // 2)


@st.composite
def contents(draw: st.DrawFn, block_size: int) -> bytes:
    runs = draw(
        st.lists(
            st.tuples(st.sampled_from(["zero", "data", "head", "tail"]), st.integers(1, 9)),
            max_size=14,
        )
    )
    out = bytearray()
    for kind, count in runs:
        for _ in range(count):
            block = bytearray(block_size)
            if kind == "data":
                block[:] = b"\x01" * block_size
            elif kind == "head":
                block[0] = 1
            elif kind == "tail":
                block[-1] = 1
            out += block
    cut = draw(st.integers(0, min(len(out), block_size)))
    return bytes(out[: len(out) - cut])


@pytest.mark.parametrize("block_size", [1024, 4096])
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(shape=st.data())
def test_every_way_to_read_agrees(tmp_path: Path, block_size: int, shape: st.DataObject) -> None:
    data = shape.draw(contents(block_size))
    hole_size = shape.draw(st.sampled_from([0, 1, 1024, 4096, 4097, 9000, 16384, 65536]))
    leading_hole = shape.draw(st.booleans())
    chunk = shape.draw(st.sampled_from([4096, 12288, 256 * KIB]))
    fine = shape.draw(st.sampled_from([0, 20_000, 512 * KIB]))
    expected = expected_ranges(data, block_size, hole_size, leading_hole, fine)
    dense, sparse = tmp_path / "dense", tmp_path / "sparse"
    dense.write_bytes(data)
    stored_sparsely(sparse, data, 4096, random.Random(len(data)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holes, "CHUNK_BYTES", chunk)
        patch.setattr(holes, "FINE_FILE_BYTES", fine)
        patch.setattr(holes, "FIRST_CHUNK_BYTES", min(chunk, 4096))
        for content in (
            BytesContent(data),
            PathContent(dense),
            PathContent(sparse),
            CallableContent(lambda: io.BytesIO(data), len(data)),
            CallableContent(lambda: HalfReader(data), len(data)),
            mapped(data, 512),
            mapped(data, 4096),
        ):
            assert ranges_of(content, block_size, hole_size, leading_hole) == expected
        with pytest.MonkeyPatch.context() as without:
            without.delattr(os, "SEEK_DATA", raising=False)
            without.delattr(os, "SEEK_HOLE", raising=False)
            assert ranges_of(PathContent(sparse), block_size, hole_size, leading_hole) == expected
            without.delattr(os, "pread", raising=False)
            without.delattr(os, "preadv", raising=False)
            assert ranges_of(PathContent(sparse), block_size, hole_size, leading_hole) == expected


@pytest.mark.parametrize(
    ("size", "leading", "expected"),
    [
        (0, False, None),
        (64 * KIB, False, None),
        (64 * KIB, True, []),
        (64 * KIB + 1, False, [(0, 1)]),
        (68 * KIB, False, [(0, 1)]),
        (68 * KIB + 1, False, [(0, 1)]),
        (60 * KIB + 1, True, []),
        (60 * KIB, True, None),
    ],
)
def test_zeros_around_the_limit(
    size: int, leading: bool, expected: list[tuple[int, int]] | None
) -> None:
    assert data_ranges(BytesContent(bytes(size)), 4096, 64 * KIB, leading) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (512 * KIB, [(0, 2), (3, 125)]),
        (512 * KIB + 1, None),
        (64 * KIB, None),
        (64 * KIB + 1, [(0, 2), (3, 14)]),
    ],
)
def test_one_block_of_zeros_is_a_hole_in_files_of_middle_size(
    size: int, expected: list[tuple[int, int]] | None
) -> None:
    data = bytearray(b"\1" * size)
    data[2 * 4096 : 3 * 4096] = bytes(4096)
    assert data_ranges(BytesContent(bytes(data)), 4096, 64 * KIB, False) == expected


def test_short_files_are_not_opened() -> None:
    def refuse() -> io.BytesIO:
        raise AssertionError("opened")

    for size in (0, 1, 64 * KIB):
        assert data_ranges(CallableContent(refuse, size), 4096, 64 * KIB, False) is None
    assert data_ranges(CallableContent(refuse, TIB), 4096, 0, False) is None


def host_has_holes(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            return os.lseek(file.fileno(), 0, os.SEEK_HOLE) == 0
        except (AttributeError, OSError):
            return False


@pytest.mark.parametrize("hole_size", [1, 4096, 64 * KIB, 1 << 30])
def test_a_huge_sparse_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hole_size: int
) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(TIB)
        file.seek(TIB // 2)
        file.write(b"in the middle")
    if not host_has_holes(path):
        pytest.skip("the file system of the tests stores no holes")
    count = 0
    original = os.preadv

    def counted(fd: int, views: list[memoryview], offset: int) -> int:
        nonlocal count
        count += len(views[0])
        return original(fd, views, offset)

    monkeypatch.setattr(os, "preadv", counted)
    middle = TIB // 2 // 4096
    assert data_ranges(PathContent(path), 4096, hole_size, False) == [(0, 1), (middle, 1)]
    assert data_ranges(PathContent(path), 4096, hole_size, True) == [(middle, 1)]
    assert count < 16 << 20


@pytest.mark.parametrize("hole_size", [1, 4096, 64 * KIB])
def test_a_huge_map_of_holes_is_not_read(hole_size: int) -> None:
    data = b"begin" + b"middle" + b"end"
    segments = array("Q", [5000, 5, TIB // 2, 6, 16 * TIB - 3, 3])
    content = SparseContent(BytesContent(data), 16 * TIB, segments)
    middle, last = TIB // 2 // 4096, 16 * TIB // 4096 - 1
    began = time.process_time()
    assert data_ranges(content, 4096, hole_size, True) == (
        [(1, 1), (middle, 1), (last, 1)] if hole_size <= 4096 else [(0, 2), (middle, 1), (last, 1)]
    )
    assert time.process_time() - began < 1


def test_a_host_that_refuses_to_seek_for_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" + bytes(1 << 20))
    original = os.lseek

    def refuse(fd: int, offset: int, how: int) -> int:
        if how not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise OSError(errno.EINVAL, "Invalid argument")
        return original(fd, offset, how)

    monkeypatch.setattr(os, "lseek", refuse)
    assert data_ranges(PathContent(path), 4096, 64 * KIB, False) == [(0, 1)]


@pytest.mark.parametrize("now", [0, 5000, 299_999, 300_001, 900_000])
@pytest.mark.parametrize("kind", ["path", "scan", "callable"])
def test_a_content_of_another_size(tmp_path: Path, now: int, kind: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(300_000))
    content: Content = PathContent(path)
    if kind == "scan":
        node = directory(tmp_path)["/file"]
        assert isinstance(node, RegularFile)
        content = node.content
    elif kind == "callable":
        content = CallableContent(lambda: path.open("rb"), 300_000, b"some/file")
    path.write_bytes(bytes(now))
    error = DeclaredSizeError if kind == "callable" else SourceChangedError
    with pytest.raises(error, match="file: "):
        data_ranges(content, 4096, 64 * KIB, False)


class TestManyFiles:
    """The search in an entire tree, in one process and in several."""

    @pytest.fixture
    def nodes(self, tmp_path: Path) -> list[RegularFile]:
        contents: list[Content] = []
        for number in range(40):
            data = bytes([number]) * 5000 + bytes(number * 4 * KIB) + b"x" * (number % 3)
            if number % 4 == 0:
                contents.append(BytesContent(data))
            elif number % 4 == 1:
                contents.append(CallableContent(lambda data=data: io.BytesIO(data), len(data)))
            else:
                (tmp_path / f"{number}").write_bytes(data)
                contents.append(PathContent(tmp_path / f"{number}"))
        return [RegularFile(content) for content in contents]

    @pytest.fixture(autouse=True)
    def _small_tasks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hole_search, "LEAST_COST_TO_SHARE", 1)
        monkeypatch.setattr(hole_search, "TASK_COST", 5)

    @staticmethod
    def search(
        nodes: list[RegularFile], processes: int, cancel: threading.Event | None = None
    ) -> dict[int, list[tuple[int, int]]]:
        candidates = array("L", range(len(nodes)))
        merged: dict[int, list[tuple[int, int]]] = {}
        files = 0
        with (
            ProcessPool(processes) as pool,
            searching(nodes, candidates, Spec(), pool, cancel) as search,
        ):
            for found in search.results():
                files += found.files
                merged |= found.ranges
        assert files == len(nodes)
        return merged

    @pytest.mark.parametrize("processes", [1, 2, 3])
    def test_holes_are_found(self, nodes: list[RegularFile], processes: int) -> None:
        alone = {
            index: data_ranges(node.content, 4096, Spec().hole_size)
            for index, node in enumerate(nodes)
        }
        expected = {index: ranges for index, ranges in alone.items() if ranges is not None}
        assert len(expected) > 10
        assert self.search(nodes, processes) == expected

    @pytest.mark.parametrize("processes", [1, 2])
    @pytest.mark.parametrize("number", [1, 3, 38])
    def test_errors_name_the_file(
        self, nodes: list[RegularFile], processes: int, number: int
    ) -> None:
        nodes[number].content.size += 40 * KIB
        with pytest.raises(SourceError, match=f"{number}: |: yields|changed|declared"):
            self.search(nodes, processes)

    @pytest.mark.parametrize("processes", [1, 2])
    def test_cancel(self, nodes: list[RegularFile], processes: int) -> None:
        cancel = threading.Event()
        cancel.set()
        with pytest.raises(CancelledError):
            self.search(nodes, processes, cancel)

    def test_no_more_processes(
        self, nodes: list[RegularFile], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = self.search(nodes, 1)

        def refuse() -> int:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

        monkeypatch.setattr(os, "fork", refuse)
        assert self.search(nodes, 3) == expected


def test_errors_of_the_host_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"\1" * 600_000)

    def fail(fd: int, count: int, offset: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(SourceError, match="broken: cannot be read: Input/output error"):
        data_ranges(PathContent(path), 4096, 64 * KIB, False)
