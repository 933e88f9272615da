"""Plans in files, parts of images, and served images, from the command line."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ext4writer_cli.serving import ServedOutput
from tests.judges.tools import require, run

COMMAND = [sys.executable, "-m", "ext4writer"]


def call(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    chance = random.Random(2)
    for number in range(30):
        (folder / f"file{number}").write_bytes(chance.randbytes(number * 1000))
    return folder


@pytest.fixture(name="image")
def _image(folder: Path, tmp_path: Path) -> Path:
    image = tmp_path / "root.img"
    call("build", folder, "-o", image, "-q", "--label", "parts")
    return image


@pytest.fixture(name="plan")
def _plan(folder: Path, tmp_path: Path) -> Path:
    plan = tmp_path / "root.plan"
    call("plan", folder, "--save", plan, "-q", "--label", "parts")
    return plan


def test_a_plan_is_written_later(plan: Path, image: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.img"
    told = call("build", "--plan", plan, "-o", again, "--json").stdout
    assert json.loads(told)["label"] == "parts"
    assert again.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("count", [1, 4])
def test_parts_one_after_the_other_are_the_image(
    plan: Path, image: Path, tmp_path: Path, count: int
) -> None:
    parts = b""
    for number in range(1, count + 1):
        part = tmp_path / f"part.{number}"
        call("build", "--plan", plan, "--part", f"{number}/{count}", "-o", part, "-q")
        parts += part.read_bytes()
        assert part.stat().st_blocks * 512 <= part.stat().st_size + 4096
        part.unlink()
    assert parts == image.read_bytes()


def test_a_part_can_be_written_to_a_pipe(folder: Path, image: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "build", folder, "--label", "parts", "--part", "2/2", "-o", "-", "-q"],
        capture_output=True,
        check=True,
    )
    data = image.read_bytes()
    assert done.stdout == data[-len(done.stdout) :] and len(done.stdout) * 2 in range(
        len(data), len(data) + 8192
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--part", "4/3"], "N/M"),
        (["--part", "0/3"], "N/M"),
        (["--part", "x"], "N/M"),
        (["--part", "1/2", "--zstd-level", "3"], "contradict"),
        (["--label", "other"], "cannot change a plan"),
        (["--exclude", "x"], "cannot change a plan"),
        (["--no-xattrs"], "cannot change a plan"),
    ],
)
def test_options_that_contradict(
    plan: Path, tmp_path: Path, options: list[str], expected: str
) -> None:
    out = tmp_path / "out"
    assert expected in call("build", "--plan", plan, *options, "-o", out, status=2).stderr
    assert not out.exists()


def test_a_source_in_addition_to_a_plan_is_refused(
    plan: Path, folder: Path, tmp_path: Path
) -> None:
    told = call("build", folder, "--plan", plan, "-o", tmp_path / "out", status=2).stderr
    assert "a SOURCE cannot change a plan" in told


def test_a_compressed_part_is_refused(plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "part.zst"
    call("build", "--plan", plan, "--part", "1/2", "-o", out, status=2)
    assert not out.exists()


@contextmanager
def started(arguments: list[Any]) -> Iterator[subprocess.Popen[str]]:
    """A server that is stopped with the test, even if the test fails."""
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_is_served_until_a_signal(folder: Path, image: Path, tmp_path: Path) -> None:
    require("nbdcopy")
    path = tmp_path / "root.sock"
    arguments = [*COMMAND, "serve", folder, "--label", "parts", "--nbd", f"unix:{path}"]
    with started(arguments) as process:
        assert process.stdout is not None and process.stderr is not None
        uri, _, rest = process.stdout.readline().partition(": ")
        assert rest == f"{image.stat().st_size} bytes, read-only\n"
        copy = tmp_path / "copy.img"
        run(["nbdcopy", uri, copy])
        assert copy.read_bytes() == image.read_bytes()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
    assert not path.exists()


def test_it_is_served_close_to_an_earlier_image(folder: Path, image: Path, tmp_path: Path) -> None:
    require("nbdcopy")
    (folder / "file3").write_bytes(b"new" * 1000)
    after, copy = tmp_path / "after.img", tmp_path / "copy.img"
    call("build", folder, "-o", after, "-q", "--label", "parts", "--base", image)
    address = f"unix:{tmp_path / 'root.sock'}"
    arguments = [*COMMAND, "serve", folder, "--label", "parts", "--base", image, "--nbd", address]
    with started(arguments) as process:
        assert process.stdout is not None
        run(["nbdcopy", process.stdout.readline().partition(": ")[0], copy])
        assert copy.read_bytes() == after.read_bytes()


def test_the_scan_for_it_is_shared_out(folder: Path) -> None:
    served = ServedOutput("unix:never-made", listen_anywhere=False, quiet=True)
    # Anything that cannot be pickled makes one process list everything.
    assert pickle.loads(pickle.dumps(served.identity_test(str(folder)))) is None


def test_more_clients_than_descriptors_wait(folder: Path, image: Path, tmp_path: Path) -> None:
    nbdcopy = require("nbdcopy")
    path = tmp_path / "a socket"
    arguments = [*COMMAND, "serve", folder, "--nbd", f"unix:{path}", "--label", "parts"]
    limited = ["sh", "-c", 'ulimit -n 30; exec "$@"', "sh", *map(str, arguments)]
    with started(limited) as server:
        assert server.stdout is not None
        uri = server.stdout.readline().partition(": ")[0]
        with ExitStack() as clients:
            for _ in range(50):
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(path))
            clients.enter_context(suppress(subprocess.TimeoutExpired))
            server.wait(0.5)
        run([nbdcopy, uri, tmp_path / "copy"])
        assert (tmp_path / "copy").read_bytes() == image.read_bytes()
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


@pytest.mark.parametrize("address", ["0.0.0.0:0", "unix:", "nonsense:port"])
def test_addresses_that_are_refused(folder: Path, address: str) -> None:
    assert "nbd:" in call("serve", folder, "--nbd", address, status=2).stderr


@pytest.mark.parametrize("memory", ["1K", "0", "-5", "much"])
def test_memory_that_is_too_little(folder: Path, tmp_path: Path, memory: str) -> None:
    options = ["--nbd", f"unix:{tmp_path / 's'}", "--memory", memory]
    assert "memory" in call("serve", folder, *options, status=2).stderr
    assert not (tmp_path / "s").exists()


def test_hashes_and_maps_are_computed_while_writing(folder: Path, tmp_path: Path) -> None:
    require("veritysetup")
    image = tmp_path / "image"
    options = ["--dm-verity", tmp_path / "tree", "--bmap", tmp_path / "bmap"]
    options += ["--chunks", tmp_path / "chunks", "--chunk-size", "1M"]
    told = json.loads(call("build", folder, "-o", image, "--json", *options).stdout)
    root = told["dm_verity"]["root_hash"]
    run(["veritysetup", "verify", image, tmp_path / "tree", root])
    assert told["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    first = (tmp_path / "chunks").read_text().splitlines()[0].split()
    assert first[:2] == ["0", "1048576"]
    assert (tmp_path / "bmap").read_text().startswith("<?xml")
    again = call("build", folder, "-o", image, "--json", "--dm-verity", "append").stdout
    assert json.loads(again)["dm_verity"]["root_hash"] == root
    offset = f"--hash-offset={told['size']}"
    run(["veritysetup", "verify", image, image, root, offset])


def test_hashes_of_an_image_written_to_a_stream(folder: Path, tmp_path: Path) -> None:
    require("veritysetup")
    done = subprocess.run(
        [*COMMAND, "build", folder, "-o", "-", "--dm-verity", tmp_path / "tree", "--json"],
        capture_output=True,
        check=True,
    )
    image = tmp_path / "image"
    image.write_bytes(done.stdout)
    root = json.loads(done.stderr)["dm_verity"]["root_hash"]
    run(["veritysetup", "verify", image, tmp_path / "tree", root])


@pytest.mark.parametrize(
    "options", [["--dm-verity-salt", "xyz"], ["--format", "vdi"], ["--raw", "--format", "vhd"]]
)
def test_meaningless_output_options_are_refused(
    folder: Path, tmp_path: Path, options: list[str]
) -> None:
    call("build", folder, "-o", tmp_path / "image", *options, status=2)
    assert not (tmp_path / "image").exists()


FILES = ["--dm-verity", "--bmap", "--chunks"]


@pytest.mark.parametrize("flag", FILES)
def test_a_file_next_to_the_image_must_have_another_name(
    folder: Path, tmp_path: Path, flag: str
) -> None:
    image, plan = tmp_path / "root.img", tmp_path / "root.plan"
    image.write_bytes(b"an older one")
    call("plan", folder, "--save", plan, "-q")
    contents = {path: path.read_bytes() for path in (image, plan, folder / "file7")}
    os.mkfifo(tmp_path / "fifo")
    other = FILES[FILES.index(flag) - 1]
    for options in (
        [folder, flag, image],
        [folder, flag, folder / ".." / "root.img"],
        [folder, flag, folder / "file7"],
        [folder, flag, tmp_path / "fifo"],
        [folder, flag, tmp_path / "missing" / "file"],
        [folder, flag, tmp_path / "new", other, tmp_path / "new"],
        [folder, flag, plan, "--base", plan],
        ["--plan", plan, flag, plan],
        ["--plan", plan, flag, folder / "file7"],
    ):
        said = call("build", *options, "-o", image, status=1).stderr
        assert len(said.splitlines()) == 1, said
        assert {path: path.read_bytes() for path in contents} == contents
    assert sorted(os.listdir(tmp_path)) == ["fifo", "root.img", "root.plan", "source"]


def test_a_plan_or_a_part_never_overwrites_its_input(folder: Path, plan: Path) -> None:
    contents = {path: path.read_bytes() for path in (plan, folder / "file7")}
    for options in (
        ["plan", folder, "--save", folder / "file7"],
        ["plan", folder, "--base", plan, "--save", plan],
        ["build", "--plan", plan, "-o", plan],
        ["build", "--plan", plan, "-o", folder / "file7"],
        ["build", "--plan", plan, "-o", plan, "--part", "1/2"],
        ["build", "--plan", plan, "-o", folder / "file7", "--part", "1/2"],
    ):
        said = call(*options, status=1).stderr
        assert "does not overwrite its inputs" in said
        assert {path: path.read_bytes() for path in contents} == contents
        if options[0] == "build" and folder / "file7" in options:
            assert "the source of /file7;" in said
