"""What changes a tree after it was read: filters, and rules by path.

``filters`` has functions for whole trees. ``rules`` is what the command line's options become: an
ordered list of rules, of which the other modules hold the kinds.
"""

from . import filters

__all__ = ["filters"]
