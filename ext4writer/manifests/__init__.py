"""Writes a tree as a text from which ``sources.manifest`` makes an equal tree.

The writers are loaded on first use, since most programs only write images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dump import write_dump
    from .mtree import write_mtree

__all__ = ["write_dump", "write_mtree"]


def __getattr__(name: str) -> Any:
    home: Any
    if name == "write_dump":
        from . import dump as home
    elif name == "write_mtree":
        from . import mtree as home
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(home, name)
