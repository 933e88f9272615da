"""Places extended attributes: in the inode, in a block that may be shared, or in a value inode.

Rules: Documentation/filesystems/ext4/attributes.rst, and fs/ext4/xattr.c for the layout.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

from ..attributes import POSIX_ACLS
from ..errors import TreeError, display_path
from ..late_dataclasses import NamedTuple, dataclass, field
from ..ondisk.format import Format
from ..ondisk.inode import INLINE_DATA_NAME
from ..ondisk.xattr import (
    ENCRYPTION_CONTEXT_NAME,
    EXT4_XATTR_INDEX_ENCRYPTION,
    EXT4_XATTR_REFCOUNT_MAX,
    XATTR_END_SIZE,
    XATTR_HEADER,
    XATTR_SIZE_MAX,
    acl_to_disk,
    entry_size,
    split_name,
    value_size,
)
from ..tree import Xattrs
from .policy import LayoutPolicy


class Attribute(NamedTuple):
    """One attribute in its on-disk form; ``name`` is without the prefix."""

    name_index: int
    name: bytes
    value: bytes
    holder: int | None = None
    """The number of the value, if it has its own inode."""


ENCRYPTION_CONTEXT = b"\0encryption.c"
"""Stands for the name of an encryption context, which users can neither read nor set. It is
compared by identity, so the same bytes from a source are rejected like any other unknown name."""

NAMES_SHOWN = 20


@dataclass(slots=True, eq=False, repr=False)
class XattrPlan:
    """Attributes of all nodes; sets and blocks are numbered in the order of their first use."""

    inside_of: dict[int, int] = field(default_factory=dict)
    """By node index: the number of its set in ``insides``."""
    insides: list[tuple[Attribute, ...]] = field(default_factory=list)
    """The sets that are stored in inodes, after the fields."""
    block_of: dict[int, int] = field(default_factory=dict)
    """By node index: the number of its block in ``blocks``."""
    blocks: list[tuple[Attribute, ...]] = field(default_factory=list)
    references: array[int] = field(default_factory=lambda: array("I"))
    """By block number: how many inodes share it."""
    values: list[bytes] = field(default_factory=list)
    """Values that have their own inodes (ea_inode), numbered as above. Equal values share one,
    unless a policy stores them again."""
    values_of: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """By node index: the numbers of the values that its entries refer to. The node is charged for
    each of them, shared or not (fs/ext4/xattr.c:ext4_xattr_inode_alloc_quota)."""
    value_references: array[int] = field(default_factory=lambda: array("I"))
    """By number of the value: how many entries refer to it; those of a shared block count once."""


_Key = tuple[tuple[bytes, bytes], ...]
"""The attributes, sorted by name."""

_Spread = tuple[list[Attribute], list[Attribute]]
"""Attributes in the inode and in a block."""

_SOME_HOLDER = -1
"""Marks a value that gets an inode but does not have its number yet."""


class _Home(NamedTuple):
    """Where a set of attributes is stored."""

    inside: int | None
    """The number of the set in the inode; None if the inode holds none."""
    outside: tuple[Attribute, ...]
    """The attributes in a block."""
    left: int
    """Unused bytes of the inode's attribute area."""
    named: tuple[int, ...] = ()
    """The numbers of the values that its entries refer to."""


_UNKNOWN = _Home(None, (), 0)


class XattrPlanner:
    """Places the sets of attributes of nodes, one node at a time."""

    def __init__(self, fmt: Format, policy: LayoutPolicy) -> None:
        self.plan = XattrPlan()
        self._policy = policy
        self._inode_space = fmt.xattr_room
        self._has_holders = fmt.ea_inode
        self._holders: dict[bytes, int] = {}
        self._block_space = fmt.block_size - XATTR_HEADER.size - XATTR_END_SIZE
        self._homes: dict[_Key, _Home | None] = {}
        self._other_homes: dict[tuple[int, bool], dict[_Key, _Home | None]] = {}
        self._shared: dict[tuple[Attribute, ...], int] = {}

    def add(
        self,
        index: int,
        xattrs: Xattrs,
        path: Callable[[], bytes],
        is_link: bool,
        kept: int = 0,
    ) -> int | None:
        """Place the attributes of the node at ``index``.

        ``kept`` bytes of the inode's attribute area hold inline data. Returns the unused bytes of
        the area, or None if the inline data must move to blocks: then nothing was placed. Raises
        :class:`TreeError` if the attributes cannot be stored; ``path`` returns the path of the
        node.
        """
        homes = self._homes
        if kept or is_link:
            homes = self._other_homes.setdefault((kept, is_link), {})
        key = tuple(sorted(xattrs.items()))
        home = homes.get(key, _UNKNOWN)
        if home is _UNKNOWN or (home and home.named and not self._policy.xattr_values_shared()):
            home = homes[key] = self._find_home(key, kept, is_link, path)
        if home is None:
            return None
        if home.inside is not None:
            self.plan.inside_of[index] = home.inside
        if home.outside:
            self.plan.block_of[index] = self._block_for(home.outside)
        if home.named:
            self.plan.values_of[index] = home.named
            if home.inside is not None:
                self._refer(self.plan.insides[home.inside])
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
            if self._holders:
                self._refer(attributes)
        plan.references[number] += 1
        return number

    def _find_home(
        self,
        key: tuple[tuple[bytes, bytes], ...],
        kept: int,
        is_link: bool,
        path: Callable[[], bytes],
    ) -> _Home | None:
        attributes = sorted((disk_form(name, value, path) for name, value in key), key=_block_order)
        inode_space = self._inode_space - kept
        if self._has_holders and not is_link and not kept:
            chosen = self._with_values_apart(attributes)
            # If not even the entries fit, all values are stored as usual.
            if chosen is not None and self._spread(chosen, inode_space) is not None:
                attributes = chosen
        size = sum(map(attribute_bytes, attributes))
        if is_link and kept:
            # e2fsck ignores the attribute block of an inline link, and would free it
            # (e2fsck/pass1.c:e2fsck_pass1, 1.47.4).
            return self._home(attributes, [], inode_space) if size <= inode_space else None
        fits_block = size <= self._block_space
        if size <= inode_space and fits_block and self._policy.xattrs_outside():
            return self._home([], attributes, inode_space)
        spread = self._spread(attributes, inode_space)
        if spread is None and kept and self._spread(attributes, self._inode_space) is not None:
            return None
        if spread is None and self._has_holders:
            # e2fsck mistakes a link for one with blocks if an entry in its inode is charged for a
            # value (lib/ext2fs/valid_blk.c:ext2fs_inode_has_valid_blocks2, 1.47.4).
            spread = self._spread_values(attributes, 0 if is_link else inode_space)
        if spread is not None:
            return self._home(*spread, inode_space)
        if kept:
            return None
        raise self._too_large(key, attributes, path)

    def _with_values_apart(self, attributes: list[Attribute]) -> list[Attribute] | None:
        """Mark the values that the policy puts into inodes; return None if it chooses none."""
        found = [
            attribute._replace(holder=_SOME_HOLDER)
            if 0 < len(attribute.value) <= XATTR_SIZE_MAX
            and attribute.name_index != EXT4_XATTR_INDEX_ENCRYPTION
            and self._policy.xattr_value_apart(len(attribute.value))
            else attribute
            for attribute in attributes
        ]
        return found if found != attributes else None

    def _spread_values(self, attributes: list[Attribute], inode_space: int) -> _Spread | None:
        """Like :meth:`_spread`, but with the longest values in inodes, as few as possible."""
        attributes = sorted(attributes, key=lambda attribute: len(attribute.value), reverse=True)
        for place, attribute in enumerate(attributes):
            if not 0 < len(attribute.value) <= XATTR_SIZE_MAX:
                break
            attributes[place] = attribute._replace(holder=_SOME_HOLDER)
            spread = self._spread(attributes, inode_space)
            if spread is not None:
                return spread
        return None

    def _spread(self, attributes: list[Attribute], inode_space: int) -> _Spread | None:
        """Put all attributes into the inode, or all into the block, or some into each.

        In the last case the block gets the largest ones. Returns None if they do not fit.
        """
        size = sum(map(attribute_bytes, attributes))
        if size <= inode_space:
            return attributes, []
        if size <= self._block_space:
            return [], attributes
        inside: list[Attribute] = []
        outside: list[Attribute] = []
        left = self._block_space
        for attribute in sorted(attributes, key=attribute_bytes, reverse=True):
            needed = attribute_bytes(attribute)
            if needed <= left:
                outside.append(attribute)
                left -= needed
            else:
                inside.append(attribute)
        return (inside, outside) if sum(map(attribute_bytes, inside)) <= inode_space else None

    def _numbered(self, attributes: list[Attribute]) -> tuple[Attribute, ...]:
        """Return ``attributes`` in on-disk order, with numbers for values in inodes.

        Equal values share a number, unless the policy stores them again.
        """
        numbered = []
        for attribute in sorted(attributes, key=_block_order):
            value = attribute.value
            if attribute.holder is not None and (
                value not in self._holders or not self._policy.xattr_values_shared()
            ):
                self._holders[value] = len(self.plan.values)
                self.plan.values.append(value)
                self.plan.value_references.append(0)
            if attribute.holder is not None:
                attribute = attribute._replace(holder=self._holders[value])
            numbered.append(attribute)
        return tuple(numbered)

    def _refer(self, attributes: tuple[Attribute, ...]) -> None:
        for attribute in attributes:
            if attribute.holder is not None:
                self.plan.value_references[attribute.holder] += 1

    def _too_large(
        self,
        key: tuple[tuple[bytes, bytes], ...],
        attributes: list[Attribute],
        path: Callable[[], bytes],
    ) -> TreeError:
        for name, value in key:
            if len(value) > XATTR_SIZE_MAX:
                return TreeError(
                    path(),
                    f"its extended attribute {display_path(name[:300])} has {len(value)} bytes; "
                    f"the maximum is {XATTR_SIZE_MAX}",
                )
        size = sum(map(attribute_bytes, attributes))
        text = (
            f"its extended attributes need {size} bytes; an inode and a block hold "
            f"{self._inode_space} and {self._block_space} (names: {_some_names(key)})"
        )
        without_values = [
            attribute._replace(holder=_SOME_HOLDER) if attribute.value else attribute
            for attribute in attributes
        ]
        if not self._has_holders and self._spread(without_values, self._inode_space) is not None:
            text += "; add the feature ea_inode"
        return TreeError(path(), text)

    def _home(self, inside: list[Attribute], outside: list[Attribute], space: int) -> _Home:
        number, held = None, self._numbered(inside)
        if inside:
            number = len(self.plan.insides)
            self.plan.insides.append(held)
        left = space - sum(map(attribute_bytes, inside))
        block = self._numbered(outside)
        named = [each.holder for each in (*held, *block) if each.holder is not None]
        return _Home(number, block, left, tuple(named))


def _some_names(key: tuple[tuple[bytes, bytes], ...]) -> str:
    shown = [display_path(name[:300]) for name, _ in key[:NAMES_SHOWN]]
    if len(key) > NAMES_SHOWN:
        shown.append(f"and {len(key) - NAMES_SHOWN:,} more")
    return ", ".join(shown)


def disk_form(name: bytes, value: bytes, path: Callable[[], bytes]) -> Attribute:
    """Convert an attribute to on-disk form; raise :class:`TreeError` if that is impossible."""
    if name is ENCRYPTION_CONTEXT:
        return Attribute(EXT4_XATTR_INDEX_ENCRYPTION, ENCRYPTION_CONTEXT_NAME, value)
    if name == INLINE_DATA_NAME:
        text = f"the attribute {display_path(name)} is for inline data; it cannot be set"
        raise TreeError(path(), text)
    try:
        index, rest = split_name(name)
        if name in POSIX_ACLS:
            value = acl_to_disk(value)
    except ValueError as error:
        raise TreeError(path(), str(error)) from None
    return Attribute(index, rest, value)


def attribute_bytes(attribute: Attribute) -> int:
    """Return the bytes of the entry, and of a value stored with it, each padded to four."""
    inside = 0 if attribute.holder is not None else value_size(len(attribute.value))
    return entry_size(len(attribute.name)) + inside


def _block_order(attribute: Attribute) -> tuple[int, int, bytes]:
    """Sort key: fs/ext4/xattr.c:xattr_find_entry looks for names in a block in this order."""
    return attribute.name_index, len(attribute.name), attribute.name
