"""Shared by all tests: every image is judged, and missing judges are listed at the end."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import settings

import ext4writer
from ext4writer import Spec, Tree
from tests.judges import tools
from tests.judges.fsck import Level
from tests.judges.watch import Watch, install, watch

install()

# For other users than root, PATH has no sbin, where most judges are.
os.environ["PATH"] = tools.SEARCH_PATH


# By default, every run uses the same examples. --hypothesis-profile=search tries others.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile("same")


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "damaged: creates images that are wrong on purpose; none is judged automatically",
        "judged(level): how strictly the first image of the test is judged, quick or full",
    ):
        config.addinivalue_line("markers", line)


def pytest_collection_finish() -> None:
    """Keep full garbage collections as frequent as without thousands of tests.

    Python starts a full collection once new objects amount to a quarter of the surviving ones.
    pytest keeps half a gigabyte about the tests. Without this, memory in tracebacks and cycles,
    images included, would grow by gigabytes before a collection.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # recounts the survivors


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = sorted(tools.missing_oracles)
    if missing:
        terminalreporter.section("missing judges")
        for line in missing:
            terminalreporter.line(line)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") is not None:
        tools.require_root()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Treat a program that a test calls by name, and that is not installed, as a missing judge."""
    try:
        return (yield)
    except FileNotFoundError as error:
        program = error.filename
        if not isinstance(program, str) or "/" in program or tools.find(program):
            raise
        tools.require(program)
        raise


@pytest.fixture(name="watch", autouse=True)
def _watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Judge all images of the test; ``watch.damaged(path)`` exempts one."""
    marker = request.node.get_closest_marker("judged")
    level: Level = marker.args[0] if marker else "full"
    watch.start(judging=request.node.get_closest_marker("damaged") is None, level=level)
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield watch
    if folder is not None:
        watch.search(folder)
    watch.judging = False


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Reset signals that are ignored because the run is in the background or under nohup.

    Child processes inherit ignored signals.
    """
    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {
        signum: signal.signal(signum, handler)
        for signum, handler in wanted.items()
        if signal.getsignal(signum) is signal.SIG_IGN
    }
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


class MakeImage(Protocol):
    """Writes a tree into a new image and returns its path."""

    def __call__(
        self,
        tree: Tree,
        spec: Spec | None = None,
        *,
        name: str = "image",
        level: Level | None = None,
        damaged: bool = False,
        **options: Any,
    ) -> Path: ...


@pytest.fixture
def make_image(tmp_path: Path, watch: Watch) -> MakeImage:
    """A function that writes ``tree`` to ``tmp_path / name`` and has the image judged.

    ``level`` is how strictly; with ``damaged=True`` the image is not judged. Other keywords go to
    :func:`ext4writer.write_image`.
    """

    def make(
        tree: Tree,
        spec: Spec | None = None,
        *,
        name: str = "image",
        level: Level | None = None,
        damaged: bool = False,
        **options: Any,
    ) -> Path:
        path = tmp_path / name
        if damaged:
            watch.damaged(path)
        ext4writer.write_image(tree, path, spec or Spec(), **options)
        if level is not None:
            watch.judge(path, level)
        return path

    return make
