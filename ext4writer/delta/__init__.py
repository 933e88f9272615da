"""Images that differ as little as possible from an earlier one, and a measure of the difference."""

from __future__ import annotations

from .base import Base, open_base
from .difference import Difference, difference

__all__ = ["Base", "Difference", "difference", "open_base"]
