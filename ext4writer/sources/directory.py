"""A directory of the host as a tree."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from ..checked import checked
from ..errors import SourceError, TreeError
from ..forked import ProcessPool, Stage, as_pool
from ..progress import (
    REPORT_EVERY,
    WAIT_SECONDS,
    Cancel,
    Progress,
    ProgressCallback,
    check_cancelled,
)
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
    check_name,
)
from .host import HostDirectory, HostFile, join
from .host_xattrs import HostXattrs, XattrItems
from .inputs import check_input
from .listing import Folder, Lister, Listing, Listings, ScanRule, times_of
from .saved_images import note_saved_image

if TYPE_CHECKING:
    from ..edit.globs import Patterns


ENTRIES_TO_FORK = 2048
"""About 20 ms of work. Listing fewer entries takes less time than forking."""
TASK_WEIGHT = 4
"""Small enough that a few tasks keep a process busy, and idle processes still find some."""
TASK_FOLDERS = 128
OWN_ENTRIES = 256
"""About how many entries this process lists before it collects the results of the others."""

OTHER_KINDS: dict[int, type[Node]] = {
    S_IFCHR: CharacterDevice,
    S_IFBLK: BlockDevice,
    S_IFIFO: Fifo,
    S_IFSOCK: Socket,
}

MODES = tuple(range(0o10000))
"""Every possible mode, so that nodes can share the integer objects."""


@checked("path")
def directory(
    path: str | bytes | os.PathLike[str],
    *,
    names: Iterable[str | bytes] | None = None,
    xattrs: bool = True,
    inode_flags: bool = False,
    keep_times: bool = False,
    hard_links: bool = True,
    exclude: Patterns = (),
    one_file_system: bool = False,
    skip: Callable[[os.stat_result], bool] | None = None,
    processes: int | ProcessPool = 1,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Tree:
    """Scan the directory ``path`` of the host; file content is read later, when it is needed.

    A symbolic link at ``path`` itself is followed; links below it are not. ``names`` selects
    entries of ``path``, all by default; the others are not even examined. ``xattrs`` keeps the
    extended attributes that this process can list; those it cannot read are in the tree's
    ``losses``. ``inode_flags`` keeps the flags of chattr(1) and the projects of files and
    directories; it opens each of them. ``keep_times`` keeps access, change and (where Python
    provides them) birth times as well as modification times. Without ``hard_links``, every name
    gets a separate file, even if the names are hard links on the host.

    ``exclude`` holds globs. A glob without a slash matches the name at any depth, a glob with a
    slash the path from the root; ``**`` matches across slashes. Excluded directories are not
    entered. ``one_file_system`` keeps mount points as empty directories. ``skip`` leaves out the
    regular files for whose status it returns true, such as an image that is being replaced; each is
    in ``losses``.

    ``processes`` is the number of processes that list a large tree, including this one, where the
    system can fork; a :class:`~ext4writer.ProcessPool` also serves the next stage. If
    :mod:`pickle` cannot send ``exclude`` and ``skip``, this process lists everything alone.
    ``progress`` is called about every 1024 entries with the bytes of content found so far.

    Raises :class:`SourceError` if ``path`` is missing or not a directory, if it or a directory
    below it is unreadable, or if one of ``names`` is missing or not a valid name;
    :class:`SourceChangedError` if something vanishes during the scan; :class:`CancelledError`;
    :class:`SpecError` for a malformed pattern.
    """
    check_input(path, streams=False)
    rule = ScanRule(
        xattrs=xattrs,
        inode_flags=inode_flags,
        keep_times=keep_times,
        hard_links=hard_links,
        exclude=exclude
        if callable(exclude) or isinstance(exclude, str | bytes)
        else tuple(exclude),
        one_file_system=one_file_system,
        skip=skip,
    )
    selected = None if names is None else sorted({os.fsencode(name) for name in names})
    with as_pool(processes) as pool:
        tree = _Scan(_absolute(os.fsencode(path)), rule, pool, progress, cancel).run(selected)
    if selected is None:
        note_saved_image(tree, is_folder=True)
    return tree


def _absolute(path: bytes) -> bytes:
    """``path`` as an absolute path, which remains valid after a change of directory."""
    if not path or os.path.isabs(path):
        return path
    try:
        return os.path.join(os.getcwdb(), path)
    except OSError:
        return path


def _check_is_there(folder: HostDirectory, name: bytes) -> None:
    """Raise unless ``folder`` contains ``name``; a scan would report a missing name as a change."""
    try:
        check_name(name, folder.path)
    except TreeError as error:
        message = f"{name!r} cannot be the name of an entry: {error.problem}"
        raise SourceError(folder.path, message) from error
    path = join(folder.path or b"/", name)
    try:
        os.stat(path, follow_symlinks=False)
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from error


def _share(pending: deque[Folder], others: int) -> list[Folder]:
    """Remove from ``pending`` and return the directories that one other process is to list.

    The directories found first have the largest subtrees, which keep that process busy. But most
    directories are small, so one task lists several.
    """
    count = min(TASK_FOLDERS, 1 + len(pending) // (1 + others), len(pending))
    share = [pending.popleft()]
    while len(share) < count and share[-1].names is None:  # a part of a large directory is enough
        share.append(pending.popleft())
    return share


class _Scan:
    """One run of :func:`directory`: turns listed entries into nodes."""

    def __init__(
        self,
        path: bytes,
        rule: ScanRule,
        pool: ProcessPool,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> None:
        self.path = path
        self.rule = rule
        self.pool = pool
        self.progress = progress
        self.cancel = cancel
        self.tree = Tree()
        self.tree.states_root = False
        self.linked: dict[tuple[int, int], Node] = {}
        self.xattr_sets: dict[XattrItems, Xattrs] = {}
        self.waiting: dict[bytes, tuple[Directory, HostDirectory]] = {}
        """Path in the tree with a final slash -> directory to fill, and its place on the host."""
        self.parts: dict[bytes, int] = {}
        """For the large directories among them: number of parts not listed yet."""
        self.entries = 0
        self.bytes = 0
        self.reported = 0

    def run(self, names: list[bytes] | None) -> Tree:
        # Without a final slash, so that "/" and a name can be appended.
        host = HostDirectory(self.path.rstrip(b"/"))
        lister = Lister(self.rule, self._take_root(), shared=self.pool.can_share)
        for name in names or ():
            _check_is_there(host, name)
        self.waiting[b"/"] = self.tree.root, host
        pending = deque([Folder(b"/", host, names)])
        try:
            while pending:
                if self.pool.can_share and self.entries >= ENTRIES_TO_FORK:
                    self._share_out(lister, pending)
                else:
                    self._list(lister, pending)
        finally:
            lister.close()
        self._report()
        # Independent of the order in which the host and the processes listed the entries.
        self.tree.losses.sort(key=attrgetter("path"))
        return self.tree

    def _list(self, lister: Lister, pending: deque[Folder]) -> None:
        """List the last of ``pending`` in this process."""
        for listings in lister.list_about(OWN_ENTRIES, [pending.pop()]):
            pending += self._take(listings)

    def _share_out(self, lister: Lister, pending: deque[Folder]) -> None:
        """List everything in ``pending``, together with other processes."""
        stage: Stage[Sequence[Folder], Listings]
        with Stage(self.pool, lister) as stage:
            while pending or stage.busy:
                check_cancelled(self.cancel)
                while pending and not (stage.full or stage.failed):
                    stage.submit(_share(pending, stage.others), TASK_WEIGHT)
                if stage.failed:
                    break
                timeout = 0.0 if pending else WAIT_SECONDS
                if pending:
                    self._list(lister, pending)
                for listings in stage.answers(timeout):
                    pending += self._take(listings)
            stage.finish()

    def _take_root(self) -> int:
        """Read the attributes of the root itself; return its device number."""
        root = self.tree.root
        try:
            status = os.stat(self.path)
            if self.rule.xattrs and hasattr(os, "listxattr"):
                items = HostXattrs(self.tree.losses).read(self.path, b"/", follow=True)
                root.xattrs = dict(items) if items is not None else None
            if self.rule.inode_flags and stat.S_ISDIR(status.st_mode):
                from .host_flags import HostFlags

                flags = HostFlags(self.tree.losses)
                root.flags_and_project = flags.read(self.path, S_IFDIR, b"/", follow=True)
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
        """Create nodes for the listed entries; return the directories still to be listed."""
        again: set[bytes] = set()
        if callable(self.rule.exclude):
            for path, name in listings.excluded:
                self.rule.exclude(path, name)
        for path, _ in listings.parts:
            self.parts[path] = self.parts.get(path, 0) + 1
        for listing in listings.folders:
            self._take_entries(listing, again)
            self.entries += len(listing.entries)
            if not listing.is_last:
                continue
            if self.parts.get(listing.path):
                self.parts[listing.path] -= 1
            else:
                del self.waiting[listing.path]
        self.tree.losses += (loss for loss in listings.losses if loss.path not in again)
        if self.entries - self.reported >= REPORT_EVERY:
            self._report()
        return [
            Folder(path, self.waiting[path][1], names)
            for path, names in (*listings.left, *listings.parts)
        ]

    def _take_entries(self, listing: Listing, again: set[bytes]) -> None:
        """Create the nodes of one directory, without calling their constructors, which are slow.

        Paths of further hard links to known files are added to ``again``.
        """
        path = listing.path
        parent, host = self.waiting[path]
        children, new = parent.children, object.__new__
        node: Node
        latest = size = 0
        for entry in listing.entries:
            name, st_mode, uid, gid, mtime, value, link, items, times, stamp, flags = entry
            if link is not None:
                known = self.linked.get(link)
                if known is not None:
                    children[name] = known
                    again.add(path + name)
                    continue
            kind = st_mode & 0o170000
            if kind == S_IFREG:
                node = file = new(RegularFile)
                content = file.content = new(HostFile)
                content.folder, content.name, content.size = host, name, value
                content.stamp = stamp
                size += value
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
            node.flags_and_project = flags
            node.xattrs = None
            if items is not None:
                node.xattrs = self.xattr_sets.setdefault(items, dict(items))
            if link is not None:
                self.linked[link] = node
            children[name] = node
        self.bytes += size

    def _report(self) -> None:
        self.reported = self.entries
        check_cancelled(self.cancel)
        if self.progress is not None:
            self.progress(Progress("scan", self.entries, 0, self.bytes, 0, self.bytes))
