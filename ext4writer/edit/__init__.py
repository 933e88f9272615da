"""What changes a tree after it was read: filters, and rules by path.

``filters`` has functions for whole trees. ``rules`` is the ordered list of rules that the command
line's options become; the other modules hold the kinds of rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import late_names

if TYPE_CHECKING:
    from . import filters

__all__ = ["filters"]

# Not seen by type checkers, which would take any name for granted.
if not TYPE_CHECKING:
    __getattr__ = late_names(__name__, {"filters": ""})
