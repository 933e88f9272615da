"""A watcher of an image receives its bytes, whatever the output and the method."""

from __future__ import annotations

import hashlib
import io
import os
import random
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext4writer import CancelledError, OutputError, Spec, Tree, write_image
from ext4writer.output.memory import MemorySink
from ext4writer.output.watched import WatchedSink


def sample() -> Tree:
    chance = random.Random(1)
    tree = Tree()
    tree.file("/large", chance.randbytes(5 << 20))
    tree.file("/hole", b"x" * 5000 + bytes(3 << 20) + b"y")
    for number in range(300):
        tree.file(f"/small-{number}", chance.randbytes(number * 7))
    return tree


def test_a_digest_of_a_file(tmp_path: Path) -> None:
    plain, image = tmp_path / "plain", tmp_path / "image"
    write_image(sample(), plain)
    digest = hashlib.sha256()
    write_image(sample(), image, watch=digest.update, processes=3)
    data = image.read_bytes()
    assert data == plain.read_bytes()
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()
    # Holes remain holes.
    assert image.stat().st_blocks <= plain.stat().st_blocks + 64


def test_every_kind_of_output(tmp_path: Path) -> None:
    memory, stream, region = bytearray(), io.BytesIO(), tmp_path / "disk"
    size = len(write_to(memory, []))
    with region.open("wb") as file:
        file.truncate(size + (3 << 20))
    seen: list[bytes] = []
    for output, offset in ((memory, None), (stream, None), (region, 1 << 20)):
        seen.clear()
        found = write_to(output, seen, offset=offset)
        assert b"".join(seen) == bytes(memory) and len(found) == size
    assert stream.getvalue() == memory
    assert region.read_bytes()[1 << 20 :][:size] == memory
    compressed = tmp_path / "a.gz"
    seen.clear()
    write_to(compressed, seen)
    assert b"".join(seen) == bytes(memory)


def write_to(output: object, seen: list[bytes], offset: int | None = None) -> bytes:
    def watch(data: object) -> None:
        seen.append(bytes(data))  # type: ignore[call-overload]

    write_image(sample(), output, Spec(epoch=1), watch=watch, offset=offset)  # type: ignore[arg-type]
    return b"".join(seen)


@given(
    size=st.integers(0, 300_000),
    cuts=st.lists(st.integers(0, 300_000), max_size=12),
    seed=st.integers(0, 99),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_gaps_are_seen_as_zeros(size: int, cuts: list[int], seed: int) -> None:
    chance = random.Random(seed)
    expected, memory, seen = bytearray(size), bytearray(), bytearray()
    with WatchedSink(MemorySink(memory, size), seen.extend) as sink:
        edges = sorted({min(cut, size) for cut in cuts})
        for start, end in zip(edges[::2], edges[1::2], strict=False):
            expected[start:end] = chance.randbytes(end - start)
            sink.write_at(start, expected[start:end])
        sink.finish()
    assert seen == memory == expected


def test_a_watcher_may_fail(tmp_path: Path) -> None:
    """Its error is raised, whichever thread it ran in, and no image is left."""

    def fail(data: object) -> None:
        if len(data) >= 1 << 16:  # type: ignore[arg-type]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_image(sample(), tmp_path / "a", watch=fail)
    assert os.listdir(tmp_path) == []


def test_an_output_that_fails(tmp_path: Path) -> None:
    digest = hashlib.sha256()
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OutputError):
        write_image(sample(), full, watch=digest.update)
    stop = threading.Event()
    stop.set()
    with pytest.raises(CancelledError):
        write_image(sample(), tmp_path / "a", watch=digest.update, cancel=stop)
    assert os.listdir(tmp_path) == []


def test_no_thread_to_spare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    digest = hashlib.sha256()
    write_image(sample(), tmp_path / "a", watch=digest.update)
    assert digest.digest() == hashlib.sha256((tmp_path / "a").read_bytes()).digest()
