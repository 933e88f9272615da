"""Errors are one line on standard error, and leave no file."""

from __future__ import annotations

import os
import resource
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.builder.command import assert_one_line, assert_untouched, command, environment, run
from tests.judges import tools

# Runs the code in DO once, at the first report of a stage.
AT_STAGE = """
import ext4writer_cli.progress, os, signal
from contextlib import contextmanager
done = []

def report(progress):
    if progress.stage == {stage!r} and len(done) < {times}:
        done.append(progress)
        {do}

@contextmanager
def bar(enabled):
    yield report

ext4writer_cli.progress.progress_bar = bar
from ext4writer_cli.cli import main
main()
"""


def without_root_privileges() -> tuple[str, ...]:
    """A command that starts programs without root's exemption from permission bits."""
    if os.geteuid() != 0:
        return ()
    gone = "-dac_override,-dac_read_search"
    return (tools.require("setpriv"), f"--bounding-set={gone}", f"--inh-caps={gone}")


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.write_text(""), "not a directory"),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
    ],
)
def test_a_source_of_no_known_kind_is_refused(make, word: str, tmp_path: Path, out: Path) -> None:
    source = tmp_path / "source"
    make(source)
    done = run("build", source, "-o", out / "a.img")
    assert_one_line(done, 1, str(source), word)
    assert_untouched(out)


def test_an_empty_source_name_is_refused(out: Path) -> None:
    assert_one_line(run("build", "", "-o", out / "a.img"), 2, "SOURCE")
    assert_one_line(run("build", out, "-o", ""), 2, "--output")


def test_a_file_that_cannot_be_read(source: Path, out: Path) -> None:
    (source / "etc" / "hosts").chmod(0)
    done = run("build", source, "-o", out / "a.img", prefix=without_root_privileges())
    assert_one_line(done, 1, str(source / "etc" / "hosts"), "Permission denied")
    assert_untouched(out)


def test_a_folder_that_cannot_be_read(source: Path, out: Path) -> None:
    (source / "etc").chmod(0)
    try:
        done = run("build", source, "-o", out / "a.img", prefix=without_root_privileges())
    finally:
        (source / "etc").chmod(0o755)
    assert_one_line(done, 1, str(source / "etc"), "Permission denied")
    assert_untouched(out)


@pytest.mark.parametrize("stage", ["scan", "plan"])
@pytest.mark.parametrize("change", ["os.truncate({}, 5)", "open({}, 'ab').write(b'more')"])
def test_a_file_that_changes_its_size(stage: str, change: str, source: Path, out: Path) -> None:
    large = source / "large"
    script = AT_STAGE.format(stage=stage, times=1, do=change.format(repr(str(large))))
    done = run("build", source, "-o", out / "a.img", script=script)
    assert_one_line(done, 1, str(large), "changed its size")
    assert_untouched(out)


def test_a_file_that_vanishes(source: Path, out: Path) -> None:
    hosts = source / "etc" / "hosts"
    script = AT_STAGE.format(stage="plan", times=1, do=f"os.unlink({str(hosts)!r})")
    done = run("build", source, "-o", out / "a.img", script=script)
    assert_one_line(done, 1, str(hosts), "vanished")
    assert_untouched(out)


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        ("--size 10K", 1, ""),
        ("--size 300K --journal 64M", 1, ""),
        ("--size 99999999T", 1, ""),
        ("--size 99999999999999999999T", 1, ""),
        ("--free 99999999T", 1, ""),
        ("--free-inodes 99999999999", 1, ""),
        ("--grow-to 99999999T", 1, ""),
        ("-O extent,^extent", 2, "--features"),
        ("-O ^sparse_super", 2, "--features"),
        ("-O has_journal,journal_dev", 2, "--features"),
        ("-O inline_data -I 128", 2, "inline_data"),
        ("-O nonsense", 2, "--features"),
        ("-b 4095", 2, "--block-size"),
        ("-b 131072", 2, "--block-size"),
        ("-I 8192", 2, "--inode-size"),
        ("-m 80", 2, "--reserved-percent"),
        ("--label much-too-long-for-this", 2, "--label"),
        ("--journal 1", 2, "--journal"),
        ("--journal 8M -O ^has_journal", 2, "--journal"),
        ("--override inode[/nowhere].i_links_count=7", 2, "--override"),
        ("--override inode[/].no_such_field=7", 2, "no_such_field"),
        ("--override inode[/].i_links_count=99999999", 2, "i_links_count"),
        ("--override superblock.s_magic", 2, "--override"),
    ],
)
def test_options_that_cannot_be_met_are_refused(
    arguments: str, status: int, word: str, source: Path, out: Path
) -> None:
    done = run("build", source, "-o", out / "a.img", *arguments.split())
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.returncode in (1, 2)
    assert_one_line(done, done.returncode, word)
    if status == 2:
        assert done.returncode == 2, done.stderr
    assert_untouched(out)


def test_an_output_without_a_folder(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "no" / "such" / "a.img"
    assert_one_line(run("build", source, "-o", image), 1, str(image), "does not exist")


def test_an_output_that_is_a_directory(source: Path, out: Path) -> None:
    assert_one_line(run("build", source, "-o", out), 1, str(out), "is a directory")
    assert_one_line(run("build", source, "-o", f"{out}/"), 1, str(out))
    assert_untouched(out)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/stdout", "/dev/full"])
def test_an_output_that_is_a_device_stays_one(device: str, source: Path) -> None:
    before = os.stat(device)
    assert_one_line(run("build", source, "-o", device), 1, device)
    assert os.stat(device).st_mode == before.st_mode


def test_an_output_in_a_folder_that_is_not_writable(source: Path, out: Path) -> None:
    out.chmod(0o555)
    done = run("build", source, "-o", out / "a.img", prefix=without_root_privileges())
    out.chmod(0o755)
    assert_one_line(done, 1, str(out), "not writable")
    assert_untouched(out)


def test_a_full_disk(source: Path, out: Path) -> None:
    """A limit on file sizes simulates the full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    image = out / "a.img"
    image.write_bytes(b"older")
    done = run("build", source, "-o", image, preexec_fn=limit)
    assert_one_line(done, 1, str(image), "a limit")
    assert os.listdir(out) == ["a.img"]
    assert image.read_bytes() == b"older"


def test_standard_output_to_a_full_device(source: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = run("build", source, "-o", "-", stdout=full)
    assert_one_line(done, 1, "standard output", "no space left")


def test_a_full_device_for_the_report(source: Path, out: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = run("build", source, "-o", out / "a.img", stdout=full)
    assert_one_line(done, 1, "No space left on device; only the report is lost")
    assert os.listdir(out) == ["a.img"]
    with open("/dev/full", "wb") as full:
        done = run("plan", source, stdout=full)
    assert_one_line(done, 1, "standard output: No space left on device\n")


def test_a_reader_that_closes_the_pipe(source: Path) -> None:
    process = subprocess.Popen(
        command("build", source, "-o", "-"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.buffer.read(1000)
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    status = process.wait(60)
    assert_one_line(
        subprocess.CompletedProcess([], status, "", said),
        1,
        "standard output",
        "reader stopped reading",
    )


def test_a_reader_that_closes_the_pipe_of_the_report(source: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run("plan", source, stdout=writing)
    os.close(writing)
    assert_one_line(done, 1, "standard output", "Broken pipe")


CLOSED = 'exec "$0" "$@"'


@pytest.mark.parametrize("arguments", ["build {source} -o -", "manifest {source}", "plan {source}"])
def test_standard_output_that_is_closed(arguments: str, source: Path) -> None:
    words = arguments.format(source=source).split()
    done = run(*words, prefix=("sh", "-c", CLOSED + " >&-"))
    assert_one_line(done, 1, "standard output", "Bad file descriptor")


def test_an_image_while_the_streams_are_closed(source: Path, out: Path) -> None:
    """It does not get the descriptor of a stream, and no message is written into it."""
    for closed, image in ((" <&- >&- 2>&-", out / "a.img"), ("", out / "b.img")):
        arguments = ("build", source, "-o", image, "--quiet")
        done = run(*arguments, prefix=("sh", "-c", CLOSED + closed))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (out / "a.img").read_bytes() == (out / "b.img").read_bytes()


@pytest.mark.parametrize("arguments", ["build {source} -o -", "manifest {source}"])
def test_a_nonblocking_pipe_loses_nothing(arguments: str, source: Path, out: Path) -> None:
    """Programs that share a pipe leave it like this; its reader is slow."""
    for number in range(2000):
        (source / f"{number}").write_text(f"{number}\n")
    words = arguments.format(source=source).split()
    with open(out / "file", "wb") as file:
        assert run(*words, "--quiet", stdout=file).returncode == 0
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen(
        command(*words, "--quiet"), env=environment(), stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    data = b""
    while piece := os.read(reading, 50_000):
        data += piece
        time.sleep(0.0005)
    os.close(reading)
    assert process.communicate(timeout=60) == (None, b"")
    assert process.returncode == 0
    assert data == (out / "file").read_bytes()


def test_a_fault_of_the_program_keeps_its_traceback(source: Path, out: Path) -> None:
    script = AT_STAGE.format(stage="plan", times=1, do="raise ValueError('oops')")
    done = run("build", source, "-o", out / "a.img", script=script)
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("ValueError: oops\n")
    assert done.returncode == 1
    assert_untouched(out)


@pytest.mark.parametrize("source", ["-", "manifest:-", "oci:-"])
def test_a_standard_input_that_is_closed(source: str, out: Path) -> None:
    done = run("build", source, "-o", out / "a.img", prefix=("sh", "-c", CLOSED + " <&-"))
    assert_one_line(done, 1, "<stdin>: cannot be read: Bad file descriptor")
    assert_untouched(out)


@pytest.mark.parametrize("compressed", [False, True])
def test_no_archive_gets_the_descriptor_of_a_closed_stream(
    compressed: bool, source: Path, tmp_path: Path, out: Path
) -> None:
    """Messages would be written into it."""
    archive = tmp_path / ("t.tgz" if compressed else "t.tar")
    with tarfile.open(archive, "w:gz" if compressed else "w") as file:
        file.add(source, ".")
    run("build", archive, "-o", out / "a.img")
    wanted = (out / "a.img").read_bytes()
    for status, more in ((1, ()), (0, ("--quiet",))):  # the report cannot be printed
        done = run(
            *("build", archive, "-o", out / "a.img", *more),
            prefix=("sh", "-c", CLOSED + " <&- >&- 2>&-"),
        )
        assert done.returncode == status
        assert (out / "a.img").read_bytes() == wanted
