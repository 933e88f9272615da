"""Resolves paths inside a tree, following symbolic links as a kernel with that root would.

Absolute targets begin at the root of the tree and ``..`` never leaves it, as after ``chroot``
(path_resolution(7)). Overlays, archives and device tables use this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .errors import short_path
from .late_dataclasses import dataclass, field
from .nodes import SYMLINK_MAX, Directory, Node, Symlink

LINKS_FOLLOWED = 40
"""The most links followed for one path, as in Linux (MAXSYMLINKS in include/linux/namei.h)."""


@dataclass(slots=True)
class Place:
    """The result of resolving a path."""

    names: list[bytes]
    """The path from the root of the tree, without links, except that the last name may be one."""
    node: Node | None
    """The node there; None if there is none."""
    missing: int | None = None
    """The number of ``names`` up to and including the first missing one; None if all exist."""
    blocked: int | None = None
    """The number of ``names`` that lead to a non-directory on the way; None if there is none."""
    is_endless: bool = False
    """Whether there were too many links; ``names`` then lead to the last one."""
    links: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Paths and targets of the followed links, in order."""

    @property
    def path(self) -> bytes:
        """The absolute path in the tree."""
        return _joined(self.names)

    @property
    def last_link(self) -> str:
        """A phrase such as ``the symbolic link /lib to usr/lib``; empty if no link was followed."""
        if not self.links:
            return ""
        path, target = self.links[0] if self.is_endless else self.links[-1]
        return f"the symbolic link {short_path(path)} to {short_path(target)}"

    @property
    def problem(self) -> str:
        """Why there is no directory here, as the text of an error that names the last link."""
        way = self.last_link
        if self.is_endless:
            return f"{way} leads through more than {LINKS_FOLLOWED} links"
        way = way and f", reached through {way},"
        if self.blocked is not None:
            return f"{short_path(_joined(self.names[: self.blocked]))}{way} is not a directory"
        if self.missing is not None:
            return f"{short_path(_joined(self.names[: self.missing]))}{way} does not exist"
        return f"{short_path(self.path)}{way} is not a directory"


def _joined(names: Sequence[bytes]) -> bytes:
    return b"/" + b"/".join(names)


def resolve(
    path: Sequence[bytes], roots: Sequence[Directory], *, follow_last: bool = False
) -> Place:
    """Follow ``path``, which may contain ``.`` and ``..``, from the root.

    ``roots`` are layers, the first on top: a node hides those in lower layers, and directories
    merge. If the last name is a link, it is followed only with ``follow_last``. After a missing
    name or a non-directory, the remaining names are appended unchanged.
    """
    pending = [(name, False) for name in reversed(path)]
    if pending:
        pending[0] = (pending[0][0], True)
    names: list[bytes] = []
    stack: list[list[Node | None]] = [list(roots)]
    links: list[tuple[bytes, bytes]] = []
    while pending:
        name, is_last = pending.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            if names:
                names.pop()
                stack.pop()
            continue
        nodes = [
            above.children.get(name) if isinstance(above, Directory) else None
            for above in stack[-1]
        ]
        top = next((node for node in nodes if node is not None), None)
        if isinstance(top, Symlink) and (follow_last or not is_last):
            links.append((b"/" + b"/".join([*names, name]), top.target))
            if len(links) > LINKS_FOLLOWED or len(top.target) > SYMLINK_MAX:
                return Place([*names, name], top, is_endless=True, links=links)
            if top.target.startswith(b"/"):
                names.clear()
                del stack[1:]
            steps = [(step, False) for step in reversed(top.target.split(b"/"))]
            # If the last name is a link, the last name of its target takes its place.
            steps[0] = (steps[0][0], is_last)
            pending += steps
            continue
        names.append(name)
        # Anything other than a directory hides everything below it.
        visible = top is None or isinstance(top, Directory)
        stack.append(
            [node if isinstance(node, Directory) else None for node in nodes] if visible else [top]
        )
    standing = [next((node for node in level if node is not None), None) for level in stack]
    missing = next((depth for depth, node in enumerate(standing) if node is None), None)
    blocked = next(
        (
            depth
            for depth, node in enumerate(standing[:-1])
            if node is not None and not isinstance(node, Directory)
        ),
        None,
    )
    if blocked is not None:
        missing = None
    return Place(names, standing[-1], missing, blocked, links=links)


def directory_at(
    root: Directory, path: Sequence[bytes], make: Callable[[], Directory] | None = None
) -> Place:
    """The directory at ``path``, following links; ``make`` creates missing ones.

    The target of a dangling link is not created: the caller handles that, like anything else that
    is not a directory (:attr:`Place.problem` says what is wrong).
    """
    folder = root
    names: list[bytes] = []
    links: list[tuple[bytes, bytes]] = []
    for depth, name in enumerate(path, 1):
        node = folder.children.get(name)
        if node is None and make is not None:
            node = folder.children[name] = make()
        if isinstance(node, Symlink):
            place = resolve([*names, name], [root], follow_last=True)
            links += place.links
            place.links = links
            if len(links) > LINKS_FOLLOWED:
                place.is_endless = True
            if place.is_endless or not isinstance(place.node, Directory):
                return place
            names, node = place.names, place.node
        else:
            names.append(name)
        if not isinstance(node, Directory):
            rest = list(path[depth:])
            if node is None:
                return Place(names + rest, None, missing=len(names), links=links)
            return Place(names + rest, None if rest else node, blocked=len(names), links=links)
        folder = node
    return Place(names, folder, links=links)
