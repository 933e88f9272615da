"""Builds a tree from the members of an archive, as if they were unpacked in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from ...checked import checked
from ...edit import filters
from ...edit.globs import Patterns, matcher
from ...errors import ArchiveError, display_path
from ...progress import Cancel, ProgressCallback
from ...resolution import Place, directory_at, resolve
from ...tree import S_IFDIR, Attributes, Directory, Loss, Node, Symlink, Tree, attributes_of
from ..inputs import inputs_of
from ..saved_images import note_saved_image
from .inputs import Archive, archive_path
from .limits import DEFAULT_LIMITS, Limits, Usage
from .member import HARD_LINK, Member
from .reader import read_members

_CACHED_FOLDERS = 1 << 14
_CACHED_PATH_BYTES = 4096


@checked("archive")
def tar(
    archive: Archive,
    *,
    spool: BinaryIO | None = None,
    xattrs: bool = True,
    keep_times: bool = False,
    exclude: Patterns = (),
    parents: Attributes | None = None,
    secure_symlinks: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
) -> Tree:
    """Read a tar archive: a path, a binary file at its position, or a :class:`Content`.

    The tree is the result of unpacking the members in order into an empty root; see
    ``docs/sources.md`` for members that contradict each other. Symbolic links of the archive in the
    path of a member, or of a hard link's target, are followed inside the tree, as GNU tar does in a
    chroot. With ``secure_symlinks`` such a path is an error. ``parents`` has the attributes of the
    root and of directories without a member: by default mode 755, owner 0, group 0 and time 0.
    ``exclude`` accepts the same globs as :func:`~ext4writer.sources.directory`. Whatever is not
    kept is in the tree's ``losses``.

    For ``spool``, ``keep_times`` and the errors see
    :func:`~ext4writer.sources.tar_archive.read_members`. This function also raises
    :class:`ArchiveError` for a member below something other than a directory and for a hard link
    without a target, and :class:`SpecError` for a malformed pattern.
    """
    excluded = matcher(exclude)
    losses: list[Loss] = []
    usage = Usage(archive_path(archive), limits)
    of_parents = attributes_of(b"/", parents or {})
    assembly = Assembly(of_parents, usage, losses, secure_symlinks=secure_symlinks)
    for member in read_members(
        archive,
        spool=spool,
        xattrs=xattrs,
        keep_times=keep_times,
        usage=usage,
        losses=losses,
        progress=progress,
        cancel=cancel,
    ):
        assembly.add(member)
    assembly.resolve_pending_links()
    tree = Tree(assembly.root)
    tree.losses = assembly.losses_by_tree_path()
    tree.inputs.update(inputs_of(archive))
    note_saved_image(tree, is_folder=False)
    return tree if excluded is None else filters.exclude(tree, excluded)


class _PendingLink(Node):
    """Placeholder for a hard link whose target has not been read yet."""

    __slots__ = ("member", "node")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.node: Node | None = None
        """The node that finally replaces this one."""


class Assembly:
    """A tree to which members are added one by one."""

    def __init__(
        self,
        parents: Mapping[str, Any],
        usage: Usage,
        losses: list[Loss],
        *,
        secure_symlinks: bool = False,
    ) -> None:
        self.root = Directory(implied=True, **parents)
        self._parents = parents
        self._usage = usage
        self._losses = losses
        self._folders: dict[bytes, Directory] = {b"": self.root}
        """A cache of directories by path."""
        self._last: tuple[bytes, Directory] = b"", self.root
        """The last requested directory; its path may be too long for the cache."""
        self._pending: list[tuple[bytes, _PendingLink]] = []
        self._secure_symlinks = secure_symlinks
        self._followed_links = False
        """Whether any path went through a symbolic link."""

    def add(self, member: Member) -> None:
        """Change the tree as unpacking ``member`` would."""
        path, kind = member.path, member.kind
        if not path:
            if kind != S_IFDIR:
                raise self._error(member, "would replace the root directory")
            member.set_attributes(self.root)
            self.root.implied = False
            return
        self._usage.add_entry(path, member.offset)
        head, _, name = path.rpartition(b"/")
        parent = self._folders.get(head)
        if parent is None:
            parent = self._folder(head, member)
        children = parent.children
        existing = children.get(name)
        if existing is None:
            children[name] = member.node() if kind != HARD_LINK else self._link(member)
            return
        if kind == S_IFDIR and isinstance(existing, Directory):
            member.set_attributes(existing)
            existing.implied = False
            return
        if kind == HARD_LINK and self._find(member.target, member) is existing:
            return
        node = member.node() if kind != HARD_LINK else self._link(member)
        if isinstance(existing, Symlink) and self._followed_links:
            self._clear_folder_cache()
        if isinstance(existing, Directory):
            self._clear_folder_cache()
            if existing.children:
                self._usage.add_loss(
                    self._losses,
                    b"/" + path,
                    f"replaced a directory; its {len(existing.children)} entries "
                    "came earlier in the archive and are gone",
                    "replaced",
                )
        children[name] = node

    def resolve_pending_links(self) -> None:
        """Resolve the hard links that preceded their targets."""
        standing = [one for one in self._pending if self._node_at(one[0]) is one[1]]
        for _, pending in standing:
            self._resolve(pending)
        for path, pending in standing:
            head, _, name = path.rpartition(b"/")
            parent = self._node_at(head)
            assert isinstance(parent, Directory) and pending.node is not None
            parent.children[name] = pending.node

    def losses_by_tree_path(self) -> list[Loss]:
        """The losses, with paths in the tree instead of paths in the archive."""
        if not self._followed_links:
            return self._losses
        return [
            Loss(b"/" + self._place(loss.path.strip(b"/")), loss.what, loss.code)
            for loss in self._losses
        ]

    def _resolve(self, pending: _PendingLink) -> None:
        chain: list[_PendingLink] = []
        seen: set[_PendingLink] = set()
        node: Node | None = pending
        while isinstance(node, _PendingLink):
            if node.node is not None:
                node = node.node
                break
            if node in seen:
                raise self._error(pending.member, "is a hard link that leads back to itself")
            seen.add(node)
            chain.append(node)
            member = node.member
            target = member.target
            node = self._find(target, member) or self._find_outside(target)
        if node is None:
            target = chain[-1].member.target
            place = resolve(target.split(b"/"), [self.root])
            raise self._error(
                chain[-1].member,
                f"is a hard link to a file that the archive does not hold: {display_path(target)}"
                + (f"; {place.problem}" if place.links else ""),
            )
        if isinstance(node, Directory):
            raise self._error(chain[-1].member, "is a hard link to a directory")
        for one in chain:
            one.node = node

    def _find_outside(self, path: bytes) -> Node | None:  # noqa: ARG002
        """The target of a hard link to ``path`` outside this archive; None if there is none."""
        return None

    def _link(self, member: Member) -> Node:
        """The node for the hard link ``member``: its target, or a placeholder."""
        node = self._find(member.target, member)
        if isinstance(node, Directory):
            raise self._error(member, "is a hard link to a directory")
        if node is None:
            node = _PendingLink(member)
        if isinstance(node, _PendingLink):
            self._usage.keep(len(member.path), member.path, member.offset)
            self._pending.append((self._place(member.path), node))
        return node

    def _place(self, path: bytes) -> bytes:
        """``path`` with symbolic links resolved, except in its last component."""
        if not self._followed_links:
            return path
        return b"/".join(resolve(path.split(b"/"), [self.root]).names)

    def _node_at(self, path: bytes) -> Node | None:
        """The node at ``path``, without following links; None if there is none."""
        node: Node | None = self.root
        for name in path.split(b"/") if path else ():
            node = node.children.get(name) if isinstance(node, Directory) else None
        return node

    def _find(self, path: bytes, member: Member) -> Node | None:
        """The node at the target ``path`` of ``member``; None if there is none.

        A link in the last component is not followed: the target may be a symbolic link itself.
        """
        head, _, name = path.rpartition(b"/")
        node: Node | None = self._folders.get(head)
        if node is None and head == self._last[0]:
            node = self._last[1]
        if node is None:
            place = directory_at(self.root, head.split(b"/"))
            if place.links:
                self._record_links(place, "is a hard link to something", member)
            node = place.node
            if place.is_endless or not isinstance(node, Directory):
                return None
            self._cache_folder(head, node)
        assert isinstance(node, Directory)
        return node.children.get(name) if path else node

    def _folder(self, path: bytes, member: Member) -> Directory:
        """The directory at ``path``; missing ones are created."""
        if path == self._last[0]:
            return self._last[1]
        folder = self.root
        names = path.split(b"/")
        for depth, component in enumerate(names, 1):
            node = folder.children.get(component)
            if node is None:
                self._usage.add_implied(member.path, member.offset)
                node = folder.children[component] = Directory(implied=True, **self._parents)
            elif isinstance(node, Symlink):
                node = self._link_target(b"/".join(names[:depth]), member)
            elif not isinstance(node, Directory):
                above = display_path(b"/".join(names[:depth]))
                raise self._error(
                    member,
                    f"is below {above}, which an earlier member made something other than a "
                    "directory",
                )
            folder = node
        self._cache_folder(path, folder)
        return folder

    def _link_target(self, path: bytes, member: Member) -> Directory:
        """The directory that the symbolic link at ``path`` leads to."""
        known = self._folders.get(path)
        if known is not None:
            return known
        place = resolve(path.split(b"/"), [self.root], follow_last=True)
        self._record_links(place, "is", member)
        if place.is_endless or not isinstance(place.node, Directory):
            raise self._error(member, f"is below {display_path(path)}, but {place.problem}")
        self._cache_folder(path, place.node)
        return place.node

    def _record_links(self, place: Place, what: str, member: Member) -> None:
        """Record that links were followed; with ``secure_symlinks`` raise :class:`ArchiveError`."""
        self._followed_links = True
        if self._secure_symlinks:
            raise self._error(
                member, f"{what} below {place.last_link}, and secure_symlinks refuses that"
            )

    def _cache_folder(self, path: bytes, folder: Directory) -> None:
        self._last = path, folder
        if len(path) <= _CACHED_PATH_BYTES:
            if len(self._folders) >= _CACHED_FOLDERS:
                self._clear_folder_cache()
            self._folders[path] = folder

    def _clear_folder_cache(self) -> None:
        self._folders.clear()
        self._folders[b""] = self.root
        self._last = b"", self.root

    def _error(self, member: Member, problem: str) -> ArchiveError:
        return ArchiveError(self._usage.archive, problem, member=member.path, offset=member.offset)
