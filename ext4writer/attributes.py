"""The attributes of nodes, in one table.

What goes over all attributes of a node goes over this table: how trees are laid over each other,
what callers may give, rules, columns and their ranges, the identity of an image, manifests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .arguments import ID_MOST, bytes_of, id_of, mode_of, nanoseconds_of, number_of
from .inode_flags import flags_of
from .late_dataclasses import NamedTuple


class Attribute(NamedTuple):
    """One attribute."""

    name: str
    """Of :class:`~ext4writer.Node`."""
    word: str
    """What rules and messages call it."""
    take: Callable[[Any], Any]
    """What callers give -> what a node holds; ``ValueError`` with the reason if that is nothing."""
    most: int | None = None
    """The largest number that an inode holds; the smallest is 0."""
    may_be_none: bool = False
    is_time: bool = False
    for_parents: bool = False
    """Whether a directory that is made for the sake of what it holds has the same."""


POSIX_ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")
"""The names of extended attributes that are access control lists."""


def _xattrs_of(given: Any) -> Mapping[bytes, bytes]:
    if not isinstance(given, Mapping):
        raise ValueError(f"{given!r:.80} is no mapping of names to values")
    taken = {}
    for name, value in given.items():
        try:
            taken[bytes_of(name)] = bytes_of(value)
        except ValueError as error:
            raise ValueError(f"{name!r:.80}: {error}") from None
    return given if taken == given else taken


def _time(word: str, *, may_be_none: bool = True) -> Attribute:
    return Attribute(
        f"{word}_ns",
        word,
        nanoseconds_of,
        may_be_none=may_be_none,
        is_time=True,
        for_parents=True,
    )


ATTRIBUTES = {
    row.name: row
    for row in (
        Attribute("mode", "mode", mode_of, 0o7777),
        # The plan says which owners are out of range.
        Attribute("uid", "uid", number_of, ID_MOST, for_parents=True),
        Attribute("gid", "gid", number_of, ID_MOST, for_parents=True),
        _time("mtime", may_be_none=False),
        _time("atime"),
        _time("ctime"),
        _time("crtime"),
        Attribute("xattrs", "xattrs", _xattrs_of, may_be_none=True),
        Attribute("flags", "flags", flags_of),
        Attribute("project", "project", id_of, ID_MOST),
    )
}
"""By name, in the order in which messages list them."""

OTHER_TIMES = tuple(row for row in ATTRIBUTES.values() if row.is_time and row.may_be_none)
"""All times but that of modification, which they are where a node does not state them."""

TAKEN_AS_INT = frozenset(
    row.name for row in ATTRIBUTES.values() if row.take in (mode_of, number_of, nanoseconds_of)
)
"""Those of which a node may hold any int; the plan says which are out of range."""
