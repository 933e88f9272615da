"""The progress bar, which is drawn only on a terminal that is not dumb."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ext4writer.units import human_bytes

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from ext4writer.progress import Progress, ProgressCallback

INTERVAL = 0.1
"""Seconds between two updates; the library may report progress far more often."""


@contextmanager
def progress_bar(enabled: bool) -> Iterator[ProgressCallback | None]:
    """Yield a callback that draws progress on standard error; None if nothing can be drawn."""
    if not enabled or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    from ext4writer.threads import helpers

    probes = helpers(lambda: None, 1)
    for probe in probes:
        probe.join()
    bars = Bars(
        TextColumn("{task.description:5}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[status_text]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=bool(probes),  # needs a thread
    )
    terminal = _Terminal(bars)
    with bars:
        yield terminal
        terminal.finish_stage()


class _Terminal:
    """One bar for each stage; may be called from any thread."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._lock = threading.Lock()
        self._task: TaskID | None = None
        self._latest: Progress | None = None
        self._stage_began = 0.0
        self._drawn = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        with self._lock:
            if self._latest is None or progress.stage != self._latest.stage:
                self._finish_stage(now)
                self._task = self._bars.add_task(progress.stage, total=None, status_text="")
                self._stage_began = now
                self._drawn = 0.0
            self._latest = progress
            if now - self._drawn >= INTERVAL:
                self._drawn = now
                self._draw(now)

    def finish_stage(self) -> None:
        """Show the last numbers and a full bar, even if the total was unknown."""
        with self._lock:
            self._finish_stage(time.monotonic())

    def _finish_stage(self, now: float) -> None:
        if self._task is not None:
            self._draw(now)
            self._bars.update(self._task, total=1, completed=1)
            self._bars.stop_task(self._task)

    def _draw(self, now: float) -> None:
        assert self._task is not None and self._latest is not None
        latest = self._latest
        done, total = latest.bytes_done, latest.bytes_total
        if not total:
            done, total = latest.entries, latest.entries_total
        self._bars.update(
            self._task,
            completed=done,
            total=total or None,
            status_text=status_text(latest, now - self._stage_began),
            refresh=not self._bars.live.auto_refresh,
        )


def status_text(progress: Progress, seconds: float) -> str:
    """The text next to the bar: entries, bytes, and the rate.

    The rate counts bytes that were really moved per second, or entries if no bytes were.
    """
    parts = [_of(f"{progress.entries:,}", progress.entries_total, f"{progress.entries_total:,}")]
    parts[0] += " entries"
    if progress.bytes_done or progress.bytes_total:
        done = human_bytes(progress.bytes_done)
        parts.append(_of(done, progress.bytes_total, human_bytes(progress.bytes_total)))
    if seconds >= INTERVAL:
        moved = progress.bytes_done - progress.bytes_unmoved
        if moved:
            parts.append(f"{human_bytes(round(moved / seconds))}/s")
        else:
            parts.append(f"{progress.entries / seconds:,.0f}/s")
    return ", ".join(parts)


def _of(done: str, total: int, shown_total: str) -> str:
    return f"{done}/{shown_total}" if total else done
