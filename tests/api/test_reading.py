"""A content, read in one piece or in several: every kind gives the same bytes, or an error."""

from __future__ import annotations

import io
import os
from array import array
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext4writer import DeclaredSizeError, SourceChangedError, sources
from ext4writer.content import (
    BytesContent,
    Content,
    ContentSource,
    PathContent,
)
from ext4writer.slices import PathSliceContent, SparseContent
from ext4writer.streamed import CallableContent, IteratorContent
from ext4writer.tree import RegularFile


def kinds(data: bytes, folder: Path) -> dict[str, Content]:
    (folder / "file").write_bytes(data)
    (folder / "larger").write_bytes(b"before" + data + b"after")
    node = sources.directory(folder)["/file"]
    assert isinstance(node, RegularFile)
    segments = array("Q", [7, len(data)] if data else [])
    return {
        "bytes": BytesContent(data),
        "path": PathContent(folder / "file"),
        "slice": PathSliceContent(folder / "larger", 6, len(data)),
        "scanned": node.content,
        "callable": CallableContent(lambda: io.BytesIO(data), len(data)),
        "iterator": IteratorContent(iter([data[:3], data[3:]]), len(data)),
        "sparse": SparseContent(BytesContent(data), len(data) + 20, segments),
    }


def drain(content: Content, room: int) -> bytes:
    source = ContentSource(content)
    pieces = []
    while piece := source.read(room):
        pieces.append(piece)
    return b"".join(pieces)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=300), room=st.integers(1, 400), step=st.integers(1, 400))
def test_every_way_to_read_gives_the_same(
    data: bytes, room: int, step: int, tmp_path: Path
) -> None:
    for kind, content in kinds(data, tmp_path).items():
        wanted = bytes(7) + data + bytes(13) if kind == "sparse" and data else data
        wanted = bytes(20) if kind == "sparse" and not data else wanted
        buffer = memoryview(bytearray(room))
        assert b"".join(map(bytes, content.read_pieces(buffer))) == wanted, kind
        assert content.read_bytes() == wanted
        assert drain(content, step) == wanted


@pytest.mark.parametrize("now", [0, 50, 99, 101, 500])
@pytest.mark.parametrize("room", [10, 100, 1000])
@pytest.mark.parametrize("kind", ["path", "scanned", "callable"])
def test_another_size_is_an_error(kind: str, room: int, now: int, tmp_path: Path) -> None:
    contents = kinds(b"x" * 100, tmp_path)
    content = contents[kind]
    if kind == "callable":
        content = CallableContent(lambda: (tmp_path / "file").open("rb"), 100)
    os.truncate(tmp_path / "file", now)
    for read in (
        lambda: list(content.read_pieces(memoryview(bytearray(room)))),
        content.read_bytes,
        lambda: drain(content, room),
    ):
        with pytest.raises(DeclaredSizeError if kind == "callable" else SourceChangedError):
            read()


def test_a_reader_is_closed_when_reading_is_given_up(tmp_path: Path) -> None:
    content = kinds(b"x" * 100, tmp_path)["path"]
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        pieces = content.read_pieces(memoryview(bytearray(10)))
        assert bytes(next(pieces)) == b"x" * 10
        pieces.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before
