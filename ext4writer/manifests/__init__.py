"""Writes a tree down as a text from which ``sources.manifest`` makes an equal one."""

from __future__ import annotations

from .dump import write_dump
from .mtree import write_mtree

__all__ = ["write_dump", "write_mtree"]
