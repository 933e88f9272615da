"""Converts answers of callers to plain values: of built-in types, and in bounded lists."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, TypeVar

from ..bits import MASK_64

Item = TypeVar("Item")


def plain_number(value: Any) -> int:
    """Return an integer; raise ``TypeError`` for other types, ``ValueError`` beyond 64 bits."""
    if not issubclass(type(value), int):  # isinstance accepts a false __class__
        raise TypeError(f"{shown(value)} is not an integer")
    plain: int = int.__add__(value, 0)
    if not -MASK_64 <= plain <= MASK_64:
        raise ValueError("it has a number of more than 64 bits")
    return plain


def bounded(values: Iterable[Item], most: int) -> list[Item]:
    """Return all of ``values``; raise ``ValueError`` for more than ``most``."""
    found = list(islice(values, most + 1))
    if len(found) > most:
        raise ValueError(f"it has a list of more than {most} items")
    return found


def shown(value: Any) -> str:
    """Return the beginning of the ``repr()`` of ``value``, or its type if that fails."""
    try:
        return f"{value!r:.80}"
    except Exception:
        return f"a {type(value).__name__}"


def told(error: Exception) -> str:
    """Return the message of an exception after a colon; "" if it is empty, or ``str()`` fails."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return f": {text:.200}" if text else ""
