"""Closures of Nix store paths as trees: read from a store, a binary cache or archives.

No Nix is needed, and no command is run. :func:`closure` is all that most callers want;
:func:`read_closure` gives the store objects and their registration, to be looked at before
:func:`image_tree` puts them together. What it takes to read archives is loaded when one of these is
named, so no module may have the name of a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    home: Any
    if name in ("Closure", "closure", "read_closure"):
        from . import closures as home
    elif name == "image_tree":
        from . import assemble as home
    elif name in ("Entry", "read_contents"):
        from . import contents as home
    elif name in ("Saving", "link_equal_files"):
        from . import dedupe as home
    elif name == "NixError":
        from . import errors as home
    elif name in ("PathInfo", "Registration", "read_registration"):
        from . import registration as home
    elif name == "STORE":
        from . import store_paths as home
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(home, name)
