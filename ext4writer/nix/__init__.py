"""Closures of Nix store paths as trees: read from a store, a binary cache or archives.

This requires neither Nix nor any other program. :func:`closure` is sufficient for most callers.
:func:`read_closure` returns the store objects and their registration for inspection, before
:func:`image_tree` combines them. The readers of archives are loaded on first use of these
functions, so no module may have the name of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import late_names, names_by_home

if TYPE_CHECKING:
    from .assemble import image_tree
    from .closures import Closure, closure, read_closure
    from .contents import Entry, read_contents
    from .dedupe import Saving, link_equal_files
    from .errors import NixError
    from .registration import PathInfo, Registration, read_registration
    from .store_paths import STORE

__all__ = [
    "STORE",
    "Closure",
    "Entry",
    "NixError",
    "PathInfo",
    "Registration",
    "Saving",
    "closure",
    "image_tree",
    "link_equal_files",
    "read_closure",
    "read_contents",
    "read_registration",
]


# Hidden from type checkers, which would accept any name otherwise.
if not TYPE_CHECKING:
    __getattr__ = late_names(
        __name__,
        names_by_home(
            {
                "assemble": "image_tree",
                "closures": "Closure closure read_closure",
                "contents": "Entry read_contents",
                "dedupe": "Saving link_equal_files",
                "errors": "NixError",
                "registration": "PathInfo Registration read_registration",
                "store_paths": "STORE",
            }
        ),
    )


def __dir__() -> list[str]:
    """All names, including those not loaded yet."""
    return sorted(__all__)
