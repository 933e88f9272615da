"""A tree of POSIX files: the input of an image. Nothing here depends on ext4.

``Tree`` has methods to build and combine trees; the sources build the same nodes faster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack

from .arguments import UNPAIRED_SURROGATE, count_of, number_of
from .attributes import ATTRIBUTES, INT_ATTRIBUTES
from .checked import checked_if_it_fails
from .content import (
    BytesContent,
    Content,
    FileId,
    Opener,
    PathContent,
)
from .errors import SourceError, SpecError, TreeError, counted, display_path
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

if TYPE_CHECKING:
    from .composition import Overlay
    from .losses import LossIndex

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
]

Converted = TypeVar("Converted")
GivenContent = (
    bytes | bytearray | memoryview | str | os.PathLike[str] | Opener | Iterable[bytes] | Content
)
"""The values that :meth:`Tree.file` accepts as content."""


class Tree:
    """A root directory, and the losses: what could not be kept from the source.

    Paths given to the methods are absolute or relative to the root: bytes, str (UTF-8) or a
    ``PurePosixPath``. Parents must exist, unless ``parents=True`` creates them: directories of mode
    755 with the owner and the times of the new node. Every method that creates a node returns it.
    Iterating over a tree yields (absolute path, node), see :meth:`walk`; ``len`` counts these.

    Methods raise ``TreeError`` for a name that already exists, is empty, ``.`` or ``..``, or has
    over 255 bytes; for a parent that is not a directory; for a missing path; and for an invalid
    attribute. Symbolic links are never followed.
    """

    @checked_if_it_fails
    def __init__(self, root: Directory | None = None) -> None:
        given: object = root
        if not isinstance(given, Directory | None):
            hint = "sources.directory() reads a folder"
            raise TreeError(b"/", f"{given!r:.80} is no Directory; {hint}")
        self.root = Directory() if root is None else root
        self.losses: list[Loss] = []
        self._index: LossIndex | None = None
        """An index of ``losses``, created when an overlay needs it."""
        self.states_root = True
        """Whether the root's attributes are meant for the root of an image; those of a host
        directory are not."""
        self.inputs: dict[FileId, bytes] = {}
        """Identity and name of each further file that sources have read, such as an archive. No
        image may overwrite them."""

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
        """The number of paths, including the root; a hard link counts once for each name."""
        return 1 + sum(len(each.children) for _, each in directories(self.root, None))

    def __repr__(self) -> str:
        losses = f", {counted(len(self.losses), 'loss', 'losses')}" if self.losses else ""
        return f"<Tree of {counted(len(self), 'path', 'paths')}{losses}>"

    @checked_if_it_fails
    def add(self, path: Path, node: Node, *, parents: bool = False) -> Node:
        """Put ``node`` at ``path``. The same node at a second path is a hard link."""
        if not isinstance(node, Node):
            raise TreeError(_shown(path), f"cannot be {node!r:.80}, which is no Node")
        self._put(path, node, parents)
        return node

    def _put(self, path: Path, node: Node, parents: bool = False) -> None:
        if parents:
            self._add_parents(path, _of_parents(node))
        parent, name = self._place(path)
        if name in parent.children:
            raise TreeError(_shown(path), "is already in the tree")
        parent.children[name] = node

    def _add_parents(self, path: Path, attributes: Mapping[str, Any]) -> None:
        """Add the missing directories above ``path``."""
        folder = self.root
        for name in components(path)[:-1]:
            below = folder.children.get(name)
            if below is None:
                check_name(name, path)
                below = folder.children[name] = Directory(**attributes)
            if not isinstance(below, Directory):
                return  # adding the node below reports it
            folder = below

    def directory(
        self, path: Path, *, parents: bool = False, **attributes: Unpack[GivenAttributes]
    ) -> Directory:
        """Add a directory (mode 755).

        ``parents`` also adds missing directories above it, with the same attributes.
        """
        converted = attributes_of(path, attributes)
        if parents:
            self._add_parents(path, converted)
        node = Directory(**converted)
        self._put(path, node)
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

        ``content`` is one of these:

        - bytes;
        - the path of a file on the host as ``PathLike`` or ``str`` (so a str is never the content);
        - a :class:`~ext4writer.content.Content`;
        - a callable, such as a generator function, that returns all ``size`` bytes each time it is
        called, as a binary file or an iterable of pieces;
        - an iterable of pieces, ``size`` bytes in all. An iterator, such as a generator, can be
        read only once, so its bytes are kept in memory once they are read.
        """
        node = RegularFile(_content(path, content, size), **attributes_of(path, attributes))
        self._put(path, node, parents)
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
        node = Symlink(_target(path, target), **attributes_of(path, attributes))
        self._put(path, node, parents)
        return node

    @checked_if_it_fails
    def link(self, path: Path, existing: Path, *, parents: bool = False) -> Node:
        """Add a second name ``path`` for the file at ``existing``."""
        try:
            node = self[existing]
        except KeyError:
            shown = display_path(_shown(existing))
            raise TreeError(_shown(path), f"its link target {shown} is not in the tree") from None
        if isinstance(node, Directory):
            raise TreeError(_shown(path), "a directory cannot have a second name")
        return self.add(path, node, parents=parents)

    @checked_if_it_fails
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
            _argument(path, name, number, number_of)
            for name, number in (("major", major), ("minor", minor))
        ]
        node = make(*numbers, **attributes_of(path, attributes))
        self._put(path, node, parents)
        return node

    def fifo(
        self, path: Path, *, parents: bool = False, **attributes: Unpack[GivenAttributes]
    ) -> Fifo:
        """Add a named pipe (mode 644)."""
        attributes.setdefault("mode", 0o644)
        node = Fifo(**attributes_of(path, attributes))
        self._put(path, node, parents)
        return node

    def socket(
        self, path: Path, *, parents: bool = False, **attributes: Unpack[GivenAttributes]
    ) -> Socket:
        """Add a socket's name (mode 755)."""
        attributes.setdefault("mode", 0o755)
        node = Socket(**attributes_of(path, attributes))
        self._put(path, node, parents)
        return node

    @checked_if_it_fails
    def remove(self, path: Path) -> Node:
        """Remove the node at ``path`` and all below it; return it. Its other names remain."""
        parent, name = self._place(path)
        try:
            node = parent.children.pop(name)
        except KeyError:
            raise TreeError(_shown(path), "is not in the tree") from None
        from .losses import without_losses_below

        gone = b"/" + b"/".join(components(path))
        self.losses = without_losses_below(self.losses, {gone})
        return node

    @checked_if_it_fails
    def move(self, path: Path, to: Path) -> Node:
        """Rename the node at ``path`` to ``to``, which must not exist, and return it."""
        old, new = components(path), components(to)
        if new[: len(old)] == old:
            raise TreeError(
                _shown(to), f"is inside {display_path(_shown(path))}, which is to be moved there"
            )
        losses = [_moved(loss, old, new) for loss in self.losses]
        if path not in self:
            raise TreeError(_shown(path), "is not in the tree")
        node = self.add(to, self[path])
        self.remove(path)
        self.losses = losses
        return node

    @checked_if_it_fails
    def subtree(self, path: Path) -> Tree:
        """A copy of the directory at ``path`` as a separate tree, with the hard links within it.

        The copy has new nodes that share the contents. It includes the losses below ``path``.
        """
        from .composition import copy_of

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
        """A copy of the tree with new nodes; contents are shared."""
        return self.subtree("/")

    @checked_if_it_fails
    def overlay(
        self,
        other: Tree,
        at: Path = "/",
        *,
        copy: bool = True,
        keep_directory_symlink: bool = True,
        root_attributes: bool | None = None,
    ) -> Tree:
        """Lay ``other`` over this tree, with its root at ``at``; return this tree.

        Two directories at the same path merge: the result has the names of both and the attributes
        (mode, owner, times, extended attributes) of the later one. Any other node of ``other``
        replaces the one at its path, even a directory with all below it. Hard links within each of
        the two trees remain, unless replaced.

        An *implied* directory of ``other``, one that its source did not state, does not change the
        attributes of an existing directory. Missing parents of ``at`` become implied directories:
        mode 755, owner 0:0, time 0.

        If this tree has a symbolic link to a directory where ``other`` has a directory, the link is
        kept and the directory's entries go where the link leads inside this tree, as with ``tar
        --keep-directory-symlink``. With ``keep_directory_symlink=False`` that holds only for an
        implied directory; a stated one replaces the link. Links that are parents of ``at`` are
        followed, too.

        The root of ``other`` does not change the attributes of this tree's root if it is a
        directory of the host (``states_root`` is false), unless this tree is still empty.
        ``root_attributes`` overrides that, for ``at="/"``.

        The losses of both trees are kept, except those of replaced nodes. Replacing a node of
        another kind, such as a directory by a file, is itself a loss.

        ``other`` is unchanged. ``copy=False`` saves the time and memory of copying its nodes;
        ``other`` must then not be used afterwards.

        Raises :class:`TreeError` if ``at`` is below something that is not a directory.
        """
        if not isinstance(other, Tree):
            raise TreeError(_shown(at), f"{other!r:.80} is no Tree that could be laid there")
        from .composition import Overlay, copy_of  # late: most images have one source

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

    @checked_if_it_fails
    def apply_layer(self, layer: Tree) -> None:
        """Lay a layer of a container image over this tree; ``layer`` must not be used afterwards.

        Unlike :meth:`overlay`, this replaces links instead of following them, and that is not a
        loss.
        """
        if not isinstance(layer, Tree):
            raise TreeError(b"/", f"{layer!r:.80} is no Tree that could be laid there")
        from .composition import Overlay

        self._lay(Overlay(self.root, layer.root, is_layer=True), layer.losses, [])

    def _lay(self, overlay: Overlay, losses: list[Loss], at: list[bytes]) -> None:
        if self.losses:
            from .losses import ChangedLosses, LossIndex

            if self._index is None:
                self._index = LossIndex()
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
        """How many leading names of ``path`` exist, and the node of the last of them."""
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
        """The parent directory of ``path``, and its last name."""
        *parents, name = components(path) or [b""]
        check_name(name, path)
        parent: Node | None = self.root
        for component in parents:
            parent = parent.children.get(component) if isinstance(parent, Directory) else None
        if not isinstance(parent, Directory):
            raise TreeError(
                _shown(path), "its parent is not a directory in the tree; add the parent first"
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
    """The names in ``path`` without empty ones, so leading and double slashes are ignored."""
    return [name for name in _to_bytes(path).split(b"/") if name]


def check_name(name: bytes, path: Path) -> None:
    """Raise :class:`TreeError` for ``path`` if a directory cannot have an entry ``name``."""
    if name in (b"", b".", b".."):
        raise TreeError(_shown(path), f"{name.decode()!r} cannot be the name of an entry")
    if len(name) > NAME_MAX:
        raise TreeError(_shown(path), f"its name has {len(name)} bytes; the maximum is {NAME_MAX}")
    if b"/" in name or b"\0" in name:
        raise TreeError(_shown(path), "a name cannot hold a slash or a NUL byte")


def _moved(loss: Loss, old: list[bytes], new: list[bytes]) -> Loss:
    """``loss`` after its node has moved from ``old`` to ``new``."""
    names = components(loss.path)
    if names[: len(old)] != old:
        return loss
    return Loss(b"/" + b"/".join(new + names[len(old) :]), loss.what, loss.code)


def attributes_of(path: Path, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """``given`` as the attributes of a node; raises :class:`TreeError` for an invalid value."""
    for name, value in given.items():
        if type(value) is not int or name not in INT_ATTRIBUTES:
            break
    else:  # the usual case: nothing needs converting
        return given
    converted: dict[str, Any] = {}
    for name, value in given.items():
        row = ATTRIBUTES.get(name)
        if row is None:
            from .wrong_calls import meant

            known = (*ATTRIBUTES, "parents", "size")
            raise TreeError(_shown(path), f"{name}: is no attribute; {meant(name, known)}")
        is_none = value is None and row.may_be_none
        converted[name] = None if is_none else _argument(path, name, value, row.convert)
    return converted


def _argument(path: Path, name: str, value: Any, convert: Callable[[Any], Converted]) -> Converted:
    try:
        return convert(value)
    except ValueError as error:
        raise TreeError(_shown(path), f"{name}: {error}") from None


def _of_parents(node: Node) -> dict[str, Any]:
    """The attributes of the parents that are created for ``node``."""
    names = (row.name for row in ATTRIBUTES.values() if row.for_parents)
    return {name: getattr(node, name) for name in names}


def _content(
    path: Path,
    content: GivenContent,
    size: int | None,
) -> Content:
    if type(content) is bytes and size is None:  # the most common case
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
        except (SourceError, SpecError) as error:
            shown = display_path(content if len(content) <= 40 else content[:40] + "...")
            raise TreeError(
                _shown(path),
                f"its content '{shown}' is no file of this host ({error.problem}); a str is the "
                "path of a file, not its content: give bytes, such as text.encode()",
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
        raise TreeError(_shown(path), f"content from {what} needs size=, its exact size in bytes")
    from .streamed import CallableContent, IteratorContent  # late: most content is a file or bytes

    if isinstance(content, Iterator):
        return IteratorContent(content, size, _to_bytes(path))
    opener = content if callable(content) else content.__iter__
    return CallableContent(opener, size, _to_bytes(path))


def _to_bytes(path: Path) -> bytes:
    if isinstance(path, bytes):
        return path
    if isinstance(path, str):
        try:
            return path.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise TreeError(path, UNPAIRED_SURROGATE) from None
    if isinstance(path, os.PathLike):
        # For Windows paths, only as_posix() returns a path without backslashes.
        as_posix: Callable[[], str] = getattr(path, "as_posix", path.__fspath__)
        return _to_bytes(as_posix())
    raise TreeError(repr(path), "is no path; give bytes, str or a PurePosixPath")


def _target(path: Path, target: Path) -> bytes:
    try:
        return _to_bytes(target)
    except TreeError as error:
        raise TreeError(_shown(path), f"its target {target!r:.80} {error.problem}") from None


def _shown(path: Path) -> bytes | str:
    """``path`` as errors show it."""
    return path if isinstance(path, bytes | str) else _to_bytes(path)


def check_tree(tree: object) -> None:
    """Raise :class:`SpecError` if ``tree`` is not a tree."""
    if not isinstance(tree, Tree):
        raise SpecError("tree", f"is a {type(tree).__name__}, not a Tree")
