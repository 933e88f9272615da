"""The server's memory does not depend on what clients request, or how slowly they read."""

from __future__ import annotations

import hashlib
import os
import random
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

import ext4writer
from ext4writer import Layout, Spec, SpecError, Tree, sources
from ext4writer.nbd import Server
from ext4writer.nbd.protocol import NBD_CMD_BLOCK_STATUS, NBD_CMD_READ, NBD_OPT_SET_META_CONTEXT
from tests.judges.tools import missing

from .client import Client

MIB = 1 << 20
LARGEST = 32 * MIB
CLIENTS = 6
DONT_FRAGMENT = 4


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    chance = random.Random(4)
    (folder / "large").write_bytes(chance.randbytes(MIB) * 34)
    for number in range(50):
        (folder / f"small{number}").write_bytes(chance.randbytes(9000))
    return folder


@pytest.fixture(scope="module", name="layout")
def _layout(folder: Path) -> Layout:
    return ext4writer.plan(sources.directory(folder), Spec(free=MIB))


def place_of(layout: Layout) -> int:
    """The offset of the large file in the image."""
    with layout.open() as image:
        return next(each.offset for each in image.extents() if each.path == b"/large")


@contextmanager
def served(layout: Layout, path: Path, **options: object) -> Iterator[Server]:
    with layout.open() as image, Server(image, f"unix:{path}", **options) as server:  # type: ignore[arg-type]
        threading.Thread(target=server.run, daemon=True).start()
        yield server


def most_memory(pid: int) -> int:
    """The maximum resident set size of a process, in bytes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError as error:
        missing("the memory of a process", f"mount /proc ({error})")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10


@pytest.mark.parametrize("kind", ["simple", "structured", "one chunk"])
def test_many_slow_clients_that_ask_for_much(
    folder: Path, layout: Layout, tmp_path: Path, kind: str
) -> None:
    layout.save(tmp_path / "plan")
    path, offset = str(tmp_path / "s"), place_of(layout)
    command = [sys.executable, "-m", "ext4writer", "serve", "--plan", str(tmp_path / "plan")]
    command += ["--nbd", f"unix:{path}", "--memory", "72M"]
    expected = hashlib.sha256((folder / "large").read_bytes()[:LARGEST]).digest()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, ExitStack() as opened:
        opened.callback(process.kill)
        assert process.stdout is not None and process.stdout.readline()
        clients = [opened.enter_context(closing(Client(path))) for _ in range(CLIENTS)]
        for client in clients:
            client.go(structured=kind != "simple")
            client.request(NBD_CMD_READ, offset, 512)
            assert read(client, kind, offset, 512)
        before = most_memory(process.pid)
        for client in clients:
            client.request(
                NBD_CMD_READ, offset, LARGEST, DONT_FRAGMENT if kind == "one chunk" else 0
            )
            client.take(4)  # it is being answered
        prompt = opened.enter_context(closing(Client(path)))
        prompt.go()
        prompt.request(NBD_CMD_READ, 1024 + 56, 2)
        assert prompt.simple(2) == (0, b"\x53\xef")
        for client in clients:
            data = read(client, kind, offset, LARGEST, taken=4)
            assert hashlib.sha256(data).digest() == expected
        # Without a bound it would be 192 MiB.
        assert most_memory(process.pid) - before < 96 * MIB


def read(client: Client, kind: str, offset: int, length: int, taken: int = 0) -> bytes:
    """The data of an answer, of which ``taken`` bytes have already been read."""
    client.put_back({"simple": b"\x67\x44\x66\x98"}.get(kind, b"\x66\x8e\x33\xef")[:taken])
    if kind == "simple":
        error, data = client.simple(length)
        assert error == 0
        return data
    before = client.chunks
    data = client.data(offset, length)
    assert client.chunks == before + 1 or kind != "one chunk"
    return data


@pytest.mark.parametrize("structured", [False, True])
def test_the_least_memory_gives_the_same_bytes(
    layout: Layout, tmp_path: Path, structured: bool
) -> None:
    with layout.open() as image:
        whole = image.readall()
    chance = random.Random(6)
    with (
        served(layout, tmp_path / "s", memory=2 * 4096 * 3, most_clients=3) as server,
        closing(Client(server)) as client,
    ):
        client.go(structured=structured)
        for flags in (0, DONT_FRAGMENT):
            for _ in range(10):
                offset = chance.randrange(len(whole))
                length = min(len(whole) - offset, 1 + chance.randrange(300_000))
                client.request(NBD_CMD_READ, offset, length, flags)
                if structured:
                    data = client.data(offset, length)
                else:
                    error, data = client.simple(length)
                    assert error == 0
                assert data == whole[offset : offset + length]


def test_the_allocation_comes_in_several_answers(layout: Layout, tmp_path: Path) -> None:
    """An answer ends when the memory is full, and the client requests the rest."""
    # Each block is followed by a free one.
    tree = Tree()
    tree.file("/scattered", b"x" * 1024 * 3000)
    scattered = ext4writer.plan(tree, Spec(block_size=1024, policy="one-block-runs"))
    with scattered.open() as image:
        size = image.size
        expected = [(end - start, is_zero) for start, end, is_zero in image.allocation()]
    assert len(expected) > 3000
    with (
        served(scattered, tmp_path / "s", memory=2 * 4096, most_clients=1) as server,
        closing(Client(server)) as client,
    ):
        client.flags()
        client.option(8)
        assert client.option_reply() == (1, b"")
        query = struct.pack(">III", 0, 1, 15) + b"base:allocation"
        client.option(NBD_OPT_SET_META_CONTEXT, query)
        assert client.option_reply()[0] == 4 and client.option_reply()[0] == 1
        client.option(7, struct.pack(">IH", 0, 0))
        while client.option_reply()[0] != 1:
            pass
        found: list[tuple[int, bool]] = []
        offset = 0
        while offset < size:
            client.request(NBD_CMD_BLOCK_STATUS, offset, size - offset)
            flags, kind, body = client.chunk()
            assert (flags, kind) == (1, 5) and len(body) <= 4096
            for length, state in struct.iter_unpack(">II", body[4:]):
                found.append((length, state == 3))
                offset += length
    assert found == expected


@pytest.mark.parametrize("changes", ["before", "meanwhile"])
def test_a_source_that_changes_under_a_large_answer(tmp_path: Path, changes: str) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "large").write_bytes(b"x" * LARGEST)
    (folder / "other").write_bytes(b"y" * 5000)
    layout = ext4writer.plan(sources.directory(folder))
    with layout.open() as image:
        places = {each.path: each.offset for each in image.extents() if each.path}
    heard: list[object] = []
    # There is not enough memory for the complete answer.
    options = {"memory": 8 * MIB, "most_clients": 2, "on_error": heard.append}
    with (
        served(layout, tmp_path / "s", **options) as server,
        closing(Client(server)) as client,
        closing(Client(server)) as other,
    ):
        client.go()
        other.go()
        if changes == "before":
            os.truncate(folder / "large", 5 * MIB)
        client.request(NBD_CMD_READ, places[b"/large"], LARGEST)
        if changes == "before":
            assert client.simple(LARGEST) == (5, b"")
            client.request(NBD_CMD_READ, places[b"/other"], 5)
            assert client.simple(5) == (0, b"yyyyy")
        else:
            assert client.take(16)[4:8] == bytes(4)
            os.truncate(folder / "large", 5 * MIB)
            with pytest.raises(EOFError):
                client.take(LARGEST)
        other.request(NBD_CMD_READ, places[b"/other"], 5)
        assert other.simple(5) == (0, b"yyyyy")
    assert len(heard) == 1 and "large" in str(heard[0])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"memory": 2 * 4096 * 64 - 1}, "64 clients need 524288 bytes"),
        ({"memory": "nonsense"}, "memory"),
        ({"memory": -1}, "memory"),
        ({"most_clients": 0}, "most_clients"),
        ({"idle_seconds": -1.0}, "idle_seconds"),
        ({"idle_seconds": float("nan")}, "idle_seconds"),
        ({"handshake_seconds": float("inf")}, "handshake_seconds"),
    ],
)
def test_impossible_numbers_are_refused(
    layout: Layout, tmp_path: Path, options: dict[str, object], named: str
) -> None:
    with layout.open() as image, pytest.raises(SpecError, match=named):
        Server(image, f"unix:{tmp_path / 's'}", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()
