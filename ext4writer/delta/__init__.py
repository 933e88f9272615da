"""Images that differ from an earlier one as little as they can, and by how much they do."""

from __future__ import annotations

from .base import Base, open_base
from .difference import Difference, difference

__all__ = ["Base", "Difference", "difference", "open_base"]
