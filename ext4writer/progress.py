"""Progress reports to the caller, and cancellation by the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from .errors import CancelledError
from .late_dataclasses import NamedTuple

Stage = Literal["scan", "plan", "write"]

WAIT_SECONDS = 0.2
"""How long a request to cancel may go unnoticed while other processes work."""
REPORT_EVERY = 1024
"""Entries of a source between reports."""


class Progress(NamedTuple):
    """One report of progress; a total is 0 while it is unknown."""

    stage: Stage
    entries: int
    entries_total: int
    bytes_done: int
    bytes_total: int
    bytes_unmoved: int = 0
    """The part of ``bytes_done`` that was neither read nor written: files whose size was read but
    not their content, and blocks that the image shares with a file. Compute rates without them."""


ProgressCallback = Callable[[Progress], None]


class Cancel(Protocol):
    """Anything with ``is_set``, such as ``threading.Event``."""

    def is_set(self) -> bool: ...


def check_cancelled(cancel: Cancel | None) -> None:
    """Raise :class:`CancelledError` once ``cancel`` is set."""
    if cancel is not None and cancel.is_set():
        raise CancelledError
