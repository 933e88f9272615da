"""What stands in directories of the host, as plain values that another process can send.

A directory is listed in one place and its nodes are made in another: system calls take longer than
all that Python does with their answers, so several processes may list for one that builds.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import SourceChangedError, SourceError
from ..tree import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK, Loss
from .globs import Patterns, matcher
from .host import HostDirectory
from .host_xattrs import HostXattrs, XattrItems

BATCH_ENTRIES = 1024
"""What is handed over at a time."""
TASK_ENTRIES = 4096

Times = tuple[int, int, int | None]
"""Access, change and birth time in nanoseconds."""

Entry = tuple[
    bytes,  # name
    int,  # st_mode
    int,  # st_uid
    int,  # st_gid
    int,  # st_mtime_ns
    Any,  # size, target, st_rdev, or for a directory whether to descend
    "tuple[int, int] | None",  # st_dev and st_ino of what has more names
    "XattrItems | None",
    "Times | None",
]
"""One name. A plain tuple, because there are hundreds of thousands."""

Folder = tuple[bytes, HostDirectory]
"""Path in the tree, with a slash behind, and where it lies on the host."""


class Listing(NamedTuple):
    """What was found in a directory, or some of it."""

    path: bytes
    """In the tree, with a slash behind."""
    entries: list[Entry]
    is_last: bool
    """Whether the rest of the directory is in here."""


class Listings(NamedTuple):
    """The contents of some directories; what a large one holds comes in several of these."""

    folders: list[Listing]
    losses: list[Loss]
    left: list[bytes]
    """Paths of directories that were found, and are not listed by whoever found them."""


@dataclass(frozen=True)
class ScanRule:
    """What of a directory is taken over; see :func:`ext4writer.sources.directory`."""

    xattrs: bool
    keep_times: bool
    hard_links: bool
    exclude: Patterns
    one_file_system: bool
    skip: Callable[[os.stat_result], bool] | None


class Lister:
    """Lists directories of a tree whose root lies on ``device``."""

    def __init__(self, rule: ScanRule, device: int) -> None:
        self._rule = rule
        self._device = device
        self._excluded = matcher(rule.exclude)
        self._losses: list[Loss] = []
        self._xattrs: HostXattrs | None = None
        if rule.xattrs and hasattr(os, "listxattr"):
            self._xattrs = HostXattrs(self._losses)

    def do(self, folder: Folder) -> Iterator[Listings]:
        """List ``folder`` and what is below it, until it is some thousand entries.

        Raises :class:`SourceError` and :class:`SourceChangedError`.
        """
        found: list[Listing] = []
        total = held = 0
        pending = [folder]
        while pending and total < TASK_ENTRIES:
            path, host = pending.pop()
            for listing in self._list(path, host):
                pending += subfolders(listing, host)
                found.append(listing)
                held += len(listing.entries)
                if held >= BATCH_ENTRIES:
                    yield Listings(found, self._take_losses(), [])
                    found, total, held = [], total + held, 0
            total += 1
        yield Listings(found, self._take_losses(), [path for path, _ in pending])

    def _take_losses(self) -> list[Loss]:
        losses = self._losses.copy()
        self._losses.clear()
        return losses

    def finish(self) -> None:
        """Nothing is left open."""

    def _list(self, prefix: bytes, host: HostDirectory) -> Iterator[Listing]:
        fd = None
        try:
            if host.anchor is None:
                with os.scandir(host.path or b"/") as entries:
                    yield from self._entries(entries, prefix)
                    return
            fd = host.open()
            with os.scandir(fd) as found:
                yield from self._entries(_below(fd, found), prefix)
        except OSError as error:
            name = error.filename if isinstance(error.filename, str | bytes) else b""
            where = os.path.join(host.full_path(), os.fsencode(name)).rstrip(b"/")
            if isinstance(error, FileNotFoundError):
                raise SourceChangedError(where, "vanished during the scan; try again") from error
            raise SourceError(where, f"cannot be read: {error.strerror}") from error
        finally:
            if fd is not None:
                os.close(fd)

    def _entries(
        self, entries: Iterable[os.DirEntry[bytes] | _EntryBelow], prefix: bytes
    ) -> Iterator[Listing]:
        """The hot loop of a scan."""
        rule, device, excluded, xattrs = self._rule, self._device, self._excluded, self._xattrs
        skip, hard_links, keep_times = rule.skip, rule.hard_links, rule.keep_times
        found: list[Entry] = []
        value: object
        times = items = None
        for entry in entries:
            name = entry.name
            if excluded is not None and excluded(prefix[1:] + name, name):
                continue
            status = entry.stat(follow_symlinks=False)
            mode = status.st_mode
            kind = mode & 0o170000
            if kind == S_IFREG:
                if skip is not None and skip(status):
                    self._losses.append(Loss(prefix + name, "was left out as asked"))
                    continue
                value = status.st_size
            elif kind == S_IFDIR:
                value = not rule.one_file_system or status.st_dev == device
            elif kind == S_IFLNK:
                value = os.readlink(entry.path)
            elif kind in OTHER_KINDS:
                value = status.st_rdev
            else:
                self._losses.append(Loss(prefix + name, "is of an unknown kind; left out"))
                continue
            if xattrs is not None:
                path = entry.path
                items = None
                try:
                    names = os.listxattr(path, follow_symlinks=False)
                except OSError as error:
                    xattrs.cannot_list(error, prefix + name)
                else:
                    if names:
                        items = xattrs.values(path, names, prefix + name)
            if keep_times:
                times = times_of(status)
            found.append(
                (
                    name,
                    mode,
                    status.st_uid,
                    status.st_gid,
                    status.st_mtime_ns,
                    value,
                    (status.st_dev, status.st_ino)
                    if hard_links and kind != S_IFDIR and status.st_nlink > 1
                    else None,
                    items,
                    times,
                )
            )
            if len(found) == BATCH_ENTRIES:
                yield Listing(prefix, found, False)
                found = []
        yield Listing(prefix, found, True)


OTHER_KINDS = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK}


def subfolders(listing: Listing, host: HostDirectory) -> list[Folder]:
    """The directories in ``listing``, of the directory ``host``, that are to be listed too."""
    return [
        (listing.path + entry[0] + b"/", host.child(entry[0]))
        for entry in listing.entries
        if stat.S_ISDIR(entry[1]) and entry[5]
    ]


def times_of(status: os.stat_result) -> Times:
    """The times that reading a tree may change, and the birth time where Python tells it."""
    return status.st_atime_ns, status.st_ctime_ns, getattr(status, "st_birthtime_ns", None)


class _EntryBelow:
    """What the scan needs of an entry whose whole path is too long for the system."""

    __slots__ = ("_entry", "name", "path")

    def __init__(self, entry: os.DirEntry[str], folder_fd: int) -> None:
        self._entry = entry
        self.name = os.fsencode(entry.name)
        # A name in /proc, because there is no listxattr relative to a descriptor.
        self.path = b"/proc/self/fd/%d/%b" % (folder_fd, self.name)

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        return self._entry.stat(follow_symlinks=follow_symlinks)


def _below(folder_fd: int, entries: Iterable[os.DirEntry[str]]) -> Iterator[_EntryBelow]:
    for entry in entries:
        yield _EntryBelow(entry, folder_fd)
