"""A custom mutator for AFL++, which loads it by name and keeps all checksums right.

    PYTHONPATH=... AFL_PYTHON_MODULE=ext4writer.fuzzing.afl AFL_CUSTOM_MUTATOR_ONLY=1 afl-fuzz ...

The functions are those that AFL++'s documentation names in custom_mutators.md, "Python".
"""

from __future__ import annotations

from .chance import Chance
from .mutation import mutate

_chances = [Chance(0)]


def init(seed: int) -> None:
    """Begin with the seed that AFL++ has chosen."""
    _chances[0] = Chance(seed)


def fuzz(buf: bytearray, add_buf: bytearray | None, max_size: int) -> bytearray:  # noqa: ARG001
    """Another image made of ``buf``, of at most ``max_size`` bytes."""
    return bytearray(mutate(buf, _chances[0].below(1 << 63), max_size))


def deinit() -> None:
    """End; there is nothing to do."""
