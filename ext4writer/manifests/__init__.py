"""Writes a tree as a manifest, from which ``sources.manifest`` reads an equal tree.

The writers are loaded on first use, since most programs only write images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import late_names, names_by_home

if TYPE_CHECKING:
    from .dump import write_dump
    from .mtree import write_mtree

__all__ = ["write_dump", "write_mtree"]


# Hidden from type checkers, which would accept any name otherwise.
if not TYPE_CHECKING:
    __getattr__ = late_names(
        __name__,
        names_by_home(
            {
                "dump": "write_dump",
                "mtree": "write_mtree",
            }
        ),
    )


def __dir__() -> list[str]:
    """All names, including those that are not loaded yet."""
    return sorted(__all__)
