"""Tar archives in every form that programs write, from files and streams, compressed or not."""

from __future__ import annotations

from .assembly import tar
from .inputs import Archive
from .limits import DEFAULT_LIMITS, Limits
from .member import HARD_LINK, Member
from .reader import read_members

__all__ = ["DEFAULT_LIMITS", "HARD_LINK", "Archive", "Limits", "Member", "read_members", "tar"]
