"""Check that work grows linearly: compare CPU time for a size and for four times the size."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

NOISE_SECONDS = 0.02
"""Measurements below this are noise."""


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds that this process spends on ``work``.

    Garbage is collected first: the cost would depend on earlier tests.
    """
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        work()
        return time.process_time() - began
    finally:
        gc.enable()


def assert_linear(work_of: Callable[[int], Callable[[], object]], size: int) -> None:
    """Fail if ``work_of(4 * size)()`` costs more than eight times ``work_of(size)()``.

    Linear work costs four times as much, quadratic work sixteen times. The inputs are built before
    the clock starts. Because the machine may be busy, there are three attempts.
    """
    for _ in range(3):
        small, large = (cpu_seconds(work_of(count)) for count in (size, 4 * size))
        if large <= 8 * max(small, NOISE_SECONDS):
            return
    raise AssertionError(f"{small:.3f} s for {size}, {large:.3f} s for four times as much")
