"""Every Record of the package, found by importing its modules."""

from __future__ import annotations

import importlib
import pkgutil

from ext4writer import ondisk
from ext4writer.ondisk.record import Record


def records() -> dict[str, Record]:
    """Return all records by name; a duplicate name is an error."""
    found: dict[str, Record] = {}
    for info in pkgutil.iter_modules(ondisk.__path__):
        module = importlib.import_module(f"{ondisk.__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, Record):
                assert found.setdefault(value.name, value) is value, value.name
    return found


RECORDS = records()
