"""Loads public names on first use, so that a program pays only for what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def late_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of ``package``.

    ``homes`` maps each name to its module, relative to the package; a leading dot goes one package
    up. A name that is a module itself maps to ``""``. No other name may be that of a module.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 (its name in the package, PEP 562)
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not home:
            return import_module(f"{package}.{name}")
        value = getattr(import_module(f".{home}", package), name)
        setattr(import_module(package), name, value)  # further look-ups do not come here
        return value

    return __getattr__


def names_by_home(homes: Mapping[str, str]) -> dict[str, str]:
    """Turn ``module -> names, separated by spaces`` into ``name -> module``."""
    return {name: home for home, names in homes.items() for name in names.split()}
