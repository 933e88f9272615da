"""Entries of the host's directories, as plain values that one process can send to another.

Listing a directory and creating its nodes are separate steps. The system calls take longer than
the processing of their results in Python, so several processes may list for the one that builds.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import tee
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any

from ..content import O_CLOEXEC, Stamp
from ..errors import SourceChangedError, SourceError
from ..late_dataclasses import NamedTuple
from ..tree import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK, Loss
from .host import HostDirectory, OpenFolders
from .host_xattrs import HostXattrs, XattrItems

if TYPE_CHECKING:
    from ..edit.globs import Match, Patterns
    from .host_flags import HostFlags
    from .mounts import Mounts

BATCH_ENTRIES = 1024
"""Number of entries sent at a time."""
TASK_ENTRIES = 1024
"""About how many entries one task lists: some 10 ms of work."""
PART_NAMES = 2048
"""A directory with more names is listed in parts of this size, shared by several processes."""

Times = tuple[int, int, int | None]
"""Access, change and birth time in nanoseconds."""

Entry = tuple[
    bytes,  # name
    int,  # st_mode
    int,  # st_uid
    int,  # st_gid
    int,  # st_mtime_ns
    Any,  # size in bytes, link target, st_rdev, or for a directory whether to descend
    "tuple[int, int] | None",  # st_dev and st_ino of a file with hard links
    "XattrItems | None",
    "Times | None",
    "Stamp | None",  # of a regular file
    int,  # inode flags in the low 32 bits, the project above them
]
"""One directory entry. A plain tuple, because there may be hundreds of thousands."""


Seen = tuple[bytes, bytes, os.stat_result]
"""Name, path for system calls, and status."""
_NAME, _PATH = attrgetter("name"), attrgetter("path")
_STATUS = methodcaller("stat", follow_symlinks=False)


class Folder(NamedTuple):
    """A directory to be listed, or a part of it."""

    path: bytes
    """Path in the tree, with a final slash."""
    host: HostDirectory
    names: list[bytes] | None = None
    """The names to list; None for all."""


class Listing(NamedTuple):
    """The entries of a directory, or some of them."""

    path: bytes
    """Path in the tree, with a final slash."""
    entries: list[Entry]
    is_last: bool
    """Whether this completes the directory, or the requested part of it."""


class Listings(NamedTuple):
    """The entries of some directories; a large directory is split over several objects."""

    folders: list[Listing]
    losses: list[Loss]
    left: list[tuple[bytes, list[bytes] | None]]
    """Path and names (None for all) of each directory that is still to be listed."""
    parts: list[tuple[bytes, list[bytes]]]
    """Path and names of each newly found part of a large directory, still to be listed."""
    excluded: list[tuple[bytes, bytes]]
    """Path and name of each entry that a callable ``exclude`` left out in another process."""

    def __reduce__(self) -> tuple[object, ...]:
        # There may be many directories, and plain tuples are pickled faster.
        return _sent, (list(map(tuple, self.folders)), *self[1:])


def _sent(folders: Iterable[tuple[Any, ...]], *others: Any) -> Listings:
    return Listings(list(map(Listing._make, folders)), *others)


class ScanRule(NamedTuple):
    """Which entries of a directory are kept; see :func:`ext4writer.sources.directory`."""

    xattrs: bool
    inode_flags: bool
    keep_times: bool
    hard_links: bool
    exclude: Patterns
    one_file_system: bool
    skip: Callable[[os.stat_result], bool] | None


class Lister:
    """Lists directories of a tree whose root is on ``device``."""

    def __init__(self, rule: ScanRule, device: int, *, shared: bool = True) -> None:
        """``shared`` leaves parts of large directories to other processes."""
        self._rule = rule
        self._part_names = PART_NAMES if shared else 0
        self._device = device
        self._excluded = _matcher(rule.exclude)
        self._losses: list[Loss] = []
        self._parts: list[tuple[bytes, list[bytes]]] = []
        self._xattrs: HostXattrs | None = None
        self._home: int | None = None
        self._folders = OpenFolders()
        self._mounts: Mounts | None = None
        self._recorded: list[tuple[bytes, bytes]] | None = None
        if rule.xattrs and hasattr(os, "listxattr"):
            self._xattrs = HostXattrs(self._losses)
        self._flags = _flag_reader(self._losses) if rule.inode_flags else None

    def __reduce__(self) -> tuple[object, ...]:
        return Lister, (self._rule, self._device)

    def begin(self) -> None:
        """Prepare another process for listing.

        It will change into each directory, since the kernel resolves short paths faster. It also
        records what a callable ``exclude`` leaves out, for a function that counts its calls.
        """
        if callable(self._rule.exclude):
            self._recorded = []
        if hasattr(os, "O_PATH"):
            with suppress(OSError):
                self._home = os.open(".", os.O_PATH | O_CLOEXEC)

    def do(self, folders: Sequence[Folder]) -> Iterator[Listings]:
        """List ``folders`` and their subdirectories, up to about ``TASK_ENTRIES`` entries.

        Raises :class:`SourceError` and :class:`SourceChangedError`.
        """
        return self.list_about(TASK_ENTRIES, folders)

    def list_about(self, entries: int, folders: Sequence[Folder]) -> Iterator[Listings]:
        """Like :meth:`do`, up to about ``entries`` entries."""
        found: list[Listing] = []
        total = held = 0
        pending = list(folders)
        while pending and total < entries:
            following = pending.pop()
            for listing in self._list(following):
                pending += subfolders(listing, following.host)
                found.append(listing)
                total += len(listing.entries)
                held += len(listing.entries)
                if held >= BATCH_ENTRIES:
                    yield self._listings(found, [])
                    found, held = [], 0
            total += 1
        yield self._listings(found, pending)

    def _listings(self, found: list[Listing], left: Sequence[Folder]) -> Listings:
        recorded = self._recorded or []
        named = [(folder.path, folder.names) for folder in left]
        listings = Listings(found, self._losses.copy(), named, self._parts.copy(), recorded.copy())
        for kept in (self._losses, self._parts, recorded):
            kept.clear()
        return listings

    def finish(self) -> None:
        """Change back to the initial directory, and close all directories."""
        if self._home is not None:
            os.fchdir(self._home)
            os.close(self._home)
            self._home = None
        self.close()

    def close(self) -> None:
        """Close all directories."""
        self._folders.close()

    def _list(self, folder: Folder) -> Iterator[Listing]:
        """List one directory, or part of it."""
        path, host, names = folder
        fd = None
        place = host.path or b"/"
        try:
            if host.anchor is None:
                place = self._way_to(host)
                if names is not None:
                    yield from self._entries(self._named(names, place, path), path)
                    return
                with os.scandir(place) as entries:
                    listed = entries if self._part_names else _sorted(entries)
                    seen = self._seen(listed, path)
                    yield from self._entries(seen, path, self._part_names, entries)
                    return
            fd = self._folders.open(host)
            with os.scandir(fd) as found:
                yield from self._entries(self._seen(_below(fd, found), path), path)
        except OSError as error:
            name = error.filename if isinstance(error.filename, str | bytes) else b""
            if place == b".":
                name = os.fsencode(name).removeprefix(b".").lstrip(b"/")
            where = os.path.join(host.full_path(), os.fsencode(name)).rstrip(b"/")
            if isinstance(error, FileNotFoundError):
                raise SourceChangedError(where, "vanished during the scan; try again") from error
            raise SourceError(where, f"cannot be read: {error.strerror}") from error
        finally:
            if fd is not None:
                os.close(fd)

    def _way_to(self, host: HostDirectory) -> bytes:
        """A path of ``host``: ``.`` after changing into it, if this process may do so."""
        if self._home is None:
            return host.path or b"/"
        os.fchdir(self._folders.fd_of(host))
        return b"."

    def _named(self, names: list[bytes], place: bytes, prefix: bytes) -> Iterator[Seen]:
        """The entries ``names`` of the directory at ``place``, without an object for each."""
        # Sorting here is cheaper than later, and this is the order of use.
        names = sorted(names)
        if self._excluded is not None:
            names = [name for name in names if not self._excludes(prefix, name)]
        above = place if place.endswith(b"/") else place + b"/"
        paths = [above + name for name in names]
        return zip(names, paths, map(os.lstat, paths), strict=True)

    def _seen(
        self, entries: Iterator[os.DirEntry[bytes] | _EntryBelow], prefix: bytes
    ) -> Iterator[Seen]:
        """Return the ``entries`` that are not excluded; each is read only when it is needed."""
        if self._excluded is not None:
            entries = (entry for entry in entries if not self._excludes(prefix, entry.name))
        names, paths, statuses = tee(entries, 3)  # no function of ours is called for each
        return zip(map(_NAME, names), map(_PATH, paths), map(_STATUS, statuses), strict=True)

    def _excludes(self, prefix: bytes, name: bytes) -> bool:
        assert self._excluded is not None
        if not self._excluded(prefix[1:] + name, name):
            return False
        if self._recorded is not None:
            self._recorded.append((prefix[1:] + name, name))
        return True

    def _entries(
        self,
        seen: Iterator[Seen],
        prefix: bytes,
        most: int = 0,
        unseen: Iterator[os.DirEntry[bytes]] | None = None,
    ) -> Iterator[Listing]:
        """The hot loop of a scan.

        Names still ``unseen`` after the first ``most`` entries become parts, unless it is 0.
        """
        rule, own_device, xattrs = self._rule, self._device, self._xattrs
        skip, hard_links, keep_times = rule.skip, rule.hard_links, rule.keep_times
        inode_flags = self._flags
        found: list[Entry] = []
        value: object
        times = items = None
        flags = 0
        for name, path, status in seen:
            mode, ino, device, links, uid, gid, size, _, _, _ = status
            mtime = status.st_mtime_ns
            kind = mode & 0o170000
            stamp = None
            if kind == S_IFREG:
                if skip is not None and skip(status):
                    self._losses.append(
                        Loss(prefix + name, "was left out as requested", "left-out")
                    )
                    continue
                value = size
                # stamp_of, inlined for speed.
                stamp = status.st_ctime_ns + mtime + ino
            elif kind == S_IFDIR:
                value = device == own_device
                if not value and not rule.one_file_system:
                    self._check_mount(device, path, prefix + name)
                    value = True
            elif kind == S_IFLNK:
                value = os.readlink(path)
            elif kind in OTHER_KINDS:
                value = status.st_rdev
            else:
                self._losses.append(
                    Loss(prefix + name, "is of an unknown kind; left out", "left-out")
                )
                continue
            if xattrs is not None:
                items = None
                try:
                    names = os.listxattr(path, follow_symlinks=False)
                except OSError as error:
                    xattrs.cannot_list(error, prefix + name)
                else:
                    if names:
                        items = xattrs.values(path, names, prefix + name)
            if inode_flags is not None:
                flags = inode_flags.read(path, kind, prefix + name)
            if keep_times:
                times = times_of(status)
            found.append(
                (
                    name,
                    mode,
                    uid,
                    gid,
                    mtime,
                    value,
                    (device, ino) if links > 1 and hard_links and kind != S_IFDIR else None,
                    items,
                    times,
                    stamp,
                    flags,
                )
            )
            if len(found) == BATCH_ENTRIES:
                if most == BATCH_ENTRIES and unseen is not None:
                    self._leave_parts(prefix, [entry.name for entry in unseen])
                most -= BATCH_ENTRIES
                yield Listing(prefix, found, False)
                found = []
        yield Listing(prefix, found, True)

    def _check_mount(self, device: int, place: bytes, path: bytes) -> None:
        if self._mounts is None:
            from .mounts import Mounts

            self._mounts = Mounts()
        self._mounts.check(device, place, path)

    def _leave_parts(self, path: bytes, names: list[bytes]) -> None:
        """Leave the remaining names of a large directory to any idle process."""
        self._parts += (
            (path, names[first : first + PART_NAMES]) for first in range(0, len(names), PART_NAMES)
        )


def _matcher(patterns: Patterns) -> Match | None:
    if patterns == ():
        return None
    from ..edit.globs import matcher  # late: most callers exclude nothing

    return matcher(patterns)


def _flag_reader(losses: list[Loss]) -> HostFlags:
    from .host_flags import HostFlags

    return HostFlags(losses)


OTHER_KINDS = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK}


def subfolders(listing: Listing, host: HostDirectory) -> list[Folder]:
    """The subdirectories in ``listing`` (of the directory ``host``) that must be listed."""
    return [
        Folder(listing.path + entry[0] + b"/", host.child(entry[0]))
        for entry in listing.entries
        if stat.S_ISDIR(entry[1]) and entry[5]
    ]


def times_of(status: os.stat_result) -> Times:
    """Access, change and, where Python provides it, birth time in nanoseconds."""
    return status.st_atime_ns, status.st_ctime_ns, getattr(status, "st_birthtime_ns", None)


def _sorted(entries: Iterator[os.DirEntry[bytes]]) -> Iterator[os.DirEntry[bytes]]:
    """``entries`` sorted by name, the order of use; each is freed after use."""
    left: list[Any] = sorted(entries, key=attrgetter("name"), reverse=True)
    left.insert(0, None)
    return iter(left.pop, None)


class _EntryBelow:
    """The part of ``os.DirEntry`` that the scan needs, for a path too long for the system."""

    __slots__ = ("_entry", "name", "path")

    def __init__(self, entry: os.DirEntry[str], folder_fd: int) -> None:
        self._entry = entry
        self.name = os.fsencode(entry.name)
        # A path in /proc, because listxattr cannot be relative to a descriptor.
        self.path = b"/proc/self/fd/%d/%b" % (folder_fd, self.name)

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        return self._entry.stat(follow_symlinks=follow_symlinks)


def _below(folder_fd: int, entries: Iterable[os.DirEntry[str]]) -> Iterator[_EntryBelow]:
    for entry in entries:
        yield _EntryBelow(entry, folder_fd)
