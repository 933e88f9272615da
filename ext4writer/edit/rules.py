"""Rules: changes to the tree of an image, applied in the order given.

A rule is an object with ``apply(tree)``. This module has the rules for every entry; the others have
separate modules. A rule that changes nothing adds a loss to the tree.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Protocol

from ..arguments import ID_MOST
from ..attributes import POSIX_ACLS
from ..checked import checked
from ..errors import SpecError
from ..late_dataclasses import NamedTuple
from ..tree import Directory, Loss, Node, Symlink, Tree, Xattrs
from ..walking import distinct_nodes
from . import filters
from .capabilities import VFS_CAP_REVISION_3, XATTR
from .rules_set import SetBatch, SetRule


class Rule(Protocol):
    """Changes a tree in place."""

    def apply(self, tree: Tree) -> None:
        """Change ``tree``; add a loss for anything that cannot be done."""
        ...


@checked()
def apply_rules(tree: Tree, rules: Iterable[Rule]) -> Tree:
    """Apply ``rules`` to ``tree`` in order, and return it.

    Raises :class:`SpecError` for values of the wrong type, and whatever a rule raises.
    """
    for batch in _batches(rules):
        batch.apply(tree)
    return tree


def _batches(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Yield the rules, with consecutive :class:`SetRule` objects combined into one."""
    consecutive: list[SetRule] = []
    for rule in rules:
        if isinstance(rule, SetRule):
            consecutive.append(rule)
            continue
        if consecutive:
            yield SetBatch(consecutive)
            consecutive = []
        yield rule
    if consecutive:
        yield SetBatch(consecutive)


class Owner(NamedTuple):
    """Sets the user and group of every entry."""

    uid: int
    gid: int

    def apply(self, tree: Tree) -> None:
        filters.set_owner(tree, self.uid, self.gid)


class RootOwner(NamedTuple):
    """Sets the user and group of the root directory only."""

    uid: int
    gid: int

    def apply(self, tree: Tree) -> None:
        filters.set_root_owner(tree, self.uid, self.gid)


class AllTimes(NamedTuple):
    """Sets all times of every entry, in seconds since 1970."""

    seconds: int

    def apply(self, tree: Tree) -> None:
        filters.set_all_times(tree, self.seconds)


class ModeMask(NamedTuple):
    """Clears the permission bits outside ``mask``, except those of symbolic links."""

    mask: int

    def apply(self, tree: Tree) -> None:
        changes = 0
        for node in distinct_nodes(tree.root):
            if not isinstance(node, Symlink) and node.mode & ~self.mask:
                node.mode &= self.mask
                changes += 1
        if not changes:
            _add_rule_loss(tree, f"the mode mask {self.mask:o} removed no permission")


class IdMap:
    """Maps owners by ranges, as a user namespace does; all ranges apply to the original numbers.

    Each range is (first number in the sources, first number in the image, count). A number outside
    all ranges is kept and is in the losses. The numbers in named entries of access control lists
    and the root ID in ``security.capability`` are mapped, too. Raises :class:`SpecError` for
    invalid ranges.
    """

    def __init__(
        self,
        uids: Iterable[tuple[int, int, int]] = (),
        gids: Iterable[tuple[int, int, int]] = (),
    ) -> None:
        self._uids = _Ranges("uid_map", uids)
        self._gids = _Ranges("gid_map", gids)
        self._mapped: dict[tuple[tuple[bytes, bytes], ...], Xattrs] = {}

    def apply(self, tree: Tree) -> None:
        uids, gids = self._uids, self._gids
        seen: set[Node] = set()
        for path, node in tree.walk():
            if not isinstance(node, Directory):
                if node in seen:
                    continue
                seen.add(node)
            node.uid = uids.map(node.uid, path)
            node.gid = gids.map(node.gid, path)
            if node.xattrs:
                node.xattrs = self._map_xattrs(node.xattrs, path)
        for ranges in (uids, gids):
            ranges.report(tree)

    def _map_xattrs(self, xattrs: Xattrs, path: bytes) -> Xattrs:
        key = tuple(sorted(xattrs.items()))
        mapped = self._mapped.get(key)
        if mapped is None:
            new = {name: self._map_value(name, value, path) for name, value in key}
            mapped = self._mapped[key] = xattrs if new == xattrs else new
        return mapped

    def _map_value(self, name: bytes, value: bytes, path: bytes) -> bytes:
        if name in POSIX_ACLS and len(value) % 8 == 4:
            entries = [
                (tag, bits, self._map_acl_id(tag, number, path))
                for tag, bits, number in struct.iter_unpack("<HHI", value[4:])
            ]
            return value[:4] + b"".join(struct.pack("<HHI", *entry) for entry in entries)
        if name == XATTR and len(value) == 24:
            magic, root_id = struct.unpack_from("<I", value)[0], struct.unpack("<I", value[20:])[0]
            if magic & 0xFF000000 == VFS_CAP_REVISION_3:
                return value[:20] + struct.pack("<I", self._uids.map(root_id, path))
        return value

    def _map_acl_id(self, tag: int, number: int, path: bytes) -> int:
        if tag == ACL_USER:
            return self._uids.map(number, path)
        return self._gids.map(number, path) if tag == ACL_GROUP else number


ACL_USER, ACL_GROUP = 0x02, 0x08
"""Tags of entries with a number (include/uapi/linux/posix_acl.h)."""


class _Ranges:
    """The ranges of one kind of number, with a cache of results."""

    def __init__(self, option: str, ranges: Iterable[tuple[int, int, int]]) -> None:
        self._option = option
        self._ranges = sorted(ranges)
        end = 0
        for first, to, count in self._ranges:
            if count < 1 or min(first, to) < 0 or max(first, to) + count - 1 > ID_MOST:
                raise SpecError(option, f"{first}:{to}:{count} reaches beyond 0 to {ID_MOST}")
            if first < end:
                raise SpecError(option, f"the numbers starting at {first} are mapped twice")
            end = first + count
        self._firsts = [first for first, _, _ in self._ranges]
        self._used: set[int] = set()
        self._answers: dict[int, int] = {}
        self._unmapped: dict[int, bytes] = {}

    def map(self, number: int, path: bytes) -> int:
        answer = self._answers.get(number)
        return self._find(number, path) if answer is None else answer

    def _find(self, number: int, path: bytes) -> int:
        answer = number
        at = bisect_right(self._firsts, number) - 1
        if at >= 0 and number - self._firsts[at] < self._ranges[at][2]:
            self._used.add(at)
            answer = self._ranges[at][1] + number - self._firsts[at]
        elif self._ranges:
            self._unmapped[number] = path
        self._answers[number] = answer
        return answer

    def report(self, tree: Tree) -> None:
        what = self._option.partition("_")[0]
        for number, path in self._unmapped.items():
            tree.losses.append(
                Loss(
                    path,
                    f"its {what} {number} is outside all ranges of the map; kept",
                    "id-unmapped",
                )
            )
        for at, (first, to, count) in enumerate(self._ranges):
            if at not in self._used:
                _add_rule_loss(tree, f"the {what} map {first}:{to}:{count} matched nothing")


def _add_rule_loss(tree: Tree, what: str) -> None:
    tree.losses.append(Loss(b"/", what, "unmatched"))
