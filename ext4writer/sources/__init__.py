"""Where trees come from: each source reads one kind of input and returns a ``Tree``."""

from __future__ import annotations

from . import filters
from .directory import directory
from .nar import nar
from .tar import tar

__all__ = ["directory", "filters", "nar", "tar"]
