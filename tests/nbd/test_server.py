"""Foreign clients can read what is served, and no client can harm the server."""

from __future__ import annotations

import io
import os
import random
import socket
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

import ext4writer
from ext4writer import Layout, OutputError, Spec, SpecError, sources
from ext4writer.nbd import Address, Server
from ext4writer.nbd.protocol import (
    NBD_CMD_BLOCK_STATUS,
    NBD_CMD_DISC,
    NBD_CMD_FLUSH,
    NBD_CMD_READ,
    NBD_CMD_WRITE,
    NBD_OPT_EXPORT_NAME,
    NBD_OPT_GO,
    NBD_OPT_LIST,
    NBD_OPT_SET_META_CONTEXT,
    NBD_OPT_STRUCTURED_REPLY,
)
from tests.guest import run_guest
from tests.judges.tools import require, run

from .client import Client, packed_request

MIB = 1 << 20
ERR = 1 << 31


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    chance = random.Random(11)
    for number in range(100):
        (folder / f"file{number}").write_bytes(chance.randbytes(chance.randrange(20_000)))
    (folder / "large").write_bytes(chance.randbytes(2 * MIB + 5))
    (folder / "hello").write_bytes(b"hello from the source\n")
    return folder


@pytest.fixture(scope="module", name="layout")
def _layout(folder: Path) -> Layout:
    return ext4writer.plan(sources.directory(folder), Spec(free=16 * MIB))


@pytest.fixture(scope="module", name="image")
def _image(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "image"
    ext4writer.write_layout(layout, path)
    return path


@pytest.fixture(scope="module", name="server")
def _server(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("socket") / "image.sock"
    with layout.open() as image, Server(image, f"unix:{path}") as server:
        threading.Thread(target=server.run, daemon=True).start()
        yield server


# -- foreign clients -------------------------------------------------------------------------------


def test_nbdinfo_identifies_the_export(server: Server, layout: Layout) -> None:
    require("nbdinfo")
    told = run(["nbdinfo", server.uri]).stdout
    assert f"export-size: {layout.size_bytes} " in told
    for line in ("is_read_only: true", "can_multi_conn: true", "base:allocation", "ext4"):
        assert line in told
    assert "export=" in run(["nbdinfo", "--list", server.uri]).stdout


def test_nbdinfo_maps_all_of_it(server: Server, image: Path) -> None:
    require("nbdinfo")
    data = image.read_bytes()
    end = 0
    kinds = set()
    for line in run(["nbdinfo", "--map", server.uri]).stdout.splitlines():
        offset, length, flags, kind = line.split()
        assert int(offset) == end
        end += int(length)
        kinds.add(kind)
        if int(flags) == 3:
            assert not data[int(offset) : end].strip(b"\0")
    assert end == len(data) and kinds == {"data", "hole,zero"}


def test_nbdcopy_copies_it(server: Server, image: Path, tmp_path: Path) -> None:
    require("nbdcopy")
    copy = tmp_path / "copy"
    run(["nbdcopy", server.uri, copy])
    assert copy.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vhdx"])
def test_qemu_img_converts_it(server: Server, image: Path, tmp_path: Path, kind: str) -> None:
    require("qemu-img")
    copy = tmp_path / f"copy.{kind}"
    run(["qemu-img", "convert", "-O", kind, server.uri, copy])
    told = run(["qemu-img", "compare", "-f", "raw", "-F", kind, image, copy]).stdout
    assert "identical" in told
    os.unlink(copy)


def test_a_kernel_mounts_it(server: Server, folder: Path) -> None:
    script = (
        "mount -t ext4 /dev/vda /mnt; cat /mnt/hello; "
        "sha256sum /mnt/large | cut -c1-64; echo new > /mnt/new; umount /mnt"
    )
    told = run_guest(script, [server.uri], snapshot=True)
    [digest] = run(["sha256sum", folder / "large"]).stdout.split()[:1]
    assert told.splitlines()[:2] == ["hello from the source", digest]


def test_several_clients_at_once(server: Server, image: Path) -> None:
    require("nbdcopy")
    copies = [
        subprocess.Popen(["nbdcopy", server.uri, "-"], stdout=subprocess.PIPE) for _ in range(4)
    ]
    expected = image.read_bytes()
    assert all(copy.communicate()[0] == expected for copy in copies)


# -- our own client, for what theirs never do ------------------------------------------------------


def assert_still_serves(server: Server, image: Path) -> None:
    with closing(Client(server)) as client:
        client.go()
        client.request(NBD_CMD_READ, 1024, 1024)
        assert client.simple(1024) == (0, image.read_bytes()[1024:2048])


def test_an_old_client_reads(server: Server, image: Path) -> None:
    data = image.read_bytes()
    with closing(Client(server)) as client:
        client.flags(1)
        client.option(NBD_OPT_EXPORT_NAME)
        size, _ = struct.unpack(">QH", client.take(10))
        assert size == len(data) and client.take(124) == bytes(124)
        for offset, length in ((0, 1), (1000, 70_000), (len(data) - 1, 1), (0, len(data))):
            client.request(NBD_CMD_READ, offset, length)
            assert client.simple(length) == (0, data[offset : offset + length])
        client.request(NBD_CMD_FLUSH, 0, 0)
        assert client.simple(0) == (0, b"")
        client.request(NBD_CMD_DISC, 0, 0)
        assert client.is_gone()


def test_chunks_make_up_the_range(server: Server, image: Path) -> None:
    data = image.read_bytes()
    chance = random.Random(3)
    with closing(Client(server)) as client:
        client.go(structured=True)
        for dont_fragment in (0, 4):
            for _ in range(20):
                offset = chance.randrange(len(data))
                length = min(len(data) - offset, 1 + chance.randrange(2 * MIB))
                client.request(NBD_CMD_READ, offset, length, dont_fragment)
                before = client.chunks
                assert client.data(offset, length) == data[offset : offset + length]
                assert client.chunks == before + 1 or not dont_fragment


def test_each_pending_request_is_answered(server: Server, image: Path) -> None:
    data = image.read_bytes()
    with closing(Client(server)) as client:
        client.go(structured=True)
        for lengths in ((4096, 4096, 4096), (1, 70_000, 3, 900_000, 200_000), (300_000,) * 6):
            requests, offset = b"", 0
            for length in lengths:
                requests += packed_request(NBD_CMD_READ, offset, length)
                offset += length
            requests += packed_request(NBD_CMD_READ, 512, 9) + packed_request(
                NBD_CMD_READ, len(data), 1
            )
            client.peer.sendall(requests[:30])
            client.peer.sendall(requests[30:])
            start = 0
            for length in lengths:
                assert client.data(start, length) == data[start : start + length]
                start += length
            assert client.data(512, 9) == data[512:521]
            assert client.chunk()[1] == 1 << 15 | 1


@pytest.mark.parametrize("structured", [False, True])
def test_thousands_of_small_pending_requests(
    server: Server, folder: Path, image: Path, structured: bool
) -> None:
    """More than one sendmsg(2) accepts, while the client reads nothing."""
    data = image.read_bytes()
    first = data.index((folder / "large").read_bytes()[:4096])
    with closing(Client(server)) as client:
        client.go(structured=structured)
        client.peer.sendall(
            b"".join(packed_request(NBD_CMD_READ, first + 16 * at, 16) for at in range(2000))
        )
        for offset in range(first, first + 16 * 2000, 16):
            if structured:
                assert client.data(offset, 16) == data[offset : offset + 16]
            else:
                assert client.simple(16) == (0, data[offset : offset + 16])


@pytest.mark.parametrize("structured", [False, True])
def test_one_of_the_pending_requests_cannot_be_read(tmp_path: Path, structured: bool) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(name.encode() * 4096)
    layout = ext4writer.plan(sources.directory(folder))
    heard: list[object] = []
    with (
        layout.open() as image,
        Server(image, f"unix:{tmp_path / 's'}", on_error=heard.append) as server,
        ExitStack() as opened,
    ):
        threading.Thread(target=server.run, daemon=True).start()
        client = opened.enter_context(closing(Client(server)))
        client.go(structured=structured)
        [first, *others] = sorted(each.offset for each in image.extents() if each.path)
        assert others == [first + 4096, first + 8192]
        (folder / "b").write_bytes(b"B" * 4096)
        client.peer.sendall(
            b"".join(packed_request(NBD_CMD_READ, first + at, 4096) for at in (0, 4096, 8192))
        )
        answers = []
        for at in (0, 4096, 8192):
            if not structured:
                answers.append(client.simple(4096))
                continue
            _, kind, body = client.chunk()
            failed = kind == 1 << 15 | 2
            assert failed or struct.unpack_from(">Q", body) == (first + at,)
            answers.append((5, b"") if failed else (0, body[8:]))
    assert answers == [(0, b"a" * 4096), (5, b""), (0, b"c" * 4096)]
    assert len(heard) == 1


@pytest.mark.parametrize("structured", [False, True])
def test_invalid_requests_are_refused(server: Server, image: Path, structured: bool) -> None:
    size = image.stat().st_size
    with closing(Client(server)) as client:
        client.go(structured=structured)

        def answer() -> int:
            if not structured:
                return client.simple(0)[0]
            flags, kind, body = client.chunk()
            assert flags == 1 and kind & 1 << 15
            return int(struct.unpack_from(">I", body)[0])

        for command, offset, length, expected in (
            (NBD_CMD_READ, size, 1, 22),
            (NBD_CMD_READ, size - 1, 2, 22),
            (NBD_CMD_READ, 1 << 63, 1 << 31, 22),
            (NBD_CMD_READ, (1 << 64) - 1, (1 << 32) - 1, 22),
            (NBD_CMD_READ, 0, 0, 22),
            (NBD_CMD_FLUSH, 1, 0, 22),
            (NBD_CMD_BLOCK_STATUS, 0, 4096, 22),  # no context was negotiated
            (99, 0, 1, 22),
            (4, 0, 4096, 1),
            (6, 0, 4096, 1),
        ):
            client.request(command, offset, length)
            assert answer() == expected, (command, offset, length)
        client.request(NBD_CMD_WRITE, 0, 5000)
        client.peer.sendall(bytes(5000))
        assert answer() == 1
    assert_still_serves(server, image)


def test_a_read_that_is_too_long() -> None:
    layout = ext4writer.plan(ext4writer.Tree(), Spec(size="64M", journal="none"))
    with layout.open() as image, Server(image, "127.0.0.1:0") as server:
        threading.Thread(target=server.run, daemon=True).start()
        with socket.create_connection(("127.0.0.1", server.address.port)) as peer:
            client = Client.__new__(Client)
            client.peer = peer
            client.take(18)
            client.go()
            client.request(NBD_CMD_READ, 0, (32 << 20) + 1)
            assert client.simple(0)[0] == 75
            client.request(NBD_CMD_READ, 0, 32 << 20)
            assert client.simple(32 << 20)[0] == 0


def test_invalid_client_options_are_refused(server: Server, image: Path) -> None:
    with closing(Client(server)) as client:
        client.flags()
        for option, data, expected in (
            (5, b"", ERR | 1),  # TLS
            (12345, b"x" * 100, ERR | 1),
            (NBD_OPT_LIST, b"x", ERR | 3),
            (NBD_OPT_GO, b"", ERR | 3),
            (NBD_OPT_GO, struct.pack(">I", 1 << 31), ERR | 3),
            (NBD_OPT_GO, struct.pack(">I5sH", 5, b"other", 0), ERR | 6),
            (NBD_OPT_GO, struct.pack(">IH", 0, 9), ERR | 3),
            (NBD_OPT_STRUCTURED_REPLY, b"x", ERR | 3),
            (NBD_OPT_SET_META_CONTEXT, struct.pack(">II", 0, 0), ERR | 3),  # not structured
            (NBD_OPT_SET_META_CONTEXT, struct.pack(">II", 0, 1 << 31), ERR | 3),
            (NBD_OPT_LIST, b"x" * 100_000, ERR | 9),
        ):
            client.option(option, data)
            assert client.option_reply()[0] == expected, (option, data)
        client.option(NBD_OPT_LIST)
        assert client.option_reply() == (2, bytes(4))
        assert client.option_reply() == (1, b"")
    assert_still_serves(server, image)


def test_clients_that_misbehave_are_sent_away(server: Server, image: Path) -> None:
    chance = random.Random(9)

    def broken(step: int) -> None:
        with closing(Client(server)) as client:
            if step == 0:
                client.flags(0)
                assert client.is_gone()
            elif step == 1:
                client.flags(0xFFFFFFFF)
                assert client.is_gone()
            elif step == 2:
                client.flags()
                client.option(3, length=(1 << 32) - 1)
                assert client.is_gone()
            elif step == 3:
                client.flags()
                client.option(NBD_OPT_EXPORT_NAME, b"no such export")
                assert client.is_gone()
            elif step == 4:
                client.go()
                client.peer.sendall(chance.randbytes(28))
                assert client.is_gone()
            elif step == 5:
                client.go()
                client.request(NBD_CMD_READ, 0, MIB)  # and leave without the answer
            elif step == 6:
                client.go()
                client.request(NBD_CMD_WRITE, 0, (1 << 32) - 1)
                assert client.is_gone()
            else:
                client.peer.sendall(chance.randbytes(chance.randrange(200)))

    for step in range(40):
        broken(min(step, 7))
    assert_still_serves(server, image)


class BusyClient(threading.Thread):
    """A client that reads all the time."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.client = Client(server)
        self.client.go()
        self.stopped = threading.Event()
        self.failed = False

    def run(self) -> None:
        while not self.stopped.wait(0.01):
            try:
                self.client.request(NBD_CMD_READ, 1024, 1024)
                self.failed = self.client.simple(1024)[0] != 0
            except (OSError, EOFError):
                self.failed = True
            if self.failed:
                return


@pytest.mark.parametrize("state", ["silent", "haggling", "idle", "deaf"])
def test_idle_clients_block_nobody(layout: Layout, image: Path, tmp_path: Path, state: str) -> None:
    """The oldest of them is disconnected; one that reads stays."""
    require("nbdinfo")
    with (
        layout.open() as opened,
        Server(opened, f"unix:{tmp_path / 's'}", most_clients=4, idle_seconds=0.3) as server,
    ):
        threading.Thread(target=server.run, daemon=True).start()
        busy = BusyClient(server)
        busy.start()
        idle = [Client(server) for _ in range(3)]
        for client in idle:
            if state == "haggling":
                client.flags()
                client.option(NBD_OPT_LIST)
            elif state != "silent":
                client.go()
            if state == "deaf":  # requests more than a socket holds, and reads none of it
                for _ in range(20):
                    client.request(NBD_CMD_READ, 0, MIB)
        assert f"export-size: {layout.size_bytes} " in run(["nbdinfo", server.uri]).stdout
        assert_still_serves(server, image)
        busy.stopped.set()
        busy.join()
        assert not busy.failed
        for client in (busy.client, *idle):
            client.close()


def test_the_client_idle_for_longest_is_disconnected(layout: Layout, tmp_path: Path) -> None:
    with (
        layout.open() as opened,
        Server(opened, f"unix:{tmp_path / 's'}", most_clients=3, idle_seconds=0.3) as server,
    ):
        threading.Thread(target=server.run, daemon=True).start()
        clients = [Client(server) for _ in range(3)]
        for client in clients:
            client.go()
        for client in (clients[2], clients[0]):
            client.request(NBD_CMD_READ, 0, 512)
            assert client.simple(512)[0] == 0
        with closing(Client(server)) as another:
            another.go()
            assert clients[1].is_gone()
            for client in (clients[0], clients[2]):
                client.request(NBD_CMD_READ, 0, 512)
                assert client.simple(512)[0] == 0
        for client in clients:
            client.close()


def test_a_handshake_has_a_time_limit(layout: Layout, tmp_path: Path) -> None:
    """A client that sends a byte now and then is treated like a silent one."""
    with (
        layout.open() as opened,
        Server(opened, f"unix:{tmp_path / 's'}", handshake_seconds=0.5) as server,
    ):
        threading.Thread(target=server.run, daemon=True).start()
        with (
            closing(Client(server)) as silent,
            closing(Client(server)) as slow,
            closing(Client(server)) as reader,
        ):
            reader.go()
            slow.flags()
            with suppress(OSError):
                for byte in struct.pack(">8sII", b"IHAVEOPT", 999, 100) + bytes(100):
                    slow.peer.sendall(bytes([byte]))
                    time.sleep(0.05)
            assert slow.is_gone() and silent.is_gone()
            reader.request(NBD_CMD_READ, 0, 512)
            assert reader.simple(512)[0] == 0


def test_a_source_that_changed_is_an_error_for_its_range(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a").write_bytes(b"a" * 300_000)
    (folder / "b").write_bytes(b"b" * 300_000)
    layout = ext4writer.plan(sources.directory(folder))
    heard = []
    with (
        layout.open() as image,
        Server(image, f"unix:{tmp_path / 's'}", on_error=heard.append) as server,
    ):
        places = {extent.path: extent for extent in image.extents() if extent.path}
        threading.Thread(target=server.run, daemon=True).start()
        (folder / "a").write_bytes(b"A" * 300_000)
        with closing(Client(server)) as client:
            client.go(structured=True)
            client.request(NBD_CMD_READ, places[b"/a"].offset, 4096)
            flags, kind, body = client.chunk()
            assert (flags, kind) == (1, 1 << 15 | 2)
            assert struct.unpack_from(">I", body) == (5,) and b"changed" in body
            client.request(NBD_CMD_READ, places[b"/b"].offset, 4096)
            assert client.chunk() == (1, 1, struct.pack(">Q", places[b"/b"].offset) + b"b" * 4096)
    assert len(heard) == 1


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("odd"), KeyError("odd")])
def test_content_that_raises_is_an_error_for_its_range(error: Exception, tmp_path: Path) -> None:
    calls = []

    def once() -> io.BytesIO:
        calls.append(1)
        if len(calls) > 1:
            raise error
        return io.BytesIO(b"x" * 100_000)

    tree = ext4writer.Tree()
    tree.file("/odd", once, size=100_000)
    tree.file("/right", b"right" * 1000)
    heard: list[object] = []
    with (
        ext4writer.plan(tree).open() as image,
        Server(image, f"unix:{tmp_path / 's'}", on_error=heard.append) as server,
    ):
        places = {extent.path: extent.offset for extent in image.extents() if extent.path}
        threading.Thread(target=server.run, daemon=True).start()
        with closing(Client(server)) as client:
            client.go()
            client.request(NBD_CMD_READ, places[b"/odd"], 4096)
            assert client.simple(4096) == (5, b"")
            client.request(NBD_CMD_READ, places[b"/right"], 5)
            assert client.simple(5) == (0, b"right")
    assert len(heard) == 1 and "odd" in str(heard[0])


# -- where it listens ------------------------------------------------------------------------------


def test_the_socket_is_private_and_is_removed(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with layout.open() as image:
        with Server(image, f"unix:{path}"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with pytest.raises(OutputError, match="exists"):
                Server(image, f"unix:{path}")
        assert not path.exists()
        path.write_bytes(b"precious")
        with pytest.raises(OutputError, match="exists"):
            Server(image, f"unix:{path}")
        assert path.read_bytes() == b"precious"
        path.unlink()
        left_behind = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        left_behind.bind(str(path))
        left_behind.close()
        with Server(image, f"unix:{path}"):
            pass


@pytest.mark.parametrize("text", ["0.0.0.0:10809", "[::]:0", "8.8.8.8:1"])
def test_other_machines_are_kept_out(layout: Layout, text: str) -> None:
    with layout.open() as image, pytest.raises(SpecError, match="listen-anywhere"):
        Server(image, text)


def test_addresses() -> None:
    assert Address.parse("unix:/run/a b.sock").uri == "nbd+unix:///?socket=/run/a%20b.sock"
    assert Address.parse("127.0.0.1:99").uri == "nbd://127.0.0.1:99"
    assert Address.parse("[::1]:99").uri == "nbd://[::1]:99"
    assert Address.parse("localhost") == Address(host="localhost", port=10809)
    for text in ("", "unix:", ":5", "host:", "host:x", "host:70000"):
        with pytest.raises(SpecError):
            Address.parse(text)
