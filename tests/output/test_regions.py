"""An image in a region of a file, device or memory, and the pieces for output objects."""

from __future__ import annotations

import io
import mmap
import os
import random
import tempfile
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext4writer import (
    CancelledError,
    Ext4WriterError,
    Layout,
    OutputError,
    Spec,
    SpecError,
    Tree,
    iter_image,
    iter_layout,
    plan,
    write_image,
    write_layout,
)
from ext4writer.output import region, zeros
from tests.judges import raw

SMALL = Spec(free=0, free_inodes=0)


def some_files() -> Tree:
    tree = Tree()
    tree.file("small", b"small")
    tree.file("sparse", b"x" * 5000 + bytes(200_000) + b"y" * 300_000)
    for number in range(20):
        tree.file(f"{number}", random.Random(number).randbytes(5000 * number))
    return tree


LAYOUT = plan(some_files(), SMALL)
IMAGE = b"".join(iter_layout(LAYOUT))


def in_a_file(layout: Layout, before: bytes, offset: int, position: bool) -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        file.write(before)
        file.seek(offset if position else 3)
        try:
            write_layout(layout, cast(BinaryIO, file), offset=None if position else offset)
        finally:
            file.seek(0)
            after = file.read()
        return after


def in_an_object(layout: Layout, before: bytes, offset: int, position: bool) -> bytes:
    file = io.BytesIO(before)
    file.seek(offset if position else 3)
    try:
        write_layout(layout, file, offset=None if position else offset)
    finally:
        after = file.getvalue()
    return after


def in_memory(layout: Layout, before: bytes, offset: int, position: bool) -> bytes:
    memory = bytearray(before)
    write_layout(layout, memory, offset=offset)
    return bytes(memory)


def at_a_path(layout: Layout, before: bytes, offset: int, position: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "disk")
        path.write_bytes(before)
        write_layout(layout, path, offset=offset, workers=2)
        assert os.listdir(folder) == ["disk"]
        return path.read_bytes()


WAYS = [in_a_file, in_an_object, in_memory, at_a_path]


@pytest.mark.parametrize("write", WAYS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    offset=st.integers(0, 3 * 4096) | st.integers(0, 2 << 20),
    after=st.integers(-9000, 9000),
    position=st.booleans(),
    seed=st.integers(0, 255),
)
def test_nothing_outside_the_region_changes(
    write: Callable[..., bytes], offset: int, after: int, position: bool, seed: int
) -> None:
    """Any offset, any old bytes; ``after`` bytes follow the image, or are missing if negative."""
    before = random.Random(seed).randbytes(offset + len(IMAGE) + after)
    if after < 0:
        with pytest.raises(OutputError, match=f"the image needs {len(IMAGE)}"):
            write(LAYOUT, before, offset, position)
        return
    after = write(LAYOUT, before, offset, position)
    assert after == before[:offset] + IMAGE + before[offset + len(IMAGE) :]


@pytest.mark.parametrize("write", [in_a_file, in_an_object, in_memory])
@pytest.mark.parametrize("gap", [0, 1, 5000, 2 << 20])
def test_beyond_the_end_there_is_nothing_to_keep(write: Callable[..., bytes], gap: int) -> None:
    before = b"\xff" * 12_345
    after = write(LAYOUT, before, len(before) + gap, True)
    assert after == before + bytes(gap) + IMAGE


def test_a_file_at_a_path_must_have_the_region(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"\xff" * 10_000)
    for offset in (0, 9_999, 10_000, 1 << 30):
        with pytest.raises(OutputError, match="the image needs"):
            write_layout(LAYOUT, tmp_path / "disk", offset=offset)
    assert (tmp_path / "disk").read_bytes() == b"\xff" * 10_000
    with pytest.raises(OutputError, match="does not exist"):
        write_layout(LAYOUT, tmp_path / "missing", offset=0)
    with pytest.raises(OutputError, match="is negative"):
        write_layout(LAYOUT, tmp_path / "disk", offset=-1)
    assert os.listdir(tmp_path) == ["disk"]


def test_without_calls_that_punch_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zeros, "_fallocate", lambda: lambda *_: False)
    before = random.Random(1).randbytes(len(IMAGE) + 9_000)
    for workers in (1, 3):
        (tmp_path / "disk").write_bytes(before)
        write_layout(LAYOUT, tmp_path / "disk", offset=4_321, workers=workers)
        after = (tmp_path / "disk").read_bytes()
        assert after == before[:4_321] + IMAGE + before[4_321 + len(IMAGE) :]


def test_processes_write_to_the_region_too(tmp_path: Path) -> None:
    tree = Tree()
    data = random.Random(1).randbytes(24 << 20)
    (tmp_path / "large").write_bytes(data)
    tree.file("large", tmp_path / "large")
    layout = plan(tree, SMALL)
    expected = b"".join(iter_layout(layout))
    before = b"\xff" * (len(expected) + (3 << 20))
    (tmp_path / "disk").write_bytes(before)
    write_layout(layout, tmp_path / "disk", offset=1 << 20, processes=2)
    after = (tmp_path / "disk").read_bytes()
    assert after[1 << 20 :][: len(expected)] == expected
    assert after[: 1 << 20] + after[len(expected) + (1 << 20) :] == b"\xff" * (3 << 20)


def broken_layout() -> Layout:
    def fail() -> Any:
        raise OSError(5, "Input/output error")

    tree = some_files()
    tree.file("zz", fail, size=5000)
    return plan(tree, SMALL)


@pytest.mark.parametrize("write", [in_a_file, in_an_object, in_memory, at_a_path])
def test_after_a_failure_there_is_no_file_system(
    write: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bytes] = []
    layout = broken_layout()
    before = bytearray(b"\xff" * (layout.size_bytes + 20_000))
    before[4096 : 4096 + len(IMAGE)] = IMAGE

    def keep(file: Any) -> None:
        kept.append(bytes(file))

    path = tmp_path / "disk"
    path.write_bytes(before)
    with pytest.raises(Ext4WriterError):
        if write is in_memory:
            memory = bytearray(before)
            try:
                write_layout(layout, memory, offset=4096)
            finally:
                keep(memory)
        elif write is in_an_object:
            file = io.BytesIO(before)
            try:
                write_layout(layout, file, offset=4096)
            finally:
                keep(file.getvalue())
        else:
            write_layout(layout, path, offset=4096)
    after = kept[0] if kept else path.read_bytes()
    assert after[:4096] == before[:4096]
    assert after[4096 + layout.size_bytes :] == before[4096 + layout.size_bytes :]
    (tmp_path / "region").write_bytes(after[4096 : 4096 + layout.size_bytes])
    assert not raw.looks_like_ext4(tmp_path / "region")


@pytest.mark.parametrize("start", [0, 777])
def test_a_failure_at_the_end_of_a_file_leaves_the_old_bytes(tmp_path: Path, start: int) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"x" * start)
        with pytest.raises(Ext4WriterError):
            write_layout(broken_layout(), file)
    assert (tmp_path / "file").read_bytes() == b"x" * start
    memory = io.BytesIO(b"x" * start)
    memory.seek(start)
    with pytest.raises(Ext4WriterError):
        write_layout(broken_layout(), memory)
    assert memory.getvalue() == b"x" * start


def test_old_and_new_superblocks_are_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").write_bytes(b"\xff" * (len(IMAGE) + 5))
    said: list[str] = []
    pwrite = os.pwrite

    def note(fd: int, data: Any, offset: int) -> int:
        magic = bytes(memoryview(data)[1080:1082]) if offset == 5 else b""
        said.append({b"\x53\xef": "new", b"\0\0": "gone"}.get(magic, "other"))
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", note)
    monkeypatch.setattr(os, "fsync", lambda _: said.append("flush"))
    write_layout(LAYOUT, tmp_path / "disk", offset=5)
    assert said[:2] == ["gone", "flush"]
    assert said[-3:] == ["flush", "new", "flush"]
    assert set(said[2:-3]) == {"other"}


def test_paths_that_stand_for_an_open_file(tmp_path: Path) -> None:
    """They mean that file at its position, not another one with its name."""
    with (tmp_path / "disk").open("w+b") as file:
        file.write(b"\xff" * 30_000_000)
        file.seek(5_000)
        for path in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
            write_layout(LAYOUT, path)
        assert file.tell() == 5_000 + 2 * len(IMAGE)
        file.seek(0)
        after = file.read()
    assert after.startswith(b"\xff" * 5_000 + IMAGE + IMAGE)
    assert len(after) == 30_000_000
    with (tmp_path / "log").open("ab") as file:
        file.write(b"before")
        file.flush()
        write_layout(LAYOUT, f"/dev/fd/{file.fileno()}")
    assert (tmp_path / "log").read_bytes() == b"before" + IMAGE
    assert sorted(os.listdir(tmp_path)) == ["disk", "log"]


def test_read_ahead_buffers_are_discarded(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"\xff" * (len(IMAGE) + 100_000))
    with (tmp_path / "disk").open("r+b") as file:
        assert file.read(10) == b"\xff" * 10
        write_layout(LAYOUT, file, offset=0)
        assert file.read(1) == b"\xff"
        file.seek(0)
        assert file.read(len(IMAGE)) == IMAGE


def test_mapped_memory_is_written_from_its_position_on() -> None:
    memory = mmap.mmap(-1, len(IMAGE) + 8192)
    memory.seek(4096)
    write_layout(LAYOUT, cast(BinaryIO, memory))
    assert memory[4096 : 4096 + len(IMAGE)] == IMAGE
    assert memory[:4096] == bytes(4096)


# -- pieces ----------------------------------------------------------------------------------------


class Keeper:
    """Keeps every piece that it receives."""

    def __init__(self) -> None:
        self.pieces: list[Any] = []

    def write(self, data: Any) -> int:
        self.pieces.append(data)
        return len(data)


class TestPieces:
    def test_they_may_be_kept(self) -> None:
        keeper = Keeper()
        write_layout(LAYOUT, keeper)
        assert {type(piece) for piece in keeper.pieces} == {bytes}
        assert b"".join(keeper.pieces) == IMAGE

    def test_borrowed_ones_are_views(self) -> None:
        taken = bytearray()

        class Borrower:
            def write(self, data: Any) -> None:
                kinds.add(type(data))
                taken.extend(data)

        kinds: set[type] = set()
        write_layout(LAYOUT, Borrower(), borrow=True)
        assert memoryview in kinds
        assert taken == IMAGE

    def test_an_object_that_accepts_less_per_write(self) -> None:
        keeper = Keeper()

        class Slow(Keeper):
            def write(self, data: Any) -> int:
                return super().write(data[:70_001])

        slow = Slow()
        write_layout(LAYOUT, slow)
        assert b"".join(slow.pieces) == IMAGE
        assert not keeper.pieces

    def test_offsets_are_refused_for_a_stream(self) -> None:
        with pytest.raises(OutputError, match="an offset is impossible"):
            write_layout(LAYOUT, Keeper(), offset=5)


class TestIterImage:
    def test_all_pieces_make_up_the_image(self) -> None:
        pieces = list(iter_image(some_files(), SMALL))
        assert b"".join(pieces) == IMAGE
        assert all(type(piece) is bytes and 0 < len(piece) <= 1 << 20 for piece in pieces)

    def test_a_layout_is_planned_already(self) -> None:
        assert b"".join(iter_image(LAYOUT)) == IMAGE
        with pytest.raises(SpecError, match="part of the layout"):
            iter_image(LAYOUT, SMALL)

    def test_pieces_are_made_when_they_are_asked_for(self) -> None:
        read: list[int] = []

        def content() -> Any:
            read.append(1)
            return [bytes([1]) * 5000]

        tree = Tree()
        tree.file("a", content, size=5000)
        pieces = iter_image(tree, SMALL)
        assert not read
        next(pieces)
        assert not read
        assert sum(map(len, pieces))
        assert read

    def test_a_large_file_is_never_held_in_memory(self) -> None:
        """Pieces of a file that can only be read sequentially arrive one by one."""
        alive: list[int] = []

        def content() -> Any:
            for _ in range(64):
                alive.append(1)
                yield b"x" * (1 << 20)

        tree = Tree()
        tree.file("a", content, size=64 << 20)
        seen = 0
        ahead = 0
        for piece in iter_image(tree, Spec(free=0, hole_size=0)):
            seen += len(piece)
            ahead = max(ahead, (len(alive) << 20) - seen)
        assert ahead < 8 << 20

    def test_stopping_early_closes_what_is_open(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"x" * (3 << 20))
        tree = Tree()
        tree.file("a", tmp_path / "a")
        before = sorted(os.listdir("/proc/self/fd"))
        pieces = iter_image(tree, SMALL)
        for piece in pieces:
            if piece.count(b"x") == len(piece):
                break
        pieces.close()  # type: ignore[attr-defined]
        assert sorted(os.listdir("/proc/self/fd")) == before

    def test_errors(self) -> None:
        with pytest.raises(Ext4WriterError, match="No space|cannot be read"):
            for _ in iter_layout(broken_layout()):
                pass
        cancel = threading.Event()
        cancel.set()
        with pytest.raises(CancelledError):
            list(iter_layout(LAYOUT, cancel=cancel))


def test_only_the_head_of_an_image_is_held_back() -> None:
    """1,024 bytes for a boot loader, and the superblock."""
    assert region.HEAD_BYTES == 2048
    assert IMAGE[1080:1082] == b"\x53\xef"
    assert all(end - start for start, end in pairwise([0, 1024, 2048]))


def test_an_array_that_is_replaced(tmp_path: Path) -> None:
    memory = bytearray(b"\xff" * 100)
    write_image(some_files(), memory, SMALL)
    assert memory == IMAGE
