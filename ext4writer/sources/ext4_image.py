"""Trees from ext4 images; the content of files is later read from the image."""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterator

from ..arguments import ID_MOST
from ..checked import checked
from ..content import BytesContent, Content, Reader
from ..errors import DamageError
from ..forked import NEVER
from ..inode_flags import STORAGE_FLAGS, flag_names, taken_flags
from ..progress import REPORT_EVERY, Cancel, Progress, ProgressCallback, check_cancelled
from ..read import Found, Image, Inode, OnDamage, open_image
from ..read import Source as ImageSource
from ..read.first_names import FirstNames
from ..read.stores import FileStore, Store, Window
from ..slices import FileSliceContent, HeldFile
from ..spans import Span
from ..tree import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    SYMLINK_MAX,
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    Loss,
    Node,
    RegularFile,
    Socket,
    Symlink,
    Tree,
)
from .inputs import inputs_of

_SIMPLE: dict[int, type[Directory | Fifo | Socket]] = {
    S_IFDIR: Directory,
    S_IFIFO: Fifo,
    S_IFSOCK: Socket,
}


@checked("source", "journal")
def image(
    source: ImageSource,
    *,
    offset: int = 0,
    partition: int | None = None,
    replay: bool = False,
    journal: ImageSource | None = None,
    xattrs: bool = True,
    keep_times: bool = False,
    on_damage: OnDamage | None = None,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Tree:
    """Read the tree of an ext2, ext3 or ext4 image; file content is read later, from the image.

    ``source``, ``offset`` (in bytes), ``partition``, ``replay``, ``journal`` and ``on_damage`` are
    those of :func:`ext4writer.read.open_image`. Without ``replay``, a journal that needs recovery
    is one of the tree's ``losses``. ``xattrs`` keeps extended attributes; ``keep_times`` keeps
    access, change and birth times as well as the modification time. Whatever a tree cannot
    represent is in its ``losses``, such as inode flags that no user sets and encrypted files.

    Raises :class:`~ext4writer.SourceError` for a file that cannot be opened,
    :class:`~ext4writer.ImageError` for one that is not ext4, :class:`~ext4writer.DamageError` for
    a damaged one, :class:`~ext4writer.CancelledError`.
    """
    opened = open_image(
        source,
        offset=offset,
        partition=partition,
        replay=replay,
        journal=journal,
        on_damage=on_damage,
    )
    tree = _Reading(opened, xattrs, keep_times, progress, cancel).run()
    tree.inputs.update(inputs_of(source))
    return tree


class _Reading:
    """Builds the tree of one image."""

    def __init__(
        self,
        opened: Image,
        xattrs: bool,
        keep_times: bool,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> None:
        self.image = opened
        self.xattrs = xattrs
        self.keep_times = keep_times
        self.progress = progress
        self.cancel = cancel
        self.losses: list[Loss] = []
        self.file, self.base = _held_file(opened.store)
        self.bytes_found = 0

    def run(self) -> Tree:
        root = self.image.root
        root.check()
        top = self._node(b"/", root)
        if not isinstance(top, Directory):
            raise root.error("i_mode", f"is {root.mode:#o}, but the root must be a directory")
        tree = Tree(top)
        if self.image.format.needs_recovery and not self.image.is_replayed:
            what = "the journal needs recovery, and its content is not read; replay reads it"
            self.losses.append(Loss(b"/", what, "recovery-left-out"))
        nodes = FirstNames(self.image, self.image.walk, lambda found: _node_at(top, found))
        above = [top]
        for number, found in enumerate(self.image.walk(), 1):
            if number % REPORT_EVERY == 0:
                check_cancelled(self.cancel)
                if self.progress is not None:
                    found_bytes = self.bytes_found
                    self.progress(Progress("scan", number, 0, found_bytes, 0, found_bytes))
            del above[found.depth :]
            inode = found.inode
            node = None if inode.is_directory else nodes.of(found)
            if node is None:
                node = self._node(found.path, inode)
                if node is None:
                    continue
            if b"/" in found.name or b"\0" in found.name:
                self.losses.append(
                    Loss(found.path, "its encrypted name cannot be part of a path", "left-out")
                )
                if inode.is_directory:
                    above.append(Directory())
                continue
            above[-1].children[found.name] = node
            if isinstance(node, Directory):
                above.append(node)
            else:
                nodes.took(found, node)
        tree.losses += self.losses
        return tree

    def _node(self, path: bytes, inode: Inode) -> Node | None:
        node = self._of_kind(path, inode)
        if node is None:
            return None
        node.mode = inode.mode & 0o7777
        node.uid, node.gid = inode.uid, inode.gid
        node.mtime_ns = inode.mtime_ns
        if self.keep_times:
            node.atime_ns, node.ctime_ns = inode.atime_ns, inode.ctime_ns
            node.crtime_ns = inode.crtime_ns
        if self.xattrs:
            node.xattrs = inode.xattrs() or None
        self._set_flags(node, path, inode)
        return node

    def _set_flags(self, node: Node, path: bytes, inode: Inode) -> None:
        kept = inode.flags & taken_flags(inode.file_type)
        lost = inode.flags & ~(kept | STORAGE_FLAGS)
        if kept:
            node.flags = kept
        if lost:
            what = f"the inode flags {flag_names(lost)} are not kept"
            self.losses.append(Loss(path, what, "attributes-not-taken"))
        if 0 < inode.projid <= ID_MOST:
            node.project = inode.projid

    def _of_kind(self, path: bytes, inode: Inode) -> Node | None:
        kind = inode.file_type
        if kind == S_IFREG:
            self.bytes_found += inode.size
            return RegularFile(self._content(inode))
        if kind == S_IFLNK:
            target = inode.target()
            if b"\0" in target or len(target) > SYMLINK_MAX:
                self.losses.append(
                    Loss(path, "is a link with an invalid target; left out", "left-out")
                )
                return None
            return Symlink(target)
        if kind in (S_IFCHR, S_IFBLK):
            major, minor = inode.device
            return (CharacterDevice if kind == S_IFCHR else BlockDevice)(major, minor)
        simple = _SIMPLE.get(kind)
        if simple is None:
            inode.wrong("i_mode", f"is {inode.mode:#o}, which is no kind of file")
            return None
        return simple(0)

    def _content(self, inode: Inode) -> Content:
        reader = self.image.open(inode)
        if inode.has_inline_data:
            return BytesContent(reader.read_at(0, reader.size))
        pieces = array("Q")
        size = self.image.block_size
        for run in reader.runs:
            start = run.logical * size
            if start >= reader.size:
                break
            length = min(run.length * size, reader.size - start)
            pieces.extend((start, self.base + run.physical * size, length))
        if len(pieces) == 3 and pieces[0] == 0 and pieces[2] == reader.size and self.file:
            return FileSliceContent(self.file, pieces[1], reader.size)
        if not reader.size:
            return BytesContent(b"")
        return MappedContent(self.file or self.image.store, reader.size, pieces)


def _node_at(top: Directory, found: Found) -> Node | None:
    """The node in the tree at the path of ``found``; None if there is none."""
    node: Node | None = top
    for name in found.path.split(b"/")[1:]:
        node = node.children.get(name) if isinstance(node, Directory) else None
    return node


def _held_file(store: Store) -> tuple[HeldFile | None, int]:
    """The file of the host that contains the store, and the byte offset of the store in it."""
    base = 0
    while isinstance(store, Window):
        base += store.offset
        store = store.inner
    if isinstance(store, FileStore):
        store.file.dense = True
        status = os.fstat(store.file.fd)
        if stat.S_ISREG(status.st_mode):
            store.file.remember(status)
        return store.file, base
    return None, 0


class MappedContent(Content):
    """A file of ``size`` bytes, stored in pieces with holes between them.

    ``pieces`` has three numbers for each piece: its byte offset in the file, its byte offset in
    ``holder``, and its length in bytes.
    """

    __slots__ = ("holder", "pieces")
    random_access = True

    def __init__(self, holder: HeldFile | Store, size: int, pieces: array[int]) -> None:
        self.holder = holder
        self.size = size
        self.pieces = pieces

    @property
    def first_generation(self) -> int:
        return self.holder.first_generation if isinstance(self.holder, HeldFile) else NEVER

    def data_segments(self) -> Iterator[Span]:
        end = start = 0
        for place in range(0, len(self.pieces), 3):
            first, _, length = self.pieces[place : place + 3]
            if first != end:
                if end > start:
                    yield Span(start, end)
                start = first
            end = first + length
        if end > start:
            yield Span(start, end)

    def open(self) -> Reader:
        return _MappedReader(self)


class _MappedReader:
    fd: int | None = None
    fd_offset = 0

    def __init__(self, content: MappedContent) -> None:
        self._content = content
        self._starts = content.pieces[::3]

    @property
    def path(self) -> bytes:
        holder = self._content.holder
        return holder.path if isinstance(holder, HeldFile) else holder.name

    def readinto(self, view: memoryview, offset: int) -> int:
        content, pieces = self._content, self._content.pieces
        count = max(0, min(len(view), content.size - offset))
        place = max(bisect_right(self._starts, offset) - 1, 0)
        done = 0
        while done < count:
            at = offset + done
            first, where, length = pieces[3 * place : 3 * place + 3] or (content.size, 0, 0)
            if at >= first + length and length:
                place += 1
                continue
            if at < first:
                zeros = min(first - at, count - done)
                view[done : done + zeros] = bytes(zeros)
                done += zeros
                continue
            part = min(first + length - at, count - done)
            self._read(view[done : done + part], where + at - first)
            done += part
        return count

    def _read(self, view: memoryview, offset: int) -> None:
        holder = self._content.holder
        if isinstance(holder, HeldFile):
            if holder.read_into(view, offset) != len(view):
                text = "the image ends early"
                raise DamageError("superblock", "s_blocks_count_lo", offset, text, kind="past-end")
        else:
            view[:] = holder.read(offset, len(view))

    def check_unchanged(self) -> None:
        if isinstance(self._content.holder, HeldFile):
            self._content.holder.check_unchanged()

    def close(self) -> None:
        """Do nothing: the image stays open for other files."""
