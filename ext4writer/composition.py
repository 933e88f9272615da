"""Copies directories and overlays them. Nothing here is recursive, since trees may be deep."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from .attributes import ATTRIBUTES
from .errors import TreeError, short_path
from .late_dataclasses import dataclass
from .losses import Branch, ChangedLosses
from .nodes import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    Directory,
    Loss,
    Node,
    Symlink,
)
from .resolution import LINKS_FOLLOWED, Place, directory_at, resolve

KINDS = {
    S_IFREG: "regular file",
    S_IFDIR: "directory",
    S_IFLNK: "symbolic link",
    S_IFCHR: "character device",
    S_IFBLK: "block device",
    S_IFIFO: "named pipe",
    S_IFSOCK: "socket",
}

Trail = tuple["Trail", bytes] | None
"""A path as the trail of its parent and its last name, which makes deep paths cheap to extend."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A directory of the upper tree at the place of a symbolic link of the lower tree."""

    parent: Directory
    """The directory that holds the link."""
    name: bytes
    node: Directory
    here: Trail
    """The link's path in the lower tree."""
    there: Trail
    """The directory's path in the upper tree."""


class _Moved(dict[bytes, "_Moved"]):
    """Directories of the upper tree that have another path in the lower one, by name."""

    __slots__ = ("place",)

    def __init__(self) -> None:
        super().__init__()
        self.place: list[bytes] | None = None
        """This directory's path in the lower tree; None if only directories below it moved."""

    def at(self, names: Sequence[bytes]) -> _Moved:
        """The entry of the directory ``names``."""
        here = self
        for name in names:
            here = here.setdefault(name, _Moved())
        return here


class Overlay:
    """Lays ``upper`` over ``root``, which then holds nodes of both.

    Directories merge and take the attributes of ``upper``, unless those are only implied. Any other
    node replaces the one at its path. Where ``root`` has a symbolic link to a directory and
    ``upper`` has a directory, the link stays and the directory's entries go where the link leads:
    always for an implied directory, and with ``keeps_links`` for a stated one. Replacing a node of
    another kind is recorded in ``losses``. With ``is_layer``, links of ``root`` are not followed
    and replacing is not a loss, because the layers of a container image are one source.

    Links are followed after everything else is in place, in the order of their paths, so the result
    does not depend on the order of entries in directories.
    """

    def __init__(
        self,
        root: Directory,
        upper: Directory,
        *,
        keeps_links: bool = True,
        is_layer: bool = False,
        takes_top: bool = True,
    ) -> None:
        self.losses: list[Loss] = []
        self.restated: set[Directory] = set()
        """Directories of ``root`` whose attributes were replaced."""
        self.changed: ChangedLosses | None = None
        """Notified before each change which losses of ``root`` the change may affect."""
        self._root = root
        self._upper = upper
        self._keeps_links = keeps_links
        self._is_layer = is_layer
        self._takes_top = takes_top
        self._waiting: list[_Waiting] = []
        self._moved = _Moved()
        """Directories of the upper tree that have another path in the lower one."""
        self._above: dict[Node, Trail] | None = None
        """The paths of nodes in the upper tree; None until links are followed."""

    def lay(self, at: Sequence[bytes]) -> None:
        """Lay the root of the upper tree at ``at``; missing parents become implied directories.

        Raises :class:`TreeError` if a parent is not a directory, nor a symbolic link to one.
        """
        if not at:
            self._merge(self._root, self._upper, None, None, takes_top=self._takes_top)
        else:
            above = directory_at(self._root, at[:-1], lambda: Directory(implied=True))
            if not isinstance(above.node, Directory):
                raise TreeError(b"/" + b"/".join(at), above.problem)
            self._moved.at(()).place = [*above.names, at[-1]]
            here: Trail = None
            for name in above.names:
                here = (here, name)
            self._put(above.node, at[-1], self._upper, (here, at[-1]), None)
        if self._waiting:
            self._above = _trails(self._upper)
            self._follow_links()

    def place_of(self, path: Sequence[bytes]) -> list[bytes]:
        """The path in the lower tree of the upper tree's node at ``path``."""
        place, depth_moved = self._moved.place, 0
        here = self._moved
        for depth, name in enumerate(path, 1):
            below = here.get(name)
            if below is None:
                break
            here = below
            if here.place is not None:
                place, depth_moved = here.place, depth
        return list(path) if place is None else [*place, *path[depth_moved:]]

    def _merge(
        self,
        mine: Directory,
        others: Directory,
        here: Trail,
        there: Trail,
        *,
        takes_top: bool = True,
    ) -> None:
        pending = [(mine, others, here, there, self._losses_at(here))]
        while pending:
            mine, others, here, there, lost = pending.pop()
            if lost is not None:
                self._note_changes(lost, mine, others, takes_top)
            if (mine.implied or not others.implied) and takes_top:
                for attribute in ATTRIBUTES:
                    setattr(mine, attribute, getattr(others, attribute))
                mine.implied = others.implied
                if not others.implied:
                    self.restated.add(mine)
            takes_top = True
            children = mine.children
            for name, node in others.children.items():
                old = children.get(name)
                if old is None:
                    children[name] = node
                elif isinstance(old, Directory) and isinstance(node, Directory):
                    below = None if lost is None else lost.get(name)
                    pending.append((old, node, (here, name), (there, name), below))
                elif type(old) is type(node) and self._above is None:
                    children[name] = node
                else:
                    self._put(mine, name, node, (here, name), (there, name))

    def _losses_at(self, here: Trail) -> Branch | None:
        """The losses of the lower tree at and below a path; None if there are none."""
        return None if self.changed is None else self.changed.index.branch(_names(here))

    def _note_changes(
        self, lost: Branch, mine: Directory, others: Directory, takes_top: bool
    ) -> None:
        """Note the losses at and below ``mine`` that merging ``others`` into it may affect."""
        assert self.changed is not None
        if takes_top:
            self.changed.at(lost)
        children = others.children
        for name in children if len(children) < len(lost) else lost:
            below, node = lost.get(name), children.get(name)
            if below is None or node is None:
                continue
            if not (isinstance(node, Directory) and isinstance(mine.children.get(name), Directory)):
                self.changed.below(below)

    def _put(self, parent: Directory, name: bytes, node: Node, here: Trail, there: Trail) -> None:
        """Put ``node`` of the upper tree into ``parent`` as ``name``."""
        old = parent.children.get(name)
        if isinstance(node, Directory):
            if isinstance(old, Directory):
                self._merge(old, node, here, there)
                return
            follows = not self._is_layer and (node.implied or self._keeps_links)
            if isinstance(old, Symlink) and follows:
                self._waiting.append(_Waiting(parent, name, node, here, there))
                return
        self._replace(parent, name, node, here, there)

    def _replace(
        self, parent: Directory, name: bytes, node: Node, here: Trail, there: Trail
    ) -> None:
        if self.changed is not None:
            self.changed.below(self._losses_at(here))
        old = parent.children.get(name)
        parent.children[name] = node
        if self._is_layer or old is None or old is node:
            return
        if self._above is not None and old in self._above:
            self.losses.append(
                Loss(
                    _path(here),
                    f"{_described(old)} {short_path(_path(self._above[old]))} of a later source is "
                    f"replaced by {short_path(_path(there))} of the same source: links bring both "
                    "here",
                    "replaced",
                )
            )
            return
        # The new link may have another target than the one that was just followed.
        is_other_way = (
            self._above is not None
            and isinstance(old, Symlink)
            and isinstance(node, Symlink)
            and old.target != node.target
        )
        if is_other_way or type(old) is not type(node):
            self.losses.append(
                Loss(
                    _path(here),
                    f"{_described(old)} is replaced by the {KINDS[node.file_type]} "
                    f"{short_path(_path(there))} of a later source",
                    "replaced",
                )
            )

    # -- links ---------------------------------------------------------------------------------

    def _follow_links(self) -> None:
        """Merge the waiting directories into the targets of the links at their paths.

        One of them may bring the target of another one's link, so dangling links are tried again
        while that makes progress. The remaining directories replace their links.
        """
        for _ in range(LINKS_FOLLOWED):
            if not self._waiting:
                return
            some = sorted(self._waiting, key=lambda one: _names(one.here))
            self._waiting = []
            left = [one for one in some if not self._follow(one)]
            self._waiting += left
            if len(left) == len(some):
                break
        for one in sorted(self._waiting, key=lambda one: _names(one.here)):
            if self._is_in_place(one):
                self._replace(one.parent, one.name, one.node, one.here, one.there)
        self._waiting = []

    def _follow(self, one: _Waiting) -> bool:
        """Merge ``one`` into the target of its link; False if the target is not a directory."""
        if not self._is_in_place(one):
            return True
        link = one.parent.children.get(one.name)
        if not isinstance(link, Symlink):
            self._put(one.parent, one.name, one.node, one.here, one.there)
            return True
        place = resolve(_names(one.here), [self._root], follow_last=True)
        if not isinstance(place.node, Directory):
            return False
        self._moved.at(_names(one.there)).place = place.names
        self._note_attributes(one, link, place)
        here: Trail = None
        for name in place.names:
            here = (here, name)
        self._merge(place.node, one.node, here, one.there, takes_top=False)
        return True

    def _note_attributes(self, one: _Waiting, link: Symlink, place: Place) -> None:
        """Note a loss if the link's target keeps other attributes than ``one``, as in GNU tar."""
        node = place.node
        assert node is not None
        if one.node.implied:
            return
        names = [name for name, row in ATTRIBUTES.items() if not row.is_time]
        stated, has = ([getattr(each, name) or None for name in names] for each in (one.node, node))
        if stated != has:
            self.losses.append(
                Loss(
                    _path(one.here),
                    f"stays a symbolic link to {short_path(link.target)}; mode, owner and "
                    f"attributes of the directory {short_path(_path(one.there))} of a later source "
                    "are not taken",
                    "attributes-not-taken",
                )
            )

    def _is_in_place(self, one: _Waiting) -> bool:
        """Whether the directory with the link is still in the tree; if not, note a loss."""
        node: Node | None = self._root
        above, _ = one.here or (None, b"")
        for name in _names(above):
            node = node.children.get(name) if isinstance(node, Directory) else None
        if node is one.parent:
            return True
        self.losses.append(
            Loss(
                _path(one.here),
                f"what {short_path(_path(one.there))} of a later source holds is left out: "
                "something else of that source replaced a directory above",
                "left-out",
            )
        )
        return False


def _names(trail: Trail) -> list[bytes]:
    names = []
    while trail is not None:
        trail, name = trail
        names.append(name)
    names.reverse()
    return names


def _path(trail: Trail) -> bytes:
    return b"/" + b"/".join(_names(trail))


def _described(node: Node) -> str:
    """``node`` as messages describe it."""
    if isinstance(node, Directory):
        count = len(node.children)
        return f"the directory with {count} {'entry' if count == 1 else 'entries'}"
    if isinstance(node, Symlink):
        return f"the symbolic link to {short_path(node.target)}"
    return f"the {KINDS[node.file_type]}"


def _trails(root: Directory) -> dict[Node, Trail]:
    """The paths of all nodes below ``root``; for hard links, the last one found."""
    trails: dict[Node, Trail] = {}
    pending: list[tuple[Directory, Trail]] = [(root, None)]
    while pending:
        directory, above = pending.pop()
        for name, node in directory.children.items():
            trails[node] = trail = (above, name)
            if isinstance(node, Directory):
                pending.append((node, trail))
    return trails


def copy_of(root: Directory) -> Directory:
    """Copy ``root`` and all nodes below it; contents are shared and hard links are kept."""
    twins: dict[Node, Node] = {}
    top = _copy_of(root)
    pending = [top]
    while pending:
        children = pending.pop().children
        for name, node in children.items():
            if isinstance(node, Directory):
                children[name] = directory = _copy_of(node)
                pending.append(directory)
            else:
                twin = twins.get(node)
                if twin is None:
                    twin = twins[node] = copy(node)
                children[name] = twin
    return top


def _copy_of(directory: Directory) -> Directory:
    twin = copy(directory)
    twin.children = directory.children.copy()
    return twin
