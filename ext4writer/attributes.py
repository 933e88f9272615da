"""The attributes of nodes, in one table.

All code that handles every attribute of a node uses this table: overlays of trees, the arguments of
callers, rules, columns and their ranges, the identity of an image, manifests.
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
    """The name of the field of :class:`~ext4writer.Node`."""
    word: str
    """Its name in rules and messages."""
    convert: Callable[[Any], Any]
    """Converts a caller's value to what a node holds, or raises ``ValueError`` with the reason."""
    most: int | None = None
    """The largest number that an inode holds; the smallest is 0."""
    may_be_none: bool = False
    is_time: bool = False
    for_parents: bool = False
    """Whether an implied parent directory gets the value of the node that it is created for."""


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
        # Planning refuses owners that are out of range.
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
"""All times but the modification time, which is their default where a node does not state them."""

INT_ATTRIBUTES = frozenset(
    row.name for row in ATTRIBUTES.values() if row.convert in (mode_of, number_of, nanoseconds_of)
)
"""Attributes for which a node may hold any int; planning refuses those that are out of range."""
