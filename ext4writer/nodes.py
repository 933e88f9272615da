"""The kinds of POSIX files as somebody wants them. No word of ext4 in here.

Names are bytes. Times are integers of nanoseconds since 1970. A hard link is one node that stands
under two names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypedDict, Unpack

from .content import Content

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
    """A directory; ``children`` maps one-component names to nodes, in any order.

    One that is ``implied`` stands there because something stands below it, not because its source
    said so: where trees are laid over each other its attributes count only if nobody states others.
    """

    __slots__ = ("children", "implied")
    file_type = S_IFDIR

    def __init__(
        self, mode: int = 0o755, *, implied: bool = False, **attributes: Unpack[_Common]
    ) -> None:
        super().__init__(mode, **attributes)
        self.children: dict[bytes, Node] = {}
        self.implied = implied


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
