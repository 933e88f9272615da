from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ext4writer import plan, sources, write_layout
from ext4writer.progress import Progress
from ext4writer_cli.progress import progress_bar, status_text
from tests.builder.command import MAIN, command, environment
from tests.judges import tools


def on_terminal(
    *arguments: str, stdout: bool, term: str = "xterm", script: str = MAIN
) -> tuple[int, str]:
    """Run with standard error, and optionally ``stdout``, on a terminal; return what it showed."""
    ours, theirs = tools.open_terminal()
    process = subprocess.Popen(
        command(*arguments, script=script),
        env=environment({"TERM": term, "COLUMNS": "100"}),
        stdout=theirs if stdout else subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = bytearray()
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux fails with EIO when the last user of the terminal is gone
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    return process.wait(60), shown.decode()


def test_a_terminal_shows_every_stage(source: Path, out: Path) -> None:
    status, shown = on_terminal("build", str(source), "-o", str(out / "a.img"), stdout=False)
    assert status == 0
    assert "\x1b[" in shown
    for stage in ("scan", "plan", "write"):
        assert stage in shown
    assert shown.count("entries") >= 3
    assert "Seconds" not in shown


WITHOUT_THREADS = (
    """
import threading
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
    + MAIN
)


def test_a_terminal_without_a_thread_to_spare(source: Path, out: Path) -> None:
    status, shown = on_terminal(
        "build", str(source), "-o", str(out / "a.img"), stdout=False, script=WITHOUT_THREADS
    )
    assert status == 0
    assert "Traceback" not in shown
    for stage in ("scan", "plan", "write"):
        assert stage in shown


def test_a_terminal_shows_the_report_below(source: Path, out: Path) -> None:
    status, shown = on_terminal("build", str(source), "-o", str(out / "a.img"), stdout=True)
    assert status == 0
    assert shown.index("write") < shown.index("a.img: ") < shown.index("Seconds")


def test_quiet_shows_nothing(source: Path, out: Path) -> None:
    assert on_terminal("build", str(source), "-o", str(out / "a.img"), "-q", stdout=True) == (0, "")


def test_a_terminal_gets_no_image(source: Path) -> None:
    status, shown = on_terminal("build", str(source), "-o", "-", stdout=True)
    assert status == 1
    assert shown.count("\n") == 1
    assert shown.startswith("ext4writer: standard output: is a terminal")


def test_an_error_stands_alone_below_the_bar(source: Path, out: Path) -> None:
    arguments = ("build", str(source), "-o", str(out / "a.img"), "--size", "10K")
    status, shown = on_terminal(*arguments, stdout=True)
    assert status == 1
    assert shown.rstrip().splitlines()[-1].lstrip("\x1b[?25h").startswith("ext4writer: ")


def test_a_dumb_terminal_gets_no_bar(source: Path, out: Path) -> None:
    arguments = ("build", str(source), "-o", str(out / "a.img"))
    assert on_terminal(*arguments, stdout=False, term="dumb") == (0, "")


def test_a_pipe_gets_no_bar() -> None:
    with progress_bar(enabled=True) as progress:
        assert progress is None


@pytest.mark.parametrize(
    ("progress", "seconds", "text"),
    [
        (Progress("scan", 1234, 0, 0, 0), 0, "1,234 entries"),
        (Progress("scan", 1234, 0, 0, 0), 2, "1,234 entries, 617/s"),
        (Progress("scan", 10, 0, 3 << 20, 0), 1, "10 entries, 3.0 MiB, 3.0 MiB/s"),
        (Progress("scan", 10, 0, 3 << 20, 0, 3 << 20), 2, "10 entries, 3.0 MiB, 5/s"),
        (Progress("write", 9, 9, 3 << 20, 0, 2 << 20), 1, "9/9 entries, 3.0 MiB, 1.0 MiB/s"),
        (
            Progress("write", 5, 10, 1 << 20, 4 << 20),
            0.5,
            "5/10 entries, 1.0 MiB/4.0 MiB, 2.0 MiB/s",
        ),
        (Progress("write", 0, 10, 0, 4096), 0, "0/10 entries, 0 bytes/4.0 KiB"),
    ],
)
def test_text_next_to_the_progress_bar(progress: Progress, seconds: float, text: str) -> None:
    assert status_text(progress, seconds) == text


def test_rates_are_of_what_is_really_moved(tmp_path: Path) -> None:
    """Sizes of files found, or of archive members skipped, do not count as work."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(bytes(range(1, 256)) * 1000)
    archives = {}
    for ending in ("", ":gz"):
        archives[ending] = tmp_path / f"archive{ending}"
        with tarfile.open(archives[ending], f"w{ending}") as archive:
            archive.add(root, ".")
    size = 255_000

    def last(read: Callable[..., object]) -> tuple[int, int]:
        reports: list[Progress] = []
        read(progress=reports.append)
        return reports[-1].bytes_done, reports[-1].bytes_unmoved

    assert last(partial(sources.directory, root)) == (size, size)
    assert last(partial(sources.tar, archives[""])) == (size, size)
    assert last(partial(sources.tar, archives[":gz"])) == (size, 0)
    tree = sources.directory(root)
    assert last(partial(plan, tree)) == (size, size)
    assert last(partial(write_layout, plan(tree), bytearray())) == (size, 0)
