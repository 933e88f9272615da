"""Rules that select entries: globs that exclude, and globs that include again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import SpecError, display_path
from ..late_dataclasses import NamedTuple
from ..tree import Directory, Loss, Tree

if TYPE_CHECKING:
    from .globs import GlobSet


class Selection:
    """Globs that exclude or include; the last one that matches an entry decides.

    Everything below an excluded directory is excluded, too, unless a later glob includes it; then
    its parent directories are kept. An entry that no glob matches is included. Globs are those of
    :func:`~ext4writer.edit.globs.parse_glob`.
    """

    def __init__(self, steps: Iterable[tuple[bool, str | bytes]]) -> None:
        """``steps`` are (whether it excludes, glob); raises :class:`SpecError` for a bad glob."""
        self.steps = list(steps)
        self._used: set[int] = set()
        self._excludes = [excludes for excludes, _ in self.steps]
        self._globs = _compiled(self.steps) if self.steps else None
        self._last_include = max(
            (at for at, excludes in enumerate(self._excludes) if not excludes), default=-1
        )

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def has_includes(self) -> bool:
        """Whether there is a glob that includes."""
        return self._last_include >= 0

    def prunes(self, path: bytes, name: bytes) -> bool:
        """Whether a scan can skip the entry ``name`` at ``path`` and everything below it.

        ``path`` has no leading slash, as a scan passes it (``exclude=`` of
        :func:`~ext4writer.sources.directory`).
        """
        at = self._decides(path, name)
        if at <= self._last_include:
            return False
        self._used.add(at)
        return True

    def apply(self, tree: Tree) -> None:
        """Remove excluded entries from ``tree``; add a loss for each glob that matched nothing."""
        self.take_out(tree)
        self.report(tree)

    def take_out(self, tree: Tree) -> None:
        """Remove excluded entries from ``tree``; globs are relative to its root."""
        if self.steps:
            dropped: set[bytes] = set()
            self._filter(tree.root, dropped)
            if dropped and tree.losses:
                from ..losses import without_losses_below

                tree.losses = without_losses_below(tree.losses, dropped)

    def report(self, tree: Tree) -> None:
        """Add the globs that matched nothing to the losses of ``tree``."""
        for at, (excludes, pattern) in enumerate(self.steps):
            if at not in self._used:
                shown = display_path(pattern)
                verb = "exclude" if excludes else "include"
                tree.losses.append(
                    Loss(b"/", f"nothing matches {shown!r}, which is to {verb}", "unmatched")
                )

    def _decides(self, path: bytes, name: bytes) -> int:
        return -1 if self._globs is None else self._globs.last_match(path, name)

    def _filter(self, root: Directory, dropped: set[bytes]) -> None:
        """Walk the directories without recursion, since trees may be deep.

        An excluded directory is visited again after its contents, and dropped if nothing is left.
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
                # A glob that excludes the directory also excludes this entry, unless a later glob
                # includes it.
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


def _compiled(steps: list[tuple[bool, str | bytes]]) -> GlobSet:
    """The globs of ``steps``; raises :class:`SpecError` for an invalid one."""
    from .globs import GlobSet, parse_glob  # late: most callers exclude nothing

    globs = []
    for excludes, pattern in steps:
        try:
            globs.append(parse_glob(pattern))
        except ValueError as error:
            raise SpecError("exclude" if excludes else "include", str(error)) from None
    return GlobSet(globs)


class _Left(NamedTuple):
    """An excluded directory, to be visited again after its contents."""

    node: Directory
    parent: Directory
    name: bytes


class _Folder(NamedTuple):
    """A directory to visit, its path with a final slash, and the step that excludes it, or -1."""

    node: Directory | _Left
    prefix: bytes
    excluded_by: int
