"""Changes to a tree after it was read: filters, and rules by path.

``filters`` has functions for entire trees. ``rules`` applies an ordered list of rules, into which
the command line's options are converted; the other modules have the individual rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import late_names

if TYPE_CHECKING:
    from . import filters

__all__ = ["filters"]

# Hidden from type checkers, which would accept any name otherwise.
if not TYPE_CHECKING:
    __getattr__ = late_names(__name__, {"filters": ""})
