"""A directory of the host as a tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator

from ..errors import SourceChangedError, SourceError
from ..progress import Cancel, Progress, ProgressCallback, check_cancelled
from ..tree import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    BlockDevice,
    CharacterDevice,
    Device,
    Directory,
    Fifo,
    Loss,
    Node,
    RegularFile,
    Socket,
    Symlink,
    Tree,
)
from .globs import Patterns, matcher
from .host import HostDirectory, HostFile
from .host_xattrs import HostXattrs

REPORT_EVERY = 1024

OTHER_KINDS: dict[int, type[Node]] = {
    S_IFCHR: CharacterDevice,
    S_IFBLK: BlockDevice,
    S_IFIFO: Fifo,
    S_IFSOCK: Socket,
}

MODES = tuple(range(0o10000))
"""Every mode there is, so that nodes share the integers."""


def directory(
    path: str | bytes | os.PathLike[str],
    *,
    xattrs: bool = True,
    keep_times: bool = False,
    hard_links: bool = True,
    exclude: Patterns = (),
    one_file_system: bool = False,
    skip: Callable[[os.stat_result], bool] | None = None,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Tree:
    """Scan the directory ``path`` of the host; file content is read later, when it is needed.

    A symbolic link at ``path`` itself is followed, none below it is. ``xattrs`` takes extended
    attributes over, as far as this process may list them; what cannot be taken over is in the
    tree's ``losses``. ``keep_times`` keeps access, change and (where Python tells it) birth times
    as well as the modification time. Without ``hard_links`` every name gets a file of its own,
    whatever the host links. ``exclude`` holds globs: one without a slash matches the name
    at any depth, one with a slash the path from the root; ``**`` crosses slashes; what is excluded
    is not descended into. ``one_file_system`` keeps mount points as empty directories.
    ``skip`` leaves regular files out by their status, such as an image that is being replaced;
    each is in ``losses``.
    ``progress`` is called after each 1024 entries with the bytes of content found so far.

    Raises :class:`SourceError` if ``path`` is missing, no directory or unreadable, or a directory
    below it is; :class:`SourceChangedError` if something vanishes during the scan;
    :class:`CancelledError`; :class:`SpecError` for a wrong pattern.
    """
    return _Scan(
        _absolute(os.fsencode(path)),
        xattrs=xattrs,
        keep_times=keep_times,
        hard_links=hard_links,
        exclude=exclude,
        one_file_system=one_file_system,
        skip=skip,
        progress=progress,
        cancel=cancel,
    ).run()


def _absolute(path: bytes) -> bytes:
    """``path`` from the root of the host, so that a later change of directory does no harm."""
    if not path or os.path.isabs(path):
        return path
    try:
        return os.path.join(os.getcwdb(), path)
    except OSError:
        return path


class _Scan:
    """One run of :func:`directory`, whose options it takes."""

    def __init__(
        self,
        path: bytes,
        *,
        xattrs: bool,
        keep_times: bool,
        hard_links: bool,
        exclude: Patterns,
        one_file_system: bool,
        skip: Callable[[os.stat_result], bool] | None,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> None:
        self.path = path
        self.keep_times = keep_times
        self.hard_links = hard_links
        self.excluded = matcher(exclude)
        self.one_file_system = one_file_system
        self.skip = skip
        self.progress = progress
        self.cancel = cancel
        self.tree = Tree()
        self.xattrs = HostXattrs(self.tree.losses) if xattrs and hasattr(os, "listxattr") else None
        self.device = -1
        self.linked: dict[tuple[int, int], Node] = {}
        self.pending: list[tuple[Directory, HostDirectory, bytes]] = []
        """Directories to fill, where they lie, and their paths in the tree with a slash behind."""
        self.entries = 0
        self.bytes = 0

    def run(self) -> Tree:
        self._take_root()
        # Without a slash at its end, so that "/" and a name can be put behind it.
        self.pending.append((self.tree.root, HostDirectory(self.path.rstrip(b"/")), b"/"))
        while self.pending:
            self._take_directory(*self.pending.pop())
        self._report()
        return self.tree

    def _take_root(self) -> None:
        root = self.tree.root
        try:
            status = os.stat(self.path)
            if self.xattrs is not None:
                root.xattrs = self.xattrs.read(self.path, b"/", follow=True)
        except OSError as error:
            raise SourceError(self.path, f"cannot be read: {error.strerror}") from error
        if not stat.S_ISDIR(status.st_mode):
            raise SourceError(self.path, "is not a directory")
        self.device = status.st_dev
        root.mode = status.st_mode & 0o7777
        root.uid, root.gid, root.mtime_ns = status.st_uid, status.st_gid, status.st_mtime_ns
        if self.keep_times:
            _keep_times(root, status)

    def _take_directory(self, parent: Directory, host: HostDirectory, prefix: bytes) -> None:
        fd = None
        try:
            if host.anchor is None:
                with os.scandir(host.path or b"/") as entries:
                    self._take_entries(entries, parent, host, prefix)
            else:
                fd = host.open()
                with os.scandir(fd) as found:
                    self._take_entries(_below(fd, found), parent, host, prefix)
        except OSError as error:
            name = error.filename if isinstance(error.filename, str | bytes) else b""
            where = os.path.join(host.full_path(), os.fsencode(name)).rstrip(b"/")
            if isinstance(error, FileNotFoundError):
                raise SourceChangedError(where, "vanished during the scan; try again") from error
            raise SourceError(where, f"cannot be read: {error.strerror}") from error
        finally:
            if fd is not None:
                os.close(fd)

    def _take_entries(
        self,
        entries: Iterable[os.DirEntry[bytes] | _EntryBelow],
        parent: Directory,
        host: HostDirectory,
        prefix: bytes,
    ) -> None:
        """Make the nodes of one directory; those that are directories wait in ``pending``.

        This is the hot loop of a scan: nodes are made without their constructors.
        """
        children = parent.children
        excluded, xattrs, keep_times = self.excluded, self.xattrs, self.keep_times
        new, skip, hard_links = object.__new__, self.skip, self.hard_links
        node: Node
        mtime = 0
        for entry in entries:
            name = entry.name
            if excluded is not None and excluded(prefix[1:] + name, name):
                continue
            self.entries += 1
            if not self.entries % REPORT_EVERY:
                self._report()
            status = entry.stat(follow_symlinks=False)
            mode = status.st_mode
            kind = mode & 0o170000
            linked = hard_links and kind != S_IFDIR and status.st_nlink > 1
            if linked:
                key = status.st_dev, status.st_ino
                known = self.linked.get(key)
                if known is not None:
                    children[name] = known
                    continue
            if kind == S_IFREG:
                if skip is not None and skip(status):
                    self.tree.losses.append(Loss(prefix + name, "was left out as asked"))
                    continue
                node = file = new(RegularFile)
                size = status.st_size
                file.content = HostFile(host, name, size)
                self.bytes += size
            elif kind == S_IFDIR:
                node = folder = Directory()
                if not self.one_file_system or status.st_dev == self.device:
                    self.pending.append((folder, host.child(name), prefix + name + b"/"))
            elif kind == S_IFLNK:
                node = link = new(Symlink)
                link.target = os.readlink(entry.path)
            elif kind in OTHER_KINDS:
                node = new(OTHER_KINDS[kind])
                if isinstance(node, Device):
                    node.major, node.minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            else:
                self.tree.losses.append(Loss(prefix + name, "is of an unknown kind; left out"))
                continue
            if status.st_mtime_ns != mtime:  # files unpacked together share one integer
                mtime = status.st_mtime_ns
            node.mode = MODES[mode & 0o7777]
            node.uid = status.st_uid
            node.gid = status.st_gid
            node.mtime_ns = mtime
            node.atime_ns = node.ctime_ns = node.crtime_ns = node.xattrs = None
            if keep_times:
                _keep_times(node, status)
            if xattrs is not None:
                path = entry.path
                try:
                    names = os.listxattr(path, follow_symlinks=False)
                except OSError as error:
                    xattrs.cannot_list(error, prefix + name)
                else:
                    if names:
                        node.xattrs = xattrs.values(path, names, prefix + name)
            if linked:
                self.linked[key] = node
            children[name] = node

    def _report(self) -> None:
        check_cancelled(self.cancel)
        if self.progress is not None:
            self.progress(Progress("scan", self.entries, 0, self.bytes, 0))


def _keep_times(node: Node, status: os.stat_result) -> None:
    node.atime_ns = status.st_atime_ns
    node.ctime_ns = status.st_ctime_ns
    node.crtime_ns = getattr(status, "st_birthtime_ns", None)


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
