"""Answers of callers as plain values: none is of a class of their own, and all have an end."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, TypeVar

from ..bits import MASK_64

Item = TypeVar("Item")


def plain_number(value: Any) -> int:
    """A whole number; ``TypeError`` for something else, ``ValueError`` beyond 64 bits."""
    if not issubclass(type(value), int):  # isinstance asks the value itself
        raise TypeError(f"{shown(value)} is no whole number")
    plain: int = int.__add__(value, 0)
    if not -MASK_64 <= plain <= MASK_64:
        raise ValueError("it has a number of more than 64 bits")
    return plain


def bounded(values: Iterable[Item], most: int) -> list[Item]:
    """All of ``values``, of which there may be ``most``; ``ValueError`` for more."""
    found = list(islice(values, most + 1))
    if len(found) > most:
        raise ValueError(f"it has a list of more than {most} items")
    return found


def shown(value: Any) -> str:
    """The beginning of how ``value`` prints, which may fail."""
    try:
        return f"{value!r:.80}"
    except Exception:
        return f"a {type(value).__name__}"


def told(error: Exception) -> str:
    """What an exception says of itself, after a colon; "" if it says nothing, or fails to."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return f": {text:.200}" if text else ""
