"""What trees do not keep, found again by path when something at or above it goes away.

Names lead down a tree of dictionaries, so that a path costs its length, whatever else is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .nodes import Directory, Loss


def names_of(path: bytes) -> Iterator[bytes]:
    """The names of ``path`` without empty ones."""
    return (name for name in path.split(b"/") if name)


class _Branch(dict[bytes, "_Branch"]):
    """What lies below a path, by name."""

    __slots__ = ("ends", "losses")

    def __init__(self) -> None:
        super().__init__()
        self.ends = False
        """Whether a path of a set ends here."""
        self.losses: list[tuple[int, Loss]] = []

    def at(self, path: bytes) -> _Branch:
        """The branch at ``path``, which is made where it is missing."""
        branch = self
        for name in names_of(path):
            below = branch.get(name)
            if below is None:
                below = branch[name] = _Branch()
            branch = below
        return branch


class PathSet:
    """Paths, of which each stands for all below it too."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._root = _Branch()
        for path in paths:
            self._root.at(path).ends = True

    def covers(self, path: bytes) -> bool:
        """Whether ``path`` is one of them or lies below one."""
        branch = self._root
        for name in names_of(path):
            if branch.ends:
                return True
            below = branch.get(name)
            if below is None:
                return False
            branch = below
        return branch.ends


def without_losses_below(losses: list[Loss], gone: Iterable[bytes]) -> list[Loss]:
    """``losses`` without those at and below the absolute paths ``gone``."""
    if not gone or not losses:
        return losses
    paths = PathSet(gone)
    return [loss for loss in losses if not paths.covers(loss.path)]


class LossRecord:
    """The losses of a tree that one change after the other is applied to."""

    def __init__(self) -> None:
        self._root = _Branch()
        self._count = 0

    def add(self, losses: Iterable[Loss]) -> None:
        """Note ``losses``; those of one path stay in their order."""
        for loss in losses:
            self._root.at(loss.path).losses.append((self._count, loss))
            self._count += 1

    def drop_below(self, path: bytes) -> None:
        """Forget those at and below ``path``, which is not the root."""
        *above, last = names_of(path)
        branch: _Branch | None = self._root
        for name in above:
            branch = branch and branch.get(name)
        if branch:
            branch.pop(last, None)

    def drop_covered(self, upper: Directory) -> None:
        """Forget those that ``upper``, laid over the tree, replaces; the cost is that of ``upper``.

        An implied directory replaces nothing, another one its own losses, and every other node all
        losses at and below its path.
        """
        pending = [(self._root, upper)]
        while pending:
            branch, directory = pending.pop()
            if not directory.implied:
                branch.losses.clear()
            children = directory.children
            names = children if len(children) <= len(branch) else list(branch)
            for name in names:
                node, below = children.get(name), branch.get(name)
                if node is None or below is None:
                    continue
                if isinstance(node, Directory):
                    pending.append((below, node))
                else:
                    del branch[name]

    def in_order(self) -> list[Loss]:
        """All that are left, as they were added."""
        found: list[tuple[int, Loss]] = []
        pending = [self._root]
        while pending:
            branch = pending.pop()
            found += branch.losses
            pending += branch.values()
        return [loss for _, loss in sorted(found, key=lambda one: one[0])]
