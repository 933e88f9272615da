"""Gives every node of a tree its place in the inode table, in one pass over the names.

A directory's entries stand together, in the order of their names, and directories follow each other
depth first: what is read together lies together.
"""

from __future__ import annotations

from array import array
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import TreeError
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
from .policy import LayoutPolicy

LOST_AND_FOUND = b"lost+found"
ROOT = 0
"""Index of the root directory in every column."""


@dataclass(slots=True)
class InodeTable:
    """The tree's nodes as columns. A node's *index* is its position; ``inos`` ascends with it."""

    nodes: list[Node] = field(default_factory=list)
    parents: array[int] = field(default_factory=lambda: array("I"))
    """Index of the directory where the node's first name stands."""
    links: array[int] = field(default_factory=lambda: array("I"))
    """Names of the node; for a directory the links as POSIX counts them."""
    index_of: dict[Node, int] = field(default_factory=dict)
    directories: list[int] = field(default_factory=list)
    """Indexes of all directories, parents first."""
    names: list[list[bytes]] = field(default_factory=list)
    """Names in each of ``directories``, sorted as bytes; ``lost+found`` too where it is added."""
    further_names: list[tuple[int, bytes, int]] = field(default_factory=list)
    """(directory, name, node) of each hard link, as indexes before any policy reorders them."""
    inos: Sequence[int] = ()
    entries: dict[str, int] = field(default_factory=dict)
    lost_and_found: int | None = None
    """Index of ``/lost+found``."""

    @property
    def last_ino(self) -> int:
        """The highest inode number in use, reserved ones included."""
        return max(self.inos[-1], EXT4_GOOD_OLD_FIRST_INO - 1)

    def child_indexes(self, directory: int, names: Sequence[bytes]) -> list[int]:
        """The index of the node behind each of ``names`` in the directory at that index."""
        node = self.nodes[directory]
        assert isinstance(node, Directory)
        children, index_of = node.children, self.index_of
        if directory == ROOT and self.lost_and_found is not None:
            children = {**children, LOST_AND_FOUND: self.nodes[self.lost_and_found]}
        return [index_of[children[name]] for name in names]

    def name_of(self, index: int) -> bytes:
        """The first name of the node at ``index`` in its parent directory."""
        node = self.nodes[index]
        parent = self.nodes[self.parents[index]]
        assert isinstance(parent, Directory)
        names = [name for name, child in parent.children.items() if child is node]
        return min(names, default=LOST_AND_FOUND)

    def path_of(self, index: int) -> bytes:
        """Absolute path of one name of the node, for messages."""
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
    cancel: Cancel | None = None,
) -> InodeTable:
    """Collect all nodes and give them inode numbers.

    The root has number 2 and ``/lost+found`` 11; where the tree has none and one is wanted, an
    empty one is added to the table (not to the tree). Raises :class:`TreeError` for a name that
    cannot be written, a directory with two names, and too many links.
    """
    table = InodeTable()
    _collect(tree, table, lost_and_found, cancel)
    _check_links(table, dir_nlink)
    _count_kinds(table)
    _assign_numbers(table, policy)
    return table


def _collect(tree: Tree, table: InodeTable, lost_and_found: bool, cancel: Cancel | None) -> None:
    nodes, parents, links = table.nodes, table.parents, table.links
    index_of, directories = table.index_of, table.directories
    nodes.append(tree.root)
    parents.append(ROOT)
    links.append(2)
    index_of[tree.root] = ROOT
    count = 1
    if lost_and_found:
        node = tree.root.children.get(LOST_AND_FOUND)
        if node is None:
            node = Directory(0o700)
        if not isinstance(node, Directory):
            raise TreeError(
                b"/" + LOST_AND_FOUND,
                "must be a directory, where e2fsck keeps what it saves; rename it, "
                "or build without lost+found",
            )
        nodes.append(node)
        parents.append(ROOT)
        links.append(2)
        links[ROOT] += 1
        index_of[node] = count
        table.lost_and_found = count
        count += 1
    stack = [ROOT]
    pending_lost_and_found = table.lost_and_found
    while stack:
        check_cancelled(cancel)
        directory_index = stack.pop()
        directories.append(directory_index)
        directory = nodes[directory_index]
        assert isinstance(directory, Directory)
        children = directory.children
        subdirectories = []
        names = sorted(children)
        _check_names(names, children, table, directory_index)
        table.names.append(names)
        for name in names:
            node = children[name]
            index = index_of.setdefault(node, count)
            if index == count:
                nodes.append(node)
                parents.append(directory_index)
                count += 1
                if node.file_type == S_IFDIR:
                    links.append(2)
                    links[directory_index] += 1
                    subdirectories.append(index)
                else:
                    links.append(1)
            elif node.file_type != S_IFDIR:
                links[index] += 1
                table.further_names.append((directory_index, name, index))
            elif index == pending_lost_and_found and directory_index == ROOT:
                pending_lost_and_found = None
                subdirectories.append(index)
            else:
                path = table.path_of(directory_index).rstrip(b"/") + b"/" + name
                raise TreeError(path, "is a second name of a directory; only files can have two")
        if directory_index == ROOT and pending_lost_and_found is not None:
            subdirectories.append(pending_lost_and_found)
            insort(names, LOST_AND_FOUND)
        subdirectories.reverse()
        stack += subdirectories


def _check_names(
    names: list[bytes], children: dict[bytes, Node], table: InodeTable, directory_index: int
) -> None:
    if not names:
        return
    together = b"".join(names)
    if (
        max(map(len, names)) > NAME_MAX
        or not names[0]
        or b"/" in together
        or b"\0" in together
        or b"." in children
        or b".." in children
    ):
        for name in names:
            check_name(name, table.path_of(directory_index).rstrip(b"/") + b"/" + name)


def _check_links(table: InodeTable, dir_nlink: bool) -> None:
    """ext4_link and ext4_inc_count: 65,000 links, or the value 1 for a directory that has more."""
    if max(table.links) <= EXT4_LINK_MAX:
        return
    for index, count in enumerate(table.links):
        if count <= EXT4_LINK_MAX:
            continue
        if table.nodes[index].file_type != S_IFDIR:
            raise TreeError(
                table.path_of(index), f"has {count} hard links; {EXT4_LINK_MAX} is the most"
            )
        if not dir_nlink:
            raise TreeError(
                table.path_of(index),
                f"has {count - 2} subdirectories; more than {EXT4_LINK_MAX - 2} need the "
                "feature dir_nlink",
            )
        table.links[index] = 1


def _count_kinds(table: InodeTable) -> None:
    kinds = [node.file_type for node in table.nodes]
    names: dict[str, type[Node]] = {
        "directory": Directory,
        "file": RegularFile,
        "symlink": Symlink,
        "character device": CharacterDevice,
        "fifo": Fifo,
        "socket": Socket,
    }
    table.entries = {name: kinds.count(kind.file_type) for name, kind in names.items()}
    table.entries["block device"] = len(kinds) - sum(table.entries.values())
    table.entries["hard link"] = sum(
        links - 1
        for links, kind in zip(table.links, kinds, strict=True)
        if links > 1 and kind != S_IFDIR
    )


def _assign_numbers(table: InodeTable, policy: LayoutPolicy) -> None:
    """Turn the order into numbers and sort all columns by them."""
    special = [EXT4_ROOT_INO]
    first = EXT4_GOOD_OLD_FIRST_INO
    if table.lost_and_found is not None:
        special.append(first)
        first += 1
    ordinary = len(table.nodes) - len(special)
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
    table.parents = array("I", (new_index[table.parents[index]] for index in order))
    table.links = array("I", (table.links[index] for index in order))
    table.index_of = {node: index for index, node in enumerate(table.nodes)}
    table.directories = [new_index[index] for index in table.directories]
