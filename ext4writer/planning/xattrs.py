"""Places extended attributes: inside the inode, in a block of their own, or in a shared one.

Rules: Documentation/filesystems/ext4/attributes.rst; the layout as fs/ext4/xattr.c writes it.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import TreeError, display_path
from ..ondisk.inode import EXT4_GOOD_OLD_INODE_SIZE, INODE_EXTRA_ISIZE
from ..ondisk.xattr import (
    EXT4_XATTR_MAGIC,
    EXT4_XATTR_REFCOUNT_MAX,
    XATTR_ENTRY,
    XATTR_HEADER,
    XATTR_IBODY_HEADER,
    acl_to_disk,
    block_hash,
    entry_hash,
    split_name,
)
from ..tree import Xattrs
from .policy import LayoutPolicy

Attribute = tuple[int, bytes, bytes]
"""Name index, name without the prefix, value in its on-disk form."""

END_OF_ENTRIES = 4
"""Zero bytes that end the list of entries."""

NAMES_SHOWN = 20
ACL_NAMES = (b"system.posix_acl_access", b"system.posix_acl_default")

_pack_entry = XATTR_ENTRY.packer(
    "e_name_len", "e_name_index", "e_value_offs", "e_value_size", "e_hash"
)


@dataclass(slots=True, eq=False, repr=False)
class XattrPlan:
    """Attributes of all nodes; blocks are numbered in the order of their first use."""

    in_inode: dict[int, bytes] = field(default_factory=dict)
    """By node index: the packed area after the inode's fields."""
    block_of: dict[int, int] = field(default_factory=dict)
    """By node index: the number of its block in ``blocks``."""
    blocks: list[tuple[Attribute, ...]] = field(default_factory=list)
    references: array[int] = field(default_factory=lambda: array("I"))
    """By block number: how many inodes share it."""


class XattrPlanner:
    """Takes the attributes of one node after the other and places each set."""

    def __init__(self, inode_size: int, block_size: int, policy: LayoutPolicy) -> None:
        self.plan = XattrPlan()
        self._policy = policy
        self._inode_room = inode_size - EXT4_GOOD_OLD_INODE_SIZE - INODE_EXTRA_ISIZE
        self._block_room = block_size - XATTR_HEADER.size - END_OF_ENTRIES
        self._homes: dict[tuple[tuple[bytes, bytes], ...], tuple[bytes, tuple[Attribute, ...]]] = {}
        self._shared: dict[tuple[Attribute, ...], int] = {}

    def add(self, index: int, xattrs: Xattrs, path: Callable[[], bytes]) -> None:
        """Place the attributes of the node at ``index``.

        Raises :class:`TreeError` if they cannot be stored; ``path`` returns the path of the node.
        """
        key = tuple(sorted(xattrs.items()))
        home = self._homes.get(key)
        if home is None:
            home = self._homes[key] = self._find_home(key, path)
        inside, outside = home
        if inside:
            self.plan.in_inode[index] = inside
        if outside:
            self.plan.block_of[index] = self._block_for(outside)

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
        self, key: tuple[tuple[bytes, bytes], ...], path: Callable[[], bytes]
    ) -> tuple[bytes, tuple[Attribute, ...]]:
        attributes = sorted((disk_form(name, value, path) for name, value in key), key=_block_order)
        size = sum(map(attribute_bytes, attributes))
        inode_room = self._inode_room - XATTR_IBODY_HEADER.size - END_OF_ENTRIES
        fits_block = size <= self._block_room
        if size <= inode_room and not (fits_block and self._policy.xattrs_outside()):
            return pack_in_inode(attributes, self._inode_room), ()
        if fits_block:
            return b"", tuple(attributes)
        inside: list[Attribute] = []
        outside: list[Attribute] = []
        for attribute in sorted(attributes, key=attribute_bytes, reverse=True):
            needed = attribute_bytes(attribute)
            if needed <= self._block_room - sum(map(attribute_bytes, outside)):
                outside.append(attribute)
            else:
                inside.append(attribute)
        if sum(map(attribute_bytes, inside)) > inode_room:
            raise TreeError(
                path(),
                f"its extended attributes need {size} bytes; an inode and a block hold "
                f"{max(inode_room, 0)} and {self._block_room} (names: {_some_names(key)})",
            )
        return (
            pack_in_inode(sorted(inside, key=_block_order), self._inode_room),
            tuple(sorted(outside, key=_block_order)),
        )


def _some_names(key: tuple[tuple[bytes, bytes], ...]) -> str:
    shown = [display_path(name[:300]) for name, _ in key[:NAMES_SHOWN]]
    if len(key) > NAMES_SHOWN:
        shown.append(f"and {len(key) - NAMES_SHOWN:,} more")
    return ", ".join(shown)


def disk_form(name: bytes, value: bytes, path: Callable[[], bytes]) -> Attribute:
    """Name index, rest of the name and value in on-disk form; raises TreeError if impossible."""
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
    return XATTR_ENTRY.size + (len(name) + 3 & ~3) + (len(value) + 3 & ~3)


def _block_order(attribute: Attribute) -> tuple[int, int, bytes]:
    """fs/ext4/xattr.c:xattr_find_entry looks for names in this order inside a block."""
    index, name, _ = attribute
    return index, len(name), name


def pack_in_inode(attributes: list[Attribute], room: int) -> bytes:
    """The ``room`` bytes after the inode's fields; entries have no hash there."""
    header = struct.pack("<I", EXT4_XATTR_MAGIC)
    return header + _pack_entries(attributes, room - len(header), 0, hashed=False)[0]


def pack_block(attributes: tuple[Attribute, ...], references: int, block_size: int) -> bytes:
    """An attribute block without its checksum, ``block_size`` bytes."""
    body, hashes = _pack_entries(
        list(attributes), block_size - XATTR_HEADER.size, XATTR_HEADER.size, hashed=True
    )
    header = XATTR_HEADER.pack(
        {
            "h_magic": EXT4_XATTR_MAGIC,
            "h_refcount": references,
            "h_blocks": 1,
            "h_hash": block_hash(hashes),
        }
    )
    return header + body


def _pack_entries(
    attributes: list[Attribute], room: int, offset_base: int, *, hashed: bool
) -> tuple[bytes, list[int]]:
    """Entries from the front, values from the back; e_value_offs counts from ``-offset_base``."""
    area = bytearray(room)
    hashes = []
    front, back = 0, room
    for index, name, value in attributes:
        digest = entry_hash(name, value) if hashed else 0
        hashes.append(digest)
        offset = 0
        if value:
            back -= len(value) + 3 & ~3
            area[back : back + len(value)] = value
            offset = back + offset_base
        entry = _pack_entry(len(name), index, offset, len(value), digest)
        area[front : front + len(entry)] = entry
        area[front + len(entry) : front + len(entry) + len(name)] = name
        front += len(entry) + (len(name) + 3 & ~3)
    return bytes(area), hashes
