"""A directory of the host as a tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from operator import attrgetter

from ..errors import SourceError
from ..forked import Crew, can_fork
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
    Node,
    RegularFile,
    Socket,
    Symlink,
    Tree,
    Xattrs,
)
from .globs import Patterns
from .host import HostDirectory, HostFile
from .host_xattrs import HostXattrs, XattrItems
from .listing import Folder, Lister, Listing, Listings, ScanRule, times_of

REPORT_EVERY = 1024

ENTRIES_TO_FORK = 4096
"""Some 30 ms of work. What is listed at once takes less time than to fork."""
TASK_WEIGHT = 4
"""A task may turn out to be a whole branch of the tree, so that others should wait elsewhere."""
WAIT_SECONDS = 0.2
"""How long a request to cancel may go unseen."""

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
    processes: int = 1,
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
    With more than one in ``processes`` that many are forked to list a large tree, where the system
    allows it. ``progress`` is called after some 1024 entries with the bytes of content found so
    far.

    Raises :class:`SourceError` if ``path`` is missing, no directory or unreadable, or a directory
    below it is; :class:`SourceChangedError` if something vanishes during the scan;
    :class:`CancelledError`; :class:`SpecError` for a wrong pattern.
    """
    rule = ScanRule(
        xattrs=xattrs,
        keep_times=keep_times,
        hard_links=hard_links,
        exclude=exclude,
        one_file_system=one_file_system,
        skip=skip,
    )
    return _Scan(_absolute(os.fsencode(path)), rule, processes, progress, cancel).run()


def _absolute(path: bytes) -> bytes:
    """``path`` from the root of the host, so that a later change of directory does no harm."""
    if not path or os.path.isabs(path):
        return path
    try:
        return os.path.join(os.getcwdb(), path)
    except OSError:
        return path


class _Scan:
    """One run of :func:`directory`: makes nodes of what is listed."""

    def __init__(
        self,
        path: bytes,
        rule: ScanRule,
        processes: int,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> None:
        self.path = path
        self.rule = rule
        self.processes = processes
        self.progress = progress
        self.cancel = cancel
        self.tree = Tree()
        self.linked: dict[tuple[int, int], Node] = {}
        self.xattr_sets: dict[XattrItems, Xattrs] = {}
        self.waiting: dict[bytes, tuple[Directory, HostDirectory]] = {}
        """Directories to fill and where they lie, by path in the tree with a slash behind."""
        self.entries = 0
        self.bytes = 0
        self.reported = 0

    def run(self) -> Tree:
        # Without a slash at its end, so that "/" and a name can be put behind it.
        host = HostDirectory(self.path.rstrip(b"/"))
        lister = Lister(self.rule, self._take_root())
        self.waiting[b"/"] = self.tree.root, host
        pending: list[Folder] = [(b"/", host)]
        may_fork = self.processes > 1 and can_fork
        while pending:
            if may_fork and self.entries >= ENTRIES_TO_FORK:
                may_fork = False
                if self._run_forked(lister, pending):
                    break
            for listings in lister.do(pending.pop()):
                pending += self._take(listings)
        self._report()
        # Whatever the order in which the host and the processes listed it.
        self.tree.losses.sort(key=attrgetter("path"))
        return self.tree

    def _run_forked(self, lister: Lister, pending: list[Folder]) -> bool:
        """Let processes list all that is ``pending``; False if the system allows none."""
        crew: Crew[Folder, Listings]
        try:
            crew = Crew(lambda: lister, self.processes)
        except OSError:
            return False
        with crew:
            while pending or crew.busy:
                check_cancelled(self.cancel)
                while pending and not (crew.full or crew.failed):
                    crew.submit(pending.pop(), TASK_WEIGHT)
                for listings in crew.answers(WAIT_SECONDS):
                    pending += self._take(listings)
                if crew.failed:
                    break
            crew.finish()
        return True

    def _take_root(self) -> int:
        """Take over the root itself; return the device it lies on."""
        root = self.tree.root
        try:
            status = os.stat(self.path)
            if self.rule.xattrs and hasattr(os, "listxattr"):
                items = HostXattrs(self.tree.losses).read(self.path, b"/", follow=True)
                root.xattrs = dict(items) if items is not None else None
        except OSError as error:
            raise SourceError(self.path, f"cannot be read: {error.strerror}") from error
        if not stat.S_ISDIR(status.st_mode):
            raise SourceError(self.path, "is not a directory")
        root.mode = status.st_mode & 0o7777
        root.uid, root.gid, root.mtime_ns = status.st_uid, status.st_gid, status.st_mtime_ns
        if self.rule.keep_times:
            root.atime_ns, root.ctime_ns, root.crtime_ns = times_of(status)
        return status.st_dev

    def _take(self, listings: Listings) -> list[Folder]:
        """Make the nodes of what was listed; return the directories in it that were not."""
        again: set[bytes] = set()
        for listing in listings.folders:
            self._take_entries(listing, again)
            if listing.is_last:
                del self.waiting[listing.path]
            self.entries += len(listing.entries)
        self.tree.losses += (loss for loss in listings.losses if loss.path not in again)
        if self.entries - self.reported >= REPORT_EVERY:
            self._report()
        return [(path, self.waiting[path][1]) for path in listings.left]

    def _take_entries(self, listing: Listing, again: set[bytes]) -> None:
        """Make the nodes of one directory. They are made without their constructors.

        Further names of files that are known already are put into ``again``.
        """
        path = listing.path
        parent, host = self.waiting[path]
        children, new = parent.children, object.__new__
        node: Node
        latest = 0
        for name, st_mode, uid, gid, mtime, value, link, items, times in listing.entries:
            if link is not None:
                known = self.linked.get(link)
                if known is not None:
                    children[name] = known
                    again.add(path + name)
                    continue
            kind = st_mode & 0o170000
            if kind == S_IFREG:
                node = file = new(RegularFile)
                file.content = HostFile(host, name, value)
                self.bytes += value
            elif kind == S_IFDIR:
                node = folder = Directory()
                if value:
                    self.waiting[path + name + b"/"] = folder, host.child(name)
            elif kind == S_IFLNK:
                node = symlink = new(Symlink)
                symlink.target = value
            else:
                node = new(OTHER_KINDS[kind])
                if isinstance(node, Device):
                    node.major, node.minor = os.major(value), os.minor(value)
            if mtime != latest:  # files unpacked together share one integer
                latest = mtime
            node.mode = MODES[st_mode & 0o7777]
            node.uid = uid
            node.gid = gid
            node.mtime_ns = latest
            if times is None:
                node.atime_ns = node.ctime_ns = node.crtime_ns = None
            else:
                node.atime_ns, node.ctime_ns, node.crtime_ns = times
            node.xattrs = None
            if items is not None:
                node.xattrs = self.xattr_sets.setdefault(items, dict(items))
            if link is not None:
                self.linked[link] = node
            children[name] = node

    def _report(self) -> None:
        self.reported = self.entries
        check_cancelled(self.cancel)
        if self.progress is not None:
            self.progress(Progress("scan", self.entries, 0, self.bytes, 0))
