"""Rules that say which entries there are: what to leave out, and what to take in all the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..errors import SpecError, display_path
from ..tree import Directory, Loss, Tree, without_losses_below
from .globs import Glob, GlobSet, parse_glob


class Selection:
    """Globs that exclude or include; the last one that matches an entry decides about it.

    What is below an excluded directory is excluded with it, unless a later glob includes it, and
    then the directories that lead to it stay. An entry that no glob matches is there. Globs are
    those of :func:`~ext4writer.edit.globs.parse_glob`.
    """

    def __init__(self, steps: Iterable[tuple[bool, str | bytes]]) -> None:
        """``steps`` are (is it excluded, glob); :class:`SpecError` for a glob that is none."""
        self.steps = list(steps)
        globs: list[Glob] = []
        for excludes, pattern in self.steps:
            option = "exclude" if excludes else "include"
            try:
                globs.append(parse_glob(pattern))
            except ValueError as error:
                raise SpecError(option, str(error)) from None
        self._used: set[int] = set()
        self._excludes = [excludes for excludes, _ in self.steps]
        self._globs = GlobSet(globs)
        self._last_include = max(
            (at for at, excludes in enumerate(self._excludes) if not excludes), default=-1
        )

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def has_includes(self) -> bool:
        """Whether something that is excluded may be there all the same."""
        return self._last_include >= 0

    def prunes(self, path: bytes, name: bytes) -> bool:
        """Whether the entry ``name`` at ``path`` and all below it need not be looked at.

        ``path`` comes without a slash in front, as a scan asks (``exclude=`` of
        :func:`~ext4writer.sources.directory`).
        """
        at = self._decides(path, name)
        if at <= self._last_include:
            return False
        self._used.add(at)
        return True

    def apply(self, tree: Tree) -> None:
        """Take out of ``tree`` what is excluded, and report globs that matched nothing."""
        self.take_out(tree)
        self.report(tree)

    def take_out(self, tree: Tree) -> None:
        """Take out of ``tree`` what is excluded; its root is where the globs begin."""
        if self.steps:
            dropped: set[bytes] = set()
            self._filter(tree.root, dropped)
            if dropped and tree.losses:
                tree.losses = without_losses_below(tree.losses, dropped)

    def report(self, tree: Tree) -> None:
        """Say in the losses of ``tree`` which globs have matched nothing."""
        for at, (excludes, pattern) in enumerate(self.steps):
            if at not in self._used:
                shown = display_path(pattern)
                verb = "exclude" if excludes else "include"
                tree.losses.append(
                    Loss(b"/", f"nothing matches {shown!r}, which is to {verb}", "unmatched")
                )

    def _decides(self, path: bytes, name: bytes) -> int:
        return self._globs.last_match(path, name)

    def _filter(self, root: Directory, dropped: set[bytes]) -> None:
        """Work through the folders without recursion: trees may be deep.

        An excluded folder is come back to, and dropped if nothing in it was included.
        """
        stack: list[_Folder] = [_Folder(root, b"", -1)]
        while stack:
            folder, prefix, above = stack.pop()
            if isinstance(folder, _Left):
                if not folder.node.children:
                    del folder.parent.children[folder.name]
                    dropped.add(b"/" + prefix)
                continue
            for name, node in list(folder.children.items()):
                path = prefix + name
                at = self._decides(path, name)
                if at >= 0:
                    self._used.add(at)
                # What excludes the folder excludes this too, unless something later includes it.
                excluded_by = above
                if at > above:
                    excluded_by = at if self._excludes[at] else -1
                excluded = excluded_by >= 0
                if isinstance(node, Directory) and not (excluded and self._last_include < 0):
                    if excluded:
                        stack.append(_Folder(_Left(node, folder, name), path, excluded_by))
                    stack.append(_Folder(node, path + b"/", excluded_by))
                elif excluded:
                    del folder.children[name]
                    dropped.add(b"/" + path)


class _Left(NamedTuple):
    """An excluded folder after all below it was seen."""

    node: Directory
    parent: Directory
    name: bytes


class _Folder(NamedTuple):
    """A folder to look at: its path with a slash behind it, and which step excludes it, or -1."""

    node: Directory | _Left
    prefix: bytes
    excluded_by: int
