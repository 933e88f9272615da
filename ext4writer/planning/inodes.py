"""Assigns inode numbers to all nodes of a tree, in one pass over the names.

The inodes of a directory's entries are adjacent, in the order of their names, and directories
follow each other depth first. So inodes that are read together are close together.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, compress, repeat
from operator import eq
from typing import TYPE_CHECKING

from ..blake2 import blake2b
from ..content import Content
from ..errors import TreeError
from ..late_dataclasses import dataclass, field
from ..nodes import if_to_dt
from ..ondisk.record import HOST_IS_BIG_ENDIAN
from ..ondisk.superblock import EXT4_GOOD_OLD_FIRST_INO, EXT4_LINK_MAX, EXT4_ROOT_INO
from ..progress import Cancel, check_cancelled
from ..tree import (
    NAME_MAX,
    S_IFDIR,
    CharacterDevice,
    Directory,
    Fifo,
    Node,
    RegularFile,
    Socket,
    Symlink,
    Tree,
    check_name,
)
from .arguments import KINDS, check_kind
from .policy import LayoutPolicy

if TYPE_CHECKING:
    from .hints import Keeper

LOST_AND_FOUND = b"lost+found"
ROOT = 0
"""Index of the root directory in every column."""

NAMES_AT_ONCE = 2048
"""Names checked at a time: most directories have fewer, and they fit into the cache."""

_KINDS = frozenset[type[Node]](KINDS)
HIGH_BYTE = 0 if HOST_IS_BIG_ENDIAN else 1
"""Index of the high byte of a 16-bit number in an array."""
_TYPE_CODES = bytes(byte >> 4 for byte in range(256))


@dataclass(slots=True, eq=False, repr=False)
class InodeTable:
    """The tree's nodes as columns. A node's *index* is its position; ``inos`` ascends with it.

    Code that needs many nodes reads columns, at a tenth of the cost of reading each node. The
    columns of attributes are empty until checks.py has found that all values fit.
    """

    nodes: list[Node] = field(default_factory=list)
    types: bytes = b""
    """Kind of each node, one byte each: the ``d_type`` of readdir(3)."""
    parents: array[int] = field(default_factory=lambda: array("I"))
    """Index of the directory with the node's first name."""
    links: array[int] = field(default_factory=lambda: array("I"))
    """Number of names of the node; for a directory, links as POSIX counts them."""
    directories: list[int] = field(default_factory=list)
    """Indexes of all directories, parents first. A directory's *slot* is its position here."""
    names: list[list[bytes]] = field(default_factory=list)
    """Names in each of ``directories``, sorted as bytes, including an added ``lost+found``."""
    name_lengths: bytearray = field(default_factory=bytearray)
    """Length in bytes of each of ``names``, directory by directory."""
    names_digest: bytes = b""
    """Digest of all ``names``, each followed by a NUL, without the root's ``lost+found``."""
    children: list[Sequence[int]] = field(default_factory=list)
    """The index of the node of each of ``names``; a range where possible."""
    further_names: list[tuple[int, bytes, int]] = field(default_factory=list)
    """(directory, name, node) of each hard link, as indexes before any policy reorders them."""
    inos: Sequence[int] = ()
    unnamed: Sequence[int] = ()
    """Inode numbers beyond the reserved ones that belong to system files."""
    value_inos: range = range(0)
    """Inode numbers of attribute values, by the number of the value; the last ones in use."""
    entries: dict[str, int] = field(default_factory=dict)
    """Counts by kind; ``hard link`` counts the names beyond the first."""
    lost_and_found: int | None = None
    """Index of ``/lost+found``."""

    modes: array[int] = field(default_factory=lambda: array("H"))
    """``i_mode``: kind and permissions."""
    uids: array[int] = field(default_factory=lambda: array("I"))
    gids: array[int] = field(default_factory=lambda: array("I"))
    mtimes: array[int] | list[int] = field(default_factory=list)
    oldest: int = 0
    newest: int = 0
    """The smallest and largest of ``mtimes``, before an added ``lost+found`` gets its time."""
    other_times: dict[str, list[int | None]] = field(default_factory=dict)
    """By attribute name of :class:`Node`; only attributes that some node has."""
    sizes: array[int] | list[int] = field(default_factory=list)
    """Bytes of files and link targets, and of directories once they are planned. Like
    ``mtimes``, a list only if a value does not fit into 64 bits."""
    content_kinds: set[type[Content]] = field(default_factory=set)
    """The classes of the contents of all files, and possibly one more."""
    with_xattrs: array[int] = field(default_factory=lambda: array("I"))
    """Indexes of the nodes that have extended attributes, ascending."""
    flags: dict[int, int] = field(default_factory=dict)
    """Inode flags that users set, by the index of each node that has any; ascending."""
    projects: dict[int, int] = field(default_factory=dict)
    """The project of each node that has one, by its index; ascending."""

    @property
    def last_ino(self) -> int:
        """The highest inode number in use, including the reserved ones."""
        if self.value_inos:
            return self.value_inos[-1]
        last: int = max(self.inos[-1], EXT4_GOOD_OLD_FIRST_INO - 1, *self.unnamed)
        return last

    @property
    def nameless(self) -> int:
        """The number of inodes beyond the reserved ones that no directory names."""
        return len(self.unnamed) + len(self.value_inos)

    def nameless_in(self, inos: range) -> list[int]:
        """Return the numbers of such inodes that are in ``inos``, ascending."""
        low, high = max(inos.start, self.value_inos.start), min(inos.stop, self.value_inos.stop)
        return [*(ino for ino in self.unnamed if ino in inos), *range(low, high)]

    def indexes_of(self, file_type: int) -> Iterator[int]:
        """Yield the indexes of all nodes of one kind, ascending."""
        code = if_to_dt(file_type)
        index = self.types.find(code)
        while index >= 0:
            yield index
            index = self.types.find(code, index + 1)

    def child(self, slot: int, name: bytes) -> int:
        """Return the index of the node ``name`` in a directory; raises KeyError."""
        names = self.names[slot]
        position = bisect_left(names, name)
        if position == len(names) or names[position] != name:
            raise KeyError(name)
        return self.children[slot][position]

    def name_of(self, index: int) -> bytes:
        """Return the first name of the node at ``index`` in its parent directory."""
        node = self.nodes[index]
        parent = self.nodes[self.parents[index]]
        assert isinstance(parent, Directory)
        names = [name for name, child in parent.children.items() if child is node]
        if not names and self.parents[index] in self.directories:
            # The nodes of a loaded plan have no children.
            slot = self.directories.index(self.parents[index])
            listed = zip(self.names[slot], self.children[slot], strict=True)
            names = [name for name, child in listed if child == index]
        return min(names, default=LOST_AND_FOUND)

    def path_of(self, index: int) -> bytes:
        """Return the absolute path of one name of the node, for messages."""
        parts = []
        while index != ROOT:
            parts.append(self.name_of(index))
            index = self.parents[index]
        return b"/" + b"/".join(reversed(parts))


def number_inodes(
    tree: Tree,
    policy: LayoutPolicy,
    *,
    lost_and_found: bool,
    dir_nlink: bool,
    unnamed: Sequence[int] = (),
    cancel: Cancel | None = None,
    keeper: Keeper | None = None,
) -> InodeTable:
    """Collect all nodes and assign inode numbers, those that ``keeper`` keeps first.

    The root has number 2 and ``/lost+found`` 11. With ``lost_and_found``, an empty one is added to
    the table (not to the tree) if the tree has none. Raises :class:`TreeError` for an invalid name,
    a directory with two names, and too many links.
    """
    table = InodeTable()
    collector = _Collector(tree, table, lost_and_found)
    collector.collect(cancel)
    if not collector.classes <= _KINDS:
        # Only the classes of this library are certain to have the right file type.
        for index, node in enumerate(table.nodes):
            if type(node) not in _KINDS:
                check_kind(table.path_of(index), node)
    if collector.has_second_names:
        _join_hard_links(table)
    _check_links(table, dir_nlink)
    _count_kinds(table)
    table.unnamed = unnamed
    _assign_numbers(table, policy, keeper)
    return table


class _Collector:
    """Walks all directories; a file with two names is still two nodes afterwards."""

    def __init__(self, tree: Tree, table: InodeTable, lost_and_found: bool) -> None:
        self._table = table
        self._first: list[int] = []
        """By slot: the index of the first node that the directory added."""
        self._unchecked: list[bytes] = []
        """Names collected since the last check, in order."""
        self._met: set[Node] = set()
        """The nodes of all checked names."""
        self.classes: set[type[Node]] = set()
        """The classes of these nodes."""
        self.has_second_names = False
        """Whether any node was found twice."""
        self._digest = blake2b(digest_size=32)
        self._of_root: Sequence[int] = ()
        """Children of the root, if ``lost+found`` is among them."""
        table.nodes.append(tree.root)
        if lost_and_found:
            node = tree.root.children.get(LOST_AND_FOUND)
            if node is None:
                node = Directory(0o700)
            if not isinstance(node, Directory):
                raise TreeError(
                    b"/" + LOST_AND_FOUND,
                    "must be a directory, where e2fsck puts what it recovers; rename it, "
                    "or build without lost+found",
                )
            table.lost_and_found = len(table.nodes)
            table.nodes.append(node)
        self._met.update(table.nodes)

    def collect(self, cancel: Cancel | None) -> None:
        table, firsts, unchecked = self._table, self._first, self._unchecked
        nodes, directories, all_names = table.nodes, table.directories, table.names
        below_counts = array("I")
        kinds = array("H", [S_IFDIR] * len(nodes))
        add_node, add_kind = nodes.append, kinds.append
        next_search = NAMES_AT_ONCE
        no_names: list[bytes] = []
        stack = [ROOT]
        while stack:
            if cancel is not None:
                check_cancelled(cancel)
            index = stack.pop()
            directory = nodes[index]
            assert isinstance(directory, Directory)
            children = directory.children
            at = len(nodes)
            directories.append(index)
            firsts.append(at)
            names = sorted(children)
            if not names and index != ROOT:
                # The fewer lists remain, the less often the garbage collector looks at all nodes.
                all_names.append(no_names)
                below_counts.append(0)
                continue
            all_names.append(names)
            is_root = index == ROOT and table.lost_and_found is not None
            taken = _without_lost_and_found(names) if is_root else names
            below: list[int] = []
            # Touch each node once: with many nodes, memory access costs more than the rest.
            for some in _runs(taken):
                for name in some:
                    node = children[name]
                    kind = node.file_type
                    add_node(node)
                    add_kind(kind)
                    if kind == S_IFDIR:
                        below.append(at)
                    at += 1
                unchecked += some
                if len(unchecked) >= NAMES_AT_ONCE:
                    self._check_names()
            if is_root:
                self._place_lost_and_found(names, below, children)
            if self.has_second_names and len(nodes) >= next_search:
                # A directory inside itself would make the walk endless.
                self._search_second_names()
                next_search = 2 * len(nodes)
            below_counts.append(len(below))
            below.reverse()
            stack += below
        self._check_names()
        self._search_second_names()
        self._fill_parents()
        table.names_digest = self._digest.digest()
        table.types = kinds.tobytes()[HIGH_BYTE::2].translate(_TYPE_CODES)
        table.links = array("I", [1]) * len(nodes)
        for index, count in zip(directories, below_counts, strict=True):
            table.links[index] = 2 + count

    def _place_lost_and_found(
        self, names: list[bytes], below: list[int], children: dict[bytes, Node]
    ) -> None:
        """Insert ``lost+found`` into the names of the root; an added one is visited last."""
        table = self._table
        own, first = table.lost_and_found, self._first[0]
        assert own is not None
        place = bisect_left(names, LOST_AND_FOUND)
        if LOST_AND_FOUND not in children:
            names.insert(place, LOST_AND_FOUND)
        self._check_names()
        table.name_lengths.insert(place, len(LOST_AND_FOUND))
        between = first + place
        indexes = chain(range(first, between), (own,), range(between, len(table.nodes)))
        self._of_root = array("I", indexes)
        position = bisect_left(below, between) if LOST_AND_FOUND in children else len(below)
        below.insert(position, own)

    def _fill_parents(self) -> None:
        """Fill ``parents`` and ``children`` from the first node of each directory."""
        table = self._table
        ranges = list(map(range, self._first, [*self._first[1:], len(table.nodes)]))
        table.children[:] = ranges
        if self._of_root:
            table.children[0] = self._of_root
        inside = chain.from_iterable(map(repeat, table.directories, map(len, ranges)))
        table.parents = array("I", chain(repeat(ROOT, self._first[0]), inside))

    def _check_names(self) -> None:
        """Check names, digest them, and look for second names, while they are in the cache."""
        names, nodes, met = self._unchecked, self._table.nodes, self._met
        if not names:
            return
        lengths = list(map(len, names))
        together = b"\0%b\0" % b"\0".join(names)
        if (
            max(lengths) > NAME_MAX
            or b"/" in together
            or together.count(b"\0") != len(names) + 1
            or b"\0\0" in together
            or b"\0.\0" in together
            or b"\0..\0" in together
        ):
            self._refuse_names()
        self._digest.update(together[1:])
        self._table.name_lengths.extend(lengths)
        some = nodes[-len(names) :]
        met.update(some)
        self.classes.update(map(type, some))
        names.clear()
        self.has_second_names = len(met) < len(nodes)

    def _refuse_names(self) -> None:
        table = self._table
        self._fill_parents()
        for index, names in zip(table.directories, table.names, strict=True):
            folder = table.path_of(index).rstrip(b"/") + b"/"
            for name in names:
                check_name(name, folder + name)

    def _search_second_names(self) -> None:
        """Raise for the first directory with a second name."""
        table = self._table
        if not self.has_second_names:
            return
        # In most trees only files have second names.
        if len({table.nodes[index] for index in table.directories}) == len(table.directories):
            return
        self._fill_parents()
        named = {table.nodes[ROOT]}
        for index, names, children in zip(
            table.directories, table.names, table.children, strict=True
        ):
            for name, child in zip(names, children, strict=True):
                node = table.nodes[child]
                if node.file_type != S_IFDIR:
                    continue
                if node in named:
                    path = table.path_of(index).rstrip(b"/") + b"/" + name
                    raise TreeError(
                        path, "is a second name of a directory; only files can have two"
                    )
                named.add(node)


def _without_lost_and_found(names: list[bytes]) -> list[bytes]:
    """Return the sorted ``names`` without ``lost+found``."""
    place = bisect_left(names, LOST_AND_FOUND)
    if names[place : place + 1] != [LOST_AND_FOUND]:
        return names
    return names[:place] + names[place + 1 :]


def _runs(names: list[bytes]) -> Iterable[list[bytes]]:
    """Return ``names`` in slices that fit into the cache."""
    if len(names) <= NAMES_AT_ONCE:
        return (names,)
    return (names[low : low + NAMES_AT_ONCE] for low in range(0, len(names), NAMES_AT_ONCE))


def _join_hard_links(table: InodeTable) -> None:
    """Keep the first occurrence of each node, and count the others as links."""
    nodes = table.nodes
    total = len(nodes)
    first_of = dict(zip(reversed(nodes), range(total - 1, -1, -1), strict=True))
    firsts = array("I", map(first_of.__getitem__, nodes))
    del first_of
    kept = bytes(map(eq, firsts, range(total)))
    numbers = array("I", accumulate(kept, initial=0))
    index_of = array("I", map(numbers.__getitem__, firsts))
    table.nodes = list(compress(nodes, kept))
    table.types = bytes(compress(table.types, kept))
    table.links = array("I", compress(table.links, kept))
    table.parents = array("I", map(index_of.__getitem__, compress(table.parents, kept)))
    table.directories = [index_of[index] for index in table.directories]
    for slot, before in enumerate(table.children):
        if isinstance(before, range):
            if not before:
                continue
            low, high = before[0], before[-1] + 1
            if 0 not in kept[low:high]:
                table.children[slot] = range(index_of[low], index_of[low] + high - low)
                continue
        indexes = array("I", map(index_of.__getitem__, before))
        table.children[slot] = indexes
        for name, index, old in zip(table.names[slot], indexes, before, strict=True):
            if not kept[old]:
                table.links[index] += 1
                table.further_names.append((table.directories[slot], name, index))


def _check_links(table: InodeTable, dir_nlink: bool) -> None:
    """Check the limit of 65,000 links; a directory with more stores 1 (ext4_inc_count)."""
    if max(table.links) <= EXT4_LINK_MAX:
        return
    for index, count in enumerate(table.links):
        if count <= EXT4_LINK_MAX:
            continue
        if table.nodes[index].file_type != S_IFDIR:
            raise TreeError(
                table.path_of(index), f"has {count} hard links; the maximum is {EXT4_LINK_MAX}"
            )
        if not dir_nlink:
            raise TreeError(
                table.path_of(index),
                f"has {count - 2} subdirectories; more than {EXT4_LINK_MAX - 2} need the "
                "feature dir_nlink",
            )
        table.links[index] = 1


def _count_kinds(table: InodeTable) -> None:
    kinds: dict[str, type[Node]] = {
        "directory": Directory,
        "file": RegularFile,
        "symlink": Symlink,
        "character device": CharacterDevice,
        "fifo": Fifo,
        "socket": Socket,
    }
    table.entries = {
        name: table.types.count(if_to_dt(kind.file_type)) for name, kind in kinds.items()
    }
    table.entries["block device"] = len(table.nodes) - sum(table.entries.values())
    table.entries["hard link"] = len(table.further_names)


def _assign_numbers(table: InodeTable, policy: LayoutPolicy, keeper: Keeper | None) -> None:
    """Turn the order into numbers and sort all columns by them."""
    special = [EXT4_ROOT_INO]
    first = EXT4_GOOD_OLD_FIRST_INO
    if table.lost_and_found is not None:
        special.append(first)
        first += 1
    first += len(table.unnamed)
    ordinary = len(table.nodes) - len(special)
    numbers: Sequence[int] | None
    if keeper is not None:
        numbers = keeper.numbers(table, len(special), first)
    else:
        numbers = policy.inode_numbers(ordinary, first)
    if numbers is None:
        table.inos = array("I", special)
        table.inos.extend(range(first, first + ordinary))
        return
    skip = len(special)
    order = list(range(skip)) + sorted(
        range(skip, skip + ordinary), key=lambda index: numbers[index - skip]
    )
    new_index = array("I", bytes(4 * len(order)))
    for position, index in enumerate(order):
        new_index[index] = position
    table.inos = array("I", special + sorted(numbers))
    table.nodes = [table.nodes[index] for index in order]
    table.types = bytes(map(table.types.__getitem__, order))
    table.parents = array("I", (new_index[table.parents[index]] for index in order))
    table.links = array("I", (table.links[index] for index in order))
    table.directories = [new_index[index] for index in table.directories]
    table.children = [
        array("I", map(new_index.__getitem__, children)) for children in table.children
    ]
