"""What was meant where a function, or one that it was given, has not the arguments of a call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import SpecError

_CALLED_WITH = {
    "Change": ("a path", "a node"),
    "OnDamage": ("a DamageError",),
    "OnError": ("an Ext4WriterError",),
    "Patterns": ("a path", "its last component"),
    "ProgressCallback": ("a Progress",),
    "SpoolMaker": (),
    "Store": ("a path", "a Content"),
}
"""What the library calls a function with that a caller gives, by its name in annotations."""


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


def refuse_callbacks(function: Any, args: Iterable[Any], options: Mapping[str, Any]) -> None:
    """Raise :class:`SpecError` if a function among the arguments cannot be called as it will be."""
    signature = inspect.signature(function)
    for name, given in signature.bind(*args, **options).arguments.items():
        annotation = str(signature.parameters[name].annotation)
        for kind in set(re.findall(r"\w+", annotation)) & _CALLED_WITH.keys():
            wrong = misfit(given, _CALLED_WITH[kind]) if callable(given) else ""
            if wrong:
                raise SpecError(name, wrong)


def misfit(function: Any, given: tuple[str, ...]) -> str:
    """Why a function cannot be called with so many arguments, in words; empty if it can."""
    try:
        inspect.signature(function).bind(*given)
    except ValueError:
        return ""  # of a built-in function nothing is known
    except TypeError as error:
        return f"is called with {' and '.join(given) or 'no argument'}: {error}"
    return ""


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
