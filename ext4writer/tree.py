"""A tree of POSIX files as somebody wants them. No word of ext4 in here.

``Tree`` builds by hand and composes; the sources build the same nodes faster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar, Unpack

from .arguments import bytes_of, count_of, mode_of, nanoseconds_of
from .composition import Overlay, copy_of
from .content import (
    BytesContent,
    CallableContent,
    Content,
    FileId,
    IteratorContent,
    Opener,
    PathContent,
)
from .errors import SourceError, TreeError, display_path
from .losses import ChangedLosses, LossIndex, without_losses_below
from .nodes import (
    NAME_MAX,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    SYMLINK_MAX,
    Attributes,
    BlockDevice,
    CharacterDevice,
    Device,
    Directory,
    Fifo,
    GivenAttributes,
    Loss,
    LossCode,
    Node,
    Path,
    RegularFile,
    Socket,
    Symlink,
    Xattrs,
)
from .walking import directories

__all__ = [
    "Attributes",
    "BlockDevice",
    "CharacterDevice",
    "Device",
    "Directory",
    "Fifo",
    "Loss",
    "LossCode",
    "NAME_MAX",
    "Node",
    "Path",
    "RegularFile",
    "SYMLINK_MAX",
    "S_IFBLK",
    "S_IFCHR",
    "S_IFDIR",
    "S_IFIFO",
    "S_IFLNK",
    "S_IFREG",
    "S_IFSOCK",
    "Socket",
    "Symlink",
    "Tree",
    "Xattrs",
    "check_name",
    "components",
    "without_losses_below",
]

Taken = TypeVar("Taken")
GivenContent = (
    bytes | bytearray | memoryview | str | os.PathLike[str] | Opener | Iterable[bytes] | Content
)
"""What :meth:`Tree.file` takes as content."""


class Tree:
    """A root directory and what could not be taken over from the source.

    Paths given to the methods are absolute or relative to the root: bytes, str (UTF-8) or a
    ``PurePosixPath``. Parents must exist, or are made with ``parents=True``: directories of mode
    755 with the owner and the times of what is added. Every method that makes a node returns it.
    A tree is iterated over as (absolute path, node), see :meth:`walk`; ``len`` counts these.
    ``TreeError`` is raised for a name that is taken, empty, ``.``, ``..`` or over 255 bytes, for a
    parent that is no directory, for a path to change that is not there, and for an attribute that
    means nothing. Symbolic links are never followed.
    """

    def __init__(self, root: Directory | None = None) -> None:
        given: object = root
        if not isinstance(given, Directory | None):
            hint = "sources.directory() reads a folder"
            raise TreeError(b"/", f"{given!r:.80} is no Directory; {hint}")
        self.root = Directory() if root is None else root
        self.losses: list[Loss] = []
        self._index = LossIndex()
        """Of ``losses``, as far as overlays asked."""
        self.states_root = True
        """Whether the root's attributes are meant for the root of an image; a folder's are not."""
        self.inputs: dict[FileId, bytes] = {}
        """What sources have read beside the files whose content the tree has, such as archives:
        what tells each from other files, and its name. No image is written over them."""

    def __getitem__(self, path: Path) -> Node:
        """The node at ``path``; ``KeyError`` if there is none. Symbolic links are not followed."""
        node: Node = self.root
        for name in components(path):
            if not isinstance(node, Directory) or name not in node.children:
                raise KeyError(path)
            node = node.children[name]
        return node

    def __contains__(self, path: Path) -> bool:
        try:
            self[path]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[tuple[bytes, Node]]:
        return self.walk()

    def __len__(self) -> int:
        """The number of paths; the root counts, and a hard link counts for each of its names."""
        return 1 + sum(len(each.children) for _, each in directories(self.root, None))

    def __repr__(self) -> str:
        losses = f", {len(self.losses)} losses" if self.losses else ""
        return f"<Tree of {len(self)} paths{losses}>"

    def add(self, path: Path, node: Node, *, parents: bool = False) -> Node:
        """Put ``node`` at ``path``. The same node at a second path is a hard link."""
        if not isinstance(node, Node):
            raise TreeError(_shown(path), f"cannot be {node!r:.80}, which is no Node")
        if parents:
            self._add_parents(path, _of_parents(node))
        parent, name = self._place(path)
        if name in parent.children:
            raise TreeError(_shown(path), "is in the tree already")
        parent.children[name] = node
        return node

    def _add_parents(self, path: Path, attributes: Mapping[str, Any]) -> None:
        """Add the directories that are missing above ``path``."""
        folder = self.root
        for name in components(path)[:-1]:
            below = folder.children.get(name)
            if below is None:
                check_name(name, path)
                below = folder.children[name] = Directory(**attributes)
            if not isinstance(below, Directory):
                return  # adding what lies below it says so
            folder = below

    def directory(
        self, path: Path, *, parents: bool = False, **attributes: Unpack[GivenAttributes]
    ) -> Directory:
        """Add a directory (mode 755); with ``parents`` also those missing above it, alike."""
        taken = attributes_of(path, attributes)
        if parents:
            self._add_parents(path, taken)
        node = Directory(**taken)
        self.add(path, node)
        return node

    def file(
        self,
        path: Path,
        content: GivenContent,
        *,
        size: int | None = None,
        parents: bool = False,
        **attributes: Unpack[GivenAttributes],
    ) -> RegularFile:
        """Add a regular file (mode 644).

        ``content`` is the bytes themselves, the path of a file on the host as ``PathLike`` or
        ``str`` (so a str is never the content itself), a :class:`~ext4writer.content.Content`, a
        callable that gives all ``size`` bytes anew each time it is called, as a binary file or as
        an iterable of pieces, which a generator function is, or such an iterable itself. An
        iterator, such as a generator, can be read only once; what it yields is kept in memory from
        then on.
        """
        node = RegularFile(_content(path, content, size), **attributes_of(path, attributes))
        self.add(path, node, parents=parents)
        return node

    def symlink(
        self,
        path: Path,
        target: Path,
        *,
        parents: bool = False,
        **attributes: Unpack[GivenAttributes],
    ) -> Symlink:
        """Add a symbolic link to ``target`` (mode 777)."""
        node = Symlink(_to_bytes(target), **attributes_of(path, attributes))
        self.add(path, node, parents=parents)
        return node

    def link(self, path: Path, existing: Path, *, parents: bool = False) -> Node:
        """Add a second name ``path`` for the file that stands at ``existing``."""
        try:
            node = self[existing]
        except KeyError:
            shown = display_path(_shown(existing))
            raise TreeError(_shown(path), f"its link target {shown} is not in the tree") from None
        if isinstance(node, Directory):
            raise TreeError(_shown(path), "a directory cannot have a second name")
        return self.add(path, node, parents=parents)

    def device(
        self,
        path: Path,
        kind: Literal["c", "b"],
        major: int,
        minor: int,
        *,
        parents: bool = False,
        **attributes: Unpack[GivenAttributes],
    ) -> Device:
        """Add a character (``"c"``) or block (``"b"``) device (mode 600)."""
        if kind not in ("c", "b"):
            raise TreeError(_shown(path), f"device kind {kind!r} is neither 'c' nor 'b'")
        make = CharacterDevice if kind == "c" else BlockDevice
        numbers = [
            _argument(path, name, number, count_of)
            for name, number in (("major", major), ("minor", minor))
        ]
        node = make(*numbers, **attributes_of(path, attributes))
        self.add(path, node, parents=parents)
        return node

    def fifo(
        self, path: Path, *, parents: bool = False, **attributes: Unpack[GivenAttributes]
    ) -> Fifo:
        """Add a named pipe (mode 644)."""
        attributes.setdefault("mode", 0o644)
        node = Fifo(**attributes_of(path, attributes))
        self.add(path, node, parents=parents)
        return node

    def socket(
        self, path: Path, *, parents: bool = False, **attributes: Unpack[GivenAttributes]
    ) -> Socket:
        """Add a socket's name (mode 755)."""
        attributes.setdefault("mode", 0o755)
        node = Socket(**attributes_of(path, attributes))
        self.add(path, node, parents=parents)
        return node

    def remove(self, path: Path) -> Node:
        """Take the node at ``path`` out, with all below it, and return it; other names remain."""
        parent, name = self._place(path)
        try:
            node = parent.children.pop(name)
        except KeyError:
            raise TreeError(_shown(path), "is not in the tree") from None
        gone = b"/" + b"/".join(components(path))
        self.losses = without_losses_below(self.losses, {gone})
        return node

    def move(self, path: Path, to: Path) -> Node:
        """Give the node at ``path`` the name ``to``, where nothing stands yet, and return it."""
        old, new = components(path), components(to)
        if new[: len(old)] == old:
            raise TreeError(
                _shown(to), f"lies inside {display_path(_shown(path))}, which is to go there"
            )
        losses = [_moved(loss, old, new) for loss in self.losses]
        if path not in self:
            raise TreeError(_shown(path), "is not in the tree")
        node = self.add(to, self[path])
        self.remove(path)
        self.losses = losses
        return node

    def subtree(self, path: Path) -> Tree:
        """A copy of the directory at ``path`` as a tree of its own, hard links within it kept.

        The copy has nodes of its own and shares their contents; losses come along.
        """
        try:
            node = self[path]
        except KeyError:
            raise TreeError(_shown(path), "is not in the tree") from None
        if not isinstance(node, Directory):
            raise TreeError(_shown(path), "is not a directory")
        tree = Tree(copy_of(node))
        tree.inputs.update(self.inputs)
        above = components(path)
        tree.states_root = self.states_root or bool(above)
        tree.losses = [
            _moved(loss, above, [])
            for loss in self.losses
            if components(loss.path)[: len(above)] == above
        ]
        return tree

    def copy(self) -> Tree:
        """The whole tree with nodes of its own; contents are shared."""
        return self.subtree("/")

    def overlay(
        self,
        other: Tree,
        at: Path = "/",
        *,
        copy: bool = True,
        keep_directory_symlink: bool = True,
        root_attributes: bool | None = None,
    ) -> Tree:
        """Lay ``other`` over this tree so that its root comes to ``at``; return this tree.

        Where both have a directory, the two merge: the names of both, the attributes (mode, owner,
        times, extended attributes) of the later one. Anything else of ``other`` replaces what
        stands in its place, a directory with all below it too. Names that are hard links of each
        other remain so within each of the two trees, unless replaced.

        An *implied* directory of ``other``, one that its source did not state, leaves the
        attributes of a directory in its place as they are. Missing parents of ``at`` are made as
        implied directories: mode 755, owner 0:0, time 0.

        A directory of ``other`` that meets a symbolic link to a directory leaves the link, and
        what is below it goes where the link leads inside this tree, as with ``tar
        --keep-directory-symlink``; with ``keep_directory_symlink=False`` only an implied one does,
        and a stated one takes the link's place. The parents of ``at`` may be such links, too.

        The top of ``other`` does not change the attributes of this tree's root if it is a folder
        of the host (``states_root``), unless nothing is in this tree yet. ``root_attributes``
        says otherwise, for ``at="/"``.

        Losses of both count; those of this tree that concerned what is replaced do not. What
        replaces something of another kind, such as a file a directory, is a loss itself.

        ``other`` stays as it is. ``copy=False`` saves the time and memory of copying its nodes,
        and ``other`` must not be used any more.

        Raises :class:`TreeError` if ``at`` lies below something that is not a directory.
        """
        if not isinstance(other, Tree):
            raise TreeError(_shown(at), f"{other!r:.80} is no Tree to be laid there")
        above = components(at)
        self.inputs.update(other.inputs)
        for name in above:
            check_name(name, at)
        if root_attributes is None:
            root_attributes = other.states_root or not self.root.children
        self._lay(
            Overlay(
                self.root,
                copy_of(other.root) if copy else other.root,
                keeps_links=keep_directory_symlink,
                takes_top=bool(above) or root_attributes,
            ),
            other.losses,
            above,
        )
        return self

    def apply_layer(self, layer: Tree) -> None:
        """Lay a layer of a container image over those below it; ``layer`` is used up.

        Unlike with :meth:`overlay` links are replaced and never followed, and that is no loss.
        """
        self._lay(Overlay(self.root, layer.root, is_layer=True), layer.losses, [])

    def _lay(self, overlay: Overlay, losses: list[Loss], at: list[bytes]) -> None:
        if self.losses:
            self._index.follow(self.losses)
            overlay.changed = ChangedLosses(self._index, self._deepest)
        overlay.lay(at)
        if overlay.changed is not None:
            overlay.changed.drop_replaced(overlay.restated)
        self.losses += [
            Loss(b"/" + b"/".join(overlay.place_of(components(loss.path))), loss.what, loss.code)
            for loss in losses
        ]
        self.losses += overlay.losses

    def _deepest(self, path: Path) -> tuple[int, Node]:
        """How many names of ``path`` stand in the tree, and the node of the last of them."""
        node: Node = self.root
        depth = 0
        for name in components(path):
            child = node.children.get(name) if isinstance(node, Directory) else None
            if child is None:
                break
            node = child
            depth += 1
        return depth, node

    def _place(self, path: Path) -> tuple[Directory, bytes]:
        """The directory in which ``path`` stands, or would, and its last name."""
        *parents, name = components(path) or [b""]
        check_name(name, path)
        parent: Node | None = self.root
        for component in parents:
            parent = parent.children.get(component) if isinstance(parent, Directory) else None
        if not isinstance(parent, Directory):
            raise TreeError(
                _shown(path), "its parent is not a directory of the tree; add that first"
            )
        return parent, name

    def walk(self) -> Iterator[tuple[bytes, Node]]:
        """Yield (absolute path, node) for each name, parents first, names sorted as bytes."""
        yield b"/", self.root
        for prefix, directory in directories(self.root):
            children = directory.children
            for name in sorted(children):
                yield prefix + name, children[name]


def components(path: Path) -> list[bytes]:
    """The names of ``path`` without empty ones, so that leading and double slashes do not count."""
    return [name for name in _to_bytes(path).split(b"/") if name]


def check_name(name: bytes, path: Path) -> None:
    """Raise :class:`TreeError` if ``name`` cannot stand in a directory; ``path`` is where."""
    if name in (b"", b".", b".."):
        raise TreeError(_shown(path), f"{name.decode()!r} cannot be the name of an entry")
    if len(name) > NAME_MAX:
        raise TreeError(_shown(path), f"its name has {len(name)} bytes; {NAME_MAX} is the most")
    if b"/" in name or b"\0" in name:
        raise TreeError(_shown(path), "a name cannot hold a slash or a NUL byte")


def _moved(loss: Loss, old: list[bytes], new: list[bytes]) -> Loss:
    """``loss`` after what stood at ``old`` has moved to ``new``."""
    names = components(loss.path)
    if names[: len(old)] != old:
        return loss
    return Loss(b"/" + b"/".join(new + names[len(old) :]), loss.what, loss.code)


_TAKEN: dict[str, Callable[[Any], int]] = {
    "mode": mode_of,
    **dict.fromkeys(("uid", "gid"), count_of),  # the plan says which are out of range
    **dict.fromkeys(("mtime_ns", "atime_ns", "ctime_ns", "crtime_ns"), nanoseconds_of),
}
"""Attribute -> what takes it as a number."""

MAY_BE_NONE = {"atime_ns", "ctime_ns", "crtime_ns", "xattrs"}


def attributes_of(path: Path, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """``given`` as the attributes of a node; :class:`TreeError` for a value that means none."""
    for name, value in given.items():
        if type(value) is not int or name not in _TAKEN:
            break
    else:  # as nearly always: nothing has to be looked at any closer
        return given
    taken: dict[str, Any] = {}
    for name, value in given.items():
        if value is None and name in MAY_BE_NONE:
            taken[name] = None
        elif name == "xattrs":
            taken[name] = _argument(path, name, value, _xattrs_of)
        elif name in _TAKEN:
            taken[name] = _argument(path, name, value, _TAKEN[name])
        else:
            known = ", ".join([*_TAKEN, "xattrs"])
            raise TreeError(_shown(path), f"{name}: is no attribute; there are {known}")
    return taken


def _argument(path: Path, name: str, value: Any, take: Callable[[Any], Taken]) -> Taken:
    try:
        return take(value)
    except ValueError as error:
        raise TreeError(_shown(path), f"{name}: {error}") from None


def _xattrs_of(given: Any) -> Xattrs:
    if not isinstance(given, Mapping):
        raise ValueError(f"{given!r:.80} is no mapping of names to values")
    taken = {}
    for name, value in given.items():
        try:
            taken[bytes_of(name)] = bytes_of(value)
        except ValueError as error:
            raise ValueError(f"{name!r:.80}: {error}") from None
    return given if taken == given else taken


def _of_parents(node: Node) -> dict[str, Any]:
    """The attributes of directories that are made for the sake of ``node``."""
    names = ("uid", "gid", "mtime_ns", "atime_ns", "ctime_ns", "crtime_ns")
    return {name: getattr(node, name) for name in names}


def _content(
    path: Path,
    content: GivenContent,
    size: int | None,
) -> Content:
    if type(content) is bytes and size is None:  # as most are that are made by hand
        return BytesContent(content)
    if size is not None:
        size = _argument(path, "size", size, count_of)
    if isinstance(content, bytes | bytearray | memoryview):
        content = BytesContent(bytes(content))
    if isinstance(content, Content):
        if size is not None and size != content.size:
            raise TreeError(
                _shown(path), f"size: {size} was declared, but its content has {content.size} bytes"
            )
        return content
    if isinstance(content, str):
        try:
            return PathContent(content, size if os.path.isfile(content) else None)
        except SourceError as error:
            shown = display_path(content if len(content) <= 40 else content[:40] + "...")
            raise TreeError(
                _shown(path),
                f"its content '{shown}' is no file of this host ({error.problem}); a str names a "
                "file and is no content itself: give bytes, such as text.encode()",
            ) from error
    if isinstance(content, os.PathLike):
        return PathContent(content, size)
    if not (callable(content) or isinstance(content, Iterable)):
        raise TreeError(
            _shown(path),
            f"its content {content!r:.80} is neither bytes, a path, a callable nor an iterator",
        )
    if size is None:
        what = "a callable" if callable(content) else "an iterator"
        raise TreeError(_shown(path), f"content from {what} needs size=, its exact count of bytes")
    if isinstance(content, Iterator):
        return IteratorContent(content, size, _to_bytes(path))
    opener = content if callable(content) else content.__iter__
    return CallableContent(opener, size, _to_bytes(path))


def _to_bytes(path: Path) -> bytes:
    if isinstance(path, bytes):
        return path
    if isinstance(path, str):
        return path.encode("utf-8", "surrogateescape")
    if isinstance(path, os.PathLike):
        # Paths of Windows have backslashes, unless they are asked like this.
        as_posix: Callable[[], str] = getattr(path, "as_posix", path.__fspath__)
        return _to_bytes(as_posix())
    raise TreeError(repr(path), "is no path; give bytes, str or a PurePosixPath")


def _shown(path: Path) -> bytes | str:
    """``path`` as errors show it."""
    return path if isinstance(path, bytes | str) else _to_bytes(path)
