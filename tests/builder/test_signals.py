from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from builder.signals import Interrupted, cancel_on_signals
from ext4writer.errors import CancelledError
from tests.builder.command import (
    assert_one_line,
    assert_untouched,
    command,
    environment,
    run,
)
from tests.builder.test_bad_input import AT_STAGE

pytestmark = pytest.mark.usefixtures("heeded_signals")

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


@pytest.mark.parametrize("stage", ["scan", "plan", "write"])
def test_a_second_signal_does_not_wait(stage: str, source: Path, out: Path) -> None:
    do = "[os.kill(os.getpid(), number) for number in (signal.SIGINT, signal.SIGTERM)]; os._exit(9)"
    script = AT_STAGE.format(stage=stage, times=1, do=do)
    done = run("build", source, "-o", out / "a.img", "--workers", "1", script=script)
    assert_one_line(done, 143, "SIGTERM")
    assert_untouched(out)


@pytest.mark.parametrize("signum", STATUSES)
def test_a_signal_ends_a_write_to_a_pipe_that_nobody_reads(
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


def test_work_that_ends_in_spite_of_a_signal_has_ended_well() -> None:
    with cancel_on_signals():
        signal.raise_signal(signal.SIGHUP)


def test_a_stream_is_interrupted_at_once() -> None:
    with pytest.raises(Interrupted), cancel_on_signals(at_once=True):
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("went on")


def test_a_cancel_without_a_signal_stays_what_it_is() -> None:
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
