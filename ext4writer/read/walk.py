"""Looks up a path, and walks over all paths below a directory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..errors import DamageError, NotFoundError
from ..ondisk.dirent import DIR_ENTRY_2
from ..ondisk.inode import EXT4_ENCRYPT_FL
from .directories import Entry, entries, find

if TYPE_CHECKING:
    from .image import Image
    from .inodes import Inode

# include/linux/namei.h:MAXSYMLINKS
LINKS_MAX = 40
_BY_NUMBER = re.compile(rb"<([0-9]{1,10})>")


def lookup(image: Image, path: bytes | str, *, follow: bool = True) -> Inode:
    """Return the inode at ``path``; see :meth:`.image.Image.lookup`."""
    wanted = path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
    by_number = _BY_NUMBER.fullmatch(wanted)
    if by_number is not None:
        number = int(by_number[1])
        if not 1 <= number <= image.inodes_count:
            raise NotFoundError(wanted, f"is no inode; there are 1 to {image.inodes_count}")
        return image.inode(number)
    stack = [image.root]
    left = [part for part in reversed(wanted.split(b"/")) if part not in (b"", b".")]
    links = 0
    while left:
        name = left.pop()
        here = stack[-1]
        if name == b"..":
            stack = stack[:-1] or stack
            continue
        if not here.is_directory:
            raise NotFoundError(wanted, f"{name!r} is looked up in a {here.kind}")
        entry = find(here, name)
        if entry is None:
            raise NotFoundError(wanted, "no such file or directory")
        inode = image.inode(entry.ino)
        if inode.is_symlink and (left or follow) and not inode.flags & EXT4_ENCRYPT_FL:
            links += 1
            if links > LINKS_MAX:
                raise NotFoundError(wanted, "too many levels of symbolic links")
            target = inode.target()
            if target.startswith(b"/"):
                stack = stack[:1]
            left += [part for part in reversed(target.split(b"/")) if part not in (b"", b".")]
            continue
        stack.append(inode)
    return stack[-1]


class Found:
    """A name that :func:`walk` found, and its inode; ``depth`` is 1 in the first directory."""

    __slots__ = ("depth", "entry", "inode", "parent")

    def __init__(self, parent: Found | None, entry: Entry, inode: Inode, depth: int) -> None:
        self.parent = parent
        self.entry = entry
        self.inode = inode
        self.depth = depth

    @property
    def name(self) -> bytes:
        return self.entry.name

    @property
    def path(self) -> bytes:
        """The path from the directory where the walk began, with a slash before every name."""
        names = []
        here: Found | None = self
        while here is not None:
            names.append(here.entry.name)
            here = here.parent
        names.append(b"")
        return b"/".join(reversed(names))

    @property
    def is_path(self) -> bool:
        """Whether the name can be part of a path; an encrypted name may not."""
        name = self.entry.name
        return b"/" not in name and b"\0" not in name

    def __repr__(self) -> str:
        return f"<Found {self.path!r}, {self.inode!r}>"


def walk(
    image: Image,
    top: Inode | None = None,
    *,
    descend: Callable[[Found], bool] | None = None,
) -> Iterator[Found]:
    """Yield everything below ``top``, a directory before its entries.

    Entries are yielded in stored order, without ``.`` and ``..``. Encrypted names are those that
    are stored, and may hold bytes that no path can: see :attr:`Found.is_path`. A file with several
    names is yielded under each name. A directory is yielded once; a second entry for it is reported
    as damage, and so are names that no path can hold. ``descend`` decides whether to enter a
    directory.
    """
    start = image.root if top is None else top
    seen = {start.ino}
    stack: list[Iterator[Found]] = [_children(image, start, None, 1)]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        if found.inode.is_directory:
            if found.inode.ino in seen:
                text = f"is {found.inode.ino}, a directory that already has a name"
                _wrong(image, found.entry, "inode", text)
                continue
            seen.add(found.inode.ino)
        yield found
        if found.inode.is_directory and (descend is None or descend(found)):
            stack.append(_children(image, found.inode, found, found.depth + 1))


def _children(image: Image, directory: Inode, parent: Found | None, depth: int) -> Iterator[Found]:
    for position, entry in enumerate(entries(directory)):
        name = entry.name
        if name in (b".", b".."):
            if position > 1:
                _wrong(image, entry, "name_len", f"is of a second {name.decode()}")
            continue
        if (b"/" in name or b"\0" in name) and not directory.flags & EXT4_ENCRYPT_FL:
            _wrong(image, entry, "name_len", f"is that of {name!r}, which no path can hold")
            continue
        inode = image.try_inode(entry.ino)
        if inode is None:
            continue
        inode.check()
        if not inode.mode or not inode.links:
            _wrong(image, entry, "inode", f"is {entry.ino}, which is not in use")
            continue
        yield Found(parent, entry, inode, depth)


def _wrong(image: Image, entry: Entry, field: str, problem: str) -> None:
    offset = entry.offset + DIR_ENTRY_2.offset(field)
    image.damage(DamageError(DIR_ENTRY_2.name, field, offset, problem))
