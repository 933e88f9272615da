"""A custom mutator for AFL++ that keeps all checksums right.

    PYTHONPATH=... AFL_PYTHON_MODULE=ext4writer.fuzzing.afl AFL_CUSTOM_MUTATOR_ONLY=1 afl-fuzz ...

The functions are specified in custom_mutators.md, "Python", of AFL++'s documentation.
"""

from __future__ import annotations

from .chance import Chance
from .mutation import mutate

_chances = [Chance(0)]


def init(seed: int) -> None:
    """Start with the seed that AFL++ chose."""
    _chances[0] = Chance(seed)


def fuzz(buf: bytearray, add_buf: bytearray | None, max_size: int) -> bytearray:  # noqa: ARG001
    """Return a mutation of ``buf`` of at most ``max_size`` bytes."""
    return bytearray(mutate(buf, _chances[0].below(1 << 63), max_size))


def deinit() -> None:
    """Do nothing; AFL++ requires the function."""
