"""Explains calls with wrong arguments, and callbacks that have the wrong parameters."""

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
"""The arguments that the library passes to a callback, by the callback's name in annotations."""


def refuse_unbound(function: Any, args: Iterable[Any], options: Mapping[str, Any]) -> None:
    """Raise :class:`SpecError` if a function does not have these arguments, or lacks one.

    Use it only after a call has failed, so that correct calls cost nothing more.
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
    """Raise :class:`SpecError` if a callback among the arguments has the wrong parameters."""
    signature = inspect.signature(function)
    for name, given in signature.bind(*args, **options).arguments.items():
        annotation = str(signature.parameters[name].annotation)
        for kind in set(re.findall(r"\w+", annotation)) & _CALLED_WITH.keys():
            wrong = misfit(given, _CALLED_WITH[kind]) if callable(given) else ""
            if wrong:
                raise SpecError(name, wrong)


def misfit(function: Any, given: tuple[str, ...]) -> str:
    """Why ``function`` cannot be called with the arguments ``given``; empty if it can.

    ``given`` are descriptions of the positional arguments, which the explanation lists.
    """
    try:
        inspect.signature(function).bind(*given)
    except ValueError:
        return ""  # a built-in function may not state its parameters
    except TypeError as error:
        return f"is called with {' and '.join(given) or 'no argument'}: {error}"
    return ""


def meant(name: str, names: Iterable[str], otherwise: str = "") -> str:
    """A hint for a ``name`` that is not among ``names``; ``otherwise`` if none of them is close."""
    from difflib import get_close_matches  # late: hardly any program needs it

    names = list(names)
    if "spec" in names:
        otherwise = f"options of the image belong to its Spec({name}=...)"
    close = get_close_matches(name, names, 1)
    if close:
        return f"did you mean {close[0]}?"
    return otherwise or f"there are {', '.join(names)}"
