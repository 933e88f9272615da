"""One member of an archive, as described by its headers."""

from __future__ import annotations

from ...content import Content
from ...late_dataclasses import dataclass
from ...tree import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    BlockDevice,
    CharacterDevice,
    Device,
    Directory,
    Fifo,
    Node,
    RegularFile,
    Symlink,
    Xattrs,
)

HARD_LINK = 0
"""The ``kind`` of a member that is a hard link."""


@dataclass(slots=True)
class Member:
    """One member. A time is None if the archive has none or it was not requested."""

    path: bytes
    """Names separated by single slashes, without ``.`` and ``..``; empty for the root."""
    kind: int
    """The ``S_IFMT`` bits of a file, or ``HARD_LINK``."""
    mode: int
    """The twelve permission bits."""
    uid: int
    gid: int
    mtime_ns: int
    atime_ns: int | None = None
    ctime_ns: int | None = None
    crtime_ns: int | None = None
    xattrs: Xattrs | None = None
    flags: int = 0
    """Inode flags."""
    target: bytes = b""
    """The target of a symbolic link, unchanged, or of a hard link, in the form of ``path``."""
    major: int = 0
    minor: int = 0
    content: Content | None = None
    """The content of a regular file."""
    offset: int = 0
    """Byte offset of the header in the uncompressed archive."""

    def node(self) -> Node:
        """A node with these attributes and no children; not for a hard link."""
        kind = self.kind
        node: Node
        # Constructors would cost more than everything else here, so they are bypassed.
        if kind == S_IFREG:
            node = file = object.__new__(RegularFile)
            assert self.content is not None
            file.content = self.content
        elif kind == S_IFDIR:
            node = Directory()
        elif kind == S_IFLNK:
            node = link = object.__new__(Symlink)
            link.target = self.target
        elif kind == S_IFIFO:
            node = object.__new__(Fifo)
        else:
            device: Device = object.__new__(BlockDevice if kind == S_IFBLK else CharacterDevice)
            assert kind in (S_IFBLK, S_IFCHR)
            node = device
            device.major, device.minor = self.major, self.minor
        self.set_attributes(node)
        return node

    def set_attributes(self, node: Node) -> None:
        """Set the mode, owner, times and attributes of ``node`` to those of this member."""
        node.mode = self.mode
        node.uid = self.uid
        node.gid = self.gid
        node.mtime_ns = self.mtime_ns
        node.atime_ns = self.atime_ns
        node.ctime_ns = self.ctime_ns
        node.crtime_ns = self.crtime_ns
        node.xattrs = self.xattrs
        node.flags_and_project = self.flags
