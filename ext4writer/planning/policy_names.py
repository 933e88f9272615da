"""Policies by name."""

from __future__ import annotations

from ..bits import MASK_64
from ..checked import checked_if_it_fails
from ..errors import SpecError
from .policy import LayoutPolicy

_DIGITS_64 = len(str(MASK_64))


@checked_if_it_fails
def policy(text: str) -> LayoutPolicy:
    """Return the policy named ``text``: ``default``, ``random:SEED``, ``random-features:SEED``, or
    ``NAME[:SEED]``.

    ``SEED`` is a number below 2^64, 0 by default. docs/damage.md lists the names. Raises
    :class:`SpecError` for another text.
    """
    if text == "default":
        return LayoutPolicy()
    kind, colon, digits = str(text).partition(":")
    seed = _seed(digits) if colon else 0
    from .random_policy import RandomFeatures, RandomPolicy  # imported late: most images have none

    if kind == "random" and colon and seed is not None:
        return RandomPolicy(seed)
    if kind == "random-features" and colon and seed is not None:
        return RandomFeatures(seed)
    from .named_policies import NAMED  # imported late: most images have none

    if kind in NAMED and seed is not None:
        return NAMED[kind](seed)
    raise SpecError(
        "policy",
        f"{text!r:.80} is neither 'default' nor 'random:SEED' or 'random-features:SEED' with a "
        "number below 2^64, nor one of "
        f"{', '.join(NAMED)}, each with or without such a :SEED",
    )


def _seed(digits: str) -> int | None:
    if not (digits.isascii() and digits.isdigit()):
        return None
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _DIGITS_64 and int(digits) <= MASK_64 else None
