"""Public names that are loaded on first use, so that a program pays only for what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def late_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of ``package``: each name -> its module, relative to the package.

    A name that is a module itself has ``""``. No module may have the name of something else. A
    leading dot goes one package up.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 (its name in the package, PEP 562)
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not home:
            return import_module(f"{package}.{name}")
        value = getattr(import_module(f".{home}", package), name)
        setattr(import_module(package), name, value)  # from now on it is found at once
        return value

    return __getattr__


def names_by_home(homes: Mapping[str, str]) -> dict[str, str]:
    """Turn ``module -> names, separated by blanks`` into ``name -> module``."""
    return {name: home for home, names in homes.items() for name in names.split()}
