"""Places extended attributes: inside the inode, in a block of their own, or in a shared one.

Rules: Documentation/filesystems/ext4/attributes.rst; the layout as fs/ext4/xattr.c writes it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import TreeError, display_path
from ..ondisk.format import Format
from ..ondisk.inode import INLINE_DATA_NAME
from ..ondisk.xattr import (
    ENCRYPTION_CONTEXT_NAME,
    EXT4_XATTR_INDEX_ENCRYPTION,
    EXT4_XATTR_REFCOUNT_MAX,
    XATTR_END_SIZE,
    XATTR_HEADER,
    acl_to_disk,
    entry_size,
    split_name,
    value_size,
)
from ..tree import Xattrs
from .policy import LayoutPolicy

Attribute = tuple[int, bytes, bytes]
"""Name index, name without the prefix, value in its on-disk form."""

ENCRYPTION_CONTEXT = b"\0encryption.c"
"""What stands for the name of an encryption context, which no user can read or set. It is taken as
this object only, so that the same bytes from a source are refused like any other name."""

NAMES_SHOWN = 20
ACL_NAMES = (b"system.posix_acl_access", b"system.posix_acl_default")


@dataclass(slots=True, eq=False, repr=False)
class XattrPlan:
    """Attributes of all nodes; sets and blocks are numbered in the order of their first use."""

    inside_of: dict[int, int] = field(default_factory=dict)
    """By node index: the number of its set in ``insides``."""
    insides: list[tuple[Attribute, ...]] = field(default_factory=list)
    """The sets that lie in inodes, after the fields."""
    block_of: dict[int, int] = field(default_factory=dict)
    """By node index: the number of its block in ``blocks``."""
    blocks: list[tuple[Attribute, ...]] = field(default_factory=list)
    references: array[int] = field(default_factory=lambda: array("I"))
    """By block number: how many inodes share it."""


_Key = tuple[tuple[tuple[bytes, bytes], ...], int, bool]
"""The attributes, and the rest of what :meth:`XattrPlanner.add` is given."""


class _Home(NamedTuple):
    """Where one set of attributes lies."""

    inside: int | None
    """The number of what lies in the inode; None if nothing does."""
    outside: tuple[Attribute, ...]
    left: int
    """Bytes of the inode's room that nothing takes."""


class XattrPlanner:
    """Takes the attributes of one node after the other and places each set."""

    def __init__(self, fmt: Format, policy: LayoutPolicy) -> None:
        self.plan = XattrPlan()
        self._policy = policy
        self._inode_room = fmt.xattr_room
        self._block_room = fmt.block_size - XATTR_HEADER.size - XATTR_END_SIZE
        self._homes: dict[_Key, _Home | None] = {}
        self._shared: dict[tuple[Attribute, ...], int] = {}

    def add(
        self,
        index: int,
        xattrs: Xattrs,
        path: Callable[[], bytes],
        kept: int = 0,
        *,
        all_inside: bool = False,
    ) -> int | None:
        """Place the attributes of the node at ``index``.

        ``kept`` bytes of the inode's room are for its content, which with ``all_inside`` may not
        stay if attributes lie outside. Returns the bytes of the room that nothing takes; None if
        the content has to leave, and then nothing was placed. Raises :class:`TreeError` if the
        attributes cannot be stored; ``path`` returns the path of the node.
        """
        key = tuple(sorted(xattrs.items())), kept, all_inside
        home = self._homes.get(key)
        if home is None:
            if key in self._homes:
                return None
            home = self._homes[key] = self._find_home(*key, path)
            if home is None:
                return None
        if home.inside is not None:
            self.plan.inside_of[index] = home.inside
        if home.outside:
            self.plan.block_of[index] = self._block_for(home.outside)
        return home.left

    def _block_for(self, attributes: tuple[Attribute, ...]) -> int:
        plan = self.plan
        number = self._shared.get(attributes)
        if (
            number is None
            or plan.references[number] >= EXT4_XATTR_REFCOUNT_MAX
            or not self._policy.xattrs_shared()
        ):
            number = self._shared[attributes] = len(plan.blocks)
            plan.blocks.append(attributes)
            plan.references.append(0)
        plan.references[number] += 1
        return number

    def _find_home(
        self,
        key: tuple[tuple[bytes, bytes], ...],
        kept: int,
        all_inside: bool,
        path: Callable[[], bytes],
    ) -> _Home | None:
        attributes = sorted((disk_form(name, value, path) for name, value in key), key=_block_order)
        size = sum(map(attribute_bytes, attributes))
        inode_room = self._inode_room - kept
        if all_inside:
            return self._home(attributes, [], inode_room) if size <= inode_room else None
        fits_block = size <= self._block_room
        if size <= inode_room and not (fits_block and self._policy.xattrs_outside()):
            return self._home(attributes, [], inode_room)
        if fits_block:
            return self._home([], attributes, inode_room)
        inside: list[Attribute] = []
        outside: list[Attribute] = []
        for attribute in sorted(attributes, key=attribute_bytes, reverse=True):
            needed = attribute_bytes(attribute)
            if needed <= self._block_room - sum(map(attribute_bytes, outside)):
                outside.append(attribute)
            else:
                inside.append(attribute)
        if sum(map(attribute_bytes, inside)) <= inode_room:
            return self._home(inside, outside, inode_room)
        if kept:
            return None
        raise TreeError(
            path(),
            f"its extended attributes need {size} bytes; an inode and a block hold "
            f"{inode_room} and {self._block_room} (names: {_some_names(key)})",
        )

    def _home(self, inside: list[Attribute], outside: list[Attribute], room: int) -> _Home:
        number = None
        if inside:
            number = len(self.plan.insides)
            self.plan.insides.append(tuple(sorted(inside, key=_block_order)))
        left = room - sum(map(attribute_bytes, inside))
        return _Home(number, tuple(sorted(outside, key=_block_order)), left)


def _some_names(key: tuple[tuple[bytes, bytes], ...]) -> str:
    shown = [display_path(name[:300]) for name, _ in key[:NAMES_SHOWN]]
    if len(key) > NAMES_SHOWN:
        shown.append(f"and {len(key) - NAMES_SHOWN:,} more")
    return ", ".join(shown)


def disk_form(name: bytes, value: bytes, path: Callable[[], bytes]) -> Attribute:
    """Name index, rest of the name and value in on-disk form; raises TreeError if impossible."""
    if name is ENCRYPTION_CONTEXT:
        return EXT4_XATTR_INDEX_ENCRYPTION, ENCRYPTION_CONTEXT_NAME, value
    if name == INLINE_DATA_NAME:
        text = f"the attribute {display_path(name)} holds content (inline_data), and is set by none"
        raise TreeError(path(), text)
    try:
        index, rest = split_name(name)
        if name in ACL_NAMES:
            value = acl_to_disk(value)
    except ValueError as error:
        raise TreeError(path(), str(error)) from None
    return index, rest, value


def attribute_bytes(attribute: Attribute) -> int:
    """Bytes of the entry and the value together, each padded to four."""
    _, name, value = attribute
    return entry_size(len(name)) + value_size(len(value))


def _block_order(attribute: Attribute) -> tuple[int, int, bytes]:
    """fs/ext4/xattr.c:xattr_find_entry looks for names in this order inside a block."""
    index, name, _ = attribute
    return index, len(name), name
