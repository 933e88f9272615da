"""A tree of POSIX files as somebody wants them. No word of ext4 in here.

Names are bytes. Times are integers of nanoseconds since 1970. A hard link is one node that stands
under two names. ``Tree`` builds by hand; the sources build the same nodes faster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, ClassVar, Literal, TypedDict, Unpack

from .content import BytesContent, CallableContent, Content, PathContent
from .errors import TreeError

S_IFIFO = 0o010000
S_IFCHR = 0o020000
S_IFDIR = 0o040000
S_IFBLK = 0o060000
S_IFREG = 0o100000
S_IFLNK = 0o120000
S_IFSOCK = 0o140000

NAME_MAX = 255
SYMLINK_MAX = 4095

Path = bytes | str
Xattrs = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that an image does not keep exactly as its source had it."""

    path: bytes
    what: str


class Attributes(TypedDict, total=False):
    """The keywords that every method of :class:`Tree` that makes a node takes."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    atime_ns: int | None
    ctime_ns: int | None
    crtime_ns: int | None
    xattrs: Xattrs | None


class Node:
    """What every kind of file has.

    ``mode`` holds the twelve permission bits only; the kind is the class. A time of ``None`` means
    "as ``mtime_ns``". ``xattrs`` maps full names (``b"user.note"``) to values; access control lists
    have the form that the system call gives.
    """

    __slots__ = ("atime_ns", "crtime_ns", "ctime_ns", "gid", "mode", "mtime_ns", "uid", "xattrs")

    file_type: ClassVar[int] = 0
    """The ``S_IFMT`` bits of this kind."""

    def __init__(
        self,
        mode: int,
        uid: int = 0,
        gid: int = 0,
        mtime_ns: int = 0,
        atime_ns: int | None = None,
        ctime_ns: int | None = None,
        crtime_ns: int | None = None,
        xattrs: Xattrs | None = None,
    ) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.atime_ns = atime_ns
        self.ctime_ns = ctime_ns
        self.crtime_ns = crtime_ns
        self.xattrs = xattrs


class Directory(Node):
    """A directory; ``children`` maps one-component names to nodes, in any order."""

    __slots__ = ("children",)
    file_type = S_IFDIR

    def __init__(self, mode: int = 0o755, **attributes: Unpack[_Common]) -> None:
        super().__init__(mode, **attributes)
        self.children: dict[bytes, Node] = {}


class RegularFile(Node):
    """A regular file."""

    __slots__ = ("content",)
    file_type = S_IFREG

    def __init__(self, content: Content, mode: int = 0o644, **attributes: Unpack[_Common]) -> None:
        super().__init__(mode, **attributes)
        self.content = content


class Symlink(Node):
    """A symbolic link; ``target`` is kept byte for byte."""

    __slots__ = ("target",)
    file_type = S_IFLNK

    def __init__(self, target: bytes, mode: int = 0o777, **attributes: Unpack[_Common]) -> None:
        super().__init__(mode, **attributes)
        self.target = target


class Device(Node):
    """Base of the two device kinds."""

    __slots__ = ("major", "minor")

    def __init__(
        self, major: int, minor: int, mode: int = 0o600, **attributes: Unpack[_Common]
    ) -> None:
        super().__init__(mode, **attributes)
        self.major = major
        self.minor = minor


class CharacterDevice(Device):
    """A character device."""

    __slots__ = ()
    file_type = S_IFCHR


class BlockDevice(Device):
    """A block device."""

    __slots__ = ()
    file_type = S_IFBLK


class Fifo(Node):
    """A named pipe."""

    __slots__ = ()
    file_type = S_IFIFO


class Socket(Node):
    """A socket's name."""

    __slots__ = ()
    file_type = S_IFSOCK


class _Common(TypedDict, total=False):
    uid: int
    gid: int
    mtime_ns: int
    atime_ns: int | None
    ctime_ns: int | None
    crtime_ns: int | None
    xattrs: Xattrs | None


class Tree:
    """A root directory and what could not be taken over from the source.

    Paths given to the methods are absolute or relative to the root, bytes or str (UTF-8); parents
    must exist. Every method that makes a node returns it. ``TreeError`` is raised for a name that
    is taken, empty, ``.``, ``..`` or over 255 bytes, and for a parent that is no directory.
    """

    def __init__(self, root: Directory | None = None) -> None:
        self.root = Directory() if root is None else root
        self.losses: list[Loss] = []

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

    def add(self, path: Path, node: Node) -> Node:
        """Put ``node`` at ``path``. The same node at a second path is a hard link."""
        *parents, name = components(path) or [b""]
        check_name(name, path)
        parent: Node | None = self.root
        for component in parents:
            parent = parent.children.get(component) if isinstance(parent, Directory) else None
        if not isinstance(parent, Directory):
            raise TreeError(path, "its parent is not a directory of the tree; add that first")
        if name in parent.children:
            raise TreeError(path, "is in the tree already")
        parent.children[name] = node
        return node

    def directory(
        self, path: Path, *, parents: bool = False, **attributes: Unpack[Attributes]
    ) -> Directory:
        """Add a directory (mode 755); with ``parents`` also those missing above it, alike."""
        names = components(path)
        if parents:
            for depth in range(1, len(names)):
                above = b"/".join(names[:depth])
                if above not in self:
                    self.add(above, Directory(**attributes))
        node = Directory(**attributes)
        self.add(path, node)
        return node

    def file(
        self,
        path: Path,
        content: bytes | str | os.PathLike[str] | Callable[[], BinaryIO] | Content,
        *,
        size: int | None = None,
        **attributes: Unpack[Attributes],
    ) -> RegularFile:
        """Add a regular file (mode 644).

        ``content`` is the bytes themselves, the path of a file on the host as ``str`` or
        ``PathLike``, a callable that opens a binary file of ``size`` bytes each time it is called,
        or a :class:`~ext4writer.content.Content`.
        """
        node = RegularFile(_content(path, content, size), **attributes)
        self.add(path, node)
        return node

    def symlink(self, path: Path, target: Path, **attributes: Unpack[Attributes]) -> Symlink:
        """Add a symbolic link to ``target`` (mode 777)."""
        node = Symlink(_to_bytes(target), **attributes)
        self.add(path, node)
        return node

    def link(self, path: Path, existing: Path) -> Node:
        """Add a second name ``path`` for the file that stands at ``existing``."""
        try:
            node = self[existing]
        except KeyError:
            raise TreeError(path, f"its link target {existing!r} is not in the tree") from None
        if isinstance(node, Directory):
            raise TreeError(path, "a directory cannot have a second name")
        return self.add(path, node)

    def device(
        self,
        path: Path,
        kind: Literal["c", "b"],
        major: int,
        minor: int,
        **attributes: Unpack[Attributes],
    ) -> Device:
        """Add a character (``"c"``) or block (``"b"``) device (mode 600)."""
        if kind not in ("c", "b"):
            raise TreeError(path, f"device kind {kind!r} is neither 'c' nor 'b'")
        make = CharacterDevice if kind == "c" else BlockDevice
        node = make(major, minor, **attributes)
        self.add(path, node)
        return node

    def fifo(self, path: Path, **attributes: Unpack[Attributes]) -> Fifo:
        """Add a named pipe (mode 644)."""
        attributes.setdefault("mode", 0o644)
        node = Fifo(**attributes)
        self.add(path, node)
        return node

    def socket(self, path: Path, **attributes: Unpack[Attributes]) -> Socket:
        """Add a socket's name (mode 755)."""
        attributes.setdefault("mode", 0o755)
        node = Socket(**attributes)
        self.add(path, node)
        return node

    def walk(self) -> Iterator[tuple[bytes, Node]]:
        """Yield (absolute path, node) for each name, parents first, names sorted as bytes."""
        yield b"/", self.root
        stack = [(b"/", self.root)]
        while stack:
            prefix, directory = stack.pop()
            below = []
            for name in sorted(directory.children):
                node = directory.children[name]
                yield prefix + name, node
                if isinstance(node, Directory):
                    below.append((prefix + name + b"/", node))
            stack.extend(reversed(below))


def components(path: Path) -> list[bytes]:
    """The names of ``path`` without empty ones, so that leading and double slashes do not count."""
    return [name for name in _to_bytes(path).split(b"/") if name]


def check_name(name: bytes, path: Path) -> None:
    """Raise :class:`TreeError` if ``name`` cannot stand in a directory; ``path`` is where."""
    if name in (b"", b".", b".."):
        raise TreeError(path, f"{name.decode()!r} cannot be the name of an entry")
    if len(name) > NAME_MAX:
        raise TreeError(path, f"its name has {len(name)} bytes; {NAME_MAX} is the most")
    if b"/" in name or b"\0" in name:
        raise TreeError(path, "a name cannot hold a slash or a NUL byte")


def _content(
    path: Path,
    content: bytes | str | os.PathLike[str] | Callable[[], BinaryIO] | Content,
    size: int | None,
) -> Content:
    if isinstance(content, Content):
        return content
    if isinstance(content, bytes | bytearray | memoryview):
        return BytesContent(bytes(content))
    if isinstance(content, str | os.PathLike):
        return PathContent(content, size)
    if size is None:
        raise TreeError(path, "content from a callable needs size=, its exact count of bytes")
    return CallableContent(content, size, _to_bytes(path))


def _to_bytes(path: Path) -> bytes:
    return path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
