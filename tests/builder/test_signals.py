from __future__ import annotations

import gzip
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ext4writer import BytesContent, RegularFile
from ext4writer.errors import CancelledError
from ext4writer_cli.signals import Interrupted, cancel_on_signals
from tests.builder.command import (
    assert_one_line,
    assert_untouched,
    command,
    environment,
    run,
    wait_for_handlers,
)
from tests.builder.test_bad_input import AT_STAGE
from tests.judges import fsck
from tests.makers.containers import Entry, layer_tar

pytestmark = pytest.mark.usefixtures("default_signals")

STATUSES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("signum", STATUSES)
@pytest.mark.parametrize("stage", ["scan", "plan", "write"])
def test_a_signal_ends_the_work_and_leaves_nothing(
    stage: str, signum: signal.Signals, source: Path, out: Path
) -> None:
    do = f"os.kill(os.getpid(), {int(signum)})"
    script = AT_STAGE.format(stage=stage, times=1, do=do)
    done = run("build", source, "-o", out / "a.img", script=script)
    assert_one_line(done, STATUSES[signum], signum.name)
    assert_untouched(out)


@pytest.mark.parametrize("stage", ["scan", "plan", "write"])
def test_a_signal_leaves_the_older_image(stage: str, source: Path, out: Path) -> None:
    image = out / "a.img"
    image.write_bytes(b"older")
    script = AT_STAGE.format(stage=stage, times=1, do="os.kill(os.getpid(), signal.SIGTERM)")
    assert run("build", source, "-o", image, script=script).returncode == 143
    assert image.read_bytes() == b"older"
    assert os.listdir(out) == ["a.img"]


@pytest.mark.parametrize(("stage", "last"), [("scan", "INT"), ("plan", "TERM"), ("write", "TERM")])
def test_a_second_signal_does_not_wait(stage: str, last: str, source: Path, out: Path) -> None:
    """Nor does a first one while sources are read."""
    do = "[os.kill(os.getpid(), number) for number in (signal.SIGINT, signal.SIGTERM)]; os._exit(9)"
    script = AT_STAGE.format(stage=stage, times=1, do=do)
    done = run("build", source, "-o", out / "a.img", "--workers", "1", script=script)
    assert_one_line(done, STATUSES[signal.Signals[f"SIG{last}"]], f"SIG{last}")
    assert_untouched(out)


@pytest.mark.parametrize("signum", STATUSES)
def test_a_signal_ends_a_write_to_a_pipe_without_reader(
    signum: signal.Signals, source: Path
) -> None:
    process = subprocess.Popen(
        command("build", source, "-o", "-"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.buffer.read(1)
    time.sleep(0.5)
    process.send_signal(signum)
    said = process.stderr.read()
    status = process.wait(60)
    process.stdout.close()
    process.stderr.close()
    done = subprocess.CompletedProcess([], status, "", said)
    assert_one_line(done, STATUSES[signum], signum.name)


def opened_by(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """The files open in ``process``, except those that it closes meanwhile."""
    for fd in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(fd)


def ended_while_waiting(
    signum: signal.Signals, sent: bytes, *arguments: str | Path, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Start the command, send it a part of its input, and then only a signal.

    ``folder`` is where it must have begun to store its input.
    """
    process = subprocess.Popen(
        command(*arguments),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(sent)
    process.stdin.flush()
    wait_for_handlers(process)
    for _ in range(200):
        time.sleep(0.05)
        if folder is None or any(name.startswith(f"{folder}/") for name in opened_by(process)):
            break
    else:
        pytest.fail("keeps nothing")
    time.sleep(0.5)
    process.send_signal(signum)
    try:
        process.wait(60)
    finally:
        process.kill()
    _, said = process.communicate()
    return subprocess.CompletedProcess([], process.returncode, "", said.decode())


@pytest.mark.parametrize("signum", STATUSES)
@pytest.mark.parametrize("kind", ["", "docker-archive:", "oci:"])
def test_a_signal_ends_waiting_for_the_rest_of_an_archive(
    kind: str, signum: signal.Signals, out: Path
) -> None:
    """What has been unpacked so far is in a file without a name."""
    large = RegularFile(BytesContent(os.urandom(1 << 20)))
    archive = gzip.compress(layer_tar([Entry(b"large", large)]))
    done = ended_while_waiting(
        signum, archive[: 1 << 19], "build", f"{kind}-", "-o", out / "a.img", folder=out
    )
    assert_one_line(done, STATUSES[signum], signum.name)
    assert_untouched(out)


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "manifest:-", "-o"],
        ["manifest", "-", "-o"],
    ],
    ids=" ".join,
)
def test_a_signal_ends_waiting_for_anything_else(arguments: list[str], out: Path) -> None:
    done = ended_while_waiting(signal.SIGTERM, b"#mtree\n", *arguments, out / "a")
    assert_one_line(done, 143, "SIGTERM")
    assert_untouched(out)


@pytest.mark.parametrize("stage", ["plan", "write"])
def test_a_signal_after_an_archive_was_unpacked(stage: str, tmp_path: Path, out: Path) -> None:
    packed = tmp_path / "packed.tar.gz"
    large = RegularFile(BytesContent(os.urandom(1 << 20)))
    packed.write_bytes(gzip.compress(layer_tar([Entry(b"large", large)])))
    script = AT_STAGE.format(stage=stage, times=1, do="os.kill(os.getpid(), signal.SIGTERM)")
    with packed.open("rb") as stream:
        done = run("build", "-", "-o", out / "a.img", script=script, stdin=stream)
    assert_one_line(done, 143, "SIGTERM")
    assert_untouched(out)


def test_a_signal_interrupts_slow_rules(source: Path, out: Path) -> None:
    script = """
import os, signal, time
from ext4writer.edit import rules

def apply(self, tree):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

rules.Owner.apply = apply
from ext4writer_cli.cli import main
main()
"""
    for last in (("build", source, "-o", out / "a.img"), ("manifest", source, "-o", out / "m")):
        began = time.monotonic()
        done = run(*last, "--owner", "0:0", script=script)
        assert_one_line(done, 143, "SIGTERM")
        assert time.monotonic() - began < 50
        assert_untouched(out)


def test_a_signal_that_the_caller_ignores_stays_ignored(source: Path, out: Path) -> None:
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + AT_STAGE.format(
        stage="scan", times=1, do="os.kill(os.getpid(), signal.SIGHUP)"
    )
    assert run("build", source, "-o", out / "a.img", script=script).returncode == 0


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with cancel_on_signals() as cancel:
        assert signal.getsignal(signal.SIGTERM) is not before
        assert not cancel.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_first_signal_sets_the_event_and_names_itself() -> None:
    with pytest.raises(Interrupted) as caught, cancel_on_signals() as cancel:
        signal.raise_signal(signal.SIGTERM)
        assert cancel.is_set()
        raise CancelledError
    assert caught.value.signum == signal.SIGTERM


def test_work_that_ends_despite_a_signal_succeeds() -> None:
    with cancel_on_signals():
        signal.raise_signal(signal.SIGHUP)


def test_a_stream_is_interrupted_at_once() -> None:
    with pytest.raises(Interrupted), cancel_on_signals(at_once=True):
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("went on")


def test_a_signal_within_a_destructor_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    class Destroyed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted), cancel_on_signals(at_once=True):
        Destroyed()
    assert capfd.readouterr() == ("", "")
    # A second signal may get lost inside; a third one makes up for that.
    with pytest.raises(Interrupted) as caught, cancel_on_signals():
        signal.raise_signal(signal.SIGHUP)
        Destroyed()
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")
    assert caught.value.signum == signal.SIGINT
    assert capfd.readouterr() == ("", "")


def test_signals_do_not_disturb_the_end() -> None:
    """The exception of a second signal removes partial files; a third must not prevent that."""
    removed = False
    with pytest.raises(Interrupted) as caught, cancel_on_signals():
        signal.raise_signal(signal.SIGTERM)
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.raise_signal(signum)
            removed = True
    assert caught.value.signum == signal.SIGHUP
    assert removed


def test_a_signal_during_the_creation_of_a_class() -> None:
    class Named:
        def __set_name__(self, owner: type, name: str) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted), cancel_on_signals(at_once=True):
        type("Owner", (), {"named": Named()})


def test_a_cancellation_without_a_signal_is_passed_on() -> None:
    with pytest.raises(CancelledError), cancel_on_signals():
        raise CancelledError


def test_other_threads_get_an_event_and_no_handlers() -> None:
    handlers = []

    def work() -> None:
        with cancel_on_signals() as cancel:
            handlers.append((signal.getsignal(signal.SIGTERM), cancel.is_set()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [(signal.getsignal(signal.SIGTERM), False)]


def test_a_signal_while_modules_are_loaded_prints_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    done = run("--help", env={"PYTHONPATH": path})
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_second_interrupt_at_any_time_prints_one_line_at_most(source: Path, out: Path) -> None:
    """Also while the first one is reported, when there is nothing left to clean up."""
    script = "from ext4writer_cli.__main__ import main; print(flush=True); main()"
    for number in range(24):
        process = subprocess.Popen(
            command("build", source, "-o", out / "a.img", script=script),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.015 * number)
        process.send_signal(signal.SIGINT)
        time.sleep(0.001 * (number % 6))
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        assert said in (b"", b"ext4writer: interrupted by SIGINT\n"), said
        assert process.returncode in (0, 130, -signal.SIGINT)
        # A signal after the image has its name finds it complete.
        for left in out.iterdir():
            assert left.name == "a.img"
            fsck.assert_clean(left)
            left.unlink()
