"""What was meant where a function was called with arguments that it does not have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import SpecError


def refuse_unbound(function: Any, args: Iterable[Any], options: Mapping[str, Any]) -> None:
    """Raise :class:`SpecError` if a function has no such arguments, or lacks one.

    It is called where a call has failed, so that what is done often costs nothing more.
    """
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **options)
    except TypeError as error:
        names = [name for name in signature.parameters if name not in ("self", "cls")]
        called = f"{function.__qualname__.removesuffix('.__init__')}()"
        for name in options:
            if name not in names:
                raise SpecError(name, f"is no argument of {called}; {meant(name, names)}") from None
        words = re.search("missing a required .*argument: '(?P<name>.*)'", str(error))
        if words is not None:
            raise SpecError(words["name"], f"is missing in the call of {called}") from None
        raise SpecError(called, f"{error}; its arguments are {', '.join(names)}") from None


def meant(name: str, names: Iterable[str], otherwise: str = "") -> str:
    """What may be meant by a ``name`` that is none of ``names``; ``otherwise`` where all differ."""
    from difflib import get_close_matches  # late: hardly any program needs it

    names = list(names)
    if "spec" in names:
        otherwise = f"options of the image belong to its Spec({name}=...)"
    close = get_close_matches(name, names, 1)
    if close:
        return f"did you mean {close[0]}?"
    return otherwise or f"there are {', '.join(names)}"
