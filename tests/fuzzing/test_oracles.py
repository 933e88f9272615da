"""Foreign programs and virtual machines judge images, within limits."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from ext4writer.fuzzing import Recipe
from ext4writer.read import open_image
from ext4writer_cli.fuzz import kernel
from ext4writer_cli.fuzz.oracles import ORACLES, Oracle, Verdict
from ext4writer_cli.fuzz.programs import Limits
from tests.guest.kernel_package import unpacked_kernel
from tests.judges.tools import missing

pytestmark = pytest.mark.damaged

SAMPLE = """\
ext4writer recipe 1
file /file size=5000 xattr=80
dir /dir names=40 length=30
file /dir/sparse size=3000 hole=70000
symlink /fast length=20
symlink /slow length=100
fifo /fifo
spec block_size=1024
spec features=^ea_inode
"""
WRONG_ROOT = SAMPLE + "override inode[2].i_mode=0\n"
NO_SUPERBLOCK = SAMPLE + "override superblock.s_magic=0\n"
READERS = [name for name in ORACLES if name not in ("kernel", "u-boot")]


def write(path: Path, text: str) -> str:
    path.write_bytes(Recipe.parse(text).image())
    return str(path)


def ask(name: str, image: str, seconds: float = 10.0, memory: int = 2 << 30) -> Verdict:
    oracle = Oracle.parse(name)
    if lacking := oracle.missing():
        missing(f"the oracle {name}", lacking)
    return oracle.ask(image, Limits(seconds, memory))


def wait_until_gone(pid: int) -> None:
    """Wait until a process has ended; a zombie counts as ended."""
    for _ in range(100):
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return
        if status.rpartition(") ")[2].startswith("Z"):
            return
        time.sleep(0.05)
    raise AssertionError(f"{pid} is still running")


@pytest.mark.parametrize("name", READERS)
def test_each_reader_accepts_valid_images_and_survives_others(name: str, tmp_path: Path) -> None:
    image = write(tmp_path / "image", SAMPLE)
    before = Path(image).read_bytes()
    assert ask(name, image).answer == "clean"
    assert Path(image).read_bytes() == before
    wrong = ask(name, write(tmp_path / "wrong", NO_SUPERBLOCK))
    assert not wrong.is_bad
    assert wrong.answer != "clean" or name in ("debugfs", "grub-fstest"), wrong


def test_limits(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x")

    def answer(command: str, seconds: float = 10.0, memory: int = 2 << 30) -> str:
        return ask(command, str(image), seconds, memory).answer

    started = time.monotonic()
    assert answer("sh -c 'sleep 50' {}", 0.1) == "hang"
    assert answer("sh -c 'sleep 50 & true' {}") == "clean"  # nobody waits for the remaining process
    assert answer("sh -c 'while :; do :; done' {}", 1) == "hang"
    assert answer("yes {}", 1) == "hang"
    assert time.monotonic() - started < 30
    assert answer("sh -c 'kill -SEGV $$' {}") == "crash"
    assert answer("false {}") == "error"
    assert ask("test -s {}", str(image)) == ("test -s {}", "clean", "")
    hungry = f"{sys.executable} -c 'bytes(1<<31)' {{}}"
    assert answer(hungry, memory=1 << 30) == "error"
    assert answer(hungry, memory=0) == "clean"
    said = "sh -c 'echo \"x.c:5: runtime error: index 9\"; echo more' {}"
    assert ask(said, str(image)) == (said, "crash", "x.c:5: runtime error: index 9")
    with pytest.raises(ValueError, match="neither one of"):
        Oracle.parse("no braces")
    assert Oracle.parse("no-such-program {}").ask(str(image)).answer == "missing"


def test_processes_of_an_oracle_end_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = f"sh -c 'sleep 100 & echo $! > {pid}; wait' {{}}"
    assert ask(command, str(tmp_path / "image"), 0.2).answer == "hang"
    wait_until_gone(int(pid.read_text()))


@pytest.mark.qemu
def test_a_kernel_judges_many_images_in_one_boot(tmp_path: Path) -> None:
    name = f"kernel:{unpacked_kernel()}"
    started = time.monotonic()
    clean = ask(name, write(tmp_path / "clean", SAMPLE), 30)
    assert clean[1:] == ("clean", ""), clean
    booted = time.monotonic() - started
    with open_image(str(kernel.guest(str(unpacked_kernel())).disk)) as image:
        paths = {found.path for found in image.walk()}
    assert {b"/ext4writer.new/moved", b"/ext4writer.new/soft"} <= paths
    assert ask(name, write(tmp_path / "refused", NO_SUPERBLOCK), 30).answer == "error"
    wrong = ask(name, write(tmp_path / "wrong", SAMPLE + "override !inode[/file].i_uid=3\n"), 30)
    assert wrong.answer == "problems" and "checksum invalid" in wrong.detail, wrong
    started = time.monotonic()
    assert ask(name, write(tmp_path / "again", SAMPLE), 30).answer == "clean"
    assert time.monotonic() - started < booted
    panic = "Kernel panic - not syncing: Fatal exception"
    assert kernel.bug(f"[ 1.0] x\n[ 2.0] {panic}\n") == panic


@pytest.mark.qemu
def test_u_boot_judges_an_image(tmp_path: Path) -> None:
    assert ask("u-boot", write(tmp_path / "clean", SAMPLE), 20)[1:] == ("clean", "")
    assert ask("u-boot", write(tmp_path / "wrong", NO_SUPERBLOCK), 20).answer == "error"
