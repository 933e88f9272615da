"""The kinds of POSIX files that make up a tree. Nothing here depends on ext4.

Names are bytes. Times are integers of nanoseconds since 1970. A hard link is one node with several
names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Never, NoReturn, TypedDict, Unpack

from .arguments import id_of
from .attributes import ATTRIBUTES
from .bits import high_32, joined_32, low_32
from .checked import check_fields, checked_if_it_fails, converted_argument, refuse_unknown
from .content import Content
from .errors import LINE_MOST, SpecError, counted, one_line
from .inode_flags import flag_names, flags_of
from .late_dataclasses import dataclass, field

S_IFIFO = 0o010000
S_IFCHR = 0o020000
S_IFDIR = 0o040000
S_IFBLK = 0o060000
S_IFREG = 0o100000
S_IFLNK = 0o120000
S_IFSOCK = 0o140000
S_IFMT = 0o170000
"""The bits of a mode that hold the file type."""


def if_to_dt(mode: int) -> int:
    """The ``d_type`` of readdir(3) for a mode: a number below 16."""
    # glibc, dirent.h: IFTODT
    return (mode & S_IFMT) >> 12


DT_DIR, DT_REG, DT_LNK = map(if_to_dt, (S_IFDIR, S_IFREG, S_IFLNK))
IS_REGULAR = bytes(code == DT_REG for code in range(256))
"""A table for ``bytes.translate`` on a column of ``d_type``: 1 for regular files."""
IS_OTHER = bytes(code not in (DT_REG, DT_DIR) for code in range(256))
"""The same kind of table: 1 for all but regular files and directories."""

NAME_MAX = 255
SYMLINK_MAX = 4095

Path = bytes | str | os.PathLike[str]
"""A path in the tree; a str is encoded as UTF-8, and a ``PurePosixPath`` is accepted too."""
Xattrs = Mapping[bytes, bytes]
GivenXattrs = Mapping[bytes, bytes | str] | Mapping[str, bytes | str]


_NOT_NUMBERS = ("mode", "xattrs", "flags")


LossCode = Literal[
    "archive-rest-unread",
    "archive-unterminated",
    "attributes-not-taken",
    "case-hack",
    "content-elsewhere",
    "growth-not-reserved",
    "header-unknown",
    "id-unmapped",
    "journal-left-out",
    "kind-unknown",
    "label-shared",
    "left-out",
    "links-unknown",
    "other",
    "policy-unused",
    "recovery-left-out",
    "replaced",
    "saved-image",
    "time-changed",
    "time-left-out",
    "unmatched",
    "unregistered",
    "xattr-left-out",
]
"""The kind of a loss; docs/report.md explains each."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that an image does not keep exactly as its source had it."""

    _refuse_unknown = refuse_unknown

    path: bytes
    what: str
    """A line for people; the wording may change."""
    code: LossCode = field(default="other", compare=False)
    """A code for programs; releases may add codes, but never change one."""

    def __post_init__(self) -> None:
        if type(self.what) is not str or type(self.path) is not bytes:
            check_fields(self)
        if not self.what.isprintable() or len(self.what) > LINE_MOST:
            object.__setattr__(self, "what", one_line(self.what))


class Attributes(TypedDict, total=False):
    """The attributes of a node."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    atime_ns: int | None
    ctime_ns: int | None
    crtime_ns: int | None
    xattrs: Xattrs | None
    flags: int
    project: int


class GivenAttributes(TypedDict, total=False):
    """Keywords of every method of :class:`Tree` that creates a node.

    ``mode`` holds the twelve permission bits; a str is octal, as for chmod(1). Times are
    nanoseconds since 1970. In ``xattrs``, names and values given as str are encoded as UTF-8.
    ``flags`` given as str are names or letters of chattr(1), such as ``"immutable,nodump"``.
    """

    mode: int | str
    uid: int | str
    gid: int | str
    mtime_ns: float
    atime_ns: float | None
    ctime_ns: float | None
    crtime_ns: float | None
    xattrs: GivenXattrs | None
    flags: int | str
    project: int | str


class Node:
    """The attributes that every kind of file has.

    ``mode`` holds only the twelve permission bits; the class states the kind. A time of ``None``
    means "as ``mtime_ns``". ``xattrs`` maps full names (``b"user.note"``) to values; access control
    lists have the format of the system calls. ``flags`` are the inode flags that chattr(1) sets, as
    bits of ``FS_IOC_GETFLAGS`` (see :mod:`ext4writer.inode_flags`); ``project`` is the project ID
    for quotas, 0 for none.
    """

    __slots__ = (
        *("atime_ns", "crtime_ns", "ctime_ns", "flags_and_project", "gid", "mode", "mtime_ns"),
        *("uid", "xattrs"),
    )

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
        flags: int = 0,
        project: int = 0,
        **unknown: Never,
    ) -> None:
        if unknown:
            _refuse_unknown(type(self), unknown)
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.atime_ns = atime_ns
        self.ctime_ns = ctime_ns
        self.crtime_ns = crtime_ns
        self.xattrs = xattrs
        self.flags_and_project = 0
        """Flags in the lower 32 bits, the project above them. Hardly any file has either, so both
        share one slot of a node, and one comparison shows that it has neither."""
        if flags:
            self.flags = flags
        if project:
            self.project = project

    @property
    def flags(self) -> int:
        """Inode flags, as bits of ``FS_IOC_GETFLAGS``."""
        return low_32(self.flags_and_project)

    @flags.setter
    def flags(self, flags: int) -> None:
        converted = self._converted("flags", flags, flags_of)
        self.flags_and_project = joined_32(converted, self.project)

    @property
    def project(self) -> int:
        """The project ID for quotas; 0 is none."""
        return high_32(self.flags_and_project)

    @project.setter
    def project(self, project: int) -> None:
        converted = self._converted("project", project, id_of)
        self.flags_and_project = joined_32(self.flags, converted)

    def _converted(self, name: str, given: object, convert: Callable[[Any], int]) -> int:
        try:
            return converted_argument(name, given, convert)
        except SpecError as error:
            try:
                shown = repr(self)
            except AttributeError:  # the constructor has not set all attributes yet
                shown = f"a {type(self).__name__}"
            raise SpecError(name, f"{error.problem}; 0 is none, in {shown}") from None

    def __repr__(self) -> str:
        shown = [
            *self._shown(),
            f"mode=0o{self.mode:o}" if isinstance(self.mode, int) else "mode=?",
        ]
        numbers = (name for name in ATTRIBUTES if name not in _NOT_NUMBERS)
        shown += [f"{name}={getattr(self, name)!r}" for name in numbers if getattr(self, name)]
        if self.flags:
            shown.append(f"flags={flag_names(self.flags)}")
        if self.xattrs:
            shown.append(f"xattrs={dict(self.xattrs)!r:.200}")
        return f"<{type(self).__name__} {' '.join(shown)}>"

    def _shown(self) -> Iterator[str]:
        """The further attributes of one kind, for ``repr``."""
        yield from ()


class Directory(Node):
    """A directory; ``children`` maps one-component names to nodes, in any order.

    An ``implied`` directory exists only because something is below it; its source does not state
    it. When trees are laid over each other, its attributes count only if no other tree states the
    directory.
    """

    __slots__ = ("children", "implied")
    file_type = S_IFDIR

    def __init__(
        self, mode: int = 0o755, *, implied: bool = False, **attributes: Unpack[_Common]
    ) -> None:
        super().__init__(mode, **attributes)
        self.children: dict[bytes, Node] = {}
        self.implied = implied

    def _shown(self) -> Iterator[str]:
        yield counted(len(self.children), "name", "names")
        if self.implied:
            yield "implied"


class RegularFile(Node):
    """A regular file."""

    __slots__ = ("content",)
    file_type = S_IFREG

    def __init__(self, content: Content, mode: int = 0o644, **attributes: Unpack[_Common]) -> None:
        super().__init__(mode, **attributes)
        self.content = content

    def _shown(self) -> Iterator[str]:
        yield counted(getattr(self.content, "size", "?"), "byte", "bytes")


class Symlink(Node):
    """A symbolic link; ``target`` is stored byte for byte."""

    __slots__ = ("target",)
    file_type = S_IFLNK

    def __init__(self, target: bytes, mode: int = 0o777, **attributes: Unpack[_Common]) -> None:
        super().__init__(mode, **attributes)
        self.target = target

    def _shown(self) -> Iterator[str]:
        yield f"to {self.target!r}"


class Device(Node):
    """Base of the two device kinds."""

    __slots__ = ("major", "minor")

    def __init__(
        self, major: int, minor: int, mode: int = 0o600, **attributes: Unpack[_Common]
    ) -> None:
        super().__init__(mode, **attributes)
        self.major = major
        self.minor = minor

    def _shown(self) -> Iterator[str]:
        yield f"{self.major}:{self.minor}"


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
    if not TYPE_CHECKING:
        __init__ = checked_if_it_fails(Node.__init__)


class Socket(Node):
    """A socket's name."""

    __slots__ = ()
    file_type = S_IFSOCK
    if not TYPE_CHECKING:
        __init__ = checked_if_it_fails(Node.__init__)


def _refuse_unknown(kind: type[Node], names: Iterable[str]) -> NoReturn:
    """Raise :class:`SpecError` for the first of ``names``, none of which is an attribute."""
    from .wrong_calls import meant

    name = next(iter(names))
    raise SpecError(name, f"is no argument of {kind.__name__}(); {meant(name, ATTRIBUTES)}")


class _Common(TypedDict, total=False):
    uid: int
    gid: int
    mtime_ns: int
    atime_ns: int | None
    ctime_ns: int | None
    crtime_ns: int | None
    xattrs: Xattrs | None
    flags: int
    project: int
