"""What changes a tree after it was read: filters, and rules by path.

``filters`` has functions for whole trees. ``rules`` is the ordered list of rules that the command
line's options become; the other modules hold the kinds of rules.
"""

from . import filters

__all__ = ["filters"]
