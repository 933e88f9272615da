"""An image that is planned but not written has the bytes of the written one."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import random
import shutil
import tempfile
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import (
    CallableContent,
    Layout,
    OverrideError,
    RandomPolicy,
    SourceChangedError,
    Spec,
    SpecError,
    Tree,
    TreeError,
    sources,
)
from ext4writer.inspection.check import check_image
from ext4writer.read import open_image as read_image
from ext4writer.virtual import Extent, VirtualImage
from tests.makers.strategies import specs, trees

KIB, MIB = 1 << 10, 1 << 20


def written(layout: Layout, **options: object) -> bytes:
    data = bytearray()
    ext4writer.write_layout(layout, data, **options)  # type: ignore[arg-type]
    return bytes(data)


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small and large files, holes, links, many names."""
    folder = tmp_path_factory.mktemp("source")
    chance = random.Random(7)
    for number in range(300):
        below = folder / f"d{number % 7}"
        below.mkdir(exist_ok=True)
        (below / f"file{number}").write_bytes(chance.randbytes(chance.randrange(9000)))
    (folder / "large").write_bytes(chance.randbytes(3 * MIB + 123))
    with (folder / "sparse").open("wb") as file:
        file.seek(2 * MIB)
        file.write(chance.randbytes(100_000))
        file.truncate(5 * MIB + 1)
    (folder / "link").symlink_to("x" * 200)
    os.setxattr(folder / "large", b"user.note", b"v" * 300)
    return folder


@pytest.fixture(scope="module", name="layout")
def _layout(folder: Path) -> Layout:
    return ext4writer.plan(sources.directory(folder), Spec(free=MIB))


@pytest.fixture(scope="module", name="whole")
def _whole(layout: Layout) -> bytes:
    return written(layout)


@pytest.mark.judged("quick")
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    tree=trees(max_nodes=12),
    spec=specs(fixed_sizes=False),
    policy=st.none() | st.integers(0, 99),
    seed=st.integers(0, 1 << 32),
)
def test_any_range_of_any_image(tree: Tree, spec: Spec, policy: int | None, seed: int) -> None:
    spec = replace(spec, policy=None if policy is None else RandomPolicy(policy))
    try:
        layout = ext4writer.plan(tree, spec)
    except (TreeError, SpecError):
        assume(False)
    assume(layout.size_bytes < 256 * MIB)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image")
        ext4writer.write_layout(layout, path)
        chance = random.Random(seed)
        memory = chance.choice([0, 4096, 64 * MIB])
        with layout.open(memory=memory) as image, path.open("rb") as file:
            for extent in image.extents():
                if extent.kind != "zero":
                    expected = os.pread(file.fileno(), extent.length, extent.offset)
                    assert image.pread(extent.offset, extent.length) == expected
            for _ in range(10):
                offset = chance.randrange(layout.size_bytes + 10)
                size = chance.randrange(3 * MIB)
                assert image.pread(offset, size) == os.pread(file.fileno(), size, offset)


def test_the_whole_image_is_equal(layout: Layout, whole: bytes) -> None:
    with layout.open() as image:
        assert image.size == len(whole)
        assert image.readall() == whole
        assert image.read(1) == b""


def test_a_tree_is_planned_or_given_as_a_plan(folder: Path, layout: Layout, whole: bytes) -> None:
    tree = sources.directory(folder)
    with ext4writer.open_image(tree, Spec(free="1M")) as image:
        assert image.read() == whole
    with ext4writer.open_image(layout) as image:
        assert image.pread(1024, 1024) == whole[1024:2048]
    with pytest.raises(SpecError, match="part of the layout"):
        ext4writer.open_image(layout, Spec())


def test_programs_for_file_objects_read_an_image(
    layout: Layout, whole: bytes, tmp_path: Path
) -> None:
    digest = hashlib.sha256(whole).hexdigest()
    with layout.open() as image:
        assert hashlib.file_digest(image, "sha256").hexdigest() == digest  # type: ignore[arg-type]
        image.seek(0)
        copy = tmp_path / "copy"
        with copy.open("wb") as file:
            shutil.copyfileobj(image, file)
        assert copy.read_bytes() == whole
        image.seek(0)
        compressed = io.BytesIO()
        zstandard.ZstdCompressor().copy_stream(image, compressed)
        stream = zstandard.ZstdDecompressor().stream_reader(compressed.getvalue())
        assert stream.read() == whole
        image.seek(-10, io.SEEK_END)
        assert io.BufferedReader(image).read(100) == whole[-10:]


def test_our_reader_and_checker_read_it(layout: Layout, folder: Path) -> None:
    image = layout.open()
    with read_image(image) as opened:
        assert not check_image(opened, data=True).problems
        node = opened.lookup(b"/large")
        with opened.open(node) as file:
            assert file.read() == (folder / "large").read_bytes()


def test_many_threads_read_at_once(layout: Layout, whole: bytes) -> None:
    image = layout.open(memory=100_000)
    chance = random.Random(3)
    ranges = [(chance.randrange(len(whole)), chance.randrange(500_000)) for _ in range(200)]

    def equal(place: tuple[int, int]) -> bool:
        offset, size = place
        return image.pread(offset, size) == whole[offset : offset + size]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(equal, ranges))
    image.close()


def test_extents_cover_the_image_and_match_its_bytes(layout: Layout, whole: bytes) -> None:
    with layout.open() as image:
        extents = list(image.extents())
    position = 0
    for extent in extents:
        assert extent.offset == position and extent.length > 0
        position = extent.end
        if extent.kind == "zero":
            assert not whole[extent.offset : extent.end].strip(b"\0")
        assert (extent.path is not None) == (extent.kind == "content")
    assert position == len(whole)
    neighbours = itertools.pairwise(extents)
    assert not any(a.kind == b.kind != "content" for a, b in neighbours)


def test_extents_name_the_file_and_the_place_in_it(layout: Layout, folder: Path) -> None:
    with layout.open() as image:
        found = [extent for extent in image.extents() if extent.path == b"/large"]
        assert sum(extent.length for extent in found) == 3 * MIB + 123
        first = found[0]
        middle = list(image.extents(first.offset + 5000, 1000))
        assert middle == [Extent(first.offset + 5000, 1000, "content", b"/large", 5000)]
        for extent in found:
            held = (folder / "large").read_bytes()[extent.start : extent.start + extent.length]
            assert image.pread(extent.offset, extent.length) == held
        assert list(image.extents(image.size, 10)) == []


def test_overrides_are_carried_out(layout: Layout) -> None:
    overrides = ["inode[/large].i_size_lo=5", "superblock.s_wtime=7", "inode[9].i_mode=1"]
    expected = written(layout, overrides=overrides)
    with layout.open(overrides=overrides) as image:
        assert image.readall() == expected
    with pytest.raises(OverrideError):
        layout.open(overrides=["inode[/missing].i_mode=0"])


def test_a_source_that_changed_is_an_error_for_its_range(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a").write_bytes(b"a" * 200_000)
    (folder / "b").write_bytes(b"b" * 200_000)
    (folder / "c").write_bytes(b"c" * 10)
    image = ext4writer.open_image(sources.directory(folder))
    places = {extent.path: extent for extent in image.extents() if extent.kind == "content"}
    (folder / "a").write_bytes(b"A" * 200_000)
    (folder / "c").unlink()
    for path in (b"/a", b"/c"):
        with pytest.raises(SourceChangedError, match=os.fsdecode(path)):
            image.pread(places[path].offset, 4096)
    assert image.pread(places[b"/b"].offset, 4096) == b"b" * 4096
    assert image.pread(1080, 2) == b"\x53\xef"


def test_a_sequential_content_is_reopened() -> None:
    opened = []

    def opener() -> io.BytesIO:
        opened.append(1)
        return io.BytesIO(bytes(range(256)) * 4000)

    tree = Tree()
    tree.add("/stream", ext4writer.RegularFile(CallableContent(opener, 1_024_000)))
    image = ext4writer.open_image(tree, Spec(hole_size=0))
    [place] = [extent for extent in image.extents() if extent.kind == "content"]
    opened.clear()
    for step in range(0, 1_024_000, 64_000):
        assert image.pread(place.offset + step, 10) == bytes(range(10))
    assert len(opened) == 1
    assert image.pread(place.offset + 256, 10) == bytes(range(10))
    assert len(opened) == 2
    image.close()


def test_a_closed_image_says_so(layout: Layout) -> None:
    image = layout.open()
    image.close()
    image.close()
    for call in (lambda: image.pread(0, 1), lambda: image.read(1), image.tell, image.extents):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_nothing_can_be_written(layout: Layout) -> None:
    with layout.open() as image:
        assert not image.writable()
        for call in (lambda: image.write(b"x"), lambda: image.truncate(0)):
            with pytest.raises(io.UnsupportedOperation):
                call()


def test_offsets_outside_of_the_image(layout: Layout) -> None:
    with layout.open() as image:
        assert image.pread(image.size, 10) == b""
        assert image.pread(image.size - 3, 1 << 63) == image.pread(image.size - 3, 3)
        assert image.pread(1 << 70, 10) == image.pread(0, 0) == b""
        with pytest.raises(ValueError, match="the offset -1 is negative"):
            image.pread(-1, 10)
        with pytest.raises(ValueError, match="is negative"):
            image.seek(-1)
        assert image.seek(1 << 60) == 1 << 60 and image.read(1) == b""


@pytest.mark.parametrize("odd", [0.5, True, None, "x", "-1", b"1", [], float("nan"), 1j])
def test_odd_numbers(layout: Layout, odd: Any) -> None:
    """A value that is not a number is named; no error is about the code."""
    with layout.open() as image:
        calls: dict[str, list[Callable[[], object]]] = {
            "offset": [
                lambda: image.pread(odd, 1),
                lambda: image.preadinto(odd, bytearray(1)),
                lambda: image.extents(odd),
                lambda: image.allocation(odd, 5),
                lambda: image.seek(odd),
            ],
            "size": [lambda: image.pread(0, odd), lambda: image.extents(0, odd)],
            "whence": [lambda: image.seek(0, odd)],
        }
        if odd is None:
            del calls["size"][1]  # up to the end
        for name, each in calls.items():
            for call in each:
                with pytest.raises(SpecError, match=name):
                    call()
        assert image.tell() == 0


def test_numbers_whose_meaning_is_plain(layout: Layout, whole: bytes) -> None:
    with layout.open() as image:
        assert image.pread("1024", 1e3) == whole[1024:2024]  # type: ignore[arg-type]
        assert list(image.extents(0.0, "7")) == list(image.extents(0, 7))  # type: ignore[arg-type]
        for call in (
            lambda: image.pread(0, -1),
            lambda: image.extents(0, -1),
            lambda: image.allocation(-1),
            lambda: image.seek(0, 3),
            lambda: image.seek(0, -1),
        ):
            with pytest.raises(ValueError, match="is negative|whence is"):
                call()


def test_reads_of_a_file(layout: Layout, whole: bytes) -> None:
    """The answers equal those of a file of the host, unless only our code could explain them."""
    with layout.open() as image:
        assert image.read(3) + image.read(1 << 70) == whole
        assert image.read(5) == image.read() == image.read(None) == image.readall() == b""
        for size in (-1, None, -7):
            image.seek(1000)
            assert image.read(size) == whole[1000:]
        for odd in (0.5, "x", True, b""):
            with pytest.raises(SpecError, match="size"):
                image.read(odd)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="memory"):
        layout.open(memory=-1)


def test_odd_buffers(layout: Layout, whole: bytes) -> None:
    with layout.open() as image:
        words = array("I", bytes(400))
        assert image.preadinto(1024, words) == 400 and words.tobytes() == whole[1024:1424]
        table = memoryview(bytearray(600)).cast("B", (20, 30))
        assert image.readinto(table) == 600 and table.tobytes() == whole[:600]
        for empty in (bytearray(), array("I"), memoryview(bytearray(9))[4:4]):
            assert image.readinto(empty) == 0
        refused: tuple[Any, ...] = (b"fixed", "text", 5, None, memoryview(bytearray(90))[::2])
        for odd in refused:
            with pytest.raises(SpecError, match="buffer"):
                image.readinto(odd)
        assert image.tell() == 600
    for buffer in (bytearray(5), b"fixed"):
        with pytest.raises(ValueError, match="closed"):
            image.readinto(buffer)


def test_metadata_is_kept_up_to_the_memory_that_is_allowed(folder: Path) -> None:
    tree = sources.directory(folder)
    image = ext4writer.open_image(tree, memory=0)
    assert isinstance(image, VirtualImage)
    for extent in image.extents():
        if extent.kind == "data":
            image.pread(extent.offset, extent.length)
    assert not image._metadata._kept


@pytest.mark.parametrize("size", [4096, 100_000, MIB, 1 << 40])
def test_parts_cover_the_image(layout: Layout, whole: bytes, size: int) -> None:
    if size == 4096:
        layout = ext4writer.plan(Tree(), Spec(size="256K", journal="none"))
        whole = written(layout)
    parts = layout.parts(size)
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert b"".join(piece for part in parts for piece in part) == whole
    for part in parts:
        held = whole[part.offset : part.offset + part.size]
        assert part.digest() == hashlib.sha256(held).hexdigest()
    with pytest.raises(SpecError):
        layout.parts(0)
