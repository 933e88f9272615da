"""Where trees come from: each source reads one kind of input and returns a ``Tree``."""

from __future__ import annotations

from . import filters
from .directory import directory

__all__ = ["directory", "filters"]
